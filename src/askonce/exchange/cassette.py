"""Cassettes of vcrpy, in YAML and JSON, of every version since 1.0."""

from __future__ import annotations

from collections.abc import Iterator

from askonce._core.messages import Answer, Chunk, Head, Headers
from askonce.exchange.finding import Finding
from askonce.exchange.message import Asked, Reader, Turns
from askonce.exchange.node import MalformedError, Node

_EXPANSION = 20  # times its size that a file may come to through aliases


def read_interactions(cassette: Node, size: int, recorded: float, reader: Reader) -> Iterator[Finding]:
    """Yield what is in a cassette of `size` bytes; it says not when it was recorded.

    Raises:
        MalformedError: when it is no cassette.
    """
    if isinstance(cassette.value, list):
        raise MalformedError("a cassette from before vcrpy 1.0. Run `python -m vcr.migration` on it first")
    budget = _EXPANSION * size
    turns = Turns()
    for number, interaction in enumerate(cassette["interactions"].items(), 1):
        place = f"entry {number}"
        request = interaction["request"]
        asked = Asked(request["method"].text().upper(), request["uri"].text(), Headers(()), b"")
        skipped = reader.look(place, asked)
        if skipped is not None:
            yield skipped
            continue
        asked = asked._replace(headers=_headers(request["headers"]), body=_request_body(request["body"]))
        answer = _answer(interaction["response"])
        budget -= len(asked.body) + answer.size
        if budget < 0:
            raise MalformedError(
                f"{place}: through aliases the file comes to more than {_EXPANSION} times its size"
            )
        yield turns.place(reader.read(place, asked, answer, recorded))


def _headers(node: Node) -> Headers:
    """Return header fields: an object whose values are lists of texts, or texts."""
    pairs = []
    for name, value in {} if node.is_missing else node.fields().items():
        key = Node(name, node.path).latin()
        field = Node(value, f"{node.path}.{name}")
        for one in field.items() if isinstance(value, list) else (field,):
            pairs.append((key, one.latin()))
    return Headers(pairs)


def _request_body(node: Node) -> bytes:
    value = node.value
    if value is None:
        return b""
    if isinstance(value, dict):  # a file (`state` begins with its content) or an iterator (`args` has its pieces)
        parts = value.get("args", value.get("state"))
        value = parts[0] if isinstance(parts, list) and parts else parts
    if isinstance(value, list):
        return b"".join([Node(one, node.path).raw() for one in value])
    return Node(value, node.path).raw()


def _answer(response: Node) -> Answer:
    if response["status_code"].is_missing:
        status, message, body = (
            response["status"]["code"],
            response["status"]["message"],
            response["body"]["string"],
        )
    else:  # vcrpy 4 and 5 for httpx
        status, message, body = response["status_code"], Node(None), response["content"]
    head = Head(
        status.whole(100, 999),
        _headers(response["headers"]),
        b"" if message.is_missing else message.latin(),
    )
    content = b"" if body.is_missing else body.raw()
    return Answer(head, 0.0, (Chunk(content, 0.0),) if content else ())
