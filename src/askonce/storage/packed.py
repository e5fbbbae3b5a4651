"""An answer as the bytes that a database keeps: packed, compressed where it pays, and vouched for by a digest."""

from __future__ import annotations

import zlib
from typing import Any

from askonce._core.entry import Key
from askonce._core.messages import Answer
from askonce._core.record import digest, unpack
from askonce.errors import DamagedStoreError

PLAIN, ZLIB = 0, 1
_SMALL = 4096  # bytes below which compressing costs more than it saves


def squeeze(data: bytes) -> tuple[int, bytes]:
    """Return data as it is kept, and before it in which coding."""
    if len(data) >= _SMALL:
        squeezed = zlib.compress(data, 3)
        if len(squeezed) < len(data) * 0.9:
            return ZLIB, squeezed
    return PLAIN, data


def expand(coding: int, data: bytes) -> bytes:
    """Undo `squeeze`; raises DamagedStoreError where that cannot be done."""
    if coding == PLAIN:
        return data
    if coding != ZLIB:
        raise DamagedStoreError(f"compression {coding!r} does not exist")  # a new one would be a newer layout
    try:
        return zlib.decompress(data)
    except (zlib.error, TypeError) as error:
        raise DamagedStoreError(f"compressed content that cannot be expanded ({error})") from error


def read_answer(key: Key, seed: Any, coding: int, data: bytes, vouched: bytes) -> Answer:
    """Return the answer that was kept; raises DamagedStoreError where it is not what was recorded."""
    packed = expand(coding, data)
    if digest(key, seed, packed) != vouched:
        raise DamagedStoreError("an answer that is not what was recorded")
    return unpack(packed)
