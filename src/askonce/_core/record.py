"""An answer as bytes: what a store keeps and a bundle carries. Data only; reading it can run nothing.

Layout: the magic `AO1`, the length of a JSON description (4 bytes, big-endian), the description, the body. The
description holds status, headers, usage and the size and time of each chunk; times are whole microseconds,
and each chunk's is the difference to the one before.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from askonce._core.messages import Answer, Chunk, Head, Headers, Usage
from askonce.errors import DamagedStoreError, NewerStoreError

_MAGIC = b"AO1"
_encode = json.JSONEncoder(separators=(",", ":")).encode


def pack(answer: Answer) -> bytes:
    """Return an answer as bytes."""
    times = [round(chunk.at * 1e6) for chunk in answer.chunks]
    head_at = round(answer.head_at * 1e6)
    description: dict[str, Any] = {
        "status": answer.head.status,
        "reason": answer.head.reason.decode("latin-1"),
        "http": answer.head.http_version.decode("latin-1"),
        "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in answer.head.headers],
        "usage": answer.usage.counts,
        "head_at": head_at,
        "sizes": [len(chunk.data) for chunk in answer.chunks],
        "times": [now - before for before, now in zip([head_at, *times], times, strict=False)],
    }
    encoded = _encode(description).encode()
    return b"".join((_MAGIC, len(encoded).to_bytes(4), encoded, *(chunk.data for chunk in answer.chunks)))


def unpack(data: bytes) -> Answer:
    """Return the answer that `data` is.

    Raises:
        NewerStoreError: when a newer askonce wrote it.
        DamagedStoreError: when it is not what `pack` returned.
    """
    if data[:3] != _MAGIC:
        if data[:2] == _MAGIC[:2]:
            raise NewerStoreError(f"an answer in layout {data[2:3]!r}; this askonce reads layout {_MAGIC[2:]!r}")
        raise DamagedStoreError("an answer that does not begin as answers do")
    try:
        start = 7 + int.from_bytes(data[3:7])
        description = json.loads(data[7:start])
        at = description["head_at"]
        chunks = []
        for size, wait in zip(description["sizes"], description["times"], strict=True):
            at += wait
            chunks.append(Chunk(data[start : start + size], at / 1e6))
            start += size
        if start != len(data):
            raise ValueError(f"{len(data)} bytes, not {start}")  # noqa: TRY301
        head = Head(
            description["status"],
            Headers((n.encode("latin-1"), v.encode("latin-1")) for n, v in description["headers"]),
            description["reason"].encode("latin-1"),
            description["http"].encode("latin-1"),
        )
        return Answer(head, description["head_at"] / 1e6, tuple(chunks), Usage(*description["usage"]))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise DamagedStoreError(f"an answer that cannot be read ({error})") from error


def digest(key: bytes, seed: str | None, packed: bytes) -> bytes:
    """Return what vouches that these bytes are that question's answer."""
    state = hashlib.sha256(key)
    state.update(_encode(seed).encode() + b"\n")
    state.update(packed)
    return state.digest()
