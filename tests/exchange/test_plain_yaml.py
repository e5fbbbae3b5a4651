"""YAML as vcrpy writes it is read as vcrpy reads it, and means nothing more."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from vcr.serializers import yamlserializer

from askonce.exchange.plain_yaml import read_yaml

ODD = ["yes", "~", "null", "1", "-0", "0x1f", "1e3", "1_000", "12:30:45", "2026-11-25", "=", "<<", "["]
ODD += ["é\r\n", "\x85", " a ", "!!b", "# a", "a: b", "- a", "\t", "''", "\ufeff"]
texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(ODD)
numbers = st.integers(-(10**18) + 1, 10**18 - 1)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


@given(values)
@settings(deadline=None)
def test_what_vcrpy_writes_is_read_as_vcrpy_reads_it(value: Any) -> None:
    """Texts that look like something else, binary, numbers, nothing, nested: all come back."""
    assert value == read_yaml(yamlserializer.serialize(value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: yes\nb: 2026-11-25\nc: 0x1f\nd: 1_000", {"a": "yes", "b": "2026-11-25", "c": "0x1f", "d": "1_000"}),
        ("!!python/unicode 'a'", "a"),
        ("!!python/tuple [1, two]", [1, "two"]),
        ("!!int '7'", 7),
        ("! 7", "7"),
        ("1.50", 1.5),
        ("{1: a, true: b}", {"1": "a", "True": "b"}),
        ("a: &x 1\nb: *x", {"a": 1, "b": 1}),
        ("--- 1\n--- 2\n", 1),
        ("", None),
    ],
)
def test_plain_values(text: str, expected: Any) -> None:
    """Words are numbers, true, false, nothing, or texts; dates, octals and `yes` are texts as they stand."""
    assert expected == read_yaml(text)


def test_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML was built without libyaml it reads the same, and too deep a nesting is refused all the same."""
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert {"a": [b"\x00", "1"]} == read_yaml("a: [!!binary AA==, '1']")
    with pytest.raises(ValueError, match="nested more than 200 deep"):
        read_yaml("[" * (sys.getrecursionlimit() * 10))
