"""Embeddings at half precision (IEEE 754 binary16): a quarter of the bytes, three decimal digits.

An answer is shrunk to itself with marks where its embeddings were, and their values. It comes back in the form in
which it was recorded: a list of numbers, or the base64 of 32-bit floats.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator
from typing import Any

from askonce._core.coding import plain_body
from askonce._core.messages import Answer, Chunk
from askonce.errors import DamagedStoreError

_UNTRUE = frozenset({b"content-length", b"content-encoding", b"transfer-encoding"})
_LEAST = 8  # values; anything shorter is no embedding
_LARGEST = 65504.0  # the largest half
_LIST, _BASE64 = "list", "base64"
_MARK = "askonce-halves"


def shrink(answer: Answer) -> tuple[Answer, bytes] | None:
    """Return an answer without its embeddings, and these as halves; None where there are none to halve."""
    if "json" not in (answer.head.headers.get(b"content-type") or ""):
        return None
    try:
        body = json.loads(plain_body(answer))
    except (ValueError, RecursionError):
        return None
    halves = bytearray()
    for place, name in _vectors(body):
        form, values = _values(place[name])
        if len(values) < _LEAST or max(map(abs, values)) > _LARGEST:
            continue
        halves += struct.pack(f">{len(values)}e", *values)
        place[name] = {_MARK: [form, len(values)]}
    return (_with_body(answer, body), bytes(halves)) if halves else None


def restore(answer: Answer, halves: bytes) -> Answer:
    """Return the answer that was shrunk to these.

    Raises:
        DamagedStoreError: when the halves are not this answer's.
    """
    try:
        body = json.loads(answer.body)
        at = 0
        for place, name in _vectors(body):
            if isinstance(place[name], dict) and _MARK in place[name]:
                form, count = place[name][_MARK]
                values = struct.unpack_from(f">{int(count)}e", halves, at)
                at += 2 * count
                floats = struct.pack(f"<{count}f", *values)
                place[name] = list(values) if form == _LIST else base64.b64encode(floats).decode()
        if at != len(halves):
            raise ValueError(f"{len(halves)} bytes, not {at}")  # noqa: TRY301
    except (ValueError, LookupError, TypeError, struct.error, RecursionError) as error:
        raise DamagedStoreError(f"embeddings that cannot be read ({error})") from error
    return _with_body(answer, body)


def _with_body(answer: Answer, body: Any) -> Answer:
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    head = answer.head._replace(headers=answer.head.headers.without(_UNTRUE))
    return answer._replace(head=head, chunks=(Chunk(data, answer.seconds),))


def _vectors(body: Any) -> Iterator[tuple[Any, Any]]:
    """Yield where each embedding of an answer is, in every provider's shape: what holds it, and its name there."""
    if not isinstance(body, dict):
        return
    for item in _items(body.get("data")):  # OpenAI, Mistral, Voyage
        if isinstance(item, dict) and "embedding" in item:
            yield item, "embedding"
    for holder in (body.get("embedding"), *_items(body.get("embeddings"))):  # Gemini
        if isinstance(holder, dict) and "values" in holder:
            yield holder, "values"
    several = body.get("embeddings")
    lists = [several] if isinstance(several, list) else []
    if isinstance(several, dict):  # Cohere, by type; its integers need no halving
        lists = [one for name, one in several.items() if name in ("float", "base64") and isinstance(one, list)]
    for one in lists:  # Cohere, Ollama
        for index, item in enumerate(one):
            if isinstance(item, list | str) or (isinstance(item, dict) and _MARK in item):
                yield one, index


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _values(vector: Any) -> tuple[str, tuple[float, ...]]:
    """Return the form and the values of an embedding; none where it is no vector of floats."""
    if isinstance(vector, list):
        is_floats = all(type(value) in (float, int) for value in vector)
        return _LIST, tuple(vector) if is_floats else ()
    if isinstance(vector, str):
        try:
            data = base64.b64decode(vector, validate=True)
        except (binascii.Error, ValueError):
            return _BASE64, ()
        return _BASE64, struct.unpack(f"<{len(data) // 4}f", data) if len(data) % 4 == 0 else ()
    return "", ()
