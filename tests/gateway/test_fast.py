"""The fast path answers what ASGI would, and nothing that it would not: byte for byte, however bytes arrive."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from askonce.gateway import Gateway, create_app, read_gateway_settings
from askonce.gateway.server import options
from askonce.testing import Fault, LocalProvider
from tests.gateway.conftest import KEY, Running, Start
from tests.gateway.served import CHAT, chat

OTHER = "sk-test-SECRET-gateway-other"


def request(content: str = "hi", key: str = KEY, more: str = "", **fields: Any) -> bytes:
    """Return a request as SDKs send it."""
    body = json.dumps(chat(content, **fields)).encode()
    return (
        f"POST {CHAT} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
        f"{more}content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def answers(raw: bytes) -> list[bytes]:
    """Return the answers in what came, less what the time of day changes in them."""
    raw = re.sub(rb"(\r\nage: |; ttl=)\d+", rb"\1#", raw)
    return [b"HTTP/1.1 " + one for one in raw.split(b"HTTP/1.1 ")[1:]]


def state(answer: bytes) -> str:
    found = re.search(rb"\r\nx-askonce-cache: (\w+)", answer)
    return found[1].decode() if found else answer[9:12].decode()


class Socket(asyncio.Transport):
    """Stands for a client's socket: bytes arrive in the segments that a test wants, and what is sent is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.writes = 0
        self.is_closed = False

    def write(self, data: Any) -> None:
        if not self.is_closed:
            self.sent += data
            self.writes += 1

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Server:
    """A gateway, spoken to without a network in between."""

    def __init__(self, runner: asyncio.Runner, **arguments: Any) -> None:
        self.runner = runner
        self.app: Gateway = create_app(read_gateway_settings(**arguments))
        known = options("127.0.0.1", 0, self.app.settings)
        self.config = uvicorn.Config(self.app, **known)
        self.config.load()
        self.state = ServerState()

    @property
    def used(self) -> int:
        return self.app.shortcuts.used

    def connect(self) -> tuple[Any, Socket]:
        made: Any = self.config.http_protocol_class
        protocol = made(config=self.config, server_state=self.state, app_state={}, _loop=self.runner.get_loop())
        transport = Socket()
        protocol.connection_made(transport)
        return protocol, transport

    def tell(self, *segments: bytes, at_once: bool = False) -> bytes:
        """Return all that a new connection sends for these segments; `at_once`: it has no time between them."""
        return self.runner.run(self._tell(segments, at_once=at_once))

    async def _tell(self, segments: Sequence[bytes], *, at_once: bool) -> bytes:
        protocol, transport = self.connect()
        for segment in segments:
            if not transport.is_closed:
                protocol.data_received(segment)
            if not at_once:
                await self._settle(protocol)
        await self._settle(protocol)
        protocol.connection_lost(None)
        while self.state.tasks:
            await asyncio.sleep(0)
        return bytes(transport.sent)

    async def _settle(self, protocol: Any) -> None:
        """Wait until all is answered, or what is left waits for the rest of a body."""
        spins = 0
        while self.state.tasks and spins < 20:
            await asyncio.sleep(0)
            spins = spins + 1 if protocol.cycle is not None and protocol.cycle.more_body else 0


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one:
        yield one


Serve = Callable[..., Server]


@pytest.fixture
def server(runner: asyncio.Runner, provider: LocalProvider, store: Path) -> Iterator[Serve]:
    """Return what makes a server whose upstream is the local provider."""
    made: list[Server] = []

    def make(**arguments: Any) -> Server:
        made.append(Server(runner, **{"store": str(store), "upstreams": {"openai": provider.url}, **arguments}))
        return made[-1]

    yield make
    for one in made:
        runner.run(one.app.aclose())


# --- That it is used --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_hits_are_answered_where_they_arrive(server: Serve, stream: bool) -> None:
    """From the third time on a request's bytes are enough, and what is sent is what ASGI sends, in one write."""
    one = server()
    got = [answers(one.tell(request(stream=stream))) for _ in range(4)]
    assert ["miss", "hit", "hit", "hit"] == [state(answer) for [answer] in got]
    assert 2 == one.used
    assert got[1] == got[2] == got[3]
    protocol, transport = one.connect()
    protocol.data_received(request(stream=stream))
    assert 1 == transport.writes
    protocol.connection_lost(None)


def test_real_sockets(gateway: Running) -> None:
    """So it is under uvicorn, for a client that sends head and body one after the other."""
    assert ["miss", *["hit"] * 4] == [gateway.post(chat()).headers["x-askonce-cache"] for _ in range(5)]
    assert 3 == gateway.app.shortcuts.used


def test_heads_that_are_all_different(server: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no request comes twice, as with trace headers, nothing more is remembered until a while later."""
    monkeypatch.setattr("askonce.gateway.shortcuts._IN_VAIN", 4)
    one = server()
    for n in range(20):
        one.tell(request(more=f"traceparent: {n}\r\n"))
    assert 4 == len(one.app.shortcuts._heads)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 31)
    for _ in range(2):
        assert "hit" == state(one.tell(request(more="traceparent: x\r\n")))
    assert 1 == one.used


def test_many_questions(server: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many questions one client asks in turn, each is remembered: its head comes again."""
    monkeypatch.setattr("askonce.gateway.shortcuts._IN_VAIN", 4)
    one = server()
    for _ in range(3):
        for n in range(20):
            one.tell(request(f"question {n + 10}"))
    assert 20 == one.used


def test_switched_off(start: Start) -> None:
    """`fast_path = false` sends every request through ASGI."""
    gateway = start(fast_path=False)
    assert ["miss", "hit", "hit", "hit"] == [gateway.post(chat()).headers["x-askonce-cache"] for _ in range(4)]
    assert 0 == gateway.app.shortcuts.used


def test_everything_is_counted(gateway: Running) -> None:
    """Each hit is in the journal, in the metrics, in the savings and in the store's counts."""
    for _ in range(6):
        gateway.post(chat(customer_identifier="ada"))
    assert 4 == gateway.app.shortcuts.used
    gateway.app.journal.flush()
    assert 'askonce_calls_total{outcome="hit"} 5.0' in gateway.get("/askonce/metrics").text
    lines = gateway.app.journal.lines()
    assert [("hit", 200, "ada", "m")] * 5 == [
        (one.outcome, one.status, one.customer, one.model) for one in lines[:5]
    ]
    assert 6 == len({one.id for one in lines})
    assert 5 == gateway.app.cache.stats.hits == gateway.app.cache.guard.storage.totals().hits


def test_age_and_time_left(server: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Age` and the time that is left are right at every hit; afterwards it is none."""
    one = server()
    asked = request(cache_ttl=60)
    for _ in range(3):
        one.tell(asked)
    now = time.time()
    for later in (0, 7, 59):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        answer = one.tell(asked)
        age, ttl = re.search(rb"\r\nage: (\d+)", answer), re.search(rb"; ttl=(\d+)", answer)
        assert age
        assert ttl
        assert (later, 59 - later) == (int(age[1]), int(ttl[1]))
    assert 4 == one.used
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert b"fwd=stale" in one.tell(asked)
    assert 4 == one.used


# --- However it arrives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [False, True])
def test_split_at_every_byte(server: Serve, at_once: bool) -> None:
    """Two segments, cut anywhere, get the answer of one; so does a byte at a time."""
    one = server()
    asked = request()
    for _ in range(2):
        expected = answers(one.tell(asked))
    for cut in range(1, len(asked)):
        assert expected == answers(one.tell(asked[:cut], asked[cut:], at_once=at_once)), cut
    assert expected == answers(one.tell(*(asked[i : i + 1] for i in range(len(asked))), at_once=at_once))
    body = asked.index(b"\r\n\r\n") + 4
    assert len(asked) - body == one.used  # those that were cut at the end of the head, or in the body


def test_pipelined(server: Serve) -> None:
    """Requests that come before the first is answered are answered in order."""
    one = server()
    known, other = request("known"), request("other")
    for asked in (known, known, other, other):
        one.tell(asked)
    first, second = answers(one.tell(known))[0], answers(one.tell(other))[0]
    for segments in (
        [known + other],
        [known, other],
        [other[:-1], other[-1:] + known],
        [known + other[:9], other[9:]],
    ):
        expected = [first, second] if segments[0].startswith(known) else [second, first]
        for at_once in (False, True):
            assert expected == answers(one.tell(*segments, at_once=at_once))
    fresh = request("fresh")
    got = answers(one.tell(fresh + known, other, at_once=True))
    assert ("miss", [first, second]) == (state(got[0]), got[1:])


def test_a_slow_reader(server: Serve) -> None:
    """While what was sent before has not been read, nothing more is written."""
    one = server()
    for _ in range(3):
        one.tell(request())
    protocol, transport = one.connect()
    protocol.pause_writing()
    protocol.data_received(request())
    assert b"" == transport.sent
    protocol.resume_writing()
    one.runner.run(one._settle(protocol))
    assert "hit" == state(bytes(transport.sent))
    protocol.connection_lost(None)


def test_a_slow_sender(server: Serve) -> None:
    """Who sends a known head and then next to nothing is told so, however much had come before."""
    one = server(client_idle=1)
    asked = request("x" * 3000)
    for _ in range(3):
        one.tell(asked)
    protocol, transport = one.connect()
    protocol.data_received(asked[:-100])
    for second in range(3):
        protocol.look(float(second))
        protocol.data_received(asked[-100 + second : -99 + second])
    assert transport.sent.startswith(b"HTTP/1.1 408 ")
    assert transport.is_closed
    protocol.connection_lost(None)


def test_stopping_answers_what_has_begun(server: Serve) -> None:
    """A known head whose body is still to come is no idle connection."""
    one = server()
    for _ in range(3):
        one.tell(request())

    async def story() -> bytes:
        protocol, transport = one.connect()
        protocol.data_received(request()[:-5])
        protocol.shutdown()
        assert not transport.is_closed
        protocol.data_received(request()[-5:])
        await one._settle(protocol)
        assert transport.is_closed
        return bytes(transport.sent)

    assert b"\r\nconnection: close\r\n" in one.runner.run(story())


# --- What it must not answer ------------------------------------------------------------------------------


def test_other_requests(server: Serve, provider: LocalProvider) -> None:
    """One byte more or less makes it another request: body, credential, customer, path, header, protocol."""
    one = server()
    for _ in range(3):
        one.tell(request("aaaa"))
    before = one.used
    assert "miss" == state(one.tell(request("aaab")))
    assert "401" == one.tell(request("aaaa", key="wrong-key"))[9:12].decode()
    by = {"cache_options": {"cache_by_customer": True}}
    for customer in ("ada", "bob"):
        assert "miss" == state(one.tell(request("aaaa", customer_identifier=customer, **by)))
    assert "miss" == state(one.tell(request("aaaa", more="x-askonce-partition: p\r\n")))
    assert "bypass" == state(one.tell(request("aaaa", more="x-askonce-mode: off\r\n")))
    old = request("aaaa").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    for _ in range(3):
        assert b"\r\nconnection: close\r\n" in one.tell(old)
    assert before == one.used


def test_empty_lines_are_no_credential(server: Serve) -> None:
    """What a parser skips before a request does not become a head, under which anyone has the answer."""
    one = server()
    asked = request()
    for _ in range(4):
        assert b" 200 " in one.tell(b"\r\n\r\n" + asked)
    body = asked.partition(b"\r\n\r\n")[2]
    assert b" 400 " in one.tell(b"\r\n\r\n" + body)


def test_purged_and_replaced(server: Serve, store: Path) -> None:
    """What is taken out of the store or asked for anew, here or by another, is not given again."""
    from askonce.storage import open_storage

    one = server()
    for _ in range(3):
        one.tell(request())
    storage = one.app.cache.guard.storage
    storage.remove([entry.question.key for entry in storage.entries()])
    assert ["miss", "hit", "hit"] == [state(one.tell(request())) for _ in range(3)]
    fresh = one.tell(request(more="x-askonce-mode: refresh\r\n"))
    again = one.tell(request())
    assert (b"miss", b"hit") == (state(fresh).encode(), state(again).encode())
    assert fresh.rpartition(b"\r\n\r\n")[2] == again.rpartition(b"\r\n\r\n")[2]
    other = open_storage(str(store))  # as another process has it
    other.remove([entry.question.key for entry in other.entries()])
    other.close()
    time.sleep(0.02)  # for so long what was read may be taken for what is there
    assert "miss" == state(one.tell(request()))


def test_samples_that_are_gone_are_asked_for(server: Serve) -> None:
    """Where several answers are wanted, one that is missing is asked for, whatever was answered before."""
    one = server()
    asked = request(more="x-askonce-samples: 2\r\n")
    assert ["miss", "miss", "hit", "hit", "hit"] == [state(one.tell(asked)) for _ in range(5)]
    assert 0 == one.used


def test_revoked_keys(server: Serve) -> None:
    """A gateway key that is revoked opens nothing, also if that happens while it is being answered."""
    one = server()
    keys = one.app.keys
    mine, other = keys.add("mine", admin=False), keys.add("other", admin=False)

    def asked(key: str) -> bytes:
        return request(more=f"x-askonce-key: {key}\r\n", stream=True)

    for key in (mine, mine, other, other, other):
        one.tell(asked(key))
    assert 1 <= one.used

    async def story() -> str:
        protocol, transport = one.connect()
        protocol.data_received(request(more=f"x-askonce-key: {mine}\r\nuser-agent: slow\r\n", stream=True))
        await asyncio.sleep(0)
        protocol.pause_writing()
        for _ in range(20):
            await asyncio.sleep(0)
        keys.revoke("mine")
        protocol.resume_writing()
        while one.state.tasks:
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        return state(bytes(transport.sent))

    assert "hit" == one.runner.run(story())
    assert b" 401 " in one.tell(asked(mine))
    assert b" 401 " in one.tell(request(more=f"x-askonce-key: {mine}\r\nuser-agent: slow\r\n", stream=True))
    assert "hit" == state(one.tell(asked(other)))


def test_a_provider_that_no_longer_accepts(server: Serve, provider: LocalProvider) -> None:
    """A credential that the provider has refused since is asked about again."""
    one = server()
    for _ in range(3):
        one.tell(request())
    provider.fail_next(Fault.RAW(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"), CHAT)
    assert b" 401 " in one.tell(request("else"))
    provider.fail_next(Fault.RAW(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"), "/v1/models")
    assert "hit" != state(one.tell(request()))


def test_a_broken_file_of_keys(server: Serve) -> None:
    """Nobody is let in by a file of keys that cannot be read, known or not."""
    one = server()
    for _ in range(3):
        one.tell(request())
    assert one.app.keys.path is not None
    one.app.keys.path.write_text("{")
    one.app.keys._look_again = 0.0
    with pytest.warns(UserWarning, match="no file of gateway keys"):
        assert b" 503 " in one.tell(request())


# --- The same as without ----------------------------------------------------------------------------------

_LINES = st.sampled_from(
    [
        b"content-length: 5", b"Content-Length: %d", b"content-length: -1", b"content-length: +%d",
        b"content-length: 99999999999999999999", b"transfer-encoding: chunked", b"te: trailers",
        b"expect: 100-continue", b"connection: close", b"connection: keep-alive", b"Connection: upgrade, x-a",
        b"upgrade: websocket", b"x-a: 1", b"X-A: 1", b"x-a:1", b"x-a: 1 ", b" folded", b"\x00: 1",
        b"x-a\xff: \xfe",
        b"authorization: Bearer other", b"Authorization: Bearer " + KEY.encode(), b"x" * 70_000 + b": 1",
        b"x-askonce-mode: refresh", b"cache-control: no-cache", b"x-askonce-customer: ada",
        b"origin: https://evil.example",
    ]
)  # fmt: skip
_KNOWN, _STREAM = request("known"), request("known", stream=True)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a request that is known, or one that is nearly so."""
    known = draw(st.sampled_from([_KNOWN, _STREAM]))
    if draw(st.booleans()):
        return known
    head, _, body = known.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for _ in range(draw(st.integers(0, 2))):
        lines.insert(draw(st.integers(1, len(lines))), draw(_LINES).replace(b"%d", b"%d" % len(body)))
    one = b"\r\n".join([*lines, b"", body])
    match draw(st.integers(0, 5)):
        case 0:
            return draw(st.sampled_from([b"\r\n", b"\r\n\r\n", b"\r", b"\n", b" "])) + one
        case 1:
            at = draw(st.integers(0, len(one) - 1))
            return one[:at] + draw(st.binary(max_size=3)) + one[at + 1 :]
        case 2:
            return one[: draw(st.integers(1, len(one)))]
        case 3:
            return one.replace(b"POST", draw(st.sampled_from([b"GET", b"HEAD", b"post", b"PUT", b"OPTIONS"])), 1)
        case 4:
            version = draw(st.sampled_from([b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1"]))
            return one.replace(b"HTTP/1.1", version, 1)
        case _:
            return one


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[bytes], bool]:
    """Return the segments of some requests, and whether they come without any time between them."""
    sent = draw(st.lists(requests(), min_size=1, max_size=4))
    segments = [b"".join(sent)] if draw(st.integers(0, 3)) == 0 else sent
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(segments) - 1))
        one = segments[place]
        cut = draw(st.integers(0, len(one))) if draw(st.booleans()) else one.find(b"\r\n\r\n") + 4
        segments[place : place + 1] = [part for part in (one[:cut], one[cut:]) if part]
    return segments, draw(st.booleans())


def test_the_same_bytes_get_the_same_answers(
    server: Serve, provider: LocalProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a client sends, and however, the fast path answers as ASGI does."""
    fast, plain = server(), server(fast_path=False)
    for one in (fast, plain):
        for asked in (_KNOWN, _STREAM) * 3:
            one.tell(asked)
    caplog.set_level("ERROR", "uvicorn.error")
    provider.stop()  # so that all that is not known gets one and the same answer
    known = fast.used

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(conversations())
    def compare(conversation: tuple[list[bytes], bool]) -> None:
        segments, at_once = conversation
        got = answers(fast.tell(*segments, at_once=at_once))
        expected = answers(plain.tell(*segments, at_once=at_once))
        if at_once and got != expected:
            # Garbage behind requests ends the connection before they are answered; those that the fast path has
            # answered by then are answered, as if the garbage had come later.
            assert got[: len(expected)] == expected
            expected = answers(plain.tell(*segments))[: len(got)]
        assert expected == got

    compare()
    assert 100 < fast.used - known
    assert 0 == plain.used
