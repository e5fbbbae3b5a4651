"""`openai.cache` and `openai_cache_temp.bin`, cached_openai's files: pickles of calls and of what they returned.

Each call is turned into the HTTP exchange that it stands for: the request that the SDK would send, and the answer
that the SDK would have read to return what it did. The addresses that were asked are not in these files: a model
that is named with its vendor (`google/gemini-3`) was asked at OpenRouter, any other at OpenAI.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from askonce._core.media import as_url, media_type
from askonce._core.messages import Answer, Chunk, Head, Headers
from askonce.exchange.finding import Finding, Skipped
from askonce.exchange.message import Asked, Reader
from askonce.exchange.node import MalformedError
from askonce.exchange.unpickled import RefusedError, plain, unpickle

_LARGEST = 2 << 30  # bytes that a compressed file may have when it is expanded
_PICKLE = b"\x80"
_PATHS = {
    "chat.completions.create": "chat/completions",
    "completions.create": "completions",
    "responses.create": "responses",
    "embeddings.create": "embeddings",
    "moderations.create": "moderations",
    "images.generate": "images/generations",
    "audio.speech.create": "audio/speech",
}
_SEEDED = ("chat/completions", "completions")  # whose requests have a seed themselves
_SOUNDS = {"mp3": "mpeg", "opus": "opus", "aac": "aac", "flac": "flac", "wav": "wav", "pcm": "pcm"}
_WRAPPERS = frozenset({"beta", "with_raw_response", "with_streaming_response"})
_NOT_SENT = frozenset(
    {"seed", "extra_body", "extra_headers", "extra_query", "timeout", "delay", "overwrite_cache"}
)
_DIGEST = re.compile(r"[0-9a-f]{32}")
_JSON = b"application/json"
_FAULTS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, struct.error)


class _CallMade(NamedTuple):
    """A call as its key has it."""

    path: str
    given: dict[str, Any]


def is_openai_cache(start: bytes) -> bool:
    """Tell whether a file that begins so is one of cached_openai's."""
    if start.startswith(b"\x1f\x8b"):
        try:
            start = zlib.decompressobj(47).decompress(start, 16)
        except zlib.error:
            return False
    return _is_pickle(start) or (len(start) > 6 and _is_pickle(start[4:]))


def _is_pickle(start: bytes) -> bool:
    return start[:1] == _PICKLE and start[1:2] in b"\x02\x03\x04\x05" and len(start) > 2


def read_cache(data: bytes, reader: Reader) -> Iterator[Finding]:
    """Yield what is in a file of cached_openai's.

    Raises:
        MalformedError: when it is none, or asks for a type that is not data.
    """
    torn: list[Finding] = []
    try:
        if data.startswith(b"\x1f\x8b"):
            data = _expanded(data)
        calls = _permanent(data) if _is_pickle(data) else _temporary(data, torn)
    except RefusedError as error:
        raise MalformedError(
            f"it asks for {error}, which is no data of cached_openai's; nothing was run"
        ) from None
    except ValueError as error:
        raise MalformedError(str(error)) from None
    yield from _findings(calls, reader)
    yield from torn


def _expanded(data: bytes) -> bytes:
    try:
        plain_data = zlib.decompressobj(47).decompress(data, _LARGEST)
        if len(plain_data) < _LARGEST:
            return gzip.decompress(data)  # which also tells whether all of it is there
    except (zlib.error, EOFError, OSError) as error:
        raise ValueError(f"compressed content that cannot be expanded ({error})") from None
    raise ValueError(f"content that expands to more than {_LARGEST >> 30} GB")


def _permanent(data: bytes) -> dict[str, Any]:
    match unpickle(data):
        case (_, dict() as calls) if all(isinstance(key, str) for key in calls):
            return calls
    raise ValueError("a pickle, but not of cached_openai's")


def _temporary(data: bytes, torn: list[Finding]) -> dict[str, Any]:
    """Read the frames of a temporary file as far as they are whole; the latest of a key counts."""
    calls: dict[str, Any] = {}
    place = number = 0
    while place < len(data):
        number += 1
        length = int.from_bytes(data[place : place + 4], sys.byteorder)
        frame = data[place + 4 : place + 4 + length]
        if len(frame) < length or place + 4 > len(data):
            torn.append(Skipped(f"record {number}", "the last call", "it was cut off while it was written"))
            break
        match unpickle(frame):
            case [str() as key, value]:
                calls[key] = value
            case _:
                raise ValueError("a pickle, but not of cached_openai's")
        place += 4 + length
    return calls


def _findings(calls: dict[str, Any], reader: Reader) -> Iterator[Finding]:
    done: set[str] = set()
    for number, key in enumerate(_in_order(calls), 1):
        place = f"entry {number}"
        if _DIGEST.fullmatch(key):
            yield Skipped(place, f"key {key}", "of its question there is only a digest")
            continue
        for name, entry in _entries(calls, key):
            if name in done:  # the answer to a seed, which the question without one has pointed to
                continue
            if name != key:
                done.add(name)
            yield _finding(place, name, entry, reader)


def _in_order(calls: dict[str, Any]) -> list[str]:
    """Return the keys, those first that point to others: they know in which order answers come round."""
    return sorted(calls, key=lambda key: not any("TARGET" in entry for entry in _listed(calls[key])))


def _listed(value: Any) -> list[Any]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _entries(calls: dict[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    for entry in _listed(calls[key]) or [None]:
        target = entry.get("TARGET") if entry else None
        if isinstance(target, str) and target in calls:
            for one in _listed(calls[target]):
                if "TARGET" not in one:
                    yield target, one
        elif entry is None or target is None:
            yield key, entry


def _finding(place: str, key: str, entry: Any, reader: Reader) -> Finding:
    what = "a call"
    try:
        call = json.loads(key)
        stem = [name for name in call["stem"] if name not in _WRAPPERS]
        what = ".".join(stem)
        path = _PATHS.get(what)
        if path is None:
            why = "a schema that it does not keep as it was sent" if stem[-1:] == ["parse"] else "not generation"
            return Skipped(place, what, why)
        made = _CallMade(path, call["kwargs"])
        what = f"{what} {made.given.get('model', '')}".strip()
        took = max(0.0, float(entry.get("run_time") or 0.0))
        answer = _answer(made, entry, took)
        found = reader.read(place, _asked(made), answer, float(entry.get("time_saved") or 0.0))
    except _FAULTS as error:
        return Skipped(place, what, f"not as cached_openai writes it ({error})")
    return found._replace(what=what) if isinstance(found, Skipped) else found


def _asked(call: _CallMade) -> Asked:
    """Return the request that the SDK would send."""
    given = call.given
    body = {name: value for name, value in given.items() if name not in _NOT_SENT}
    fields = {"accept": "application/octet-stream" if call.path == "audio/speech" else "application/json"}
    if "seed" in given:
        if call.path in _SEEDED:
            body["seed"] = given["seed"]
        else:
            fields["x-askonce-seed"] = str(given["seed"])
    if call.path == "embeddings" and "encoding_format" not in body:
        body["encoding_format"] = "base64"
    body |= given.get("extra_body") or {}
    fields |= {str(name).lower(): str(value) for name, value in (given.get("extra_headers") or {}).items()}
    fields["content-type"] = "application/json"
    host = "https://openrouter.ai/api/v1" if "/" in str(given.get("model", "")) else "https://api.openai.com/v1"
    headers = Headers((name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items())
    return Asked("POST", f"{host}/{call.path}", headers, json.dumps(body).encode())


def _answer(call: _CallMade, entry: dict[str, Any], took: float) -> Answer:
    """Return the answer that the SDK would read to return what it did."""
    if "audio_file" in entry:
        sound = base64.b64decode(entry["audio_file"][1], validate=True)
        form = _SOUNDS[call.given.get("response_format") or "mp3"]
        return _whole(sound, f"audio/{form}".encode(), took)
    out = entry["out"]
    if isinstance(out, list):
        return _stream(call, out)
    value = plain(out)
    if not isinstance(value, dict) or "parsed_chat_completion_data" in value:
        raise ValueError("an answer of another kind")
    if call.path == "embeddings":
        _encode_vectors(value, call.given.get("encoding_format") or "base64")
    for item, image in zip(value.get("data") or [], entry.get("saved_images") or [], strict=False):
        if image is not None:
            kind = media_type(image, "")
            if kind is None:
                raise ValueError("an image that is none: a page, perhaps, of an address that had expired")
            item["url"] = as_url(image, kind)
    return _whole(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"), _JSON, took)


def _whole(body: bytes, kind: bytes, took: float) -> Answer:
    return Answer(Head(200, Headers(((b"content-type", kind),))), took, (Chunk(body, took),))


def _stream(call: _CallMade, pieces: list[Any]) -> Answer:
    at, chunks = 0.0, []
    for wait, piece in pieces:
        at += max(0.0, float(wait))
        event = plain(piece)
        name = f"event: {event['type']}\n" if call.path == "responses" else ""
        chunks.append(Chunk(f"{name}data: {json.dumps(event)}\n\n".encode(), at))
    if call.path != "responses":
        chunks.append(Chunk(b"data: [DONE]\n\n", at))
    headers = Headers(((b"content-type", b"text/event-stream"),))
    return Answer(Head(200, headers), chunks[0].at, tuple(chunks))


def _encode_vectors(value: dict[str, Any], form: str) -> None:
    """Write embeddings as the request asked for them: the SDK has decoded what came as base64."""
    for item in value["data"]:
        vector = item["embedding"]
        if form == "base64" and isinstance(vector, list):
            item["embedding"] = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
