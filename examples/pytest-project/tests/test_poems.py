import pytest
from poems import moods, poem

pytestmark = pytest.mark.askonce


@pytest.mark.parametrize("subject", ["rain", "the sea"])
def test_poem(subject):
    assert any(subject in line for line in poem(subject))


def test_moods():
    assert len(moods("a rainy day", count=3)) == 3
