"""HAR 1.2 (HTTP Archive): what browsers and proxies save, and what `askonce export` writes.

Of what a browser or a proxy saved, each exchange is read as a live one would be. What askonce wrote has our own
fields beside it (`_askonce`, as the format allows) and comes back as it was: chunks, times, seed, time to live,
partition.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TextIO
from urllib.parse import parse_qsl, urlsplit

from askonce._core.body import canonical_json
from askonce._core.cachy import key_in_form
from askonce._core.coding import CODINGS, coding_of, plain_body
from askonce._core.entry import Entry, Key, Question, Take
from askonce._core.key import question_key
from askonce._core.messages import Answer, Chunk, Head, Headers, Usage
from askonce.exchange.finding import Finding, Recorded, Skipped
from askonce.exchange.message import Asked, Reader, Turns, whole
from askonce.exchange.node import Node

_LATEST = 1e11  # Unix seconds; some three thousand years from now
_EPOCH = datetime.fromtimestamp(0, UTC)
_VERSIONS = {"1.0": b"HTTP/1.0", "2": b"HTTP/2", "3": b"HTTP/3"}


# --- Reading ----------------------------------------------------------------------------------------------


def read_archive(archive: Node, reader: Reader) -> Iterator[Finding]:
    """Yield what is in an archive.

    Raises:
        MalformedError: when it is none.
    """
    turns = Turns()
    for number, entry in enumerate(archive["log"]["entries"].items(), 1):
        place = f"entry {number}"
        if not entry["_askonce"].is_missing:
            yield _read_own(place, entry)
            continue
        request = entry["request"]
        asked = Asked(request["method"].text().upper(), request["url"].text(), Headers(()), b"")
        skipped = reader.look(place, asked)
        if skipped is not None:
            yield skipped
            continue
        post = request["postData"]
        asked = asked._replace(
            headers=_headers(request["headers"]), body=b"" if post.is_missing else _encoded(post, "text")
        )
        answer = _answer(entry)
        if isinstance(answer, str):
            yield Skipped(place, asked.title, answer)
        else:
            yield turns.place(reader.read(place, asked, answer, _began(entry)))


def _headers(node: Node) -> Headers:
    """Return header fields without those that HTTP/2 writes the request line in."""
    pairs = [(field["name"].latin(), field["value"].latin()) for field in node.items()]
    return Headers(pair for pair in pairs if not pair[0].startswith(b":"))


def _encoded(node: Node, name: str) -> bytes:
    """Return a text as bytes; `encoding` says when they are written in base64."""
    encoding = node["encoding"]
    if encoding.is_missing or not encoding.text():
        return b"" if node[name].is_missing else node[name].raw()
    if encoding.text().lower() != "base64":
        raise encoding.wrong("'base64'")
    return _base64(node[name])


def _base64(node: Node) -> bytes:
    try:
        return base64.b64decode(node.text(), validate=True)
    except (binascii.Error, ValueError):
        raise node.wrong("base64") from None


def _answer(entry: Node) -> Answer | str:
    """Return the answer of an exchange, its body decoded as HAR has it; a string says why there is none."""
    response = entry["response"]
    status = response["status"].whole(0, 999)
    if status < 100:
        return "no answer came"
    content = response["content"]
    body = _encoded(content, "text")
    size = -1 if content["size"].is_missing else content["size"].number()
    if not body and size > 0:
        return "its body is not in the file"
    if size > len(body):
        return f"{len(body)} of {size:.0f} bytes"
    text = response["statusText"]
    head = Head(
        status,
        _headers(response["headers"]),
        b"" if text.is_missing else text.latin(),
        _version(response["httpVersion"]),
    )
    seconds = 0.0 if entry["time"].is_missing else max(0.0, entry["time"].number(most=_LATEST) / 1000)
    receive = entry["timings"]["receive"] if not entry["timings"].is_missing else Node(None)
    waited = 0.0 if receive.is_missing else max(0.0, receive.number(most=_LATEST) / 1000)
    chunks = (Chunk(body, seconds),) if body else ()
    return Answer(head, max(0.0, seconds - waited), chunks)


def _version(node: Node) -> bytes:
    text = "" if node.is_missing else node.text().lower()
    number = text.removeprefix("http/").removeprefix("h").removesuffix(".0" if not text.endswith("1.0") else "")
    return _VERSIONS.get(number, b"HTTP/1.1")


def _began(entry: Node) -> float:
    try:
        began = datetime.fromisoformat(entry["startedDateTime"].text())
        return began.timestamp() if began.tzinfo else began.replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        raise entry["startedDateTime"].wrong("a time such as 2026-11-20T14:30:00Z") from None


def _read_own(place: str, entry: Node) -> Finding:
    own = entry["_askonce"]
    body = _own_body(entry["request"])
    provider, kind, model, partition = (own[name].text() for name in ("provider", "kind", "model", "partition"))
    question = Question(_key(own, body), own["form"].raw(), body, provider, kind, model, partition)
    answer = _own_answer(entry["response"], own)
    if isinstance(answer, str):
        return Skipped(place, f"{entry['request']['method'].text()} {question.url}", answer)
    seed, ttl = own["seed"], own["ttl"]
    take = Take(
        answer,
        own["recorded"].number(0, _LATEST),
        None if seed.is_missing else seed.text(),
        None if ttl.is_missing else ttl.number(0, _LATEST),
        own["slot"].whole(0, 1 << 31),
    )
    return Recorded(place, question, take)


def _own_body(request: Node) -> bytes:
    return b"" if request["postData"].is_missing else _encoded(request["postData"], "text")


def _key(own: Node, body: bytes) -> Key:
    """Return the key that a canonical form makes; refuse one that is none: what reads entries trusts its shape."""
    text = own["form"].text()
    try:
        form = json.loads(text)
        pairs = [[name, value] for name, value in form["headers"]]
        texts = [form["body"], form["method"], form["url"], *(one for pair in pairs for one in pair)]
        is_good = all(isinstance(one, str) for one in texts) and form["partition"] == own["partition"].value
        if is_good and canonical_json({**form, "headers": pairs}) == text:
            return key_in_form(form) or question_key(text.encode(), hashlib.sha256(body).digest())
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise own["form"].wrong("a question's canonical form")


def _own_answer(response: Node, own: Node) -> Answer | str:
    """Return an answer that askonce wrote; one that was edited by hand loses its chunks, not its content."""
    raw = _base64(own["body"]) if not own["body"].is_missing else _encoded(response["content"], "text")
    chunks, start = [], 0
    for pair in own["chunks"].items():
        size, at = pair.two()
        end = start + size.whole(0, 1 << 40)
        chunks.append(Chunk(raw[start:end], at.whole(0, 1 << 50) / 1e6))
        start = end
    if start != len(raw):
        chunks = [Chunk(raw, chunks[-1].at if chunks else 0.0)]
    counts = [node.whole(0, 1 << 50) for node in own["usage"].items()]
    if not 2 <= len(counts) <= len(Usage._fields):
        raise own["usage"].wrong("a list of two to four counts")
    http = own["http"].latin()
    head = Head(
        response["status"].whole(100, 999), _headers(response["headers"]), response["statusText"].latin(), http
    )
    answer = Answer(head, own["head_at"].whole(0, 1 << 50) / 1e6, tuple(chunks), Usage(*counts))
    checked = whole(answer)
    return checked if isinstance(checked, str) else answer


# --- Writing ----------------------------------------------------------------------------------------------


def write_archive(entries: Iterable[Entry], file: TextIO, version: str) -> Iterator[Entry]:
    """Write entries as an archive, a take an entry of it; yield each when it is written."""
    creator = json.dumps({"name": "askonce", "version": version})
    file.write(f'{{"log": {{"version": "1.2", "creator": {creator}, "entries": [')
    before = "\n"
    for entry in entries:
        for take in entry.takes:
            file.write(before + json.dumps(_exchange(entry.question, take), ensure_ascii=False))
            before = ",\n"
        yield entry
    file.write("\n]}}\n")


def _exchange(question: Question, take: Take) -> dict[str, Any]:
    answer = take.answer
    began = (
        datetime.fromtimestamp(min(take.recorded - answer.seconds, _LATEST), UTC) if take.recorded > 0 else _EPOCH
    )
    wait, total = answer.head_at * 1000, answer.seconds * 1000
    return {
        "startedDateTime": began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "time": round(total, 3),
        "request": _request(question),
        "response": _response(answer),
        "cache": {},
        "timings": {"send": 0, "wait": round(wait, 3), "receive": round(max(0.0, total - wait), 3)},
        "_askonce": _own(question, take),
    }


def _request(question: Question) -> dict[str, Any]:
    form = json.loads(question.head)
    query = parse_qsl(urlsplit(form["url"]).query, keep_blank_values=True)
    request = {
        "method": form["method"],
        "url": form["url"],
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [
            {"name": name, "value": value}
            for name, value in (["content-type", "application/json"], *form["headers"])
        ],
        "queryString": [{"name": name, "value": value} for name, value in query],
        "headersSize": -1,
        "bodySize": len(question.body),
    }
    if question.body:
        request["postData"] = {"mimeType": "application/json", **_content(question.body)}
    return request


def _response(answer: Answer) -> dict[str, Any]:
    head, body = answer.head, answer.body
    plain = plain_body(answer)
    media_type = head.headers.get(b"content-type") or ""
    content = {"size": len(plain), "mimeType": media_type, **_content(plain)}
    return {
        "status": head.status,
        "statusText": head.reason.decode("latin-1"),
        "httpVersion": head.http_version.decode("latin-1"),
        "cookies": [],
        "headers": [{"name": n.decode("latin-1"), "value": v.decode("latin-1")} for n, v in head.headers],
        "content": content,
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": len(body),
    }


def _content(data: bytes) -> dict[str, str]:
    """Return bytes as a text, in base64 where they are none."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"text": base64.b64encode(data).decode(), "encoding": "base64"}


def _own(question: Question, take: Take) -> dict[str, Any]:
    answer = take.answer
    own: dict[str, Any] = {
        "form": question.head.decode(),
        "provider": question.provider,
        "kind": question.kind,
        "model": question.model,
        "partition": question.partition,
        "recorded": take.recorded,
        "seed": take.seed,
        "slot": take.slot,
        "ttl": take.ttl,
        "http": answer.head.http_version.decode("latin-1"),
        "head_at": round(answer.head_at * 1e6),
        "chunks": [[len(data), round(at * 1e6)] for data, at in answer.chunks],
        "usage": list(answer.usage.counts),
    }
    if coding_of(answer.head.headers) in CODINGS:  # `content` has it decoded
        own["body"] = base64.b64encode(answer.body).decode()
    return own
