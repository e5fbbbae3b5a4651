"""Entries in Redis or Valkey: one command for a look-up, one script for whatever changes something."""

from __future__ import annotations

import base64
import heapq
import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from askonce._core.body import canonical_json
from askonce._core.entry import Entry, Key, Question, Take
from askonce._core.record import digest, pack
from askonce.errors import DamagedStoreError, NewerStoreError
from askonce.notices import warn_once
from askonce.storage.leases import Leases
from askonce.storage.packed import expand, read_answer, squeeze
from askonce.storage.protocol import Filter, ModelTotals, Totals
from askonce.storage.redis_address import read_address
from askonce.storage.redis_changes import RedisChanges
from askonce.storage.redis_leases import RedisKeeper
from askonce.storage.redis_script import COUNTS, HEADER, SAVED, SCRIPT
from askonce.storage.redis_server import PATIENCE, Script, Server
from askonce.storage.tally import Tally

_PART = 1 << 20  # bytes of an answer in one value; of a larger one the rest is in others
_PARTS_SECONDS = 3600  # for which parts are there before the take that they are of
_PAGE = 64
_MEMBERS = 1000  # keys of a list that are read at once
_SAMPLE = 64  # entries looked at for one eviction
_NO_SEED = 0xFFFFFFFF
_ASKED = ("head", "coding", "body", "provider", "kind", "model", "partition", "tags")


class _Kind(NamedTuple):
    provider: str
    model: str
    url: str

    @property
    def name(self) -> bytes:
        return json.dumps(self, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


class RedisStorage:
    """Keep entries in the Redis that `url` names.

    With `max_size` (bytes of content), entries that were used longest ago are forgotten.
    """

    def __init__(self, url: str, *, max_size: int | None = None) -> None:
        self.address = read_address(url)
        self.url = self.address.url
        self.max_size = max_size
        self.damaged = 0
        """How many takes were left out because their digest did not match."""
        self._server = Server(self.address)
        self._takes_prefix = f"{self.address.prefix}takes:{{".encode()
        self._leases = Leases(RedisKeeper(self._server, self._place_of_lease), self.address.lease)
        self._changes: list[RedisChanges] = []
        self._tally = Tally()

    def be_patient(self) -> None:
        """Wait long for what a call would wait for briefly."""
        self._server.address = self.address = self.address._replace(timeout=2 * PATIENCE)

    # --- Looking up ---------------------------------------------------------------------------------------

    def takes(self, key: Key) -> Sequence[Take]:
        values = self._server.ask("HVALS", b"%b%b}" % (self._takes_prefix, _tag(key)))
        return self._read_takes(key, values, self._server.ask)

    def _read_takes(self, key: Key, values: Iterable[bytes], ask: Callable[..., Any]) -> tuple[Take, ...]:
        found = [self._read_take(key, value, ask) for value in values]
        return tuple(take for _, take in sorted(filter(None, found), key=itemgetter(0)))

    def _read_take(self, key: Key, value: bytes, ask: Callable[..., Any]) -> tuple[float, Take] | None:
        """Return a take after its number; None where it is damaged, or the server has evicted a part of it."""
        try:
            number, recorded, ttl, *_, parts, _, name, vouched, coding, length = HEADER.unpack_from(value)
            start = HEADER.size
            seed = None
            if length != _NO_SEED:
                seed = value[start : start + length].decode("utf-8", "surrogatepass")
                start += length
            slot = int.from_bytes(value[start : start + 4])
            data = value[start + 4 :]
            if parts:
                pieces: list[bytes] = []
                for at in range(int(parts)):
                    piece = ask("GET", self._part(key, name, at))
                    if piece is None:
                        return None
                    pieces.append(piece)
                data = b"".join(pieces)
            return number, Take(
                read_answer(key, seed, coding, data, vouched), recorded, seed, None if ttl < 0 else ttl, slot
            )
        except NewerStoreError as error:
            warn_once(f"{self.url} holds {error}. It is left out. Upgrade askonce.", cause=f"newer: {self.url}")
            return None
        except (DamagedStoreError, ValueError, ArithmeticError, struct.error):
            self.damaged += 1
            warn_once(
                f"{self.url} holds a damaged answer, which is left out and asked for again. Look into who else "
                f"writes to keys that begin with {self.address.prefix!r}.",
                cause=f"damaged: {self.url}",
            )
            return None

    # --- Keeping ------------------------------------------------------------------------------------------

    def add(self, question: Question, take: Take, *, replace: bool = False) -> bool:
        packed = pack(take.answer)
        coding, data = squeeze(packed)
        body = squeeze(question.body)
        asked = len(question.head) + len(body[1])
        if self.max_size is not None and asked + len(data) > self.max_size:
            return False
        key, name = question.key, _name(take)
        mark, parts = self._put_parts(key, data)
        seed = b"" if take.seed is None else take.seed.encode("utf-8", "surrogatepass")
        value = HEADER.pack(
            0.0,
            take.recorded,
            -1.0 if take.ttl is None else take.ttl,
            round(1e6 * take.answer.seconds),
            *take.answer.usage,
            len(data),
            parts,
            self._token(key, take),
            mark,
            digest(key, take.seed, packed),
            coding,
            _NO_SEED if take.seed is None else len(seed),
        )
        value += seed + take.slot.to_bytes(4) + (b"" if parts else data)
        kind = _Kind(question.provider, question.model, question.url)
        fields = [
            *("head", question.head, "coding", body[0], "body", body[1], "provider", _text(question.provider)),
            *("kind", _text(question.kind), "model", _text(question.model)),
            *(
                "tags",
                json.dumps(question.tags).encode(),
                "index",
                kind.name,
                "partition",
                _text(question.partition),
            ),
        ]
        lifetime = "" if take.ttl is None else math.ceil(1000 * (take.ttl + self.address.grace))
        instead = b""
        while True:
            kept, size = self._change("add", key, name, value, int(replace), instead, lifetime, asked, *fields)
            if kept or replace or instead:
                break
            found = self._server.do(("HGET", self._key("takes", key), name))[0]
            if found is None or self._read_take(key, found, self._patiently) is not None:
                break
            instead = found  # a damaged one makes room for a good one
        if not kept and parts:
            self._server.do(*(("DEL", self._part(key, mark, at)) for at in range(parts)))
        if kept and self.max_size is not None and size > self.max_size:
            self._evict(key, size)
        return bool(kept)

    def _put_parts(self, key: Key, data: bytes) -> tuple[bytes, int]:
        """Put what is too large for one value into others; return their name and how many there are."""
        mark = os.urandom(8).hex().encode()
        if len(data) <= _PART:
            return mark, 0
        pieces = [data[at : at + _PART] for at in range(0, len(data), _PART)]
        for at, piece in enumerate(pieces):  # one by one, so that they are not in memory twice
            self._server.do(("SET", self._part(key, mark, at), piece, "EX", _PARTS_SECONDS))
        return mark, len(pieces)

    def _token(self, key: Key, take: Take) -> int:
        """Return the number of the lease under which a take was asked for, as the engine names it; 0 for none."""
        return self._leases.token(key + canonical_json([take.seed, take.slot]).encode())

    def _evict(self, newest: Key, size: int) -> None:
        """Forget entries until the size is below the cap: of each sample, those that are unused for longest."""
        assert self.max_size is not None
        while size > self.max_size:
            sample = [
                key for key in self._server.do(("HRANDFIELD", self._index("stubs"), _SAMPLE))[0] if key != newest
            ]
            if not sample:
                others = size - int(self._server.do(("HGET", self._key("about", newest), "size"))[0] or 0)
                _, left = self._change("trim", newest, max(0, self.max_size - others))
                if left >= size:
                    return
                size = left
                continue
            used = self._server.do(*(("HGET", self._key("about", key), "used") for key in sample))
            oldest = sorted(zip([float(moment or 0) for moment in used], sample, strict=True))
            for _, key in oldest[: max(1, len(sample) // 4)]:
                _, size = self._change("remove", key)
                if size <= self.max_size:
                    return

    # --- Claiming, and hearing of others ------------------------------------------------------------------

    def claim(self, name: bytes) -> bool:
        return self._leases.claim(name)

    def release(self, name: bytes) -> None:
        self._leases.release(name)

    def is_claimed(self, name: bytes) -> bool:
        """Tell whether another process has a claim."""
        return self._leases.is_claimed(name)

    def _place_of_lease(self, name: bytes) -> bytes:
        return b"%b:%b" % (self._key("lease", name[:32]), name[32:])

    def watch(self, changed: Callable[[Key | None], None]) -> Callable[[], bool]:
        """Do as `Remote.watch` says; of a cluster, whose servers each would have to be heard, nothing is heard."""
        if self.address.kind == "cluster":
            return _never
        self._changes.append(RedisChanges(self._server, self._takes_prefix, self.address.nearby, changed))
        return self._changes[-1].is_heard

    # --- Counting -----------------------------------------------------------------------------------------

    def count_hit(self, key: Key, take: Take, now: float, times: int = 1) -> None:
        """Note a hit in memory; written by the next batch, so that a hit costs no command."""
        if self._tally.note(key, take, now, times):
            self._write_hits()

    def _write_hits(self) -> None:
        changes = [
            ("hit", key, times, repr(used), times, micros, tokens)
            for key, times, used, micros, tokens in self._tally.drain()
        ]
        if changes:
            self._change_all(changes)

    def totals(self) -> Totals:
        self._write_hits()
        self._server.run(self._on_index("sweep", b"", 0, b""))
        found = self._server.do(("HGETALL", self._index("totals")))[0]
        counts = {name.decode(): max(0, int(value)) for name, value in _pairs(found)}
        return Totals(
            counts.get("entries", 0),
            counts.get("takes", 0),
            counts.get("size", 0),
            counts.get("hits", 0),
            counts.get("micros_saved", 0) / 1e6,
            counts.get("tokens_saved", 0),
        )

    def by_model(self) -> Sequence[ModelTotals]:
        self._write_hits()
        self._server.run(self._on_index("sweep", b"", 0, b""))
        sums: dict[tuple[str, str], dict[str, int]] = {}
        for kind, counts in self._kinds().items():
            row = sums.setdefault((kind.provider, kind.model), {})
            for name, amount in counts.items():
                row[name] = row.get(name, 0) + amount
        rows = [_model_totals(provider, model, row) for (provider, model), row in sums.items()]
        return sorted(rows, key=lambda row: (-row.entries, row.provider, row.model))

    def _kinds(self) -> dict[_Kind, dict[str, int]]:
        """Return the sums of each provider, model and URL."""
        kinds: dict[_Kind, dict[str, int]] = {}
        for field, value in _pairs(self._server.do(("HGETALL", self._index("sums")))[0]):
            kind, _, name = field.rpartition(b"\n")
            kinds.setdefault(_Kind(*json.loads(kind.decode("utf-8", "surrogatepass"))), {})[name.decode()] = int(
                value
            )
        return kinds

    # --- Listing and removing -----------------------------------------------------------------------------

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        kinds = self._kinds()
        wanted = (question.provider, question.model, question.url)
        for alike in (
            [kind for kind in kinds if kind[1:] == wanted[1:]],
            [kind for kind in kinds if kind.url == question.url],
            [kind for kind in kinds if kind.provider == question.provider],
            list(kinds),
        ):
            keys = list(islice(self._latest([_list("kind", kind.name) for kind in alike]), limit))
            if keys:
                rows = self._server.do(*(("HMGET", self._key("about", key), *_ASKED) for key in keys))
                found = [_read_question(key, row) for key, row in zip(keys, rows, strict=True)]
                return [one for one in found if one is not None]
        return ()

    def entries(self, where: Filter = Filter()) -> Iterator[Entry]:
        self._write_hits()
        keys = self._candidates(where)
        while page := list(islice(keys, _PAGE)):
            commands = [
                command
                for key in page
                for command in (("HGETALL", self._key("about", key)), ("HVALS", self._key("takes", key)))
            ]
            answers = iter(self._server.do(*commands))
            for key, about, values in [(key, next(answers), next(answers)) for key in page]:
                entry = self._read_entry(key, dict(_pairs(about)), values)
                if entry is not None and where.matches(entry):
                    yield entry

    def _read_entry(self, key: Key, about: dict[bytes, bytes], values: list[bytes]) -> Entry | None:
        """Return an entry, or None when nothing of it is whole; what the server has evicted is struck off."""
        if not about or not values:
            self._change("remove", key)
            return None
        question = _read_question(key, [about.get(name.encode()) for name in _ASKED])
        takes = self._read_takes(key, values, self._patiently)
        if question is None or not takes:
            return None
        return Entry(question, takes, int(about.get(b"hits", 0)), float(about.get(b"used", 0)))

    def _candidates(self, where: Filter) -> Iterator[Key]:
        """Return the keys among which those that match are, the latest first."""
        begins = (where.key or "").lower()
        if len(begins) == 64:
            try:
                return iter([bytes.fromhex(begins)])
            except ValueError:
                return iter(())
        if where.partition is not None:
            keys = self._latest([_list("partition", _text(where.partition))])
        elif where.tag is not None:
            keys = self._latest([_list("tag", where.tag.encode())])
        else:
            model = (where.model or "").lower()
            keys = self._latest(
                [
                    _list("kind", kind.name)
                    for kind in self._kinds()
                    if where.provider in (None, kind.provider) and model in kind.model.lower()
                ]
            )
        return (key for key in keys if key.hex().startswith(begins)) if begins else keys

    def _latest(self, names: Iterable[bytes]) -> Iterator[Key]:
        """Return the keys of some lists, the latest first; they may change meanwhile."""
        merged = heapq.merge(*(self._list(self._index(name)) for name in names), reverse=True)
        return (key for _, key in merged)

    def _list(self, name: bytes) -> Iterator[tuple[float, Key]]:
        before: str = "+inf"
        while True:
            found = self._server.do(
                ("ZREVRANGEBYSCORE", name, before, "-inf", "WITHSCORES", "LIMIT", 0, _MEMBERS)
            )[0]
            rows = [(float(score), key) for key, score in _pairs(found)]
            yield from rows
            if len(rows) < _MEMBERS:
                return
            before = f"({rows[-1][0]:.0f}"

    def remove(self, keys: Iterable[Key]) -> int:
        removed = 0
        keys = iter(keys)
        while page := list(islice(keys, _PAGE)):
            removed += sum(count for count, _ in self._change_all([("remove", key) for key in page]))
        return removed

    def prune(self, now: float) -> int:
        removed = 0
        while True:
            due = self._server.do(("ZRANGEBYSCORE", self._index("due"), "-inf", repr(now), "LIMIT", 0, _PAGE))[0]
            if not due:
                return removed
            removed += sum(count for count, _ in self._change_all([("prune", key, repr(now)) for key in due]))

    def close(self) -> None:
        """Write what is pending and close the connections; using it again opens it again."""
        for changes in self._changes:
            changes.close()
        with self._server.closing():
            self._leases.close()
            self._write_hits()

    # --- What is where ------------------------------------------------------------------------------------

    def _change(self, op: str, key: Key, *arguments: Any) -> tuple[int, int]:
        """Change an entry; return how much was changed, and the size of all there is."""
        return self._change_all([(op, key, *arguments)])[0]

    def _change_all(self, changes: Sequence[tuple[Any, ...]]) -> list[tuple[int, int]]:
        if self.address.kind != "cluster":
            answers = self._server.run(*(self._on_entry("both", *change) for change in changes))
            return [(int(count), int(size)) for count, size in answers]
        # Into the index first of all: an entry that is not listed, since its writer died, could not be purged.
        listed = [
            self._on_index("list", key, 0, b"", *arguments[-5::2])
            for op, key, *arguments in changes
            if op == "add"
        ]
        self._server.run(*listed)
        answers = self._server.run(*(self._on_entry("entry", *change) for change in changes))
        noted = [
            self._on_index(op, key, count, stub, *(arguments if op == "hit" else ())[2:])
            for (op, key, *arguments), (count, stub) in zip(changes, answers, strict=True)
        ]
        return [(int(count), int(size)) for count, size in self._server.run(*noted)]

    def _on_entry(self, where: str, op: str, key: Key, *arguments: Any) -> Script:
        keys = [self._key("takes", key), self._key("about", key)]
        return SCRIPT, keys, [self.address.prefix, op, where, key, *arguments]

    def _on_index(self, op: str, key: Key, count: int, stub: bytes, *hits: Any) -> Script:
        return SCRIPT, [self._index("seq")], [self.address.prefix, op, "index", key, count, stub, *hits]

    def _key(self, what: str, key: Key) -> bytes:
        return b"%b%b:{%b}" % (self.address.prefix.encode(), what.encode(), _tag(key))

    def _part(self, key: Key, mark: bytes, at: int) -> bytes:
        return b"%b:%b:%d" % (self._key("part", key), mark, at)

    def _index(self, name: str | bytes) -> bytes:
        return b"%b{index}:%b" % (self.address.prefix.encode(), name.encode() if isinstance(name, str) else name)

    def _patiently(self, *command: Any) -> Any:
        return self._server.do(command)[0]


def _never() -> bool:
    return False


def _tag(key: Key) -> bytes:
    """Return what a key is called in the names of Redis's keys."""
    return base64.urlsafe_b64encode(key).rstrip(b"=")


def _name(take: Take) -> bytes:
    """Return what a take is called among those of its question."""
    seed = b"" if take.seed is None else b"=" + _text(take.seed)
    return b"%d%b" % (take.slot, seed)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _list(what: str, name: bytes) -> bytes:
    return b"%b:%b" % (what.encode(), name)


def _pairs(found: Any) -> Iterable[tuple[Any, Any]]:
    """Return names and values from however redis-py gives them."""
    if isinstance(found, dict):
        return found.items()
    if found and isinstance(found[0], tuple | list):
        return [(one, other) for one, other in found]
    return list(zip(found[::2], found[1::2], strict=True))


def _read_question(key: Key, row: Sequence[bytes | None]) -> Question | None:
    head, coding, body, provider, kind, model, partition, tags = row
    if head is None or coding is None or body is None:
        return None
    try:
        named = [(text or b"").decode("utf-8", "surrogatepass") for text in (provider, kind, model, partition)]
        tagged = tuple(map(str, json.loads(tags or b"[]")))
        return Question(key, head, expand(int(coding), body), named[0], named[1], named[2], named[3], tagged)
    except (DamagedStoreError, ValueError):
        return None


def _model_totals(provider: str, model: str, counts: dict[str, int]) -> ModelTotals:
    takes, size, hits, read, written, *_, micros = (counts.get(name, 0) for name in COUNTS)
    saved = {name: counts.get(f"{name}_saved", 0) / 1000 for name in SAVED}
    return ModelTotals(
        provider,
        model,
        entries=counts.get("entries", 0),
        takes=takes,
        size=size,
        hits=hits,
        input_tokens=read,
        output_tokens=written,
        seconds=micros / 1e6,
        input_saved=saved["input"],
        output_saved=saved["output"],
        cached_saved=saved["cached"],
        written_saved=saved["written"],
        uncounted=counts.get("uncounted", 0),
    )
