"""Writes a bundle: block after block as entries come, then the tables that lead to them."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import IO

from askonce._core.coding import CODINGS, coding_of, undo
from askonce._core.entry import Entry, Question, Take
from askonce._core.halves import shrink
from askonce._core.messages import Answer
from askonce._core.record import pack
from askonce.storage.blocks import (
    ANSWERS,
    BLOCK,
    BUCKET,
    FORMAT,
    HEADER,
    LINE,
    MAGIC,
    PER_BUCKET,
    QUESTIONS,
    ROW,
    Section,
)
from askonce.storage.bundle import ASKED, NOWHERE, RECORD, Manifest

_LEVEL = 6
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Block:
    """Records that are packed together, and the number that the block will have."""

    __slots__ = ("data", "kind", "number")

    def __init__(self, number: int, kind: int) -> None:
        self.number = number
        self.kind = kind
        self.data = bytearray()


class Writer:
    """Write entries, the latest first, to an empty file that can be sought in.

    With `final`, of a question only its key is written; with `half`, embeddings at half precision.
    """

    def __init__(self, file: IO[bytes], *, final: bool, half: bool) -> None:
        self._file = file
        self._final = final
        self._half = half
        self._place = file.write(bytes(HEADER.size))
        self._rows: list[bytes] = []
        self._lines: list[bytes] = []
        self._answers = self._begin(ANSWERS)
        self._questions = self._begin(QUESTIONS)

    def write(self, entry: Entry) -> None:
        """Add an entry with all its takes."""
        question = entry.question
        asked = (NOWHERE, 0) if self._final else self._write_question(question)
        described, payload = [], bytearray()
        for take in entry.takes:
            packed, halves = self._pack(take)
            described.append([take.seed, take.slot, take.recorded, take.ttl, len(packed), len(halves)])
            payload += packed + halves
        partition = "" if self._final else question.partition
        about = [question.provider, question.kind, question.model, partition]
        description = _encode({"about": about, "takes": described}).encode("utf-8", "surrogatepass")
        head = RECORD.pack(question.key, len(description) + len(payload), *asked, len(description))
        block = self._answers = self._room(self._answers)
        self._lines.append(LINE.pack(question.key[:8], block.number, len(block.data)))
        block.data += head + description + payload

    def finish(self, manifest: Manifest) -> None:
        """Write what leads to the entries, and the header, without which it is no bundle."""
        for block in (self._answers, self._questions):
            self._end(block)
        self._lines.sort()
        sections = {
            "table": self._section(self._rows, len(self._rows)),
            "fanout": (self._section(fanout := self._fanout(), len(fanout) - 1)),
            "index": self._section(self._lines, len(self._lines)),
        }
        told = {"format": FORMAT, **manifest._asdict(), "sections": sections}
        described = json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass")
        size = self._place + len(described)
        digest = hashlib.sha256(described).digest()
        header = HEADER.pack(MAGIC, FORMAT, size, self._place, len(described), digest)
        self._file.write(described)
        self._file.seek(0)
        self._file.write(header)

    def _write_question(self, question: Question) -> tuple[int, int]:
        block = self._questions = self._room(self._questions)
        place = block.number, len(block.data)
        block.data += ASKED.pack(len(question.head), len(question.body)) + question.head + question.body
        return place

    def _pack(self, take: Take) -> tuple[bytes, bytes]:
        answer = take.answer
        shrunk = shrink(answer) if self._half else None
        if shrunk is not None:
            return pack(shrunk[0]), shrunk[1]
        return pack(_plain(answer)), b""

    def _begin(self, kind: int) -> _Block:
        self._rows.append(b"")
        return _Block(len(self._rows) - 1, kind)

    def _room(self, block: _Block) -> _Block:
        """Return a block that is not full; what comes next may be longer than a whole block."""
        if len(block.data) < BLOCK:
            return block
        self._end(block)
        return self._begin(block.kind)

    def _end(self, block: _Block) -> None:
        packed = zlib.compress(bytes(block.data), _LEVEL)
        digest = hashlib.sha256(packed).digest()
        self._rows[block.number] = ROW.pack(self._place, len(packed), len(block.data), block.kind, digest)
        self._place += self._file.write(packed)

    def _section(self, rows: list[bytes], count: int) -> Section:
        place, state = self._place, hashlib.sha256()
        for start in range(0, len(rows), 4096):
            data = b"".join(rows[start : start + 4096])
            state.update(data)
            self._place += self._file.write(data)
        return Section(place, count, state.hexdigest())

    def _fanout(self) -> list[bytes]:
        """Return for each bucket of the sorted lines where it begins and its checksum, and the end of the last."""
        bits = max(0, (len(self._lines) // PER_BUCKET).bit_length())
        ends = [0] * (1 << bits)
        for line in self._lines:
            ends[int.from_bytes(line[:4]) >> (32 - bits)] += 1
        buckets, start = [], 0
        for count in ends:
            end = start + count
            buckets.append(BUCKET.pack(start, zlib.crc32(b"".join(self._lines[start:end]))))
            start = end
        return [*buckets, BUCKET.pack(start, 0)]


def _plain(answer: Answer) -> Answer:
    """Return an answer without its content coding: a block of many is compressed better than each by itself."""
    if coding_of(answer.head.headers) not in CODINGS:
        return answer
    try:
        head, chunks = undo(answer.head, answer.chunks)
    except zlib.error:
        return answer
    return answer._replace(head=head, chunks=chunks)
