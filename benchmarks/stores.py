"""Stores of any size, made in seconds and kept for the next run under the folder for temporary files.

One exchange of each kind is recorded by askonce itself, through its public door; the others are cast from it, with
their own numbers and keys, and written in large transactions. Whatever the casting relies on is checked against
what was recorded, so that a store whose entries would not be found is not made.
"""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai

import askonce
from benchmarks import calls
from benchmarks.canned import Shelf, Transport

WORK = Path(tempfile.gettempdir()) / "askonce-benchmarks"
_SLOT = b"00000000"
_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Made:
    """A store with plain answers to the questions below `plain`, and streams to those below `streams`."""

    path: Path
    plain: int
    streams: int

    @property
    def entries(self) -> int:
        return self.plain + self.streams


def make(*, plain: int, streams: int) -> Made:
    """Return such a store, from an earlier run if there is one."""
    moulds = [_record(stream=stream) for stream in (False, True)]
    said = repr([calls.answer(0, stream=stream) for stream in (False, True)]).encode()
    WORK.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(b"".join(mould.vouch() for mould in moulds) + said).hexdigest()[:12]
    path = WORK / f"{plain}-{streams}-{name}.db"
    if not path.exists():
        fresh = path.with_suffix(".new")
        for leftover in WORK.glob(f"{fresh.name}*"):
            leftover.unlink()
        for mould, count in zip(moulds, (plain, streams), strict=True):
            cast(mould, fresh, count)
        fresh.rename(path)
    warm(path)
    return Made(path, plain, streams)


def keys(numbers: Iterable[int]) -> list[bytes]:
    """Return the keys of plain entries."""
    mould = _record(stream=False)
    return [key for number in numbers for key, _, _ in _cast(mould, range(number, number + 1))]


def warm(path: Path) -> None:
    """Read a file once, so that it is the store and not the disk that is measured."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


@dataclass(frozen=True, slots=True)
class Mould:
    """The rows of one recorded entry, whose question holds the slot for a number once."""

    question: dict[str, Any]
    take: dict[str, Any]
    schema: str
    squeezed: bool

    def vouch(self) -> bytes:
        """Return what changes when a store made of this would be another; the answer holds times, which do not."""
        return repr((self.schema, self.question, self.take["coding"])).encode()


def _record(*, stream: bool) -> Mould:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mould.db"
        provider = Transport(Shelf(iter([0]), stream=stream), chunked=True)
        transport = askonce.transport(provider, path)
        client = openai.OpenAI(api_key=calls.KEY, http_client=httpx2.Client(transport=transport))
        calls.ask(client, 0, stream=stream)
        client.close()
        return read_mould(path)


def read_mould(path: Path) -> Mould:
    """Return the one entry of a store as a mould."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        question = dict(db.execute("SELECT * FROM questions").fetchone())
        take = dict(db.execute("SELECT * FROM takes").fetchone())
        schema = "".join(row[0] or "" for row in db.execute("SELECT sql FROM sqlite_schema ORDER BY name"))
    assert question["coding"] == 0, "a question this short is kept as it is"
    assert question["body"].count(_SLOT) == 1, "the question has one slot for its number"
    mould = Mould(question, take, schema, take["coding"] != 0)
    key, vouched, _ = next(_cast(mould, range(1)))
    assert key == question["key"], "the key is the digest of head and body"
    assert vouched == take["digest"], "the digest vouches for key, seed and answer"
    return mould


def _cast(mould: Mould, numbers: range) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield key, digest and answer by number; an answer that has the slot gets the number too."""
    head, body = mould.question["head"] + b"\n", mould.question["body"].partition(_SLOT)
    packed = zlib.decompress(mould.take["answer"]) if mould.squeezed else mould.take["answer"]
    said = packed.partition(_SLOT)
    for number in numbers:
        digits = b"%08d" % number
        key = hashlib.sha256(head + hashlib.sha256(body[0] + digits + body[2]).digest()).digest()
        answer = said[0] + digits + said[2] if said[1] else packed
        vouched = hashlib.sha256(key + b"null\n" + answer).digest()
        yield key, vouched, zlib.compress(answer, 3) if mould.squeezed else answer


def cast(mould: Mould, path: Path, count: int) -> None:
    """Add entries 0 to `count` to the store at `path`, and make it if need be."""
    if not path.exists():
        _lay_out(path)
    question, take = dict(mould.question), dict(mould.take)
    body = question["body"].partition(_SLOT)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        first = 1 + db.execute("SELECT coalesce(max(id), 0) FROM questions").fetchone()[0]
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            questions, takes = [], []
            for number, (key, vouched, answer) in zip(numbers, _cast(mould, numbers), strict=True):
                row = first + number
                asked = body[0] + b"%08d" % number + body[2]
                questions.append([*(question | {"id": row, "key": key, "body": asked}).values()])
                takes.append(
                    [*(take | {"id": row, "question": row, "digest": vouched, "answer": answer}).values()]
                )
            db.execute("BEGIN")
            db.executemany(_insert("questions", question), questions)
            db.executemany(_insert("takes", take), takes)
            db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL").fetchall()


def _insert(table: str, row: dict[str, Any]) -> str:
    return f"INSERT INTO {table}({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"


def _lay_out(path: Path) -> None:
    """Let askonce make an empty store: it is its own schema that is filled."""
    provider = Transport(Shelf(iter([0]), stream=False), chunked=False)
    client = httpx2.Client(transport=askonce.transport(provider, path))
    client.post(calls.URL, content=calls.body(0, stream=False), headers={"content-type": "application/json"})
    client.close()
    storage = askonce.open_storage(path)
    storage.remove([entry.question.key for entry in storage.entries()])
    storage.close()
