"""JSON texts as values: the same characters come back, or the text is kept as a text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askonce._core.spelling import merge, read_spelled, spell

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ('{"a":[1,2.5,"é"]}', ""),
        ('{"a": [1, 2.5, "é"]}', "spaced"),
        ('{\n  "a": [\n    1\n  ],\n  "b": {}\n}\n', "indent 2, newline"),
        ("[\n    1,\n    2\n]", "indent 4"),
        (r'{"a":"caf\u00e9 \ud83d\ude00"}', "ascii"),
        (r'{"a":"\u003cb\u003e","b":"é"}', "escaped <>"),
        (r'{"a":"x \u0026 y\u003d\u0027"}', "escaped &='"),
        (r'{"u":"https:\/\/x.test"}', "slashes"),
        ('{"a":1}\r\n', "crlf"),
        ("null", ""),
        ("[]", ""),
    ],
)
def test_spellings(text: str, spelling: str) -> None:
    """The habits of JSON writers are recognised, named in words, and written again."""
    found = read_spelled(text)
    assert found == (json.loads(text), spelling)
    assert text == spell(*found)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}', '{"a":1E5}', '{"a":1.10}', '{"a":1e400}', '{"a":NaN}', '{"a" :1}', ' {"a":1}',
        '{"a":1}\n\n\n', '{"a":"\\u00E9"}', '{"a":1, "b":2}', '{"a":', "", "x", '{"a":"\\/ and /"}',
        "[" * 100_000, "1" * 5000,
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_would_not_come_back(text: str) -> None:
    """A text that its value would not give back has no spelling."""
    assert read_spelled(text) is None


@given(values, st.sampled_from([None, 1, 2, 4]), st.booleans(), st.booleans())
def test_what_python_writes(value: Any, indent: int | None, ascii_only: bool, spaced: bool) -> None:
    """Whatever Python's own writer makes of a value comes back, if it has a spelling."""
    separators = (", ", ": ") if spaced and indent is None else (",", ": " if indent else ":")
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, separators=separators)
    found = read_spelled(text)
    assert found is None or text == spell(*found)
    if text.isascii() and "\\" not in text and ", " not in text and ": " not in text:
        assert found is not None


@given(st.text())
def test_any_text(text: str) -> None:
    """Any text has a spelling that gives it back, or none."""
    found = read_spelled(text)
    assert found is None or text == spell(*found)


def test_unknown_spelling() -> None:
    """A spelling that a person has mistyped is refused."""
    with pytest.raises(ValueError, match="'indent two' is no way to spell JSON"):
        spell({}, "indent two")


def test_merge() -> None:
    """Texts of one writer show its habits together: what one of them escapes, all do; most agree on the layout."""
    assert "spaced, ascii, escaped <>" == merge(["spaced", "", "spaced, ascii, escaped <", "spaced, escaped >"])
    assert "" == merge([])
