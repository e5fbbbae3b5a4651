"""Finds answers with addresses of images, which expire, and puts the images themselves in their place.

An image is kept as a `data:` URL where its address stood, so that an answer stays what it was, JSON that an SDK
can read, and nothing of a signed address is left.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from askonce._core.blobs import Blob
from askonce._core.coding import CODINGS, coding_of, plain_body, undo
from askonce._core.messages import Answer, Chunk, Headers

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_EMBEDDED = re.compile(r"data:image/[a-z+.-]+;base64,", re.IGNORECASE)
_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "gif": ".gif"}
_LENGTH = frozenset({b"content-length", b"transfer-encoding", b"content-encoding"})


class Picture(NamedTuple):
    """An image in an answer: the `data:` URL that it is there, its content, and a name for its file.

    The name is made of the content, and of nothing that anybody wrote.
    """

    url: str
    content: bytes
    name: str


def addresses(answer: Answer) -> list[str]:
    """Return the addresses of images in an answer, each once."""
    return list(dict.fromkeys(url for url in _urls(answer) if _ADDRESS.match(url)))


def media_type(content: bytes, said: str) -> str | None:
    """Return the media type of an image, or None when its bytes are no image's or it is not said to be one."""
    kind, form = Blob.of(content).kind()
    stated = said.partition(";")[0].strip().lower()
    is_said = stated.startswith("image/") or stated in ("", "application/octet-stream", "binary/octet-stream")
    return f"image/{form}" if kind == "image" and form in _SUFFIXES and is_said else None


def as_url(content: bytes, kind: str) -> str:
    """Return an image as a `data:` URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def pictures(answer: Answer) -> list[Picture]:
    """Return the images that are in an answer."""
    found = []
    for url in dict.fromkeys(_urls(answer)):
        match = _EMBEDDED.match(url)
        if match is None:
            continue
        try:
            content = base64.b64decode(url[match.end() :], validate=True)
        except (binascii.Error, ValueError):
            continue
        kind, form = Blob.of(content).kind()
        if kind == "image" and form in _SUFFIXES:
            name = hashlib.sha256(content).hexdigest()[:20] + _SUFFIXES[form]
            found.append(Picture(url, content, name))
    return found


def with_urls(answer: Answer, urls: Mapping[str, str]) -> Answer:
    """Return an answer with other URLs in the place of those given."""
    value = _read(answer)
    for one in _items(value):
        one["url"] = urls.get(one["url"], one["url"])
    body = json.dumps(value, ensure_ascii=False).encode()
    head = answer.head
    if coding_of(head.headers) in CODINGS:
        head, _ = undo(head, ())
    kept = head.headers.without(_LENGTH)
    headers = Headers((*kept, (b"content-length", str(len(body)).encode())))
    return answer._replace(head=head._replace(headers=headers), chunks=(Chunk(body, answer.seconds),))


def _urls(answer: Answer) -> list[str]:
    return [one["url"] for one in _items(_read(answer))]


def _items(value: Any) -> list[dict[str, Any]]:
    data = value.get("data") if isinstance(value, dict) else None
    items = data if isinstance(data, list) else []
    return [one for one in items if isinstance(one, dict) and isinstance(one.get("url"), str)]


def _read(answer: Answer) -> Any:
    if "json" not in (answer.head.headers.get(b"content-type") or "json"):
        return None
    try:
        return json.loads(plain_body(answer))
    except ValueError:
        return None
