"""The worst days in small; `make survival` has them in full and writes docs/explanation/survival.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.survival.scenarios import SCENARIOS
from tests.survival.toll import Scenario, Toll


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_survival(scenario: Scenario, tmp_path: Path) -> None:
    """No call has a wrong answer, none fails because of us, and nothing that was confirmed is lost."""
    lacking = scenario.lacks()
    if lacking:
        pytest.skip(f"needs {lacking}")
    toll = scenario.run(tmp_path, scenario.small)
    assert toll.is_clean, toll


def test_a_toll_that_is_not_clean() -> None:
    """Each count that must be 0, and calls that are not accounted for, are noticed."""
    clean = Toll(calls=3, right=3, confirmed=2)
    assert clean.is_clean
    for name in ("wrong", "failed", "lost"):
        assert not clean._replace(**{name: 1}).is_clean
    assert not clean._replace(right=2).is_clean
    assert not Toll().is_clean
