"""How large, how many and how slow: what the gateway puts up with, and that it goes on serving the others."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import ExitStack, suppress

import pytest

from askonce.testing import Fault, LocalProvider
from tests.gateway.conftest import Serve
from tests.gateway.served import CHAT, KEY, Served, chat, read_all, until

HEAD = f"POST {CHAT} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def statuses(answer: bytes) -> int:
    return answer.count(b"HTTP/1.1 ")


def serves(gateway: Served) -> None:
    """It answers others as ever."""
    assert "hit" == [gateway.post(chat("as ever")) for _ in range(2)][1].headers["x-askonce-cache"]


def test_large_heads(serve: Serve, provider: LocalProvider) -> None:
    """A head that is too large is 431, in one line or in many, whole or never ending; nobody is asked."""
    gateway = serve(config="max_head = 5000")
    line = b"GET /v1/models HTTP/1.1\r\nhost: h\r\n"
    for large in (
        b"GET /v1/models?" + b"x" * 6000 + b" HTTP/1.1\r\nhost: h\r\n\r\n",
        line + b"a: " + b"x" * 6000 + b"\r\n\r\n",
        line + b"a: b\r\n" * 1000 + b"\r\n",
        line + b"a: " + b"x" * 300_000,
        line + b"a: " + b"x" * 4980 + b"\r\n\r\n",
    ):
        answer = gateway.raw(large)
        assert (431, 1) == (status(answer), statuses(answer))
        assert answer.endswith(b"askonce: a request's head is at the most 5000 bytes.")
    assert [] == provider.received
    assert 200 == gateway.post(chat("x" * 20_000), x_note="y" * 4000).status_code  # a body is no head
    serves(gateway)


_MALFORMED = (
    b"\r\n\r\n\r\nHELO\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nhost: h\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nhost: h\r\nbad name: x\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nhost: h\r\na: b\x00c\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\nhost: h\r\n folded: x\r\n\r\n",
    HEAD.encode() + b"content-length: -1\r\n\r\n",
    HEAD.encode() + b"content-length: 1e3\r\n\r\n{}",
    HEAD.encode() + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    HEAD.encode() + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD.encode() + b"transfer-encoding: gzip, identity\r\n\r\n{}",
    HEAD.encode() + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    HEAD.encode() + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
)


def test_malformed(serve: Serve, provider: LocalProvider) -> None:
    """What is no HTTP/1.1 is 400 once, and the connection closed; none of it is an answer's question."""
    gateway = serve()
    answers = [gateway.raw(malformed) for malformed in _MALFORMED]
    assert [(400, 1)] * len(_MALFORMED) == [(status(answer), statuses(answer)) for answer in answers]
    assert 0 == provider.count(CHAT)
    serves(gateway)


def test_garbage_behind_a_request(serve: Serve, provider: LocalProvider) -> None:
    """An error about what follows is not taken for the answer to what went before."""
    gateway = serve()
    provider.latency = 0.3
    body = b'{"model":"m","messages":[]}'
    answer = gateway.raw(HEAD.encode() + b"content-length: %d\r\n\r\n" % len(body) + body + b"\x00garbage\r\n\r\n")
    assert b"" == answer
    serves(gateway)


def test_slow_clients(serve: Serve, provider: LocalProvider) -> None:
    """Heads and bodies that trickle or stop are 408, who says nothing is left; a steady client is served."""
    gateway = serve(config="client_idle = 0.6")
    beginnings = {
        "silent": b"",
        "head": b"GET /v1/models HTTP/1.1\r\nhost: h\r\n",
        "body": HEAD.encode() + b"content-length: 100000\r\n\r\n{",
        "chunks": HEAD.encode() + b"transfer-encoding: chunked\r\n\r\n5\r\n{",
        "other": b"POST /v1/files HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\n{",
    }
    answers: dict[str, bytes] = {}

    def trickle(name: str, sock: socket.socket) -> None:
        with sock:
            if name in ("head", "body"):
                sock.settimeout(0.1)
                for _ in range(100):
                    with suppress(TimeoutError):
                        answers[name] = sock.recv(65536)
                        return
                    sock.sendall(b"x")
            answers[name] = read_all(sock)

    threads = []
    for name, beginning in beginnings.items():
        sock = gateway.connect()
        sock.sendall(beginning)
        threads.append(threading.Thread(target=trickle, args=(name, sock)))
        threads[-1].start()
    serves(gateway)
    for thread in threads:
        thread.join()
    assert b"" == answers.pop("silent")
    assert dict.fromkeys(answers, 408) == {name: status(answer) for name, answer in answers.items()}
    with gateway.connect() as steady:  # twice as long as is allowed, but never too slow
        body = json.dumps(chat("x" * 9900)).encode()
        steady.sendall(HEAD.encode() + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 1000):
            threading.Event().wait(0.12)
            steady.sendall(body[start : start + 1000])
        assert 200 == status(read_all(steady))


def test_a_client_that_does_not_read(serve: Serve, provider: LocalProvider) -> None:
    """Who does not read an answer is left; who reads slowly gets all of it."""
    gateway = serve(config="client_idle = 0.5")
    large = b"HTTP/1.1 200 OK\r\ncontent-length: 30000000\r\n\r\n" + bytes(30_000_000)
    request = b"GET /v1/models HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    serves(gateway)
    provider.fail_next(Fault.RAW(large), "/v1/models")
    with gateway.connect() as sock:
        sock.sendall(request)
        until(lambda: provider.count("/v1/models") == 2)  # the first asked whether the key is good
        until(lambda: b"askonce_in_flight 0.0" in gateway.get("/askonce/metrics").content)
        assert 30_000_000 > len(read_all(sock))
    provider.fail_next(Fault.RAW(large), "/v1/models")
    with gateway.connect() as sock:
        sock.sendall(request)
        got = 0
        for _ in range(12):
            threading.Event().wait(0.1)
            got += len(sock.recv(1 << 20))
        assert 30_000_000 < got + len(read_all(sock))
    serves(gateway)


def test_more_connections_than_allowed(serve: Serve) -> None:
    """Beyond `max_connections` a client is told 503 at once, and the others are served."""
    gateway = serve(config="max_connections = 5")
    with ExitStack() as open_ones:
        first = open_ones.enter_context(gateway.connect())
        for _ in range(4):
            open_ones.enter_context(gateway.connect())
        until(lambda: 503 == status(gateway.raw(b"") or b"- 0 "))
        first.sendall(b"GET /askonce/health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        assert 200 == status(read_all(first))
    until(gateway.is_up)
    serves(gateway)
    assert 1 == gateway.log.count("more connections than")


@pytest.mark.parametrize("sends", [b"", b"GET /v1/models HTTP/1.1\r\nhost: h\r\n"], ids=["silent", "half a head"])
def test_a_thousand_connections_on_256_descriptors(serve: Serve, sends: bytes) -> None:
    """It neither crashes nor hangs, says so once, and accepts again when there are descriptors."""
    gateway = serve(ulimit="ulimit -n 256")
    serves(gateway)
    with ExitStack() as many:
        sockets = [many.enter_context(socket.socket()) for _ in range(1000)]
        for sock in sockets:
            sock.settimeout(20)
            with suppress(ConnectionError):
                sock.connect(("127.0.0.1", gateway.port))
                sock.sendall(sends)
        for refused in sockets[256:]:
            read_all(refused)  # which ends
        assert 160 >= gateway.descriptors
    until(gateway.is_up)
    serves(gateway)
    assert 1 == gateway.log.count("more connections than")
    assert 5 > len(gateway.log.splitlines()), gateway.log
