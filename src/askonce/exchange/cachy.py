"""`cachy.jsonl`, the file of cachy (pycachy): a line an answer, with a key of the question and no question."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator

from askonce._core.cachy import CACHY_KEY, describe, imported_question
from askonce._core.entry import Take
from askonce._core.messages import Answer, Chunk, Head, Headers
from askonce.exchange.finding import Finding, Recorded, Skipped
from askonce.exchange.message import whole
from askonce.exchange.node import MalformedError, Node

# It keeps bodies decoded, shortened and joined, with the headers that they came with.
_UNTRUE = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


def read_lines(lines: Iterable[bytes], recorded: float, partition: str) -> Iterator[Finding]:
    """Yield what is in a file; it says not when it was recorded.

    Raises:
        MalformedError: when a line is none of cachy's.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            yield _read_line(place, Node(json.loads(line)), recorded, partition)
        except (UnicodeDecodeError, RecursionError) as error:
            raise MalformedError(f"{place} is not JSON ({type(error).__name__})") from None
        except MalformedError as error:
            raise MalformedError(f"{place}: {error}") from None
        except ValueError as error:
            raise MalformedError(f"{place} is not JSON ({error})") from None


def _read_line(place: str, line: Node, recorded: float, partition: str) -> Finding:
    key, status = line["key"].text(), line["status_code"]
    if not CACHY_KEY.fullmatch(key):
        raise line["key"].wrong("a key of 8 hexadecimal digits")
    body = line["response"].raw()
    if line["binary"].value not in (True, False, None):
        raise line["binary"].wrong("true or false")
    if line["binary"].value:
        try:
            body = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise line["response"].wrong("base64") from None
    headers = _headers(line["headers"], body)
    head = Head(200 if status.is_missing else status.whole(100, 999), headers)
    answer = whole(Answer(head, 0.0, (Chunk(body, 0.0),) if body else ()))
    if isinstance(answer, str):
        return Skipped(place, f"key {key}", answer)
    kind, model = describe(answer)
    return Recorded(place, imported_question(key, partition, kind, model), Take(answer, recorded))


def _headers(node: Node, body: bytes) -> Headers:
    fields = {} if node.is_missing else node.fields()
    pairs = [(Node(n, node.path).latin(), Node(v, f"{node.path}.{n}").latin()) for n, v in fields.items()]
    headers = Headers(pairs).without(_UNTRUE)
    if headers.get(b"content-type") is None:  # cachy keeps those headers alone that it is told to
        start = body[:64].lstrip()
        kind = b"application/json" if start[:1] in (b"{", b"[") else b"text/event-stream"
        if kind == b"application/json" or start.startswith((b"data:", b"event:")):
            headers = Headers((*headers, (b"content-type", kind)))
    return headers
