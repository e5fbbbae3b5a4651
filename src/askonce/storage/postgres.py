"""Entries in PostgreSQL: one prepared statement for a look-up, one function for whatever changes an entry."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from askonce._core.body import canonical_json
from askonce._core.entry import Entry, Key, Question, Take
from askonce._core.messages import Usage
from askonce._core.record import digest, pack
from askonce.errors import DamagedStoreError
from askonce.notices import warn_once
from askonce.storage.leases import Leases
from askonce.storage.packed import expand, read_answer, squeeze
from askonce.storage.postgres_address import read_address
from askonce.storage.postgres_changes import PostgresChanges
from askonce.storage.postgres_leases import PostgresKeeper
from askonce.storage.postgres_link import Value
from askonce.storage.postgres_schema import COUNTS, EVER
from askonce.storage.postgres_server import PATIENCE, Server
from askonce.storage.protocol import Filter, ModelTotals, Totals
from askonce.storage.tally import Tally

_PAGE = 64
_SAMPLE = 64  # entries looked at for one eviction
_HITS_AT_ONCE = 500  # entries, which nobody else changes meanwhile
_END = 1 << 62
_LARGEST = 1 << 29  # bytes; the server takes no value of a gigabyte

_TAKE = "SELECT id, seed, slot, recorded, ttl, digest, coding, data"
_TAKES = f"{_TAKE} FROM {{s}}.takes WHERE key = $1::bytea ORDER BY id"
_NAMED = f"{_TAKE} FROM {{s}}.takes WHERE key = $1::bytea AND name = $2::bytea"
_TAKES_OF_ALL = f"{_TAKE}, key FROM {{s}}.takes WHERE key = ANY($1::text::bytea[]) ORDER BY id"
_ADD = (
    "SELECT {s}.add_2($1::bytea, $2::bytea, $3::bytea, $4::bigint, $5::float8, $6::float8, $7::bigint, $8::bigint,"
    " $9::bigint, $10::bigint, $11::bigint, $12::bigint, $13::bytea, $14::bigint, $15::bytea, $16::bigint,"
    " $17::bigint, $18::bigint, $19::bytea, $20::bytea, $21::bytea, $22::bytea, $23::bytea, $24::bytea,"
    " $25::bytea, $26::bytea, $27::text::text[])"
)
_REMOVE = "SELECT {s}.remove_1($1::bytea, $2::float8, $3::bigint)"
_HITS = (
    "SELECT {s}.hits_2($1::text::bytea[], $2::text::bigint[], $3::text::float8[], $4::text::bigint[],"
    " $5::text::bigint[])"
)
_SUMS = ", ".join(f"coalesce(sum({name}), 0)::bigint" for name in COUNTS + EVER)
_QUESTION = (
    "e.key, e.head, e.coding, e.body, k.provider, e.sort, k.model, e.customer, array_to_string(e.tags, ',')"
)
_FROM = "{s}.entries e JOIN {s}.kinds k ON k.id = e.kind"
_DUE = f"SELECT DISTINCT key FROM (SELECT key FROM {{s}}.takes WHERE expires <= $1::float8 LIMIT {_PAGE}) due"  # noqa: S608
_SAMPLED = (
    "(SELECT key, used FROM {s}.entries WHERE key >= $1::bytea AND key <> $2::bytea ORDER BY key LIMIT $3::bigint)"
    " UNION (SELECT key, used FROM {s}.entries WHERE key < $1::bytea AND key <> $2::bytea ORDER BY key"
    " LIMIT $3::bigint)"
)


class _Kind(NamedTuple):
    row: int
    provider: str
    model: str
    url: str


class PostgresStorage:
    """Keep entries in the PostgreSQL that `url` names.

    With `max_size` (bytes of content), entries that were used longest ago are forgotten.
    """

    def __init__(self, url: str, *, max_size: int | None = None) -> None:
        self.address = read_address(url)
        self.url = self.address.url
        self.max_size = max_size
        self.damaged = 0
        """How many takes were left out because their digest did not match."""
        self._server = Server(self.address)
        self._leases = Leases(PostgresKeeper(self._server), self.address.lease)
        self._changes: list[PostgresChanges] = []
        self._tally = Tally()

    def be_patient(self) -> None:
        """Wait long for what a call would wait for briefly."""
        self._server.address = self.address = self.address._replace(timeout=2 * PATIENCE)

    # --- Looking up ---------------------------------------------------------------------------------------

    def takes(self, key: Key) -> Sequence[Take]:
        return self._read_takes(key, self._server.ask(_TAKES, key))

    def _read_takes(self, key: Key, rows: Iterable[Sequence[Any]]) -> tuple[Take, ...]:
        return tuple([take for take in [self._read_take(key, row) for row in rows] if take is not None])

    def _read_take(self, key: Key, row: Sequence[Any]) -> Take | None:
        _, seed, slot, recorded, ttl, vouched, coding, data = row
        try:
            name = None if seed is None else seed.decode("utf-8", "surrogatepass")
            return Take(read_answer(key, name, coding, data, vouched), recorded, name, ttl, slot)
        except (DamagedStoreError, ValueError):
            self.damaged += 1
            warn_once(
                f"{self.url} holds a damaged answer, which is left out and asked for again. Look into who else "
                f"writes to the schema {self.address.schema!r}.",
                cause=f"damaged: {self.url}",
            )
            return None

    # --- Keeping ------------------------------------------------------------------------------------------

    def add(self, question: Question, take: Take, *, replace: bool = False) -> bool:
        packed = pack(take.answer)
        coding, data = squeeze(packed)
        body = squeeze(question.body)
        asked = len(question.head) + len(body[1])
        size = asked + len(data)
        if size > (_LARGEST if self.max_size is None else min(_LARGEST, self.max_size)):
            return False
        key = question.key
        seed = None if take.seed is None else _bytes(take.seed)
        name = hashlib.sha256(b"%d%b" % (take.slot, b"" if seed is None else b"=" + seed)).digest()
        kind = [_bytes(text) for text in (question.provider, question.model, question.url)]
        named = hashlib.sha256(json.dumps([question.provider, question.model, question.url]).encode()).digest()
        values: list[Value] = [
            *(key, name, seed, take.slot, float(take.recorded), None if take.ttl is None else float(take.ttl)),
            *(round(1e6 * take.answer.seconds), *_four(take.answer.usage), self._token(key, take)),
            *(digest(key, take.seed, packed), coding, data),
        ]
        about: list[Value] = [
            asked,
            *body,
            question.head,
            _bytes(question.kind),
            _bytes(question.partition),
            named,
            *kind,
            _tags(question.tags),
        ]
        kept = self._server.do(_ADD, *values, -1 if replace else 0, *about)[0][0]
        if not kept and not replace:
            there = self._server.do(_NAMED, key, name)
            if there and self._read_take(key, there[0]) is None:  # a damaged one makes room for a good one
                kept = self._server.do(_ADD, *values, there[0][0], *about)[0][0]
        if kept and self.max_size is not None:
            self._evict(key, self.max_size)
        return bool(kept)

    def _token(self, key: Key, take: Take) -> int:
        """Return the number of the lease under which a take was asked for, as the engine names it; 0 for none."""
        return self._leases.token(key + canonical_json([take.seed, take.slot]).encode())

    def _size(self) -> int:
        return int(self._server.do("SELECT coalesce(sum(size), 0)::bigint FROM {s}.sums")[0][0])

    def _evict(self, newest: Key, most: int) -> None:
        """Forget entries until the size is below the cap: of each sample, those that are unused for longest."""
        while self._size() > most:
            sample = self._server.do(_SAMPLED, os.urandom(32), newest, _SAMPLE)[:_SAMPLE]
            if not sample:
                self._server.do(_REMOVE, newest, None, most)
                return
            for key, _ in sorted(sample, key=lambda row: row[1])[: max(1, len(sample) // 4)]:
                self._server.do(_REMOVE, key, None, 0)
                if self._size() <= most:
                    return

    # --- Claiming, and hearing of others ------------------------------------------------------------------

    def claim(self, name: bytes) -> bool:
        return self._leases.claim(name)

    def is_claimed(self, name: bytes) -> bool:
        return self._leases.is_claimed(name)

    def release(self, name: bytes) -> None:
        self._leases.release(name)

    def watch(self, changed: Callable[[Key | None], None]) -> Callable[[], bool]:
        self._changes.append(PostgresChanges(self._server, self.address.nearby, changed))
        return self._changes[-1].is_heard

    # --- Counting -----------------------------------------------------------------------------------------

    def count_hit(self, key: Key, take: Take, now: float, times: int = 1) -> None:
        """Note a hit in memory; written by the next batch, so that a hit costs no statement."""
        if self._tally.note(key, take, now, times):
            self._write_hits()

    def _write_hits(self) -> None:
        hits = self._tally.drain()
        for start in range(0, len(hits), _HITS_AT_ONCE):
            keys, *columns = zip(*hits[start : start + _HITS_AT_ONCE], strict=True)
            self._server.do(_HITS, _keys(keys), *map(_numbers, columns))

    def totals(self) -> Totals:
        self._write_hits()
        row = self._server.do(f"SELECT {_SUMS} FROM {{s}}.sums")[0]  # noqa: S608 (our own names)
        counts = dict(zip(COUNTS + EVER, row, strict=True))
        return Totals(
            counts["entries"],
            counts["takes"],
            counts["size"],
            counts["all_hits"],
            counts["all_micros"] / 1e6,
            counts["all_tokens"],
        )

    def by_model(self) -> Sequence[ModelTotals]:
        self._write_hits()
        rows = self._server.do(
            f"SELECT k.provider, k.model, {_SUMS} FROM {{s}}.sums s JOIN {{s}}.kinds k ON k.id = s.kind"  # noqa: S608
            " GROUP BY k.provider, k.model HAVING sum(entries) > 0"
        )
        found = [_model_totals(_text(row[0]), _text(row[1]), row[2:]) for row in rows]
        return sorted(found, key=lambda row: (-row.entries, row.provider, row.model))

    # --- Listing and removing -----------------------------------------------------------------------------

    def _kinds(self) -> list[_Kind]:
        rows = self._server.do(
            "SELECT id, provider, model, url FROM {s}.kinds k"
            " WHERE EXISTS (SELECT FROM {s}.entries e WHERE e.kind = k.id)"
        )
        return [_Kind(row[0], *map(_text, row[1:])) for row in rows]

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        kinds = self._kinds()
        wanted = (question.model, question.url)
        for alike in (
            [kind for kind in kinds if kind[2:] == wanted],
            [kind for kind in kinds if kind.url == question.url],
            [kind for kind in kinds if kind.provider == question.provider],
            kinds,
        ):
            if alike:
                rows = self._server.do(
                    f"SELECT {_QUESTION} FROM {_FROM} WHERE e.kind = ANY($1::text::bigint[])"  # noqa: S608
                    " ORDER BY e.latest DESC LIMIT $2::bigint",
                    _numbers([kind.row for kind in alike]),
                    limit,
                )
                found = [one for one in map(_read_question, rows) if one is not None]
                if found:
                    return found
        return ()

    def entries(self, where: Filter = Filter()) -> Iterator[Entry]:
        self._write_hits()
        conditions, values = ["e.latest < $1::bigint"], [_END]
        rest: list[Any] = []

        def add(condition: str, *more: Any) -> None:
            names = [f"${2 + len(rest) + at}" for at in range(len(more))]
            conditions.append(condition.format(*names))
            rest.extend(more)

        if where.partition:
            add("e.customer <> '' AND sha256(e.customer) = sha256({}::bytea)", _bytes(where.partition))
        elif where.partition is not None:
            add("e.customer = ''")
        if where.tag is not None:
            add("e.tags @> {}::text::text[]", _tags([where.tag]))
        if where.used is not None:
            add("(e.used >= {0}::float8 OR EXISTS (SELECT FROM {{s}}.takes WHERE key = e.key"
                " AND recorded >= {0}::float8))", float(where.used))  # fmt: skip
        if where.key is not None:
            try:
                ends = [bytes.fromhex(where.key.ljust(64, digit)) for digit in "0f"]
            except ValueError:
                return
            add("e.key BETWEEN {}::bytea AND {}::bytea", *ends)
        if where.provider is not None or where.model is not None:
            model = (where.model or "").lower()
            alike = [k for k in self._kinds() if where.provider in (None, k.provider) and model in k.model.lower()]
            add("e.kind = ANY({}::text::bigint[])", _numbers([kind.row for kind in alike]))
        sql = (
            f"SELECT {_QUESTION}, e.latest, e.hits, e.used FROM {_FROM} WHERE {' AND '.join(conditions)}"  # noqa: S608
            f" ORDER BY e.latest DESC LIMIT {_PAGE}"
        )
        while rows := self._server.do(sql, *values, *rest):
            values = [rows[-1][9]]
            takes: dict[Key, list[Sequence[Any]]] = {row[0]: [] for row in rows}
            for *take, key in self._server.do(_TAKES_OF_ALL, _keys(takes)):
                takes[key].append(take)
            for row in rows:
                entry = self._read_entry(row, takes[row[0]])
                if entry is not None and where.matches(entry):
                    yield entry

    def _read_entry(self, row: Sequence[Any], rows: Sequence[Any]) -> Entry | None:
        """Return an entry, or None when nothing of it is whole."""
        question = _read_question(row[:9])
        takes = self._read_takes(row[0], rows)
        return None if question is None or not takes else Entry(question, takes, row[10], row[11])

    def remove(self, keys: Iterable[Key]) -> int:
        return sum(self._server.do(_REMOVE, key, None, 0)[0][0] > 0 for key in keys)

    def prune(self, now: float) -> int:
        removed = 0
        while due := self._server.do(_DUE, float(now)):
            removed += sum(self._server.do(_REMOVE, key, float(now), 0)[0][0] for (key,) in due)
        return removed

    def close(self) -> None:
        """Write what is pending and close the connections; using it again opens it again."""
        for changes in self._changes:
            changes.close()
        with self._server.closing():
            self._leases.close()
            self._write_hits()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # the server's own texts hold no NUL


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _tags(tags: Sequence[str]) -> bytes:
    return b"{%b}" % b",".join(b"x%b" % _bytes(tag).hex().encode() for tag in tags)  # never empty, nor NULL


def _numbers(numbers: Sequence[float]) -> bytes:
    return b"{%b}" % b",".join(repr(number).encode() for number in numbers)


def _keys(keys: Iterable[Key]) -> bytes:
    return b"{%b}" % b",".join(b'"\\\\x%b"' % key.hex().encode() for key in keys)


def _four(usage: Usage) -> tuple[int, int, int, int]:
    read, written, cached, stored = usage
    return read, written, cached, stored


def _read_question(row: Sequence[Any]) -> Question | None:
    key, head, coding, body, *named, joined = row
    try:
        provider, kind, model, partition = map(_text, named)
        tags = tuple(_text(bytes.fromhex(tag[1:])) for tag in joined.decode().split(",") if tag)
        return Question(key, head, expand(coding, body), provider, kind, model, partition, tags)
    except (DamagedStoreError, ValueError):
        return None


def _model_totals(provider: str, model: str, row: Sequence[int]) -> ModelTotals:
    counts = dict(zip(COUNTS, row, strict=False))
    return ModelTotals(
        provider,
        model,
        entries=counts["entries"],
        takes=counts["takes"],
        size=counts["size"],
        hits=counts["hits"],
        input_tokens=counts["read"],
        output_tokens=counts["written"],
        seconds=counts["micros"] / 1e6,
        input_saved=counts["read_saved"] / 1000,
        output_saved=counts["written_saved"] / 1000,
        cached_saved=counts["cached_saved"] / 1000,
        written_saved=counts["stored_saved"] / 1000,
        uncounted=counts["uncounted"],
    )
