"""Importing: conflicts, all of a file or nothing, and running it again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import askonce
from askonce._core.entry import CACHY, MARK_KEY
from askonce.errors import FileFormatError, StorageError
from askonce.exchange import Fate, Format, OnConflict, open_source, take_in
from askonce.settings import read_settings
from askonce.storage import Storage, open_storage
from askonce.storage.memory import MemoryStorage
from tests.exchange.building import (
    cachy_line,
    completion,
    entries_of,
    exchange,
    import_file,
    interaction,
    recorded_in,
    write_cassette,
    write_har,
    write_lines,
)


def answers(*texts: str) -> list[dict[str, Any]]:
    """Return interactions that answer the n-th question with the n-th text."""
    return [
        interaction(json.dumps({"model": "gpt-5", "n": number}), json.dumps(completion(text)))
        for number, text in enumerate(texts)
    ]


def texts_in(store: Path) -> list[str]:
    """Return what the answers in a store say."""
    return sorted(
        json.loads(take.answer.body)["choices"][0]["message"]["content"]
        for entry in entries_of(store)
        for take in entry.takes
    )


@pytest.fixture
def before(tmp_path: Path, store: Path) -> Path:
    """Return a store into which `old` and `same` were imported."""
    path = write_cassette(tmp_path / "old.yaml", answers("old", "same"))
    os.utime(path, (1.8e9, 1.8e9))  # a text store keeps whole milliseconds of when it was recorded
    import_file(path, store)
    return store


@pytest.mark.parametrize(
    ("on_conflict", "fate", "left"),
    [
        ("keep", Fate.KEPT, ["fresh", "old", "same"]),
        ("replace", Fate.REPLACED, ["fresh", "new", "same"]),
    ],
)
def test_conflicts(tmp_path: Path, before: Path, on_conflict: str, fate: Fate, left: list[str]) -> None:
    """Where another answer is recorded it is kept or replaced as was chosen, and said; the same answer is none."""
    path = write_cassette(tmp_path / "new.yaml", answers("new", "same", "fresh"))
    intake = import_file(path, before, on_conflict=on_conflict)
    assert {fate: 1, Fate.THERE: 1, Fate.IMPORTED: 1} == {one[2]: count for one, count in intake.fates.items()}
    assert ["entry 1"] == intake.conflicts
    assert left == texts_in(before)


def test_a_conflict_that_is_to_fail(tmp_path: Path, before: Path) -> None:
    """When conflicts are to fail nothing of the file is imported, and the places are named."""
    path = write_cassette(tmp_path / "new.yaml", answers("new", "same", "fresh"))
    with pytest.raises(FileFormatError, match="other answers are recorded already for entry 1"):
        import_file(path, before, on_conflict="fail")
    assert ["old", "same"] == texts_in(before)


@pytest.mark.parametrize("on_conflict", OnConflict)
def test_importing_again_changes_nothing(tmp_path: Path, before: Path, on_conflict: OnConflict) -> None:
    """What is there already is passed over, so that an import can be run again."""
    intake = import_file(tmp_path / "old.yaml", before, on_conflict=on_conflict)
    assert (2, 0) == (intake.count(Fate.THERE), len(intake.conflicts))


def test_a_dry_run_changes_nothing(tmp_path: Path, before: Path) -> None:
    """A dry run says the same and writes nothing, not even a store."""
    path = write_cassette(tmp_path / "new.yaml", answers("new", "same", "fresh"))
    dry = import_file(path, before, dry_run=True, on_conflict="replace")
    assert ["old", "same"] == texts_in(before)
    assert dry.fates == import_file(path, before, on_conflict="replace").fates
    import_file(path, tmp_path / "none.db", dry_run=True)
    import_file(write_lines(tmp_path / "cachy.jsonl", [cachy_line()]), tmp_path / "none.db", dry_run=True)
    assert not (tmp_path / "none.db").exists()


class FullStorage(MemoryStorage):
    """A storage that is full after so many answers."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def add(self, *given: Any, **named: Any) -> bool:
        if not self.room:
            raise StorageError("full")
        self.room -= 1
        return super().add(*given, **named)


def test_an_import_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """When the store fails half-way, the same import run again adds what is missing."""
    source = open_source(
        write_cassette(tmp_path / "a.yaml", answers("a", "b", "c")), read_settings({}, environ={})
    )
    storage = FullStorage(2)
    with pytest.raises(StorageError, match="full"):
        take_in(source, storage)
    storage.room = 9
    intake = take_in(source, storage)
    assert (2, 1) == (intake.count(Fate.THERE), intake.count(Fate.IMPORTED))


def test_an_answer_too_large_for_the_store(tmp_path: Path) -> None:
    """A store that does not take an answer ends the import with the reason."""
    source = open_source(write_cassette(tmp_path / "a.yaml", answers("a")), read_settings({}, environ={}))
    with pytest.raises(StorageError, match="max_size"):
        take_in(source, MemoryStorage(max_size=10))


def test_a_store_is_copied(tmp_path: Path, before: Path) -> None:
    """A store is a file like any other: its entries come in the order of recording, with all that is in them."""
    intake = import_file(before, tmp_path / "copy.db")
    assert Format.STORE == intake.format
    assert entries_of(before) == entries_of(tmp_path / "copy.db")


@pytest.mark.parametrize("name", ["copy.db", "copied.jsonl", "memory:copied"])
def test_copies_into_any_storage(tmp_path: Path, before: Path, name: str) -> None:
    """What can be added to a storage and listed of one is all that copying needs."""
    storage: Storage = open_storage(name)
    take_in(open_source(before, read_settings({}, environ={})), storage)
    assert recorded_in(open_storage(before)) == recorded_in(storage)
    storage.close()


def test_har_and_cassette_are_one_question(tmp_path: Path, store: Path) -> None:
    """The same exchange from two programs is there already the second time."""
    import_file(write_har(tmp_path / "a.har", [exchange()]), store)
    intake = import_file(write_cassette(tmp_path / "a.yaml", [interaction()]), store)
    assert 1 == intake.count(Fate.KEPT)  # other headers and times, and so another answer; but the same question
    assert 1 == len(entries_of(store))


def test_a_partition(tmp_path: Path, store: Path) -> None:
    """Entries become those of the partition that is named."""
    storage = open_storage(store)
    settings = read_settings({"partition": "acme"}, environ={})
    for path in (
        write_cassette(tmp_path / "a.yaml", [interaction()]),
        write_lines(tmp_path / "cachy.jsonl", [cachy_line()]),
    ):
        take_in(open_source(path, settings), storage)
    storage.close()
    assert ["acme", "acme"] == [e.question.partition for e in entries_of(store) if e.question.key != MARK_KEY]


def test_cachys_answers_are_marked(tmp_path: Path, store: Path) -> None:
    """With the first answer of cachy's, a mark is made that tells caches to look for such; once."""
    lines = [cachy_line(), cachy_line("00000000"), cachy_line("00000001", status_code=404)]
    intake = import_file(write_lines(tmp_path / "cachy.jsonl", lines), store)
    assert (2, ["status 404"]) == (intake.count(Fate.IMPORTED), [one.reason for one in intake.skipped])
    assert [MARK_KEY, b"\x01\x23\xab\xcd", bytes(4)] == [
        e.question.key if e.question.key == MARK_KEY else e.question.key[:4] for e in entries_of(store)
    ]
    assert {CACHY} == {entry.question.provider for entry in entries_of(store)}


@pytest.mark.parametrize(
    ("changes", "media_type"),
    [
        ({}, "application/json"),
        ({"headers": {}}, "application/json"),
        ({"headers": None, "response": 'data: {"choices": [{"finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'},
         "text/event-stream"),
        ({"response": "SUQzAA==", "binary": True, "headers": {"content-type": "audio/mpeg"}}, "audio/mpeg"),
    ],
)  # fmt: skip
def test_lines_of_cachys(tmp_path: Path, store: Path, changes: dict[str, Any], media_type: str) -> None:
    """Headers that cachy was told to leave out are told from the body; a length that is not true is dropped."""
    import_file(write_lines(tmp_path / "cachy.jsonl", [cachy_line(**changes)]), store)
    (take,) = entries_of(store)[-1].takes
    assert media_type == take.answer.head.headers.get(b"content-type")
    assert take.answer.head.headers.get(b"content-length") is None


def test_the_usual_look_up_is_one(store: Path) -> None:
    """A store without imported answers is asked once, in a cache's life, whether it has some."""
    looked: list[bytes] = []

    class Watched(MemoryStorage):
        def takes(self, key: bytes) -> Any:
            looked.append(key)
            return super().takes(key)

    with askonce.caching(Watched(), mode="offline"):
        import httpx2

        for text in ("a", "b", "c"):
            httpx2.post("https://api.openai.com/v1/chat/completions", json={"model": "gpt-5", "text": text})
    assert 1 == looked.count(MARK_KEY)
    assert 4 == len(looked)


def test_a_text_store_by_any_name(tmp_path: Path, before: Path) -> None:
    """Lines are told by their content; what another program has written to its standard output, say."""
    import_file(before, tmp_path / "copy.jsonl")
    path = (tmp_path / "copy.jsonl").rename(tmp_path / "output.txt")
    intake = import_file(path, tmp_path / "back.db")
    assert (Format.STORE, 2) == (intake.format, intake.count(Fate.IMPORTED))


def test_a_flaw_in_a_text_store_costs_its_line(tmp_path: Path, before: Path) -> None:
    """A torn line is warned of with its number; the others are imported."""
    import_file(before, tmp_path / "copy.jsonl")
    first, second = (tmp_path / "copy.jsonl").read_text().splitlines()
    (tmp_path / "copy.jsonl").write_text(f"{first[:90]}\n{second}\n")
    with pytest.warns(askonce.AskonceWarning, match="line 1: is no JSON"):
        intake = import_file(tmp_path / "copy.jsonl", tmp_path / "back.db")
    assert 1 == intake.count(Fate.IMPORTED)


def test_an_empty_file_of_cachys(tmp_path: Path, store: Path) -> None:
    """cachy makes an empty file before it has an answer."""
    intake = import_file(write_lines(tmp_path / "cachy.jsonl", []), store)
    assert (Format.CACHY, 0) == (intake.format, intake.count(*Fate))
