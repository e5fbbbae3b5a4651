"""All of aiohttp that lies above the connection stays as it was: on a miss, and on a hit."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import openai
import pytest

import askonce
from askonce.testing import Fault, LocalProvider
from tests.intercept.processes import ROOT, run
from tests.rig import CHAT, KEY, chat

HEADERS = {"authorization": f"Bearer {KEY}"}
LEGACY = ROOT / ".legacy"


@pytest.fixture(autouse=True)
def enabled(provider: LocalProvider, store: Path) -> Iterator[None]:
    """Cache what goes to the local provider."""
    with askonce.caching(store, domains=[provider.url]):
        yield


async def settled() -> None:
    """Wait until no other task is left."""
    gc.collect()
    await asyncio.sleep(0.001)
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.005)


def asking(story: Callable[[aiohttp.ClientSession], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run a story with a session; expect no connection to be in use at its end."""

    async def main() -> None:
        async with aiohttp.ClientSession(**{"headers": HEADERS, **options}) as session:
            connector: Any = session.connector
            await story(session)
            await settled()
            assert set() == connector._acquired
        await settled()

    asyncio.run(main())


def test_a_question_is_asked_once(provider: LocalProvider) -> None:
    """The second identical call gets the first one's bytes, by `json`, `text` and `read`."""

    async def story(session: aiohttp.ClientSession) -> None:
        seen = []
        for _ in range(2):
            async with session.post(provider.url + CHAT, json=chat()) as answer:
                assert (200, "OK", True) == (answer.status, answer.reason, answer.ok)
                seen.append((await answer.json(), await answer.text(), await answer.read(), answer.version))
            assert answer.closed
        assert seen[0] == seen[1]

    asking(story)
    assert 1 == provider.count()


READERS: dict[str, Callable[[aiohttp.StreamReader], Any]] = {
    "iter_any": lambda content: content.iter_any(),
    "iter_chunked": lambda content: content.iter_chunked(50),
    "iter_chunks": lambda content: content.iter_chunks(),
    "readline": lambda content: content,
}


@pytest.mark.parametrize("way", READERS)
def test_iterating_gives_the_same_pieces(provider: LocalProvider, way: str) -> None:
    """A stream comes in the same pieces on the miss and on the hit, and of the kind that it has without us."""
    provider.pace = 0.005

    async def story(session: aiohttp.ClientSession) -> None:
        pieces = []
        for controls in ({"x-askonce-mode": "off"}, {}, {}):
            async with session.post(provider.url + CHAT, json=chat(stream=True), headers=controls) as answer:
                pieces.append([piece async for piece in READERS[way](answer.content)])
            assert answer.content.at_eof()
        bare, missed, hit = pieces
        assert missed == hit
        assert len(hit) > 5
        assert {type(piece) for piece in bare} == {type(piece) for piece in hit}
        if way == "iter_chunks":
            assert {True} == {end for _, end in hit}

    asking(story)
    assert 2 == provider.count()


def test_reading_bit_by_bit(provider: LocalProvider) -> None:
    """`readexactly`, `readuntil`, `read(n)`, `readchunk`, `wait_eof` and `read_nowait` do as they say."""

    async def story(session: aiohttp.ClientSession) -> None:
        for _ in range(2):
            async with session.post(provider.url + CHAT, json=chat(stream=True)) as answer:
                content = answer.content
                assert b"data: {" == await content.readexactly(7)
                assert (await content.readuntil(b":")).endswith(b":")
                assert 1 <= len(await content.read(10)) <= 10
                assert (await content.readchunk())[0]
                await content.wait_eof()
                assert content.is_eof()
                assert content.read_nowait().endswith(b"[DONE]\n\n")
                assert b"" == await content.read()

    asking(story)
    assert 1 == provider.count()


def test_a_line_too_long_is_refused_as_before(provider: LocalProvider) -> None:
    """The session's buffer bounds a line, on a hit too."""

    async def story(session: aiohttp.ClientSession) -> None:
        for _ in range(2):
            async with session.post(provider.url + CHAT, json=chat("x" * 50, stream=True)) as answer:
                with pytest.raises(Exception, match="more than 16 bytes"):
                    await answer.content.readline()
                await answer.content.read()

    asking(story, read_bufsize=8)


def test_the_session_is_as_it_was(provider: LocalProvider) -> None:
    """Cookies reach the jar on a miss and none on a hit; a closed session does not answer."""

    async def story(session: aiohttp.ClientSession) -> None:
        jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=[provider.url])
        async with aiohttp.ClientSession(headers=HEADERS, cookie_jar=jar) as other:
            async with other.post(provider.url + CHAT, json=chat()) as answer:
                assert {"__cf_bm", "_cfuvid"} == set(answer.cookies) == {cookie.key for cookie in jar}
                await answer.read()
            jar.clear()
            async with other.post(provider.url + CHAT, json=chat()) as answer:
                assert set() == set(answer.cookies) == {cookie.key for cookie in jar}
        with pytest.raises(RuntimeError, match="Session is closed"):
            await other.post(provider.url + CHAT, json=chat())

    asking(story)
    assert 1 == provider.count()


def test_headers_are_the_providers(provider: LocalProvider) -> None:
    """All headers but those that must not be kept are the same on a hit, cooked and raw."""

    async def story(session: aiohttp.ClientSession) -> None:
        seen = []
        for _ in range(2):
            async with session.post(provider.url + CHAT, json=chat()) as answer:
                assert (CHAT, "POST") == (answer.url.path, answer.request_info.method)
                assert f"Bearer {KEY}" == answer.request_info.headers["authorization"]
                seen.append((answer.headers, answer.raw_headers))
                await answer.read()
        (first, raw_first), (second, raw_second) = seen
        assert "set-cookie" in first
        assert "set-cookie" not in second
        assert set(raw_second) < set(raw_first)
        assert {name: first[name] for name in second} == dict(second)
        assert "x-request-id" in second
        assert set(map(str, second)) < set(map(str, first))  # spelled alike

    asking(story)


@pytest.mark.parametrize("way", ["session", "request", "method"])
def test_errors_are_raised_for_status(provider: LocalProvider, way: str) -> None:
    """`raise_for_status` raises the library's error for a refusal of ours as for the provider's."""

    async def story(session: aiohttp.ClientSession) -> None:
        for fault, mode in ((400, "record"), (404, "offline")):
            provider.fail_next(Fault.STATUS(fault))
            options: Any = {"raise_for_status": True} if way == "request" else {}
            with askonce.options(mode=mode), pytest.raises(aiohttp.ClientResponseError) as caught:  # type: ignore[arg-type]
                answer = await session.post(provider.url + CHAT, json=chat(mode), **options)
                answer.raise_for_status()
            assert fault == caught.value.status

    asking(story, raise_for_status=way == "session")
    assert 1 == provider.count()


@pytest.mark.parametrize("status", [307, 308])
def test_redirects_are_followed(provider: LocalProvider, redirector: str, status: int) -> None:
    """A redirect from a foreign path into generation is followed each time, and its target answered once."""

    async def story(session: aiohttp.ClientSession) -> None:
        bodies = []
        for _ in range(2):
            async with session.post(f"{redirector}/{status}", json=chat(), headers={"api-key": KEY}) as answer:
                bodies.append(await answer.read())
            assert [status] == [before.status for before in answer.history]
            assert provider.url + CHAT == str(answer.url)
        assert bodies[0] == bodies[1]

    asking(story)
    assert 1 == provider.count()


def test_traces_hear_of_each_call(provider: LocalProvider) -> None:
    """A trace hears of each request's start and end, and of connection and body when there are such."""
    heard: list[str] = []
    trace = aiohttp.TraceConfig()
    for name in ("request_start", "request_end", "connection_create_start", "request_chunk_sent",
                 "response_chunk_received"):  # fmt: skip

        async def note(*_: Any, name: str = name) -> None:
            heard.append(name)

        getattr(trace, f"on_{name}").append(note)

    async def story(session: aiohttp.ClientSession) -> None:
        await (await session.post(provider.url + CHAT, json=chat())).read()
        assert {"connection_create_start", "request_chunk_sent"} < set(heard)
        heard.clear()
        await (await session.post(provider.url + CHAT, json=chat())).read()
        assert ["request_start", "request_end", "response_chunk_received"] == heard

    asking(story, trace_configs=[trace])


def test_middlewares_run_and_may_change_the_question(provider: LocalProvider) -> None:
    """The session's and the request's middlewares run above us, on a hit too."""
    seen: list[int] = []

    async def mark(request: Any, handler: Any) -> Any:
        request.headers["openai-beta"] = str(len(seen) // 2)
        answer = await handler(request)
        seen.append(answer.status)
        return answer

    async def story(session: aiohttp.ClientSession) -> None:
        async with aiohttp.ClientSession(headers=HEADERS, middlewares=(mark,)) as other:
            for _ in range(3):
                await (await other.post(provider.url + CHAT, json=chat())).read()
        await (await session.post(provider.url + CHAT, json=chat(), middlewares=(mark,))).read()

    asking(story)
    assert [200] * 4 == seen
    assert 2 == provider.count()


def test_timeouts_are_the_callers(provider: LocalProvider) -> None:
    """A total and a read timeout end the wait for head and body as before, and nothing is kept."""

    async def story(session: aiohttp.ClientSession) -> None:
        limits = (aiohttp.ClientTimeout(total=0.1), aiohttp.ClientTimeout(sock_read=0.1))
        for number, limit in enumerate(limits):
            provider.latency = 1.0
            with pytest.raises(TimeoutError):
                await session.post(provider.url + CHAT, json=chat(), timeout=limit)
            provider.latency = 0
            provider.fail_next(Fault.STALL(seconds=1))
            answer = await session.post(provider.url + CHAT, json=chat(f"{number}", stream=True), timeout=limit)
            with pytest.raises(TimeoutError):
                await answer.read()

    asking(story)
    assert 0 == askonce.stats().recorded


def test_a_total_timeout_bounds_a_paced_hit(provider: LocalProvider) -> None:
    """A replay in its rhythm is bounded by the caller's timeout, as the provider was."""

    async def story(session: aiohttp.ClientSession) -> None:
        provider.pace = 0.05
        await (await session.post(provider.url + CHAT, json=chat(stream=True))).read()
        with askonce.options(delays=True), pytest.raises(TimeoutError):
            limit = aiohttp.ClientTimeout(total=0.1)
            await (await session.post(provider.url + CHAT, json=chat(stream=True), timeout=limit)).read()

    asking(story)
    assert 1 == askonce.stats().hits


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
def test_broken_answers(provider: LocalProvider, stream: bool, fault: Any) -> None:
    """What breaks looks to the caller as it does without us, exceptions included, and is not kept."""
    provider.pace = 0.005

    async def ask(session: aiohttp.ClientSession, **headers: str) -> Any:
        try:
            async with session.post(provider.url + CHAT, json=chat(stream=stream), headers=headers) as answer:
                return answer.status, sum([len(piece) async for piece in answer.content.iter_any()])
        except aiohttp.ClientError as error:
            return type(error), str(error), type(error.__cause__)

    async def story(session: aiohttp.ClientSession) -> None:
        provider.fail_next(fault)
        bare = await ask(session, **{"x-askonce-mode": "off"})
        provider.fail_next(fault)
        assert bare == await ask(session)
        assert 0 == askonce.stats().recorded
        assert 200 == (await ask(session))[0]
        assert 1 == askonce.stats().recorded

    asking(story)
    assert 3 == provider.count()


@pytest.mark.parametrize("how", ["close", "release", "context", "drop", "cancel", "raise"])
def test_streams_that_are_left(provider: LocalProvider, how: str) -> None:
    """A stream that is left in the middle is not kept, and its connection is closed."""
    provider.pace = 0.02

    async def leave(session: aiohttp.ClientSession) -> None:
        answer = await session.post(provider.url + CHAT, json=chat(stream=True))
        await answer.content.readany()
        if how in ("context", "raise"):
            async with answer:
                if how == "raise":
                    raise KeyError
        elif how in ("close", "release"):
            getattr(answer, how)()
            with pytest.raises(aiohttp.ClientConnectionError, match="Connection closed"):
                await answer.content.readany()
        elif how == "cancel":
            await answer.read()

    async def story(session: aiohttp.ClientSession) -> None:
        task = asyncio.create_task(leave(session))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (how == "cancel", how == "raise") == (
            task.cancelled(),
            not task.cancelled() and isinstance(task.exception(), KeyError),
        )
        del task
        await settled()

    asking(story)
    assert 0 == askonce.stats().recorded


@pytest.mark.parametrize("how", ["close", "release", "drop"])
def test_a_tail_is_fetched(provider: LocalProvider, how: str) -> None:
    """A stream that is left where the model has finished is kept whole."""
    provider.pace = 0.02

    async def story(session: aiohttp.ClientSession) -> None:
        asked = chat(stream=True, stream_options={"include_usage": True})
        answer = await session.post(provider.url + CHAT, json=asked)
        async for line in answer.content:
            if b'"finish_reason":"stop"' in line:
                break
        if how != "drop":
            getattr(answer, how)()
        del answer
        await settled()
        async with session.post(provider.url + CHAT, json=asked) as answer:
            assert b"usage" in await answer.read()

    asking(story)
    assert (1, 1) == (provider.count(), askonce.stats().recorded)


def test_connections_are_pooled(provider: LocalProvider) -> None:
    """What is read to its end leaves its connection to the next call, also while it is recorded."""

    async def story(session: aiohttp.ClientSession) -> None:
        for number in range(3):
            for stream in (False, True):
                async with session.post(provider.url + CHAT, json=chat(f"{number}", stream=stream)) as answer:
                    await answer.read()
        assert 1 == len(provider._serving)

    asking(story)
    assert 6 == provider.count()


# --- Request bodies ---------------------------------------------------------------------------------------------


def generated(pieces: list[bytes]) -> AsyncIterator[bytes]:
    """Return a generator of these pieces."""

    async def generate() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return generate()


WHOLE = json.dumps(chat()).encode()
BODIES: dict[str, Callable[[], Any]] = {
    "bytes": lambda: WHOLE,
    "text": WHOLE.decode,
    "file": lambda: io.BytesIO(WHOLE),
    "generator": lambda: generated([WHOLE[:9], WHOLE[9:]]),
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("control", [False, True], ids=["as it is", "with a control"])
def test_a_body_is_the_question_it_makes(provider: LocalProvider, kind: str, control: bool) -> None:
    """However a body is given it is sent as it would be, and is the same question as the same bytes."""

    async def story(session: aiohttp.ClientSession) -> None:
        headers = {"content-type": "application/json", **({"x-askonce-ttl": "30"} if control else {})}
        async with session.post(provider.url + CHAT, data=BODIES[kind](), headers=headers) as answer:
            first = await answer.read()
        async with session.post(provider.url + CHAT, json=chat()) as answer:
            assert first == await answer.read()

    asking(story)
    [received] = provider.received
    assert (WHOLE, None) == (received.body, received.header("x-askonce-ttl"))
    assert ("chunked" if kind == "generator" else None) == received.header("transfer-encoding")


def test_a_form_is_asked_once(provider: LocalProvider) -> None:
    """A multipart form with a file, whose boundary differs each time, is one question."""

    async def story(session: aiohttp.ClientSession) -> None:
        bodies = []
        for _ in range(2):
            form = aiohttp.FormData({"model": "whisper-local"})
            form.add_field("file", io.BytesIO(b"RIFF" + bytes(64)), filename="a.wav", content_type="audio/wav")
            async with session.post(provider.url + "/v1/audio/transcriptions", data=form) as answer:
                assert 200 == answer.status
                bodies.append(await answer.read())
        assert bodies[0] == bodies[1]

    asking(story)
    assert 1 == provider.count()


def test_body_controls_are_stripped(provider: LocalProvider) -> None:
    """A control in the body does not reach the provider, and the length is that of what is sent."""

    async def story(session: aiohttp.ClientSession) -> None:
        for _ in range(2):
            async with session.post(provider.url + CHAT, json=chat(cache_ttl=60)) as answer:
                assert (await answer.json())["id"]

    asking(story)
    [received] = provider.received
    assert chat() == json.loads(received.body)
    assert str(len(received.body)) == received.header("content-length")


@pytest.mark.parametrize("kind", ["chunked", "a file"])
def test_a_body_of_100_mb_passes(discarding: str, store: Path, kind: str, tmp_path: Path) -> None:
    """A body beyond what is looked at goes to the provider as it is, without being gathered."""
    piece = b"x" * (1 << 20)
    pieces = [b'{"model":"gpt-local","messages":[{"role":"user","content":"', *[piece] * 100, b'"}]}']
    length = sum(map(len, pieces))
    path = tmp_path / "body.json"
    if kind == "a file":
        with path.open("wb") as file:
            file.writelines(pieces)

    async def story(session: aiohttp.ClientSession) -> None:
        body = generated(pieces) if kind == "chunked" else path.open("rb")
        headers = {"content-type": "application/json", "x-askonce-ttl": "30"}
        with askonce.caching(store, domains=[discarding]):
            tracemalloc.start()
            try:
                async with session.post(discarding + CHAT, data=body, headers=headers) as answer:
                    assert [length, False] == await answer.json()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak < 50 << 20  # the pieces themselves were there before

    asking(story)


# --- Codings ----------------------------------------------------------------------------------------------------


def test_a_compressed_answer_suits_whoever_reads_it(provider: LocalProvider) -> None:
    """What httpx2 recorded as gzip aiohttp gets plain, or raw where it would; what aiohttp records suits all."""
    provider.gzip = True
    with httpx2.Client(headers=HEADERS) as client:
        text = client.post(provider.url + CHAT, json=chat(stream=True)).text
        other = [client.post(provider.url + CHAT, json=chat("raw")).text]

        async def story(session: aiohttp.ClientSession) -> None:
            for accepted in ("gzip, deflate", "identity"):
                headers = {"accept-encoding": accepted}
                async with session.post(provider.url + CHAT, json=chat(stream=True), headers=headers) as answer:
                    assert text == await answer.text()
                    assert ("gzip" if "gzip" in accepted else None) == answer.headers.get("content-encoding")
            async with session.post(provider.url + CHAT, json=chat("raw"), auto_decompress=False) as answer:
                assert (await answer.read()).startswith(b"\x1f\x8b")
            async with session.post(provider.url + CHAT, json=chat("new")) as answer:
                other.append(await answer.text())
            async with session.post(provider.url + CHAT, json=chat("new raw"), auto_decompress=False) as answer:
                assert (await answer.read()).startswith(b"\x1f\x8b")

        asking(story)
        assert other[1] == client.post(provider.url + CHAT, json=chat("new")).text
        assert "new raw" in client.post(provider.url + CHAT, json=chat("new raw")).text
    assert 4 == provider.count()


def test_codings_are_asked_for_where_nothing_is_recorded(provider: LocalProvider) -> None:
    """A call that is recorded asks for a plain answer; one that is not asks as it would without us."""

    async def story(session: aiohttp.ClientSession) -> None:
        for mode in ("record", "off", "replay"):
            async with session.post(
                provider.url + CHAT, json=chat(mode), headers={"x-askonce-mode": mode}
            ) as answer:
                assert mode in await answer.text()

    provider.gzip = True
    asking(story)
    wanted = [received.header("accept-encoding") for received in provider.received]
    assert "identity" == wanted[0]
    assert all("gzip" in str(one) for one in wanted[1:])


# --- What is not ours -------------------------------------------------------------------------------------------


def test_foreign_hosts_and_paths_are_left_alone(provider: LocalProvider, redirector: str) -> None:
    """Other hosts, and paths that are not generation, are asked each time; a control leaves no request."""

    async def story(session: aiohttp.ClientSession) -> None:
        for _ in range(2):
            async with session.get(f"{provider.url}/v1/models", headers={"x-askonce-partition": "ada"}) as answer:
                assert 200 == answer.status
            async with session.post(f"{redirector}/200", json=chat()) as answer:
                assert 200 == answer.status

    asking(story)
    assert [None] * 2 == [received.header("x-askonce-partition") for received in provider.received]
    assert askonce.Stats() == askonce.stats()


# --- Together ---------------------------------------------------------------------------------------------------


def test_libraries_share_what_is_recorded(provider: LocalProvider) -> None:
    """What aiohttp recorded answers httpx2, and the other way around."""
    bodies = []

    async def story(session: aiohttp.ClientSession) -> None:
        bodies.append(await (await session.post(provider.url + CHAT, json=chat())).read())
        async with httpx2.AsyncClient(headers=HEADERS) as client:
            bodies.append((await client.post(provider.url + CHAT, json=chat())).content)
            bodies.append((await client.post(provider.url + CHAT, json=chat("b"))).content)
        bodies.append(await (await session.post(provider.url + CHAT, json=chat("b"))).read())

    asking(story)
    assert bodies[0] == bodies[1] != bodies[2] == bodies[3]
    assert 2 == provider.count()


@pytest.mark.parametrize("mode", ["record", "offline"])
def test_a_client_of_openai_over_aiohttp(provider: LocalProvider, mode: str) -> None:
    """The SDK's own aiohttp transport is caught; offline its error has our words at once."""

    async def main() -> None:
        async with openai.AsyncOpenAI(
            base_url=f"{provider.url}/v1", api_key=KEY, http_client=openai.DefaultAioHttpClient()
        ) as client:
            question: Any = {"model": "gpt-local", "messages": [{"role": "user", "content": "Over aiohttp?"}]}
            if mode == "offline":
                with pytest.raises(openai.NotFoundError, match="askonce is offline"):
                    await client.chat.completions.create(**question)
                return
            assert await client.chat.completions.create(**question) == await client.chat.completions.create(
                **question
            )
            parts = [
                [part async for part in await client.chat.completions.create(**question, stream=True)]
                for _ in range(2)
            ]
            assert parts[0] == parts[1]

    with askonce.options(mode=mode):  # type: ignore[arg-type]
        asyncio.run(main())
    assert (2 if mode == "record" else 0) == provider.count()


@pytest.mark.parametrize("release", ["aiohttp3.12", "aiohttp3.13"])
def test_older_releases(provider: LocalProvider, store: Path, release: str) -> None:
    """The oldest release that takes middlewares, and the one before the current, are caught."""
    path = LEGACY / release
    if not path.is_dir():
        pytest.skip(f"{path} is missing: `make test` makes it")
    program = """
        import asyncio, sys, aiohttp, askonce
        url, store, release = sys.argv[1:]
        assert aiohttp.__version__.startswith(release.removeprefix("aiohttp")), aiohttp.__version__

        async def main():
            headers = {"authorization": "Bearer key"}
            async with aiohttp.ClientSession(headers=headers) as session:
                for stream in (False, True):
                    question = {"role": "user", "content": "Hi"}
                    body = {"model": "gpt-local", "messages": [question], "stream": stream}
                    seen = set()
                    for _ in range(2):
                        async with session.post(url + "/v1/chat/completions", json=body) as answer:
                            assert answer.status == 200
                            seen.add(tuple([piece async for piece in answer.content.iter_chunks()]))
                        seen.add(await whole(session, url, body))
                    assert len(seen) == 2, seen
                assert not session.connector._acquired

        async def whole(session, url, body):
            async with session.post(url + "/v1/chat/completions", json=body) as answer:
                return await answer.text()

        with askonce.caching(store, domains=[url]):
            asyncio.run(main())
            print(askonce.stats().misses, askonce.stats().hits)
    """
    provider.pace = 0.005
    assert "2 6\n" == run(program, provider.url, store, release, path=path)
    assert 2 == provider.count()
