"""All of urllib3 and requests that lies above the pool stays as it was: on a miss, and on a hit."""

from __future__ import annotations

import gc
import io
import json
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest
import requests
import urllib3
import vcr
from requests.adapters import HTTPAdapter

import askonce
from askonce.intercept.urllib3 import is_supported
from askonce.testing import Fault, LocalProvider
from tests.intercept.processes import ROOT, run
from tests.rig import CHAT, KEY, chat

HEADERS = {"authorization": f"Bearer {KEY}"}
LEGACY = ROOT / ".legacy" / "urllib3-1"


@pytest.fixture(autouse=True)
def enabled(provider: LocalProvider, store: Path) -> Iterator[None]:
    """Cache what goes to the local provider."""
    with askonce.caching(store, domains=[provider.url]):
        yield


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """Return a session of requests."""
    with requests.Session() as made:
        made.headers.update(HEADERS)
        yield made


@pytest.fixture
def pool(provider: LocalProvider) -> Iterator[urllib3.HTTPConnectionPool]:
    """Return a pool with one connection, which waits when that is in use."""
    with urllib3.HTTPConnectionPool("127.0.0.1", provider.port, maxsize=1, block=True, headers=HEADERS) as made:
        yield made


def ask(pool: urllib3.HTTPConnectionPool, content: str = "Hi", **options: Any) -> Any:
    """Ask over a pool."""
    stream = options.pop("stream", False)
    body = json.dumps(chat(content, stream=stream))
    headers = {**HEADERS, "content-type": "application/json", **options.pop("headers", {})}
    return pool.urlopen("POST", CHAT, body=body, headers=headers, pool_timeout=1, **options)


# --- requests ---------------------------------------------------------------------------------------------------


def test_a_question_is_asked_once(provider: LocalProvider, session: requests.Session) -> None:
    """The second identical call gets the first one's bytes; `elapsed`, `request` and `url` are its own."""
    provider.latency = 0.2
    first = session.post(provider.url + CHAT, json=chat())
    second = session.post(provider.url + CHAT, json=chat())
    assert 1 == provider.count()
    assert (200, "OK", first.content) == (second.status_code, second.reason, second.content)
    assert first.json() == second.json()
    assert first.elapsed.total_seconds() >= 0.2 > second.elapsed.total_seconds()
    assert provider.url + CHAT == second.url
    assert first.request is not second.request
    assert isinstance(second.raw, urllib3.response.HTTPResponse)


def test_headers_and_cookies(provider: LocalProvider, session: requests.Session) -> None:
    """Cookies reach the jar on a miss and none on a hit; all other headers that may be kept are the same."""
    first = session.post(provider.url + CHAT, json=chat())
    assert {"__cf_bm", "_cfuvid"} == set(first.cookies.keys())
    second = session.post(provider.url + CHAT, json=chat())
    assert [] == second.cookies.keys()
    assert {name: first.headers[name] for name in second.headers} == dict(second.headers)
    assert "x-request-id" in second.headers
    assert "set-cookie" not in second.headers


WAYS: dict[str, Callable[[requests.Response], Any]] = {
    "iter_content": lambda answer: list(answer.iter_content(None)),
    "iter_content of a size": lambda answer: list(answer.iter_content(100)),
    "iter_lines": lambda answer: list(answer.iter_lines()),
    "raw": lambda answer: list(answer.raw.stream(decode_content=False)),
    "read_chunked": lambda answer: list(answer.raw.read_chunked()),
    "read bit by bit": lambda answer: [answer.raw.read(7), answer.raw.read(100), answer.raw.read()],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_comes_in_the_same_pieces(provider: LocalProvider, session: requests.Session, way: str) -> None:
    """A stream comes in the same pieces without us, on the miss and on the hit, however it is read."""
    provider.pace = 0.005
    pieces = []
    for controls in ({"x-askonce-mode": "off"}, {}, {}):
        answer = session.post(provider.url + CHAT, json=chat(stream=True), headers=controls, stream=True)
        pieces.append(WAYS[way](answer))
        assert answer.raw.closed
    bare, missed, hit = pieces
    assert missed == hit
    assert len(bare) == len(hit) >= 3
    assert 2 == provider.count()


def test_each_chunk_comes_when_it_is_sent(provider: LocalProvider, session: requests.Session) -> None:
    """The first chunks of a miss are there while the provider has not sent the next."""
    provider.fail_next(Fault.STALL(after_chunks=3, seconds=60))
    answer = session.post(provider.url + CHAT, json=chat(stream=True), stream=True)
    chunks = answer.iter_content(None)
    for _ in range(3):
        assert next(chunks).startswith(b"data: {")
    answer.close()
    assert 0 == askonce.stats().recorded


@pytest.mark.parametrize("status", [307, 308])
def test_redirects_are_followed(
    provider: LocalProvider, session: requests.Session, redirector: str, status: int
) -> None:
    """A redirect from a foreign path into generation is followed each time, and its target answered once."""
    session.headers["api-key"] = KEY  # requests drops the other at another port
    answers = [session.post(f"{redirector}/{status}", json=chat()) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert [[status]] * 2 == [[before.status_code for before in answer.history] for answer in answers]
    assert 1 == provider.count()


def test_offline_is_an_answer_with_our_words(provider: LocalProvider, session: requests.Session) -> None:
    """An offline miss is a 404 with our words, which `raise_for_status` raises, and is not retried."""
    session.mount("http://", HTTPAdapter(max_retries=3))
    with askonce.options(mode="offline"):
        answer = session.post(provider.url + CHAT, json=chat())
    with pytest.raises(requests.HTTPError):
        answer.raise_for_status()
    assert "askonce is offline" in answer.json()["error"]["message"]
    assert 0 == provider.count()
    assert 1 == askonce.stats().refused


def test_timeouts_are_the_callers(provider: LocalProvider, session: requests.Session) -> None:
    """A read timeout in head or body is the library's own error, and nothing is kept."""
    provider.latency = 1.0
    with pytest.raises(requests.ReadTimeout):
        session.post(provider.url + CHAT, json=chat(), timeout=0.1)
    provider.latency = 0
    provider.fail_next(Fault.STALL(seconds=1))
    with pytest.raises(requests.ConnectionError, match="Read timed out"):
        session.post(provider.url + CHAT, json=chat(stream=True), timeout=0.1)
    assert 0 == askonce.stats().recorded


FAULTS = {
    "cut": Fault.CUT(),
    "cut at once": Fault.CUT(0),
    "error event": Fault.ERROR_EVENT(),
    "early end": Fault.EOF_EARLY(),
    "not JSON": Fault.NOT_JSON,
    "empty": Fault.EMPTY,
    "HTML": Fault.HTML,
    "status 529": Fault.STATUS(529),
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_broken_answers(provider: LocalProvider, session: requests.Session, stream: bool, fault: Any) -> None:
    """What breaks looks to the caller as it does without us, exceptions included, and is not kept."""
    provider.pace = 0.005

    def ask(**headers: str) -> Any:
        try:
            answer = session.post(provider.url + CHAT, json=chat(stream=stream), headers=headers, stream=True)
            return answer.status_code, [len(piece) for piece in answer.iter_content(None)]
        except requests.RequestException as error:
            return type(error), str(error)

    provider.fail_next(fault)
    bare = ask(**{"x-askonce-mode": "off"})
    provider.fail_next(fault)
    assert bare == ask()
    assert 0 == askonce.stats().recorded
    assert 200 == ask()[0]
    assert 1 == askonce.stats().recorded
    assert 3 == provider.count()


@pytest.mark.parametrize("how", ["close", "context", "drop", "session"])
def test_streams_that_are_left(provider: LocalProvider, how: str) -> None:
    """A stream that is left in the middle is not kept, and its connection is closed."""
    provider.pace = 0.02
    with requests.Session() as session:
        answer = session.post(provider.url + CHAT, json=chat(stream=True), headers=HEADERS, stream=True)
        assert next(answer.iter_content(None))
        if how == "close":
            answer.close()
        elif how == "context":
            with answer:
                pass
    del answer
    gc.collect()
    deadline = time.monotonic() + 10
    while provider._serving:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert 0 == askonce.stats().recorded


def test_a_session_that_is_closed_takes_nothing_from_others(provider: LocalProvider) -> None:
    """A session closed while another reads along through its connection takes nothing from it."""
    provider.pace = 0.02
    one, other = requests.Session(), requests.Session()
    options: Any = {"json": chat(stream=True), "headers": HEADERS, "stream": True}
    leading = one.post(provider.url + CHAT, **options)
    following = other.post(provider.url + CHAT, **options)
    assert next(leading.iter_content(None))
    leading.close()
    one.close()
    assert following.content.endswith(b"[DONE]\n\n")
    other.close()
    assert (1, 1) == (provider.count(), askonce.stats().recorded)


# --- urllib3 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preload", [True, False], ids=["preloaded", "not preloaded"])
def test_a_pool_has_its_connection_back(
    provider: LocalProvider, pool: urllib3.HTTPConnectionPool, preload: bool
) -> None:
    """After misses, hits and calls that pass, whole or streamed, the pool's one connection is free again."""
    for number in range(2):
        for stream in (False, True):
            for headers in ({}, {}, {"x-askonce-mode": "off"}):
                options: Any = {"stream": stream, "headers": headers, "preload_content": preload}
                answer = ask(pool, f"{number}", **options)
                assert 200 == answer.status
                assert len(answer.data) > 100
                assert answer.data == answer.data
                assert b"" == answer.read()
                answer.release_conn()
    assert 1 == len(provider._serving)
    assert 8 == provider.count()


@pytest.mark.parametrize("decode", [True, False], ids=["decoded", "raw"])
def test_a_compressed_answer_suits_whoever_reads_it(provider: LocalProvider, decode: bool) -> None:
    """A gzip answer is kept as it came, decoded when asked for, and given plain to whoever takes no coding."""
    provider.gzip = True
    with urllib3.PoolManager(headers=HEADERS) as manager:
        bodies = []
        for accepted in ("gzip", "gzip", "identity"):
            answer = manager.request(
                "POST",
                provider.url + CHAT,
                json=chat(stream=True),
                headers={**HEADERS, "accept-encoding": accepted},
                decode_content=decode,
            )
            bodies.append(answer.data)
    assert bodies[0] == bodies[1]
    assert bodies[2].endswith(b"[DONE]\n\n")
    assert decode == (bodies[1] == bodies[2])
    assert bodies[1].startswith(b"data" if decode else b"\x1f\x8b")
    assert 1 == provider.count()


def test_retries_stay_with_urllib3(provider: LocalProvider, pool: urllib3.HTTPConnectionPool) -> None:
    """A `Retry` for a status repeats the request as before; the answer after it is kept, and no error is."""
    retries = urllib3.Retry(2, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
    provider.fail_next(Fault.STATUS(503))
    first = ask(pool, retries=retries)
    assert (200, 1) == (first.status, len(first.retries.history))
    assert first.data == ask(pool, retries=retries).data
    assert (2, 1, 1) == (provider.count(), askonce.stats().recorded, askonce.stats().misses)
    for _ in range(3):
        provider.fail_next(Fault.STATUS(503))
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        ask(pool, "another", retries=retries)
    assert 1 == askonce.stats().recorded


def test_a_pool_follows_a_redirect_into_generation(
    provider: LocalProvider, pool: urllib3.HTTPConnectionPool
) -> None:
    """A redirect that the pool follows by itself, from a path that is not ours, is caught where it leads."""
    moved = urllib3.HTTPResponse(b"", {"location": CHAT}, 307, preload_content=False)
    make = pool._make_request

    def make_request(conn: Any, method: str, url: str, **options: Any) -> Any:
        return moved if url == "/moved" else make(conn, method, url, **options)

    pool._make_request = make_request  # type: ignore[method-assign, assignment]
    body = json.dumps(chat())
    headers = {**HEADERS, "content-type": "application/json"}
    answers = [pool.urlopen("POST", "/moved", body=body, headers=headers).data for _ in range(2)]
    assert answers[0] == answers[1]
    assert (1, 1) == (provider.count(), askonce.stats().hits)


def test_a_closed_pool_does_not_answer(pool: urllib3.HTTPConnectionPool) -> None:
    """A closed pool raises, although the answer is recorded."""
    assert 200 == ask(pool).status
    pool.close()
    with pytest.raises(urllib3.exceptions.ClosedPoolError):
        ask(pool)


def test_proxies_are_seen_through(discarding: str, store: Path) -> None:
    """What goes through a proxy is cached under the provider's own address."""
    url = "http://llm.example:9" + CHAT
    with (
        askonce.caching(store, domains=["http://llm.example:9"]) as cache,
        urllib3.ProxyManager(discarding) as manager,
    ):
        answers = [manager.request("POST", url, json=chat()).data for _ in range(2)]
        assert answers[0] == answers[1]
        assert (1, 1) == (cache.stats.recorded, cache.stats.hits)
    assert [url] == [entry.question.url for entry in askonce.open_storage(str(store)).entries()]


# --- Request bodies ---------------------------------------------------------------------------------------------

WHOLE = json.dumps(chat()).encode()
BODIES: dict[str, Callable[[], Any]] = {
    "bytes": lambda: WHOLE,
    "text": WHOLE.decode,
    "file": lambda: io.BytesIO(WHOLE),
    "text file": lambda: io.StringIO(WHOLE.decode()),
    "generator": lambda: iter([WHOLE[:9], WHOLE[9:]]),
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("control", [False, True], ids=["as it is", "with a control"])
def test_a_body_is_the_question_it_makes(
    provider: LocalProvider, session: requests.Session, kind: str, control: bool
) -> None:
    """However a body is given it is sent as it would be, and is the same question as the same bytes."""
    headers = {"content-type": "application/json", **({"x-askonce-ttl": "30"} if control else {})}
    first = session.post(provider.url + CHAT, data=BODIES[kind](), headers=headers)
    assert first.content == session.post(provider.url + CHAT, json=chat()).content
    [received] = provider.received
    assert (WHOLE, None) == (received.body, received.header("x-askonce-ttl"))
    assert ("chunked" if kind == "generator" else None) == received.header("transfer-encoding")


def test_body_controls_are_stripped(provider: LocalProvider, session: requests.Session) -> None:
    """A control in the body does not reach the provider, and the length is that of what is sent."""
    for _ in range(2):
        assert 200 == session.post(provider.url + CHAT, json=chat(cache_ttl=60)).status_code
    [received] = provider.received
    assert chat() == json.loads(received.body)
    assert str(len(received.body)) == received.header("content-length")


def test_a_form_is_asked_once(provider: LocalProvider, session: requests.Session) -> None:
    """A multipart form with a file, whose boundary differs each time, is one question."""
    answers = [
        session.post(
            provider.url + "/v1/audio/transcriptions",
            files={"file": ("a.wav", io.BytesIO(b"RIFF" + bytes(64)))},
            data={"model": "whisper-local"},
        )
        for _ in range(2)
    ]
    assert [200, 200] == [answer.status_code for answer in answers]
    assert 1 == provider.count()


@pytest.mark.parametrize("kind", ["chunked", "a file"])
def test_a_body_of_100_mb_passes(
    discarding: str, store: Path, session: requests.Session, kind: str, tmp_path: Path
) -> None:
    """A body beyond what is looked at goes to the provider as it is, without being gathered."""
    piece = b"x" * (1 << 20)
    pieces = [b'{"model":"gpt-local","messages":[{"role":"user","content":"', *[piece] * 100, b'"}]}']
    path = tmp_path / "body.json"
    if kind == "a file":
        with path.open("wb") as file:
            file.writelines(pieces)
    with askonce.caching(store, domains=[discarding]), path.open("ab+") as file:
        file.seek(0)
        body: Any = iter(pieces) if kind == "chunked" else file
        headers = {"content-type": "application/json", "x-askonce-ttl": "30"}
        tracemalloc.start()
        try:
            answer = session.post(discarding + CHAT, data=body, headers=headers)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert [sum(map(len, pieces)), False] == answer.json()
    assert peak < 50 << 20  # the pieces themselves were there before


# --- Together ---------------------------------------------------------------------------------------------------


def test_foreign_hosts_and_paths_are_left_alone(
    provider: LocalProvider, session: requests.Session, redirector: str
) -> None:
    """Other hosts, and paths that are not generation, are asked each time; a control leaves no request."""
    for _ in range(2):
        headers = {"x-askonce-partition": "ada"}
        assert 200 == session.get(f"{provider.url}/v1/models", headers=headers).status_code
        assert 200 == session.post(f"{redirector}/200", json=chat()).status_code
    assert [None] * 2 == [received.header("x-askonce-partition") for received in provider.received]
    assert askonce.Stats() == askonce.stats()


def test_libraries_share_what_is_recorded(provider: LocalProvider, session: requests.Session) -> None:
    """What requests recorded answers httpx2, and the other way around."""
    first = session.post(provider.url + CHAT, json=chat())
    second = httpx2.post(provider.url + CHAT, json=chat(), headers=HEADERS)
    third = httpx2.post(provider.url + CHAT, json=chat("b", stream=True), headers=HEADERS)
    fourth = session.post(provider.url + CHAT, json=chat("b", stream=True))
    assert first.content == second.content
    assert third.content == fourth.content
    assert 2 == provider.count()


def test_a_crowd_asks_once(provider: LocalProvider) -> None:
    """Eight threads that ask the same at once make one request."""
    provider.latency = 0.1
    bodies: list[bytes] = []

    def work() -> None:
        bodies.append(requests.post(provider.url + CHAT, json=chat(), headers=HEADERS, timeout=20).content)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (1, 8) == (len(set(bodies)), len(bodies))
    assert 1 == provider.count()


@pytest.mark.parametrize("order", ["inside", "around"])
def test_a_cassette_works(provider: LocalProvider, session: requests.Session, tmp_path: Path, order: str) -> None:
    """A vcrpy cassette below us records what we ask, and plays in the place of the provider."""
    recorder = vcr.VCR(filter_headers=["authorization"])
    with recorder.use_cassette(str(tmp_path / "cassette.yaml")) as tape:
        first = session.post(provider.url + CHAT, json=chat())
        assert 1 == len(tape)
    if order == "inside":
        assert first.content == session.post(provider.url + CHAT, json=chat()).content
    else:
        with (
            askonce.caching("memory:", domains=[provider.url]) as cache,
            recorder.use_cassette(str(tmp_path / "cassette.yaml"), record_mode="none") as tape,
        ):
            assert first.content == session.post(provider.url + CHAT, json=chat()).content
            assert (1, 1) == (tape.play_count, cache.stats.recorded)
    assert 1 == provider.count()


def test_another_library_under_the_name_is_left_alone() -> None:
    """A pool whose `urlopen` takes what urllib3's does not, as urllib3-future's, is not patched."""

    class HTTPConnectionPool:
        def urlopen(self, method: str, url: str, multiplexed: bool = False) -> None: ...

    other: Any = ModuleType("urllib3")
    other.HTTPConnectionPool = HTTPConnectionPool
    assert not is_supported(other)
    assert is_supported(urllib3)


def test_the_release_before(provider: LocalProvider, store: Path) -> None:
    """urllib3 1.26 is caught as well: whole, streamed, compressed, off."""
    if not LEGACY.is_dir():
        pytest.skip(f"{LEGACY} is missing: `make test` makes it")
    program = """
        import sys, requests, urllib3, askonce
        url, store = sys.argv[1:]
        assert urllib3.__version__.startswith("1.26")
        with askonce.caching(store, domains=[url]), requests.Session() as session:
            session.headers["authorization"] = "Bearer key"
            for stream in (False, True):
                body = {"model": "gpt-local", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
                seen = set()
                for _ in range(2):
                    with session.post(url + "/v1/chat/completions", json=body, stream=True) as answer:
                        seen.add(tuple(answer.iter_content(None)))
                    seen.add((session.post(url + "/v1/chat/completions", json=body).content,))
                assert len(seen) == 1 + stream, seen
            off = session.post(url + "/v1/chat/completions", json=body, headers={"x-askonce-mode": "off"})
            print(askonce.stats().misses, askonce.stats().hits, off.status_code, off.content[-8:])
    """
    provider.pace = 0.005
    provider.gzip = True
    assert f"2 6 200 {b'[DONE]' + bytes([10, 10])!r}\n" == run(program, provider.url, store, path=LEGACY)
    assert 3 == provider.count()
