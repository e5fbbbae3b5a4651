"""Providers that break, lie and babble: passed on truly, never kept when broken, and nobody waits for ever."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import httpx
import pytest

from askonce.testing import Fault, LocalProvider
from tests.gateway.conftest import KEY, Running, Start
from tests.gateway.served import CHAT, chat, read_all

ANSWER = json.dumps({"id": "1", "object": "chat.completion", "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
]}).encode()  # fmt: skip
EVENTS = b"".join(
    b"data: "
    + json.dumps({"object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}).encode()
    + b"\n\n"
    for choice in ({"delta": {"content": "Hel"}}, {"delta": {"content": "lo"}, "finish_reason": "stop"})
)
STREAM = EVENTS + b"data: [DONE]\n\n"


def head(status: str = "200 OK", **more: Any) -> bytes:
    given = {"content_type": "application/json", **more}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


SSE = head(content_type="text/event-stream", transfer_encoding="chunked")
BROKEN = {
    "too short": head(content_length=len(ANSWER) + 10) + ANSWER,
    "cut": head(content_length=len(ANSWER)) + ANSWER[:50],
    "no byte": head(content_length=len(ANSWER)),
    "chunks cut": SSE + chunked(EVENTS),
    "chunk cut": SSE + chunked(EVENTS)[:-10],
    "gzip cut": head(content_encoding="gzip", content_length=1000) + gzip.compress(ANSWER),
}
UNFINISHED = {  # well framed, and yet no whole answer
    "half JSON": head(content_length=50) + ANSWER[:50],
    "HTML": head(content_type="text/html", content_length=17) + b"<html>Log in</html>"[:17],
    "gzip in half": head(content_encoding="gzip", content_length=40) + gzip.compress(ANSWER)[:40],
    "no gzip": head(content_encoding="gzip", content_length=len(ANSWER)) + ANSWER,
    "no end": SSE + chunked(EVENTS[:60]) + b"0\r\n\r\n",
    "gzip events, no end": head(
        content_type="text/event-stream", content_encoding="gzip", transfer_encoding="chunked"
    ) + chunked(gzip.compress(EVENTS[:60])) + b"0\r\n\r\n",
    "empty": head(content_length=0),
}  # fmt: skip
NO_HTTP = {
    "silence": b"",
    "garbage": b"\x16\x03\x01garbage\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-type: app",
    "too long": head(content_length=50) + ANSWER,
    "a chunk's size": SSE + chunked(EVENTS) + b"zz\r\n",
    "two lengths": head(content_length=5) [:-2] + b"content-length: 6\r\n\r\nhello!",
    "a head without end": head()[:-2] + b"a: b\r\n" * 50_000,
    "a huge header": head(a="x" * 200_000, content_length=2) + b"{}",
}  # fmt: skip


def counts(gateway: Running) -> int:
    entries: int = gateway.app.cache.guard.storage.totals().entries
    return entries


def ask(gateway: Running, name: str) -> tuple[httpx.Response, bytes, bool]:
    """Return an answer, as much of its body as came, and whether that was all."""
    headers = {"authorization": f"Bearer {KEY}"}
    got = b""
    with httpx.stream(
        "POST", gateway.url + CHAT, json=chat(name), headers=headers, trust_env=False, timeout=20
    ) as answer:
        try:
            for part in answer.iter_raw():
                got += part
        except httpx.RemoteProtocolError:
            return answer, got, False
    return answer, got, True


def test_broken(gateway: Running, provider: LocalProvider) -> None:
    """What breaks off is broken for the client too, as far as it came, and is not kept."""
    gateway.get("/v1/models")
    for number, (name, raw) in enumerate(BROKEN.items()):
        provider.fail_next(Fault.RAW(raw), CHAT)
        answer, got, is_whole = ask(gateway, name)
        assert (200, False) == (answer.status_code, is_whole), name
        assert got in raw or got in raw.replace(b"\r\n", b""), name
        assert number == counts(gateway), name
        assert ["miss", "hit"] == [gateway.post(chat(name)).headers["x-askonce-cache"] for _ in range(2)], name


def test_unfinished(gateway: Running, provider: LocalProvider) -> None:
    """What is no whole answer goes to the client byte for byte, and is not kept."""
    gateway.get("/v1/models")
    for name, raw in UNFINISHED.items():
        provider.fail_next(Fault.RAW(raw), CHAT)
        answer, got, is_whole = ask(gateway, name)
        assert (200, "miss", True) == (answer.status_code, answer.headers["x-askonce-cache"], is_whole), name
        assert got in raw.replace(b"\r\n", b""), name
    assert 0 == counts(gateway)


def test_no_http(gateway: Running, provider: LocalProvider) -> None:
    """What is no answer in HTTP is 502 with a sentence, in the provider's shape."""
    gateway.get("/v1/models")
    for name, raw in NO_HTTP.items():
        provider.fail_next(Fault.RAW(raw), CHAT)
        answer = gateway.post(chat(name))
        assert 502 == answer.status_code, name
        assert "could not be asked" in answer.json()["error"]["message"]
        assert 1000 > len(answer.text)
    assert 0 == counts(gateway)


ODD = (
    (head("102 P", content_type=None) + head("103 E", link="</x>") + head(content_length=2), 200),
    (head("204 No Content", content_type=None), 204),
    (head("205 Reset Content", content_length=0), 205),
    (head("304 Not Modified", content_type=None, etag='"x"'), 304),
    (head("304 Not Modified", content_length=1234), 304),
    (head("302 Found", location="http://evil.example/", content_length=2), 302),
    (head("599 What", content_length=2), 599),
    (head(content_length=2, a="x" * 30_000), 200),
    (head(content_length=2, connection="close, x-secret", x_secret="1", keep_alive="timeout=5"), 200),
)


def test_odd_statuses(gateway: Running, provider: LocalProvider) -> None:
    """Statuses pass as they are, redirects unfollowed; what is about the connection stays with it."""
    gateway.get("/v1/models")
    for path in (CHAT, "/v1/models"):
        for said, status in ODD:
            body = b"{}" if b"length: 2\r" in said else b""
            provider.fail_next(Fault.RAW(said + body), path)
            before = counts(gateway)
            answer = gateway.post(chat(str(status)), path)
            assert (status, body) == (answer.status_code, answer.content)
            assert {"x-secret", "keep-alive", "link"}.isdisjoint(answer.headers)
            assert status == 200 or before == counts(gateway)
            assert 200 == gateway.get("/v1/models").status_code


def test_head(gateway: Running, provider: LocalProvider) -> None:
    """An answer to HEAD has a length and no body, and the connection goes on."""
    provider.fail_next(Fault.RAW(head(content_length=1234)), "/v1/models")
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}, trust_env=False) as client:
        answer = client.head("/v1/models")
        assert (200, "1234", b"") == (answer.status_code, answer.headers["content-length"], answer.content)
        assert 200 == client.get("/v1/models").status_code


def test_compressed_events(gateway: Running, provider: LocalProvider) -> None:
    """A compressed stream is passed on as it comes, kept when it is whole, and replayed the same."""
    zipped = gzip.compress(STREAM)
    raw = head(content_type="text/event-stream", content_encoding="gzip", transfer_encoding="chunked")
    provider.fail_next(Fault.RAW(raw + chunked(zipped[:30], zipped[30:]) + b"0\r\n\r\n"), CHAT)
    gateway.get("/v1/models")
    answers = [gateway.post(chat(stream=True), accept_encoding="gzip") for _ in range(2)]
    assert [("miss", STREAM), ("hit", STREAM)] == [(a.headers["x-askonce-cache"], a.content) for a in answers]


def test_until_the_end_of_the_connection(gateway: Running, provider: LocalProvider) -> None:
    """An answer that only the connection's end delimits is passed on, and kept when it is whole by itself."""
    gateway.get("/v1/models")
    raw = head(content_type="text/event-stream", connection="close")
    provider.fail_next(Fault.RAW(raw + EVENTS[:100]), CHAT)
    assert EVENTS[:100] == gateway.post(chat(stream=True)).content
    provider.fail_next(Fault.RAW(raw + STREAM), CHAT)
    answers = [gateway.post(chat(stream=True)) for _ in range(2)]
    assert ["miss", "hit"] == [answer.headers["x-askonce-cache"] for answer in answers]
    assert [STREAM] * 2 == [answer.content for answer in answers]


def test_silence_half_way(start: Start, provider: LocalProvider) -> None:
    """A provider that falls silent half-way is broken off after `idle`, and what came is not kept."""
    gateway = start(idle=0.3)
    gateway.get("/v1/models")
    for stream in (False, True):
        provider.fail_next(Fault.STALL(1, seconds=5), CHAT)
        with pytest.raises(httpx.RemoteProtocolError):
            gateway.post(chat(stream=stream))
    assert 0 == counts(gateway)


def test_trailers_and_te(gateway: Running, provider: LocalProvider) -> None:
    """Trailers end with the connection that they came over, on either side, and none becomes a header."""
    gateway.get("/v1/models")
    raw = SSE[:-2] + b"trailer: x-sum\r\n\r\n" + chunked(STREAM) + b"0\r\nx-sum: 1\r\n\r\n"
    provider.fail_next(Fault.RAW(raw), CHAT)
    answer = gateway.post(chat(stream=True), te="trailers, deflate", connection="te")
    assert (STREAM, None, None) == (answer.content, answer.headers.get("trailer"), answer.headers.get("x-sum"))
    assert None is provider.received[-1].header("te")
    body = json.dumps(chat("trailing")).encode()
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=10) as sock:
        asked = f"POST {CHAT} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n"
        asked += "content-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: authorization\r\n\r\n"
        sock.sendall(asked.encode() + chunked(body) + b"0\r\nauthorization: Bearer wrong-key\r\n\r\n")
        assert b" 200 " in read_all(sock).partition(b"\r\n")[0]
    assert [f"Bearer {KEY}"] == [v for n, v in provider.received[-1].headers if n.lower() == "authorization"]
