"""What notebooks put into prompts is left out of the key when asked; what a person types never is."""

from __future__ import annotations

import json
import re
import tempfile
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from askonce._core.body import read_body
from askonce._core.nearest import differences
from askonce._core.noise import NOTEBOOK_NOISE, Rule, check_rule, normalized
from tests.core.building import question
from tests.core.test_body import values


def form(text: Any, rules: tuple[Rule, ...] = NOTEBOOK_NOISE) -> tuple[bytes, dict[str, str]]:
    """Return what identifies a body with this in it."""
    body = normalized(read_body("application/json", json.dumps({"x": [text]}).encode()), rules)
    return body.canonical, dict(body.normalized)


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ("<function f at 0x7f3c5e2a9d10>", "<function f at 0x7f0000000010>", ["memory address"]),
        ("[<a.B object at 0x104b2c0d0>]", "[<a.B object at 0x1054f3a90>]", ["memory address"]),
        ("<C object at 0x000001F2A3B4C5D6>", "<C object at 0x000001F2A3B4C5D7>", ["memory address"]),
        (
            "<bound method C.f of <C object at 0x7f3c5e2a9d10>>",
            "<bound method C.f of <C object at 0x7f3c5e2a9d11>>",
            ["memory address"],
        ),
        ("/tmp/ipykernel_12/345.py:1: Warning", "/tmp/ipykernel_67/890.py:1: Warning", ["cell file"]),
        (
            "/var/folders/d1/qmx3v0cs6z1_5gk8f6gtyb5r0000gn/T/ipykernel_1/2.py",
            "/tmp/ipykernel_3/4.py",
            ["cell file"],
        ),
        (
            r"C:\Users\ada l\AppData\Local\Temp\ipykernel_1\2.py",
            r"C:\Users\bob\AppData\Local\Temp\ipykernel_3\4.py",
            ["cell file"],
        ),
        ("<ipython-input-1-0123456789ab>", "<ipython-input-12-ba9876543210>", ["cell name"]),
        ("Cell In[3], line 1", "Cell In[14], line 1", ["cell number"]),
        ("in /tmp/tmpab1cd2ef/x.txt", "in /tmp/tmp9z_k3x4q/x.txt", ["temporary path"]),
        ("file:///tmp/tmpab1cd2ef", "file:///tmp/tmp9zxk3x4q", ["temporary path"]),
        (
            "/private/var/folders/d1/qmx3v0cs6z1_5gk8f6gtyb5r0000gn/T/tmpab1cd2ef",
            "/var/folders/d1/qmx3v0cs6z1_5gk8f6gtyb5r0000gn/T/tmp1b1cd2ef",
            ["temporary path"],
        ),
    ],
)
def test_noise_merges(one: str, other: str, names: list[str]) -> None:
    """What the machine wrote is one question, which says by which rules it was made one."""
    assert form(one) == form(other)
    assert names == list(form(one)[1])
    assert form(one, ()) != form(other, ())


TYPED = [
    "0xDEADBEEF",
    "0xCAFEBABE",
    "0xdeadbeefcafe",
    "0x7f3c5e2a9d10",
    "at 0x7f3c5e2a9d10",
    "<at 0x7f3c5e2a9d10>",
    "<x at 0xDEADBEEF>",
    "<x at 0xdeadbeef>",
    "<x at 0xDEADBEEFCAFE>",
    "a < b at 0x7f3c5e2a9d10",
    "line 3",
    "line 4",
    "line 3, in f",
    "Cell In[3]",
    "In [3]:",
    "Cell In[3], row 1",
    "ipykernel_123",
    "ipykernel_123/456.py",
    "/home/me/ipykernel_1/2.py",
    "/tmp/ipykernel_1/code.py",
    "/tmp/data.csv",
    "/tmp/tmp",
    "/tmp/tmpfiles",
    "tmpab1cd2ef",
    "/tmp/tmp_report1",
    "/tmp/tmp_report2",
    "/tmp/tmp_backups",
    "/tmp/tmpreports",
    "/tmp/tmp20261125",
    "/tmp/tmpAB1CD2EF",
    "/tmp/tmpab1cd2efg",
    "/home/me/tmp/tmpab1cd2ef",
    "./tmp/tmpab1cd2ef",
    "<ipython-input-3>",
    "<ipython-input-a-bc>",
    "/var/folders/mine/x",
    "/tmpX",
    "0xMEM",
    "/tmp/tmpX",
    "/tmp/ipykernel_N/N.py",
    "<ipython-input>",
    "Cell In[N], line 1",
    "<x at 0xMEMORY>",
]


@pytest.mark.parametrize("text", TYPED)
def test_what_is_typed_stays(text: str) -> None:
    """Nothing that a person may have typed is touched, also where it looks like noise."""
    assert (form(text, ())[0], {}) == form(text)


def test_what_was_normalized_is_not_what_looks_so() -> None:
    """A text that holds a rule's replacement is another question than one that the rule made so."""
    noisy = "<f at 0x7f3c5e2a9d10>"
    assert form(noisy)[0] == form("<f at 0xMEMORY>")[0]
    assert form(noisy) != form("<f at 0xMEMORY>")


@given(st.text(st.sampled_from("0x7fdeadbeef tmp_/<>at[]Cell,In1\\.py")) | st.text())
@example("<f at 0x7f3c5e2a9d1>")
def test_text_without_noise_is_itself(text: str) -> None:
    """A text in which no rule matches is the question that it was, so that no two are ever taken for one."""
    if not any(re.search(rule.pattern, text) for rule in NOTEBOOK_NOISE):
        assert (form(text, ())[0], {}) == form(text)


@given(values)
def test_any_body(value: Any) -> None:
    """Any body can be normalised, and its form is that of itself when nothing in it is noise."""
    body = read_body("application/json", json.dumps(value).encode())
    assert body is normalized(body, NOTEBOOK_NOISE)


def test_real_noise() -> None:
    """What this Python writes is caught: every address in a repr, and most names that `tempfile` draws."""
    one, other = object(), object()
    assert form(repr(one)) == form(repr(other))
    assert form(repr(one), ()) != form(repr(other), ())
    assert "memory address" in form(repr(form))[1]
    drawn = [f"/tmp/tmp{next(tempfile._RandomNameSequence())}" for _ in range(200)]  # type: ignore[attr-defined]
    caught = [path for path in drawn if "temporary path" in form(path)[1]]
    assert len(caught) > 120


@pytest.mark.parametrize(
    ("content_type", "raw", "caught"),
    [
        ("text/plain", b"<f at 0x7f3c5e2a9d10>", True),
        ("application/octet-stream", b"\xff<f at 0x7f3c5e2a9d10>", False),
        ("application/json", b'{"x": NaN, "y": "<f at 0x7f3c5e2a9d10>"}', True),
        ("application/json", b'{"<f at 0x7f3c5e2a9d10>": 1}', False),
        ("application/json", b'"\\ud800<f at 0x7f3c5e2a9d10>"', True),
    ],
)
def test_kinds_of_bodies(content_type: str, raw: bytes, caught: bool) -> None:
    """Texts are changed wherever they are; names of fields, binary content and what is sent are not."""
    body = normalized(read_body(content_type, raw), NOTEBOOK_NOISE)
    assert caught is bool(body.normalized)
    assert raw == body.sent


def test_parts() -> None:
    """In a form the texts are changed, not what identifies a file."""
    part = '--B\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    noise = "<f at 0x7f3c5e2a9d10>"
    raw = (part.format("prompt", "", noise) + part.format("f", '; filename="a"', noise) + "--B--\r\n").encode()
    body = normalized(read_body("multipart/form-data; boundary=B", raw), NOTEBOOK_NOISE)
    text, file = json.loads(body.canonical)
    assert "<f at 0xMEMORY>" == text["text"]
    assert file == json.loads(read_body("multipart/form-data; boundary=B", raw).canonical)[1]


def test_own_rules() -> None:
    """Rules of one's own are applied in order; their definition is part of the question."""
    day = Rule("date", r"\d{4}-\d\d-\d\d", "DATE")
    assert form("on 2026-11-25", (day,)) == form("on 2026-11-26", (day,))
    wider = day._replace(pattern=r"\d+-\d+-\d+")
    assert form("on 2026-11-25", (wider,)) != form("on 2026-11-25", (day,))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule("r", "(", ""), "cannot be used"),
        (Rule("r", "a", r"\1"), "invalid group reference|not in its pattern"),
        (Rule("r", "a*", "x"), "matches nothing at all"),
        (Rule("", "a", "x"), "has no name"),
    ],
)
def test_rules_that_cannot_work(rule: Rule, said: str) -> None:
    """A rule that cannot work is refused when it is given, not when it is used."""
    with pytest.raises(ValueError, match=said):
        check_rule(rule)


def test_differences_tell_of_rules() -> None:
    """That one question was normalised and the other not is among what differs."""
    plain = question({"x": "y"})
    head = json.loads(plain.head) | {"normalized": {"memory address": "sha256:1"}}
    (found,) = differences(plain._replace(head=json.dumps(head).encode()), plain)
    assert 'normalized.memory address: now "sha256:1", recorded without it' == str(found)
