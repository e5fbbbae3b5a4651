"""The answer in a line of a text store: status, headers, and the body in the form in which people read it best.

A body that came compressed is shown expanded, and the bytes that came lie beside that as `raw`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from askonce._core.coding import CODINGS, coding_of, undo
from askonce._core.content import Form, plain_content, read_content, write_content
from askonce._core.messages import Answer, Chunk, Head, Headers
from askonce.errors import DamagedStoreError
from askonce.storage.beside import name_of

LARGE = 32 << 10
"""Bytes of binary content from which on it lies in a file beside the store."""

_ENCODINGS = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})

Fetch = Callable[[str], bytes]
"""Returns the content of a file beside the store by its name."""


class EditedError(DamagedStoreError):
    """Refuse a line that says something else than what its seal vouches for."""


def write_body(body: bytes, media_type: str, usual: str = "", *, is_plain: bool) -> Form:
    """Return a body in its best form, or plainly."""
    return plain_content(body) if is_plain else write_content(body, media_type, usual)


def write_answer(answer: Answer, files: dict[str, bytes] | None, *, is_plain: bool) -> dict[str, Any]:
    """Return an answer as values; large content goes into `files`, if there may be any."""
    head = answer.head
    written: dict[str, Any] = {"status": head.status}
    if head.reason:
        written["reason"] = head.reason.decode("latin-1")
    if head.http_version != b"HTTP/1.1":
        written["http"] = head.http_version.decode("latin-1")
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
    written["headers"] = dict(pairs) if len(dict(pairs)) == len(pairs) else pairs
    media_type = (head.headers.get(b"content-type") or "").partition(";")[0].strip().lower()
    body = answer.body
    plain = _uncoded(answer)
    form = write_body(body if plain is None else plain, media_type, is_plain=is_plain)
    pieces = [body] if plain is not None else read_content(form)
    if plain is not None:
        form["raw"] = _outside(body, media_type, files) or plain_content(body)
    elif "base64" in form and (named := _outside(body, media_type, files)):
        form = named
    written |= form
    sizes = [len(chunk.data) for chunk in answer.chunks]
    usual = [len(piece) for piece in pieces]
    if sizes != usual:
        groups = _group(usual, sizes)
        written |= {"chunks": groups} if groups else {"sizes": sizes}
    return written


def _uncoded(answer: Answer) -> bytes | None:
    """Return a body without its content coding, where it has one that can be undone."""
    if coding_of(answer.head.headers) not in CODINGS:
        return None
    try:
        return b"".join(chunk.data for chunk in undo(answer.head, answer.chunks)[1])
    except zlib.error:
        return None


def _outside(body: bytes, media_type: str, files: dict[str, bytes] | None) -> Form | None:
    """Put large content into a file beside the store."""
    if files is None or len(body) < LARGE:
        return None
    name = name_of(body, media_type)
    files[name] = body
    return {"file": name}


def _group(usual: list[int], sizes: list[int]) -> list[int]:
    """Return how many of the usual pieces each chunk is made of; nothing when one ends inside a piece."""
    groups = []
    at = 0
    for size in sizes:
        start, total = at, 0
        while total < size and at < len(usual):
            total += usual[at]
            at += 1
        if total != size or at == start:
            return []
        groups.append(at - start)
    return groups if at == len(usual) else []


def read_answer(written: dict[str, Any], times: list[int], fetch: Fetch, *, is_edited: bool) -> Answer:
    """Return the answer that values stand for. `times` are milliseconds, each since the one before.

    Raises:
        FAULTS, zlib.error, DamagedStoreError: when they stand for none.
    """
    fields = written["headers"]
    headers = Headers(
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in (fields.items() if isinstance(fields, dict) else fields)
    )
    head = Head(
        int(written["status"]),
        headers,
        written.get("reason", "").encode("latin-1"),
        written.get("http", "HTTP/1.1").encode("latin-1"),
    )
    pieces = [fetch(written["file"])] if "file" in written else read_content(written)
    if "raw" in written:
        raw = written["raw"]
        shown, pieces = b"".join(pieces), [fetch(raw["file"])] if "file" in raw else read_content(raw)
        _, plain = undo(head, (Chunk(b"".join(pieces), 0.0),))
        if plain[0].data != shown:
            raise EditedError("what is shown is not what 'raw' holds; delete 'raw' too")
    elif is_edited:  # by hand, and nobody counts bytes or compresses by hand
        is_coded = coding_of(headers) in CODINGS
        length = str(sum(map(len, pieces))).encode()
        head = head._replace(
            headers=headers.without(_ENCODINGS)
            if is_coded
            else Headers((n, length if n.lower() == b"content-length" else v) for n, v in headers)
        )
    chunks = _cut(pieces, written, is_edited=is_edited)
    head_at, *gaps = [float(one) for one in times] or [0.0]
    gaps = gaps if len(gaps) == len(chunks) else [0.0] * len(chunks)
    at, timed = head_at, []
    for data, gap in zip(chunks, gaps, strict=True):
        at += gap
        timed.append(Chunk(data, at / 1000))
    return Answer(head, head_at / 1000, tuple(timed))


def _cut(pieces: list[bytes], written: dict[str, Any], *, is_edited: bool) -> list[bytes]:
    """Return the chunks in which a body came."""
    body = b"".join(pieces)
    sizes = written.get("sizes")
    if "chunks" in written and sum(written["chunks"]) == len(pieces):
        ends, at = [], 0
        for count in written["chunks"]:
            ends.append(b"".join(pieces[at : at + count]))
            at += count
        return ends
    if sizes is None or (is_edited and sum(sizes) != len(body)):
        return pieces
    chunks, at = [], 0
    for size in sizes:
        chunks.append(body[at : at + size])
        at += size
    if at != len(body):
        raise ValueError(f"'sizes' make {at} bytes, and there are {len(body)}")
    return chunks
