"""Crowds: each question is asked once, every answer is right, and nothing is left open."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

import askonce
from tests.engine.stepped import Stepped, until
from tests.rig import CHAT, KEY, chat

QUESTIONS = 20
CALLS = 4
HEADERS = {"authorization": f"Bearer {KEY}"}


def open_files() -> int:
    """Count this process's open file descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))


def orders(crowd: int) -> list[list[int]]:
    """Return what each of a crowd asks, in which order."""
    dice = random.Random(7)
    return [[dice.randrange(QUESTIONS) for _ in range(CALLS)] for _ in range(crowd)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
@pytest.mark.parametrize("kind", ["threads", "tasks"])
@pytest.mark.parametrize("where", ["file", "memory"])
def test_a_crowd(provider: Stepped, store: Path, kind: str, where: str) -> None:
    """Two hundred callers with twenty questions make twenty requests; afterwards no thread or file is left."""
    answers: dict[int, set[bytes]] = {}
    statuses: list[int] = []

    def note(number: int, answer: Any) -> None:
        statuses.append(answer.status_code)
        answers.setdefault(number, set()).add(answer.content)

    def question(number: int) -> dict[str, Any]:
        return chat(f"Question {number}?", stream=number % 2 == 0)

    def in_threads() -> None:
        def ask(client: httpx2.Client, order: list[int]) -> None:
            gate.wait()
            for number in order:
                note(number, client.post(provider.url + CHAT, json=question(number)))

        gate = threading.Barrier(200)
        with httpx2.Client(headers=HEADERS, timeout=60, verify=False) as client:
            threads = [threading.Thread(target=ask, args=(client, order)) for order in orders(200)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    async def in_tasks() -> None:
        async def ask(client: httpx2.AsyncClient, order: list[int]) -> None:
            for number in order:
                note(number, await client.post(provider.url + CHAT, json=question(number)))

        async with httpx2.AsyncClient(headers=HEADERS, timeout=60, verify=False) as client:
            await asyncio.gather(*(ask(client, order) for order in orders(200)))
            assert {asyncio.current_task()} == asyncio.all_tasks()

    provider.pace = 0.002
    gc.collect()
    files, threads = open_files(), threading.active_count()
    with askonce.caching("memory:" if where == "memory" else store, domains=[provider.url]) as cache:
        in_threads() if kind == "threads" else asyncio.run(in_tasks())
        until(lambda: len(cache.flights) == 0)
        stats = cache.stats
    assert [200] * (200 * CALLS) == statuses
    assert dict.fromkeys(range(QUESTIONS), 1) == {number: len(one) for number, one in answers.items()}
    assert QUESTIONS == provider.count()
    assert (QUESTIONS, QUESTIONS) == (stats.misses, stats.recorded)
    assert 200 * CALLS == stats.hits + stats.shared + stats.misses
    until(lambda: provider.open_connections == 0)
    gc.collect()
    assert (files, threads) == (open_files(), threading.active_count())
