"""Streams that are read to their end, and that are not: what is kept, what is let go, what the caller sees."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

import askonce
from askonce._engine import aio, sync
from askonce._engine.cache import Cache
from askonce.testing import Fault, LocalProvider
from tests.engine.stepped import Stepped, until
from tests.rig import CHAT, KEY, Rig, chat

MESSAGES: list[Any] = [{"role": "user", "content": "Say something."}]


@asynccontextmanager
async def streaming(rig: Rig, provider: Stepped) -> AsyncIterator[Any]:
    """Give a client and its open stream."""
    async with rig.client(verify=False) as client:
        request = client.native.build_request("POST", provider.url + CHAT, json=chat(stream=True))
        response = await client.send(request, stream=True)
        yield client, response


async def pull(chunks: Any) -> Any:
    """Read one chunk; None at the end."""
    return await anext(chunks, None) if hasattr(chunks, "__anext__") else next(chunks, None)


def raw(response: Any, rig: Rig) -> Any:
    """Iterate over the raw bytes."""
    return response.aiter_raw() if rig.is_async else response.iter_raw()


async def close(response: Any, rig: Rig) -> None:
    """Close a response."""
    if rig.is_async:
        await response.aclose()
    else:
        response.close()


def in_use(client: Any) -> bool:
    """Tell whether the client's pool has a connection in use."""
    return "1 active" in repr(client.native._transport._pool)


# --- While it comes -----------------------------------------------------------------------------------------


async def test_each_chunk_comes_when_it_is_sent(cache: Cache, provider: Stepped, rig: Rig) -> None:
    """The first chunk, and each further one, reaches the caller while the provider has not sent the next."""
    provider.hold(1)
    async with streaming(rig, provider) as (client, response):
        chunks = raw(response, rig)
        for _ in range(3):
            assert b"data: " in await pull(chunks)
            until(lambda: provider.is_waiting)
            provider.step()
        provider.release()
        while await pull(chunks) is not None:
            pass
        assert not in_use(client)
    assert (1, 1) == (provider.count(), cache.stats.recorded)


async def test_a_chunk_comes_before_it_is_kept(
    cache: Cache, provider: Stepped, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written before the caller has had the last event."""
    seen: list[bytes] = []
    kept: list[bytes] = []
    add = cache.guard.storage.add

    def noting(*given: Any, **named: Any) -> bool:
        kept.append(b"".join(seen))
        return add(*given, **named)

    monkeypatch.setattr(cache.guard.storage, "add", noting)
    async with streaming(rig, provider) as (_, response):
        chunks = raw(response, rig)
        while (piece := await pull(chunks)) is not None:
            seen.append(piece)
    assert [b"".join(seen)] == kept


async def test_boundaries_are_kept(cache: Cache, provider: Stepped, rig: Rig) -> None:
    """A replay has the chunks of the recording, one by one."""
    heard = []
    provider.pace = 0.005  # or the network joins some
    for _ in range(2):
        pieces = []
        async with streaming(rig, provider) as (_, response):
            chunks = raw(response, rig)
            while (piece := await pull(chunks)) is not None:
                pieces.append(piece)
        heard.append(pieces)
    assert heard[0] == heard[1]
    assert len(heard[0]) > 5
    assert 1 == provider.count()


# --- Early ends ---------------------------------------------------------------------------------------------


class Oops(Exception):
    """The caller's own trouble."""


async def _close(response: Any, chunks: Any, rig: Rig) -> None:
    await pull(chunks)
    await close(response, rig)


async def _leave_context(response: Any, chunks: Any, rig: Rig) -> None:
    if rig.is_async:
        async with response.stream if hasattr(response.stream, "__aenter__") else _closing(response):
            await pull(chunks)
    else:
        with _Closing(response):
            await pull(chunks)


class _Closing:
    def __init__(self, response: Any) -> None:
        self.response = response

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.response.close()


@asynccontextmanager
async def _closing(response: Any) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await response.aclose()


async def _close_generator(response: Any, chunks: Any, rig: Rig) -> None:
    await pull(chunks)
    await chunks.aclose() if rig.is_async else chunks.close()
    await close(response, rig)


async def _raise(response: Any, chunks: Any, rig: Rig) -> None:
    try:
        async with _closing(response) if rig.is_async else _sync_closing(response):
            await pull(chunks)
            raise Oops
    except Oops:
        pass


@asynccontextmanager
async def _sync_closing(response: Any) -> AsyncIterator[None]:
    with _Closing(response):
        yield


async def _never_read(response: Any, chunks: Any, rig: Rig) -> None:
    await close(response, rig)


@pytest.mark.parametrize("end", [_close, _leave_context, _close_generator, _raise, _never_read])
async def test_an_early_end(cache: Cache, provider: Stepped, rig: Rig, end: Callable[..., Any]) -> None:
    """Of a stream closed in the middle nothing is kept, its connection is let go of, and the next call asks."""
    provider.hold(2)
    async with streaming(rig, provider) as (client, response):
        await end(response, raw(response, rig), rig)
        assert not in_use(client)
        assert 0 == len(cache.flights)
        provider.release()
        again = await client.post(provider.url + CHAT, json=chat(stream=True))
        assert again.content.endswith(b"[DONE]\n\n")
    assert (2, 1) == (provider.count(), cache.stats.recorded)


async def test_a_stream_is_dropped(cache: Cache, provider: Stepped, rig: Rig) -> None:
    """Of a stream that is forgotten in the middle, unclosed, nothing is kept, and its connection is let go of."""
    provider.hold(2)
    async with rig.client(verify=False) as client:
        request = client.native.build_request("POST", provider.url + CHAT, json=chat(stream=True))
        response = await client.send(request, stream=True)
        chunks = raw(response, rig)
        await pull(chunks)
        del request, response, chunks
        for _ in range(100):
            gc.collect()  # again: some of what is in the way ends in the loop
            if not len(cache.flights) and not in_use(client):
                break
            await asyncio.sleep(0.01) if rig.is_async else time.sleep(0.01)
        provider.release()
    assert (0, 0) == (len(cache.flights), cache.stats.recorded)


@pytest.mark.parametrize("how", ["cancel", "timeout"])
@pytest.mark.parametrize("where", ["in a read", "between reads"])
def test_a_task_is_cancelled(cache: Cache, provider: Stepped, how: str, where: str) -> None:
    """A cancelled task ends at once; nothing is kept, and neither a connection nor a task is left."""

    async def ask(client: Any) -> None:
        async with client.stream("POST", provider.url + CHAT, json=chat(stream=True)) as response:
            async for _ in response.aiter_raw():
                if where == "between reads":
                    await asyncio.sleep(60)

    async def main() -> None:
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {KEY}"}, verify=False) as client:
            provider.hold(2)
            if how == "timeout":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await ask(client)
            else:
                task = asyncio.create_task(ask(client))
                await asyncio.sleep(0.1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await asyncio.sleep(0.01)  # the library's own generators are finalized in the loop
            assert {asyncio.current_task()} == asyncio.all_tasks()
            assert "1 active" not in repr(client._transport._pool)  # type: ignore[attr-defined]
            assert 0 == len(cache.flights)
            provider.release()
            await client.post(provider.url + CHAT, json=chat(stream=True))

    asyncio.run(main())
    assert (2, 1) == (provider.count(), cache.stats.recorded)


def test_a_cancel_at_the_last_moment_does_not_wait(cache: Cache, provider: Stepped) -> None:
    """A task that is cancelled when only the tail is missing ends at once, too."""

    async def ask(client: Any) -> None:
        async with client.stream("POST", provider.url + CHAT, json=chat(stream=True)) as response:
            async for piece in response.aiter_raw():
                if b'"finish_reason":"stop"' in piece:
                    reached.set()
                    await asyncio.sleep(60)

    async def main() -> None:
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {KEY}"}, verify=False) as client:
            provider.fail_next(Fault.STALL(after_chunks=10**6, seconds=30))
            task = asyncio.create_task(ask(client))
            await reached.wait()
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 0.5

    reached = asyncio.Event()
    asyncio.run(main())
    assert 0 == cache.stats.recorded


# --- Ends that the SDKs make --------------------------------------------------------------------------------


def openai_client(provider: LocalProvider, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(api_key=KEY, base_url=f"{provider.url}/v1", **{"max_retries": 0, **options})


def async_openai_client(provider: LocalProvider, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url=f"{provider.url}/v1", **{"max_retries": 0, **options})


def test_the_sdk_stops_at_done(cache: Cache, provider: Stepped) -> None:
    """The SDK stops reading at `[DONE]`, before the end of the body: the answer is complete, and kept at once."""
    with openai_client(provider) as client:
        first = [
            part.model_dump()
            for part in client.chat.completions.create(model="gpt-local", messages=MESSAGES, stream=True)
        ]
        assert 1 == cache.stats.recorded
        provider.stop()
        again = [
            part.model_dump()
            for part in client.chat.completions.create(model="gpt-local", messages=MESSAGES, stream=True)
        ]
    assert first == again


def finishes(part: Any) -> bool:
    """Tell whether this is the event after which impatient programs stop."""
    if getattr(part, "type", None) == "message_delta":
        return True
    return bool(getattr(part, "choices", None) and part.choices[0].finish_reason)


def open_stream(client: Any) -> Any:
    """Ask for a stream, whose usage comes after the model has finished."""
    if isinstance(client, anthropic.Anthropic | anthropic.AsyncAnthropic):
        return client.messages.create(model="claude-local", max_tokens=9, messages=MESSAGES, stream=True)
    return client.chat.completions.create(
        model="gpt-local", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )


def sync_client(provider: LocalProvider, sdk: str) -> Any:
    if sdk == "openai":
        return openai_client(provider)
    return anthropic.Anthropic(api_key=KEY, base_url=provider.url, max_retries=0)


def async_client(provider: LocalProvider, sdk: str) -> Any:
    if sdk == "openai":
        return async_openai_client(provider)
    return anthropic.AsyncAnthropic(api_key=KEY, base_url=provider.url, max_retries=0)


@pytest.mark.parametrize("stalls", [False, True], ids=["tail comes", "tail stalls"])
@pytest.mark.parametrize("how", ["close", "drop"])
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_stopping_one_event_early(
    cache: Cache, provider: Stepped, sdk: str, how: str, stalls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that stops where the model has finished, before the last event, has its answer kept whole.

    The tail is fetched for a bounded time; if it does not come, nothing is kept.
    """
    monkeypatch.setattr(sync, "DRAIN_SECONDS", 0.3)
    provider.pace = 0.01
    if stalls:
        provider.fail_next(Fault.STALL(after_chunks=10**6, seconds=30))
    with sync_client(provider, sdk) as client:
        stream = open_stream(client)
        for part in stream:
            if finishes(part):
                break
        began = time.monotonic()
        if how == "close":
            stream.close()
        else:
            del stream
            gc.collect()
        assert time.monotonic() - began < 1
        until(lambda: len(cache.flights) == 0, 2)
        assert (0 if stalls else 1) == cache.stats.recorded
        if not stalls:
            assert b"usage" in askonce_body(cache)
            parts = list(open_stream(client))
            assert 1 == provider.count()
            assert parts[-1].type == "message_stop" if sdk == "anthropic" else parts[-1].usage is not None


def askonce_body(cache: Cache) -> bytes:
    """Return the body of the one answer that is kept."""
    [entry] = cache.guard.storage.entries()
    return entry.takes[0].answer.body


@pytest.mark.parametrize("stalls", [False, True], ids=["tail comes", "tail stalls"])
@pytest.mark.parametrize("how", ["close", "drop", "hold", "end"])
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_stopping_one_event_early_in_a_task(
    cache: Cache, provider: Stepped, sdk: str, how: str, stalls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same in an event loop: closed, dropped, held on to, or left when the loop ends."""
    monkeypatch.setattr(aio, "DRAIN_SECONDS", 0.3)
    provider.pace = 0.01
    if stalls:
        provider.fail_next(Fault.STALL(after_chunks=10**6, seconds=30))
    held: list[Any] = []

    async def main() -> None:
        client = async_client(provider, sdk)
        stream = await open_stream(client)
        async for part in stream:
            if finishes(part):
                break
        if how == "close":
            began = time.monotonic()
            await stream.close()
            assert time.monotonic() - began < 1
        elif how == "drop":
            del stream
            await asyncio.sleep(0.01)  # what iterated over it is finalized in the loop
            gc.collect()
            await asyncio.sleep(0.7)
        elif how == "hold":
            await asyncio.sleep(0.9)
        if how == "end":
            held.extend([client, stream])
        else:
            assert (0 if stalls else 1) == cache.stats.recorded
            if not (stalls and how == "hold"):  # a stream that is held on to may still be read
                assert {asyncio.current_task()} == asyncio.all_tasks()
            await client.close()

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 3
    assert (0 if stalls else 1) == cache.stats.recorded
    held.clear()
    gc.collect()
    if not stalls:
        with sync_client(provider, sdk) as client:
            parts = list(open_stream(client))
        assert 1 == provider.count()
        assert parts[-1].type == "message_stop" if sdk == "anthropic" else parts[-1].usage is not None


def test_who_asks_during_the_tail_joins(cache: Cache, provider: Stepped) -> None:
    """An identical call, made while the tail of an abandoned answer is fetched, shares that answer."""
    provider.pace = 0.01
    provider.fail_next(Fault.STALL(after_chunks=10**6, seconds=0.4))
    with sync_client(provider, "anthropic") as client:
        stream = open_stream(client)
        for part in stream:
            if finishes(part):
                break
        threading.Thread(target=stream.close).start()
        time.sleep(0.1)
        assert "message_stop" == list(open_stream(client))[-1].type
    assert (1, 1) == (provider.count(), cache.stats.recorded)


# --- Broken answers -----------------------------------------------------------------------------------------

FAULTS = {
    "cut": Fault.CUT(),
    "cut at once": Fault.CUT(0),
    "error event": Fault.ERROR_EVENT(),
    "early end": Fault.EOF_EARLY(),
    "not JSON": Fault.NOT_JSON,
    "empty": Fault.EMPTY,
    "HTML": Fault.HTML,
    "status 400": Fault.STATUS(400),
    "status 529": Fault.STATUS(529),
}


def seen_of(ask: Callable[[], Any]) -> tuple[list[str], str]:
    """Return what a program sees: its pieces, and what it ends with. Numbers differ between answers."""
    pieces: list[str] = []
    try:
        for piece in ask():
            pieces.append(repr(piece))
        end = "end"
    except Exception as error:  # whatever it is, it has to be the same
        end = f"{type(error).__module__}.{type(error).__qualname__}: {error} from {error.__cause__!r}"
    return [re.sub(r"[0-9a-f]{6,}|\d+", "N", piece) for piece in pieces], re.sub(r"\d+", "N", end)


def ask_openai(provider: LocalProvider, stream: bool) -> Any:
    with openai_client(provider) as client:
        answer = client.chat.completions.create(model="gpt-local", messages=MESSAGES, stream=stream)
        if stream:
            yield from answer
        else:
            yield answer


def ask_async_openai(provider: LocalProvider, stream: bool) -> Any:
    async def run() -> None:
        async with async_openai_client(provider) as client:
            answer: Any = await client.chat.completions.create(model="gpt-local", messages=MESSAGES, stream=stream)
            if stream:
                async for part in answer:
                    heard.append(part)
            else:
                heard.append(answer)

    heard: list[Any] = []
    try:
        asyncio.run(run())
    finally:
        yield from heard  # before the error, as the program heard it


def ask_httpx(provider: LocalProvider, stream: bool) -> Any:
    with (
        httpx2.Client(headers={"authorization": f"Bearer {KEY}"}, verify=False) as client,
        client.stream("POST", provider.url + CHAT, json=chat(stream=stream)) as response,
    ):
        yield response.status_code
        yield from response.iter_lines()


@pytest.mark.parametrize("ask", [ask_openai, ask_async_openai, ask_httpx])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_broken_answers(provider: Stepped, store: Path, ask: Callable[..., Any], stream: bool, fault: Any) -> None:
    """What breaks looks to the caller as it does without us, exceptions included, and is not kept."""
    provider.pace = 0.005  # or the network joins chunks at will
    provider.fail_next(fault)
    bare = seen_of(lambda: ask(provider, stream))
    with askonce.caching(store, domains=[provider.url]) as cache:
        provider.fail_next(fault)
        assert bare == seen_of(lambda: ask(provider, stream))
        assert 0 == cache.stats.recorded
        assert 0 == len(cache.flights)
        assert "end" == seen_of(lambda: ask(provider, stream))[1]
        assert 1 == cache.stats.recorded
        assert 3 == provider.count()
    gc.collect()


@pytest.mark.parametrize("status", [408, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_retries_of_the_sdk(cache: Cache, provider: Stepped, is_async: bool, stream: bool, status: int) -> None:
    """The SDK retries above us: the error is not kept, the answer after it is, and a replay gives that answer."""

    def ask() -> list[Any]:
        with openai_client(provider, max_retries=2) as client:
            answer: Any = client.chat.completions.create(model="gpt-local", messages=MESSAGES, stream=stream)
            return [part.model_dump() for part in answer] if stream else [answer.model_dump()]

    async def ask_async() -> list[Any]:
        async with async_openai_client(provider, max_retries=2) as client:
            answer: Any = await client.chat.completions.create(model="gpt-local", messages=MESSAGES, stream=stream)
            return [part.model_dump() async for part in answer] if stream else [answer.model_dump()]

    provider.fail_next(Fault.STATUS(status))
    answers = [asyncio.run(ask_async()) if is_async else ask() for _ in range(2)]
    assert answers[0] == answers[1]
    assert (2, 1) == (provider.count(), cache.stats.recorded)
