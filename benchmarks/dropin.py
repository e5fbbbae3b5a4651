"""A hit through the drop-in costs at most 0.35 of the same SDK call over a transport that has the bytes in a dict.

Such a hit is answered inside `create()`, before the SDK transforms parameters and builds a request. Beside it
stands the drop-in without that: what the first hit of each question costs, and what a raw response costs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
import openai

import askonce.openai as dropin
from askonce._dropin import fast
from benchmarks import calls, stores
from benchmarks.figures import Check, Result, Scale, Spread, Table, number, ratios
from benchmarks.race import Run, Timed, cpu, race

TARGET = 0.35
SIZE = 1536  # numbers in a vector, as small models give them
_VECTOR = [((7 * n) % 2000 - 1000) / 1000 for n in range(SIZE)]
_CHAT: dict[str, Any] = calls.arguments(0, stream=False)
_EMBEDDING: dict[str, Any] = {"model": "text-embedding-3-small", "input": "When does the reading room open?"}
KINDS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda client: client.chat.completions.create(**_CHAT),
    "embedding": lambda client: client.embeddings.create(**_EMBEDDING),
    "embedding, as floats": lambda client: client.embeddings.create(**_EMBEDDING, encoding_format="float"),
}


def run(scale: Scale) -> Result:
    """Race every kind, sync and async."""
    checks: list[Check] = []
    rows: list[list[str]] = []
    for kind, ask in KINDS.items():
        for is_async in (False, True):
            found = _race(ask, scale, is_async=is_async)
            over = Spread.of(ratios(found["drop-in"], found["dict"]))
            name = f"{kind}, {'async' if is_async else 'sync'}"
            checks.append(Check(f"drop-in: {name}", over, TARGET, "×"))
            medians = [number(Spread.of(found[one]).median * 1e6) for one in ("dict", "the long way", "drop-in")]
            rows.append([name, *medians, over.show()])
    table = Table(
        "One hit through the drop-in, beside the SDK's own call answered from a dict",
        ["call", "dict (µs)", "drop-in, the long way (µs)", "drop-in (µs)", "ratio"],
        rows,
        f"CPU time of the calling thread, medians; a chat answer of 1.5 KB, a vector of {SIZE:,} numbers.",
    )
    return Result("dropin", str(__doc__).partition("\n")[0], checks, [table])


def _handler(request: httpx2.Request) -> httpx2.Response:
    if "embeddings" not in request.url.path:
        headers, chunks = calls.answer(0, stream=False)
        return httpx2.Response(200, headers=headers, content=b"".join(chunks))
    encoded = b'"base64"' in request.content
    vector: Any = base64.b64encode(struct.pack(f"<{SIZE}f", *_VECTOR)).decode() if encoded else _VECTOR
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    body = json.dumps({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage})
    headers = [*calls.HEADERS, (b"content-type", b"application/json")]
    return httpx2.Response(200, headers=headers, content=body.encode())


class _Canned:
    """Answers from a dict; what is in it was asked of `_handler` before."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], tuple[list[tuple[bytes, bytes]], bytes]] = {}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        name = request.url.path, request.content
        if name not in self._known:
            made = _handler(request)
            self._known[name] = made.headers.raw, made.content
        headers, content = self._known[name]
        return httpx2.Response(200, headers=headers, content=content)


def _race(ask: Callable[[Any], Any], scale: Scale, *, is_async: bool) -> dict[str, list[float]]:
    runner = asyncio.Runner()
    dropin.configure(stores.WORK / "dropin.db", mode="record")
    mock = httpx2.MockTransport(_Canned())
    http = httpx2.AsyncClient(transport=mock) if is_async else httpx2.Client(transport=mock)
    name = "AsyncOpenAI" if is_async else "OpenAI"
    theirs = getattr(openai, name)(api_key=calls.KEY, http_client=http)
    recorder = getattr(dropin, name)(api_key=calls.KEY, http_client=http)
    clients = {
        "dict": theirs,
        "the long way": getattr(dropin, name)(api_key=calls.KEY),
        "drop-in": getattr(dropin, name)(api_key=calls.KEY),
    }
    vars(clients["the long way"]).pop(fast.MEMO)

    async def ask_async(client: Any) -> Any:
        return await ask(client)

    def once(client: Any) -> Any:
        return runner.run(ask_async(client)) if is_async else ask(client)

    def asks(client: Any) -> Run:
        async def ask_all(numbers: Sequence[int]) -> None:
            for _ in numbers:
                await ask(client)

        def ask_each(numbers: Sequence[int]) -> None:
            for _ in numbers:
                ask(client)

        return (lambda numbers: runner.run(ask_all(numbers))) if is_async else ask_each

    expected = once(recorder)
    for client in clients.values():
        assert [expected] * 3 == [once(client) for _ in range(3)], "all give the same answer"
    contestants: dict[str, Timed] = {name: cpu(asks(client)) for name, client in clients.items()}
    rounds = [list(range(scale.of(50, 5)))] * (scale.of(30, 3) + 1)
    found = race(contestants, rounds, piece=5)
    for client in clients.values():
        if is_async:
            runner.run(client.close())
        else:
            client.close()
    runner.close()
    return found
