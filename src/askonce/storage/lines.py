"""A take as a line of text: one JSON object, read by people in a diff and by `read_line` without loss.

    {"key", "seed", "slot", "recorded", "ttl", "provider", "kind", "model", "partition", "url",
     "asked": {"method", "headers", …}, "answered": {"status", "headers", …}, "usage", "ms", "seal"}

The first five stand first, so that an index needs to look no further. What goes without saying is left out. `seal`
is the SHA-256 of all that matters for a replay: of the question and the answer's very bytes, not of how the line
spells them. A line without a seal was written or changed by hand, and is taken at its word.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from datetime import UTC, datetime
from typing import Any, NamedTuple

from askonce._core.body import canonical_json
from askonce._core.content import FAULTS, read_content
from askonce._core.entry import Key, Question, Take
from askonce._core.messages import Answer, Chunk, Headers, Usage
from askonce._core.sameness import MOMENTARY, is_request_id
from askonce.errors import DamagedStoreError, NewerStoreError
from askonce.storage.answered import EditedError, Fetch, read_answer, write_answer, write_body

FORMAT = 1
_HEAD_FIELDS = {"askonce", "body", "headers", "method", "partition", "url"}
_CANONICAL = "ascii"  # how questions are spelled
_COUNTS = ("input", "output", "cached", "written")  # as in Usage
_LATEST = 253402300799  # the end of the year 9999


class Line(NamedTuple):
    """A line's bytes, without its end, and the files that it refers to, by name."""

    text: bytes
    files: dict[str, bytes]


class Reading(NamedTuple):
    """What a line says. Where it is not `is_sealed`, it was written or changed by hand."""

    question: Question
    take: Take
    is_sealed: bool


def write_line(question: Question, take: Take, *, beside: bool = True, timeless: bool = False) -> Line:
    """Return a take as a line.

    `beside` allows files beside the store. A `timeless` line holds no time and no request's number but for
    those in the answer's body.
    """
    if timeless:
        take = _without_times(question, take)
    for is_plain in (False, True):
        files: dict[str, bytes] = {}
        text = _encode(_write(question, take, files if beside else None, timeless=timeless, is_plain=is_plain))
        try:
            reading = read_line(text, files.__getitem__)
        except DamagedStoreError:
            continue  # too deep, say, for this reader: as mere text it goes into any line
        if reading.question == question and reading.is_sealed:
            return Line(text, files)
    raise DamagedStoreError("an answer that cannot be written as a line and read back")


def write_gone(key: Key, seed: str | None, slot: int) -> bytes:
    """Return a line that says that a take is removed; it stands until the file is written anew."""
    name: dict[str, Any] = {"key": key.hex()}
    if seed is not None:
        name["seed"] = seed
    if slot:
        name["slot"] = slot
    return _encode({**name, "gone": True})


def _without_times(question: Question, take: Take) -> Take:
    """Leave out when an answer came, and give it a number that is the same each time."""
    answer = take.answer
    chunks = tuple(Chunk(data, 0.0) for data, _ in answer.chunks)
    number = f"recorded-{question.key.hex()[:12]}".encode()
    headers = Headers(
        (name, number if is_request_id(name) else value) for name, value in answer.head.headers.without(MOMENTARY)
    )
    return take._replace(answer=Answer(answer.head._replace(headers=headers), 0.0, chunks, answer.usage))


def _encode(value: Any) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return json.dumps(value, separators=(",", ":")).encode()


def _write(
    question: Question, take: Take, files: dict[str, bytes] | None, *, timeless: bool, is_plain: bool
) -> dict[str, Any]:
    line: dict[str, Any] = {"key": question.key.hex()}
    if take.seed is not None:
        line["seed"] = take.seed
    if take.slot:
        line["slot"] = take.slot
    if not timeless or take.ttl is not None:
        line["recorded"] = write_time(take.recorded)
    if take.ttl is not None:
        line["ttl"] = _short(take.ttl)
    line |= {"provider": question.provider, "kind": question.kind, "model": question.model}
    if question.partition:
        line["partition"] = question.partition
    if question.tags:
        line["tags"] = list(question.tags)
    line["url"] = question.url
    line["asked"] = {
        **_write_head(question),
        **write_body(question.body, "application/json", _CANONICAL, is_plain=is_plain),
    }
    line["answered"] = write_answer(take.answer, files, is_plain=is_plain)
    usage = take.answer.usage
    if any(usage):
        line["usage"] = dict(zip(_COUNTS, usage.counts, strict=False))
    times = [take.answer.head_at, *(chunk.at for chunk in take.answer.chunks)]
    if any(times):
        stamps = [round(at * 1000) for at in times]
        line["ms"] = [now - before for before, now in zip([0, *stamps], stamps, strict=False)]
    line["seal"] = seal(question, take)
    return line


def _write_head(question: Question) -> dict[str, Any]:
    """Return what the question's head says beyond the line's own fields; a head of another form as it is."""
    head = json.loads(question.head)
    if set(head) == _HEAD_FIELDS and canonical_json(head).encode() == question.head:
        asked = {"method": head["method"]}
        if head["headers"]:
            asked["headers"] = head["headers"]
        if head["partition"] != question.partition:
            asked["partition"] = head["partition"]
        if head["body"] != "json":
            asked["form"] = head["body"]
        if head["askonce"] != 1:
            asked["askonce"] = head["askonce"]
        if _read_head(asked, question.url, question.partition) == question.head:
            return asked
    return {"head": question.head.decode("utf-8")}


def _read_head(asked: dict[str, Any], url: str, partition: str) -> bytes:
    if "head" in asked:
        return bytes(asked["head"].encode())
    return canonical_json(
        {
            "askonce": asked.get("askonce", 1),
            "body": asked.get("form", "json"),
            "headers": asked.get("headers", []),
            "method": asked["method"],
            "partition": asked.get("partition", partition),
            "url": url,
        }
    ).encode()


def read_line(text: bytes, fetch: Fetch, *, accept: bool = False) -> Reading:
    """Return what a line says; with `accept`, whether or not its seal fits.

    Raises:
        NewerStoreError: when a newer askonce wrote it.
        EditedError: when its seal does not fit.
        DamagedStoreError: when it is no line of a store.
    """
    try:
        value = json.loads(text)
        if value.get("format", FORMAT) != FORMAT:
            raise NewerStoreError(f"it is in format {value['format']!r}; this askonce reads {FORMAT}")
        sealed = None if accept else value.get("seal")
        question, take = _read(value, fetch, is_edited=sealed is None)
        if sealed is not None and seal(question, take) != sealed:
            raise EditedError("it was changed after it was recorded")
        return Reading(question, take, sealed is not None)
    except json.JSONDecodeError as error:
        raise DamagedStoreError(f"it is no JSON ({error.msg} at column {error.colno})") from error
    except UnicodeDecodeError as error:
        raise DamagedStoreError(f"it is no UTF-8 (byte {error.start + 1})") from error
    except KeyError as error:
        raise DamagedStoreError(f"{error.args[0]!r} is missing in it") from error
    except (*FAULTS, zlib.error) as error:
        raise DamagedStoreError(f"it cannot be understood ({error})") from error


def _read(value: dict[str, Any], fetch: Fetch, *, is_edited: bool) -> tuple[Question, Take]:
    asked, partition = value["asked"], value.get("partition", "")
    question = Question(
        bytes.fromhex(value["key"]),
        _read_head(asked, value["url"], partition),
        b"".join(read_content(asked, _CANONICAL)),
        _text(value["provider"]),
        _text(value["kind"]),
        _text(value["model"]),
        _text(partition),
        tuple(map(_text, value.get("tags", ()))),
    )
    if "head" in asked and question.url != value["url"]:
        raise ValueError("'url' is not that of the question")
    usage = value.get("usage", {})
    ttl = value.get("ttl")
    take = Take(
        read_answer(value["answered"], value.get("ms", ()), fetch, is_edited=is_edited)._replace(
            usage=Usage(*(int(usage.get(name, 0)) for name in _COUNTS))
        ),
        read_time(value["recorded"]) if "recorded" in value else 0.0,
        None if value.get("seed") is None else _text(value["seed"]),
        None if ttl is None else float(ttl),
        int(value.get("slot", 0)),
    )
    return question, take


def seal(question: Question, take: Take) -> str:
    """Return what vouches that these bytes are that question's answer."""
    answer, state = take.answer, hashlib.sha256()
    facts = (
        question.provider, question.kind, question.model, question.partition, take.seed, take.slot,
        answer.head.status, answer.head.reason.decode("latin-1"), answer.head.http_version.decode("latin-1"),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.head.headers],
        [len(chunk.data) for chunk in answer.chunks],
    )  # fmt: skip
    for part in (question.key, question.head, question.body, canonical_json(facts).encode()):
        state.update(len(part).to_bytes(8) + part)
    for chunk in answer.chunks:
        state.update(chunk.data)
    return state.hexdigest()


def write_time(seconds: float) -> str | float:
    """Return Unix seconds as a date and time in UTC, to the millisecond."""
    if not 0 <= seconds <= _LATEST:
        return seconds
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(value: str | float) -> float:
    """Return the Unix seconds of what `write_time` returned, or of another date and time."""
    if not isinstance(value, str):
        return float(value)
    moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _short(number: float) -> float:
    return int(number) if number == int(number) else number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where a text is expected")
    return value
