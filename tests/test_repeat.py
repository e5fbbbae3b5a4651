"""Several answers to one question: who has which, in which order, now and on the next run."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

import askonce
from askonce.testing import Fault, LocalProvider
from tests.rig import CHAT, KEY, Rig, chat
from tests.test_session import ask


def caching(provider: LocalProvider, store: Path, **settings: Any) -> Any:
    return askonce.caching(store, domains=[provider.url], **settings)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_sequence_is_replayed_in_order(
    provider: LocalProvider, store: Path, rig: Rig, stream: bool
) -> None:
    """The n-th identical call of a run has the n-th answer, on this run and on every other."""
    runs = []
    for mode in ("record", "record", "offline", "replay"):
        with caching(provider, store, mode=mode, repeat="sequence"):
            async with rig.client() as client:
                asked = [await client.post(provider.url + CHAT, json=chat(stream=stream)) for _ in range(3)]
            assert [200] * 3 == [answer.status_code for answer in asked]
            runs.append([answer.content for answer in asked])
    assert 3 == len(set(runs[0])) == provider.count()
    assert [runs[0]] * 4 == runs


def test_a_longer_run_asks_for_what_is_missing(provider: LocalProvider, store: Path) -> None:
    """What a run asks beyond the recorded sequence is asked, and recorded; offline it is refused."""
    with caching(provider, store, repeat="sequence"):
        first = [ask(provider), ask(provider)]
    with caching(provider, store, repeat="sequence"):
        assert first == [ask(provider), ask(provider)]
        third = ask(provider)
        assert third not in first
    with caching(provider, store, repeat="sequence", mode="offline"):
        assert [*first, third] == [ask(provider) for _ in range(3)]
        with pytest.raises(AssertionError, match=r"call 4 of this run .* 3 answers are recorded"):
            ask(provider)
    assert 3 == provider.count()


def test_an_sdks_retry_is_the_same_call(provider: LocalProvider, store: Path) -> None:
    """An error takes no turn: the retry after it records the answer that the call has on the next run."""
    texts = []
    for _ in range(2):
        with caching(provider, store, repeat="sequence"), client(provider) as sdk:
            provider.fail_next(Fault.STATUS(500))
            texts.append([say(sdk), say(sdk)])
    assert texts[0] == texts[1]
    assert 2 == len(set(texts[0]))
    assert 3 == provider.count()


def client(provider: LocalProvider) -> openai.OpenAI:
    return openai.OpenAI(api_key=KEY, base_url=f"{provider.url}/v1", max_retries=2)


def say(sdk: openai.OpenAI) -> str | None:
    message: Any = {"role": "user", "content": "One of several?"}
    return sdk.chat.completions.create(model="gpt-local", messages=[message]).choices[0].message.content


@pytest.mark.parametrize("workers", ["threads", "tasks"])
def test_a_crowd_in_sequence(provider: LocalProvider, store: Path, workers: str) -> None:
    """Identical calls at once have a turn each: none shares an answer, none is lost."""

    async def gather() -> list[bytes]:
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {KEY}"}, timeout=30) as one:
            answers = await asyncio.gather(*(one.post(provider.url + CHAT, json=chat()) for _ in range(8)))
            return [answer.content for answer in answers]

    def crowd() -> list[Any]:
        if workers == "tasks":
            return asyncio.run(gather())
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda _: ask(provider), range(8)))

    with caching(provider, store, repeat="sequence"):
        first = crowd()
    with caching(provider, store, repeat="sequence", mode="offline"):
        again = crowd()
    assert 8 == len(set(first)) == provider.count()
    assert Counter(first) == Counter(again)


def test_rotation(provider: LocalProvider, store: Path) -> None:
    """So many answers are collected, then they come round, in the order of recording."""
    with caching(provider, store, repeat="rotate", samples=3) as cache:
        recorded = [ask(provider) for _ in range(3)]
        assert recorded * 2 == [ask(provider) for _ in range(6)]
        assert (3, 6) == (cache.stats.misses, cache.stats.hits)
    with caching(provider, store, repeat="rotate", mode="offline"):
        assert recorded == [ask(provider) for _ in range(3)]
    assert 3 == len(set(recorded)) == provider.count()


def test_samples_is_no_part_of_the_question(provider: LocalProvider, store: Path) -> None:
    """Another number of answers is no other question, be it asked for by the session, a block or a request."""
    with caching(provider, store):
        first = ask(provider)
        with askonce.options(samples=2, repeat="rotate"):
            second = ask(provider)
            assert [first, second] == [ask(provider), ask(provider)]
        many = {"x-askonce-samples": "3", "x-askonce-repeat": "rotate"}
        third = ask(provider, headers=many)
        assert {first, second, third} == {ask(provider, headers=many) for _ in range(3)}
        assert first == ask(provider)
    assert 3 == provider.count()


def test_a_crowd_collects_samples(provider: LocalProvider, store: Path) -> None:
    """Calls at once fill different slots; those beyond share an answer."""
    provider.latency = 0.2
    with caching(provider, store, repeat="rotate", samples=3) as cache, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(provider), range(8)))
        assert (3, 3) == (cache.stats.misses, cache.stats.recorded)
    assert 3 == len(set(answers)) == provider.count()


def test_a_refreshed_sequence(provider: LocalProvider, store: Path) -> None:
    """A run in mode `refresh` replaces each answer in its place."""
    with caching(provider, store, repeat="sequence"):
        old = [ask(provider), ask(provider)]
    with caching(provider, store, repeat="sequence", mode="refresh"):
        new = [ask(provider), ask(provider)]
    with caching(provider, store, repeat="sequence", mode="offline"):
        assert new == [ask(provider), ask(provider)]
    assert set(old).isdisjoint(new)


def test_an_unheard_of_way(provider: LocalProvider) -> None:
    """A way to repeat that does not exist is refused with those that do."""
    with pytest.raises(askonce.SettingsError, match=r"repeat: 'round' .* same, rotate, all, sequence"):
        askonce.enable("memory:", repeat="round")  # type: ignore[arg-type]
