"""Files that mean harm, or were torn: one error that says where and what to do, and nothing imported."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from askonce.errors import FileFormatError
from askonce.exchange import Finding, open_source
from askonce.exchange.plain_yaml import read_yaml
from askonce.settings import read_settings
from tests.exchange.building import (
    cachy_line,
    entries_of,
    exchange,
    import_file,
    interaction,
    write_cassette,
    write_har,
    write_lines,
)
from tests.exchange.test_har import archive_of, whole_take

SETTINGS = read_settings({}, environ={})
FINE = interaction()


def refused(path: Path) -> str:
    """Import a file that must be refused whole; return what is said."""
    with pytest.raises(FileFormatError) as caught:
        import_file(path, path.with_name("store.db"))
    assert not path.with_name("store.db").exists() or [] == entries_of(path.with_name("store.db"))
    message = str(caught.value)
    assert str(path) in message
    return message


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    """Write a file."""
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


LAUGHS = "a: &a [lol, lol, lol]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{name}: &{name}\n  <<: [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
CALL = "!!python/object/apply:os.system ['touch owned']"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"interactions: {CALL}\n", "line 1: a value of the kind tag:yaml.org,2002:python/object/apply:os.system"),
        (f"interactions:\n- request: {CALL}\n", "line 2: a value of the kind"),
        ("interactions:\n- request: !!python/name:os.system\n", "line 2: a value of the kind"),
        ("interactions: !!python/object/new:tuple [[1]]\n", "line 1: a value of the kind"),
        ("interactions: !!set {a, b}\n", "line 1: a value of the kind"),
        ("interactions:\n- request: !!binary '***'\n", "line 2: !!binary that is not base64"),
        ("interactions:\n- {[a]: b}\n", "line 2: a key that is not a text"),
        ("interactions: &a [*a]\n", "line 1: the alias *a stands for nothing that is complete"),
        ("interactions: *nothing\n", "the alias *nothing stands for nothing"),
        ("interactions: " + "[" * 300 + "]" * 300, "nested more than 200 deep"),
        ("interactions: " + "[" * 100_000, "line 1: exceeded maximum nesting depth"),
        ("interactions:\n- request: {method: 'POST\n", "line 3: "),
        ("interactions:\n\t- x\n", "line 2: "),
        ("interactions: 7\n", "interactions is 7 where a list belongs"),
        ("interactions:\n- 7\n", "interactions[0] is 7 where an object belongs"),
        ("- request: {}\n", "a cassette from before vcrpy 1.0. Run `python -m vcr.migration` on it first"),
        ("{}", "nothing that can be imported"),
        ("", "nothing that can be imported"),
        ("just text\n", "nothing that can be imported"),
        (b"\xff\xfe\x00\x01", "neither text in UTF-8 nor an askonce store"),
        ('{"interactions": [\n', "line 2: not JSON"),
        ('{"log": {"entries": [NaN, {"request": 1}]}}', "log.entries[0] is nan where an object belongs"),
        ('{"log": ' + "[" * 200_000, "nested too deep"),
        ('{"log": {"entries": [{"_askonce": {"form": 1}}]}}', "log.entries[0].request is missing"),
        ('{"key": "0123abcd", "response": "{}"', "not JSON"),
    ],
)  # fmt: skip
def test_what_is_said(tmp_path: Path, content: str | bytes, said: str) -> None:
    """Whatever a file holds, the error names it and the place; nothing in it is run, and nothing imported."""
    assert said in refused(written(tmp_path, "file", content))
    assert not Path("owned").exists()


@pytest.mark.parametrize("bomb", [LAUGHS, MERGES], ids=["laughs", "merges"])
def test_a_bomb_of_aliases_costs_nothing(bomb: str) -> None:
    """Lists of lists of aliases, and merge keys, stay as small as they are written."""
    began = time.process_time()
    value = read_yaml(bomb)
    assert time.process_time() - began < 5
    assert 9 == len(value)


def test_many_aliases_of_one_large_answer(tmp_path: Path) -> None:
    """A small file that aliases make into a large one is refused before it is worked through."""
    text = write_cassette(tmp_path / "one.yaml", [interaction(answer="x" * 50_000)]).read_text()
    content = text.splitlines()
    start = content.index("- request:")
    body = ["- &a", *("  " + line[2:] for line in content[start:] if not line.startswith("version"))]
    path = written(tmp_path, "many.yaml", "\n".join(["interactions:", *body, *(["- *a"] * 5000), "version: 1"]))
    assert "through aliases the file comes to more than 20 times its size" in refused(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"key": "0123abcd", "response": "{}', "line 2 is not JSON"),
        ("[]", "line 2: the whole is a list where an object belongs"),
        ("<<<<<<< HEAD", "line 2 is not JSON"),
        (json.dumps(cachy_line(key="0123ABCD")), "line 2: key is '0123ABCD' where a key of 8 hexadecimal digits"),
        (json.dumps(cachy_line(binary=True, response="***")), "line 2: response is '***' where base64 belongs"),
        (
            json.dumps(cachy_line(headers={"a": "b\r\nc: d"})),
            "line 2: headers.a is 'b\\r\\nc: d' where a text on one",
        ),
        (json.dumps(cachy_line(status_code=float("nan"))), "line 2: status_code is nan where a whole number"),
        (json.dumps(cachy_line(response="\ud800")), "line 2: response is '\\ud800' where a text in UTF-8 belongs"),
        ("[" * 100_000, "line 2 is not JSON"),
    ],
)
def test_a_bad_line_of_cachys(tmp_path: Path, line: str, said: str) -> None:
    """A torn line, a conflict marker or a wrong type is told with its line; the good lines are not imported."""
    path = write_lines(tmp_path / "cachy.jsonl", [cachy_line()])
    path.write_text(path.read_text() + line + "\n")
    assert said in refused(path)


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is read into memory that is longer than any answer."""
    path = write_lines(tmp_path / "cachy.jsonl", [cachy_line(), cachy_line(response=json.dumps("x" * 9000))])
    monkeypatch.setattr("askonce.exchange.source._LARGEST", 5000)
    assert "a line of more than" in refused(path)


@pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.har"])
def test_a_file_too_large_to_be_read_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A file that would not fit into memory is refused before it is read."""
    path = written(tmp_path, name, json.dumps(HAR if name == "a.har" else CASSETTE))
    monkeypatch.setattr("askonce.exchange.source._LARGEST", 500)
    assert "Split it, and import the parts" in refused(path)


def test_a_torn_store(tmp_path: Path) -> None:
    """A file that only begins like a store is told as what it is."""
    assert "file" in refused(written(tmp_path, "file", b"SQLite format 3\0" + bytes(50)))


@pytest.mark.parametrize("name", ["nowhere.yaml", "folder"])
def test_what_is_no_file(tmp_path: Path, name: str) -> None:
    """A missing file and a folder are told apart."""
    (tmp_path / "folder").mkdir()
    assert ("not there" if name == "nowhere.yaml" else "a folder") in refused(tmp_path / name)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without permission to read it is told."""
    path = written(tmp_path, "file", "interactions: []")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, who may read everything
    assert "cannot be read" in refused(path)


# --- Any type in any place -----------------------------------------------------------------------------------


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside this one."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield (*path, name)
        yield from places(one, (*path, name))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy with another value at this path; or without it, for `...`."""
    value = copy.deepcopy(value)
    *outer, last = path
    inner = value
    for name in outer:
        inner = inner[name]
    if new is ...:
        del inner[last]
    else:
        inner[last] = new
    return value


def attempt(file: Path) -> list[Finding] | str:
    """Return what is found in a file, or the error that refuses it."""
    try:
        return list(open_source(file, SETTINGS).read())
    except FileFormatError as error:
        return str(error)


NUMBERS = [-1, 0, 10**30, 1.5, float("nan"), float("-inf")]
OTHERS = [..., None, True, "", "x", "\ud800", "a\r\nb: c", [], [[]], {}, {"": {}}]
anything = st.sampled_from(NUMBERS + OTHERS) | st.lists(st.none() | st.text(max_size=3), max_size=2)

CASSETTE = {"version": 1, "interactions": [FINE]}
HAR = {"log": {"version": "1.2", "entries": [exchange()]}}
OURS = archive_of(whole_take())


@pytest.mark.parametrize(
    ("name", "whole"),
    [("a.json", CASSETTE), ("a.har", HAR), ("b.har", OURS), ("cachy.jsonl", cachy_line())],
    ids=str,
)
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_type_in_any_place(name: str, whole: Any, data: st.DataObject, tmp_path: Path) -> None:
    """Whatever is put wherever in a file, it is imported, passed over, or refused with the file's name."""
    path = data.draw(st.sampled_from(list(places(whole))))
    file = tmp_path / name
    file.write_text(json.dumps(changed(whole, path, data.draw(anything))) + "\n", encoding="utf-8")
    found = attempt(file)
    assert str(file) in found if isinstance(found, str) else len(found) <= 1


@given(cut=st.integers(0, 4000))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.har"])
def test_a_file_torn_anywhere(name: str, cut: int, tmp_path: Path) -> None:
    """Wherever a file breaks off, it is refused or what is left of it is whole; nothing half is kept."""
    file = tmp_path / name
    if name == "a.har":
        write_har(file, [exchange(), exchange()])
    else:
        write_cassette(file, [interaction(), interaction()])
    whole = file.read_bytes()
    file.write_bytes(whole[:cut])
    found = attempt(file)
    if isinstance(found, str):
        assert str(file) in found
    else:
        assert cut >= len(whole) or name == "a.yaml"
        assert len(found) <= 2
