"""What cachy does wrong, one test a fault, each named after it: none of them is ours."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import pytest

import askonce
from askonce._core.entry import Question, Take
from askonce._core.messages import Answer, Chunk, Head, Headers
from askonce.testing import Fault, LocalProvider
from tests.intercept.processes import run
from tests.rig import CHAT, KEY, Rig, chat, each


@pytest.fixture
def enabled(provider: LocalProvider, store: Path) -> askonce.Cache:
    """Cache what goes to the local provider."""
    return askonce.enable(store, domains=[provider.url])


pytestmark = pytest.mark.usefixtures("enabled")


def entries(store: Path) -> list[askonce.Entry]:
    """Return what is in a store."""
    storage = askonce.open_storage(str(store))
    try:
        return list(storage.entries())
    finally:
        storage.close()


async def test_a_32_bit_key(rig: Rig, provider: LocalProvider, store: Path) -> None:
    """The key is 256 bits, compared whole: two questions whose digests begin alike are two entries."""
    async with rig.client() as client:
        await client.post(provider.url + CHAT, json=chat())
    (entry,) = entries(store)
    key = entry.question.key
    assert 32 == len(key)
    near = key[:31] + bytes([key[31] ^ 1])
    storage = askonce.open_storage(str(store))
    assert () == storage.takes(near)
    assert 1 == len(storage.takes(key))
    storage.close()


async def test_deadbeef_is_not_cafebabe(rig: Rig, provider: LocalProvider) -> None:
    """Addresses, line numbers, temporary paths and the like are part of a question."""
    pairs = [
        ("what is 0xDEADBEEF", "what is 0xCAFEBABE"),
        ("error at line 7, in main", "error at line 8, in main"),
        ("read /tmp/tmpabc", "read /tmp/tmpdef"),
        ("see /ipykernel_1/2.py", "see /ipykernel_3/4.py"),
        ("What?", "What? "),
        ("What?", "what?"),
    ]
    async with rig.client() as client:
        for pair in pairs:
            one, two = [await client.post(provider.url + CHAT, json=chat(content)) for content in pair]
            assert one.content != two.content
    assert 11 == provider.count()


async def test_method_and_headers_are_in_the_key(rig: Rig, provider: LocalProvider) -> None:
    """Another method, or a header that changes the answer, makes another question; one that does not, does not."""
    url = provider.url + CHAT
    async with rig.client() as client:
        first = await client.post(url, json=chat())
        for headers in (
            {"openai-beta": "a"},
            {"openai-beta": "b"},
            {"anthropic-version": "2"},
            {"x-unknown": "1"},
        ):
            assert first.content != (await client.post(url, json=chat(), headers=headers)).content
        for headers in ({"user-agent": "me"}, {"x-stainless-retry-count": "1"}, {"traceparent": "00-1-2-01"}):
            assert first.content == (await client.post(url, json=chat(), headers=headers)).content
        put = await client.request("PUT", url, json=chat())
    assert 404 == put.status_code
    assert 6 == provider.count()


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault.STATUS(code) for code in (400, 401, 403, 404, 429, 500, 529)),
        Fault.EMPTY,
        Fault.HTML,
        Fault.NOT_JSON,
        Fault.ERROR_EVENT(),
    ],
    ids=str,
)
async def test_errors_and_empty_answers_are_not_kept(
    rig: Rig, provider: LocalProvider, store: Path, fault: Any
) -> None:
    """An error, an empty 200, a page of HTML, half a JSON: each is given as it came, once, and not kept."""
    provider.fail_next(fault)
    async with rig.client() as client:
        wrong = await client.post(provider.url + CHAT, json=chat())
        right = await client.post(provider.url + CHAT, json=chat())
        again = await client.post(provider.url + CHAT, json=chat())
    assert wrong.content != right.content == again.content
    assert 200 == right.status_code
    assert 2 == provider.count()
    assert [1] == [len(entry.takes) for entry in entries(store)]


async def test_a_get_after_a_delete_gets_its_own_answer(rig: Rig, provider: LocalProvider) -> None:
    """Files are state: uploaded, read, deleted and looked for again, each answer is the provider's own."""
    url = provider.url + "/v1/files"
    async with rig.client() as client:
        sent = await client.post(url, files={"file": ("a.jsonl", b"{}")}, data={"purpose": "batch"})
        one = f"{url}/{sent.json()['id']}"
        assert sent.json() == (await client.request("GET", one)).json()
        assert (await client.request("DELETE", one)).json()["deleted"]
        assert 404 == (await client.request("GET", one)).status_code
        batch = (await client.post(provider.url + "/v1/batches", json={"input_file_id": "f"})).json()["id"]
        polled = [(await client.request("GET", f"{provider.url}/v1/batches/{batch}")).json() for _ in range(4)]
    assert ["validating", "in_progress", "finalizing", "completed"] == [one["status"] for one in polled]


async def test_a_miss_streams_as_it_comes(rig: Rig, provider: LocalProvider) -> None:
    """The first chunk of a miss reaches the caller when the provider sends it, long before the last."""
    provider.pace = 0.05
    times = []
    async with rig.client() as client:
        began = time.monotonic()
        async with client.stream("POST", provider.url + CHAT, json=chat(stream=True)) as answer:
            async for _ in each(answer, "raw"):
                times.append(time.monotonic() - began)
    assert len(times) > 8
    assert times[0] < times[-1] / 3
    assert times[-1] > 8 * provider.pace * 0.9


async def test_a_hit_is_the_miss(rig: Rig, provider: LocalProvider) -> None:
    """Nothing is pruned from an answer: bytes, status, reason, version and headers that matter are the same."""
    bodies = [chat(), chat(stream=True), chat("Tools?", tools=[{"type": "function", "function": {"name": "f"}}])]
    async with rig.client() as client:
        for body in bodies:
            miss, hit = [await client.post(provider.url + CHAT, json=body) for _ in range(2)]
            assert miss.content == hit.content
            assert (miss.status_code, miss.reason_phrase, miss.http_version) == (
                hit.status_code, hit.reason_phrase, hit.http_version
            )  # fmt: skip
            for name in (
                "content-type",
                "x-request-id",
                "openai-processing-ms",
                "date",
                "openai-version",
                "cf-ray",
            ):
                assert miss.headers[name] == hit.headers[name]
    assert len(bodies) == provider.count()


async def test_cookies_accounts_and_limits_are_not_kept(rig: Rig, provider: LocalProvider, store: Path) -> None:
    """A stored answer has no cookie, no organization and no rate limit; the caller who asked had them all."""
    async with rig.client() as client:
        asked = await client.post(provider.url + CHAT, json=chat())
    ((take,),) = [entry.takes for entry in entries(store)]
    kept = {name.decode().lower() for name, _ in take.answer.head.headers}
    gone = set(asked.headers) - kept
    assert {"set-cookie", "openai-organization", "x-ratelimit-remaining-tokens"} <= gone
    assert all("ratelimit" in name or name in ("set-cookie", "openai-organization") for name in gone)


def filled(path: Path, count: int) -> Question:
    """Make a store of so many entries; return the last one's question."""
    storage = askonce.open_storage(str(path), memory=0)
    head = json.dumps({"method": "POST", "url": "https://llm.example/v1", "partition": "", "headers": []}).encode()
    answer = Answer(Head(200, Headers(())), 0.1, (Chunk(b"x" * 500, 0.2),))
    for number in range(count):
        question = Question(number.to_bytes(32), head, b'{"n":%d}' % number, "p", "chat", "m", "")
        storage.add(question, Take(answer, 1.0))
    storage.close()
    return question


def test_a_look_up_does_not_scan(tmp_path: Path) -> None:
    """A look-up in a store of 5,000 entries costs what it costs in one of 50, and so does a write."""
    costs = []
    for count in (50, 5000):
        path = tmp_path / f"{count}.db"
        question = filled(path, count)
        storage = askonce.open_storage(str(path), memory=0)
        reads = [timed(storage.takes, question.key) for _ in range(200)]
        plan = explained(path)
        storage.close()
        costs.append(median(reads))
        assert all("SCAN" not in step for step in plan), plan
    assert costs[1] < 4 * costs[0] + 1e-4


def timed(action: Any, *given: Any) -> float:
    """Return the seconds of CPU that an action costs this thread."""
    began = time.thread_time()
    action(*given)
    return time.thread_time() - began


def explained(path: Path) -> list[str]:
    """Return SQLite's plan for the look-up of a key."""
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "EXPLAIN QUERY PLAN "
            "SELECT t.answer FROM takes t JOIN questions q ON t.question = q.id WHERE q.key = ?",
            (b"",),
        )
        return [row[3] for row in rows]


@pytest.mark.parametrize("kind", ["BLOB", "TEXT"])
async def test_one_damaged_row_costs_that_row_alone(
    rig: Rig, provider: LocalProvider, store: Path, kind: str
) -> None:
    """Where an answer's bytes have been damaged it is asked for again and mended; the others answer as before."""
    async with rig.client() as client:
        first, second = [await client.post(provider.url + CHAT, json=chat(one)) for one in ("one", "two")]
        askonce.disable()
        with closing(sqlite3.connect(store)) as db:
            db.execute(
                "UPDATE takes SET answer = "
                f"CAST(substr(answer, 1, length(answer) - 9) || X'64616d6167656421ff' AS {kind}) WHERE id = 1"
            )
            db.commit()
        askonce.enable(store, domains=[provider.url])
        assert second.content == (await client.post(provider.url + CHAT, json=chat("two"))).content
        mended = await client.post(provider.url + CHAT, json=chat("one"))
        assert first.content != mended.content
        assert b"damaged!" not in mended.content
        assert mended.content == (await client.post(provider.url + CHAT, json=chat("one"))).content
    assert 3 == provider.count()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_eight_identical_calls_make_one_request(provider: LocalProvider, kind: str, stream: bool) -> None:
    """Eight threads, or eight tasks, that ask the same at once make one request and get the same bytes."""
    provider.latency = 0.2
    body = chat(stream=stream)
    headers = {"authorization": f"Bearer {KEY}"}
    if kind == "threads":
        barrier = threading.Barrier(8)

        def ask() -> bytes:
            with httpx2.Client(headers=headers, timeout=20) as client:
                barrier.wait(10)
                return bytes(client.post(provider.url + CHAT, json=body).content)

        with ThreadPoolExecutor(8) as pool:
            answers = [future.result() for future in [pool.submit(ask) for _ in range(8)]]
    else:

        async def ask_all() -> list[bytes]:
            async with httpx2.AsyncClient(headers=headers, timeout=20) as client:
                calls = [client.post(provider.url + CHAT, json=body) for _ in range(8)]
                return [answer.content for answer in await asyncio.gather(*calls)]

        answers = asyncio.run(ask_all())
    assert 1 == provider.count()
    assert 1 == len(set(answers))
    assert (1, 7) == (askonce.stats().recorded, askonce.stats().shared)


async def test_hooks_fire_elapsed_is_told_and_a_closed_client_is_closed(rig: Rig, provider: LocalProvider) -> None:
    """On a hit the event hooks fire and `elapsed` is known; a closed client raises."""
    seen: list[str] = []
    hooks: dict[str, Any] = {
        "request": [rig.hook(lambda _: seen.append("request"))],
        "response": [rig.hook(lambda _: seen.append("response"))],
    }
    async with rig.client(event_hooks=hooks) as client:
        await client.post(provider.url + CHAT, json=chat())
        hit = await client.post(provider.url + CHAT, json=chat())
    assert ["request", "response"] * 2 == seen
    assert hit.elapsed.total_seconds() >= 0
    with pytest.raises(RuntimeError, match="closed"):
        await client.post(provider.url + CHAT, json=chat())


def test_it_works_without_what_windows_lacks(provider: LocalProvider, tmp_path: Path) -> None:
    """Without fcntl, fork, register_at_fork and the like, all works: recording, replay, command line."""
    program = """
        import os, sys
        for name in ("fcntl", "pwd", "grp", "resource", "termios"):
            sys.modules[name] = None
        for name in ("fork", "forkpty", "register_at_fork", "getuid", "geteuid", "fchmod"):
            if hasattr(os, name):
                delattr(os, name)
        import askonce, httpx2
        url, store = sys.argv[1:]
        for mode in ("record", "offline"):
            with askonce.caching(store, mode=mode, domains=[url]):
                body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
                print(httpx2.post(url + "/v1/chat/completions", json=body, headers={"api-key": "k"}).json()["id"])
        from askonce.cli import main
        main(["ls", "--store", store, "--json"], standalone_mode=False)
    """
    first, second, *listed = run(program, provider.url, tmp_path / "windows.db").splitlines()
    assert first == second
    assert '"model"' in "".join(listed)
    assert 1 == provider.count()


async def test_there_is_a_time_to_live(rig: Rig, provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer can be given a time to live, by session and by call."""
    began, passed = time.time(), [0.0]
    monkeypatch.setattr("askonce._engine.cache.time.time", lambda: began + passed[0])
    headers = {"x-askonce-ttl": "90"}
    async with rig.client() as client:
        first = await client.post(provider.url + CHAT, json=chat(), headers=headers)
        passed[0] = 89
        assert first.content == (await client.post(provider.url + CHAT, json=chat(), headers=headers)).content
        passed[0] = 91
        assert first.content != (await client.post(provider.url + CHAT, json=chat(), headers=headers)).content


async def test_there_is_an_offline_mode(rig: Rig, provider: LocalProvider, store: Path) -> None:
    """With the provider gone, what is recorded is answered and the rest refused with what is nearest."""
    async with rig.client() as client:
        first = await client.post(provider.url + CHAT, json=chat())
        provider.stop()
        askonce.enable(store, domains=[provider.url], mode="offline")
        assert first.content == (await client.post(provider.url + CHAT, json=chat())).content
        refused = await client.post(provider.url + CHAT, json=chat("What is a cup?"))
    assert 404 == refused.status_code
    assert "false" == refused.headers["x-should-retry"]
    assert "messages[0].content: now" in refused.json()["error"]["message"]
