"""The session: what is counted, and what modes, times, partitions and rhythms do to the calls of a program."""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest

import askonce
from askonce.storage import Marks
from askonce.testing import Fault, LocalProvider
from tests.rig import CHAT, KEY, Rig, chat, each

CLIENT = httpx2.Client(headers={"authorization": f"Bearer {KEY}"}, timeout=20)
atexit.register(CLIENT.close)  # other files' tests use it too


def ask(provider: LocalProvider, content: str = "What is a café?", **more: Any) -> str:
    """Ask a question; return the answer's text, which holds its number."""
    headers = more.pop("headers", {})
    answer = CLIENT.post(provider.url + CHAT, json=chat(content, **more), headers=headers)
    assert 200 == answer.status_code, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


@pytest.fixture
def enabled(provider: LocalProvider, store: Path) -> askonce.Cache:
    """Cache what goes to the local provider."""
    return askonce.enable(store, domains=[provider.url])


class Clock:
    """A clock that the cache reads and a test turns."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Turn the cache's clock by hand."""
    turned = Clock()
    monkeypatch.setattr("askonce._engine.cache.time.time", turned.time)
    return turned


# --- Counts -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("enabled")
def test_stats_count_what_happened(provider: LocalProvider) -> None:
    """Hits, misses, recordings, bypassed and refused calls are counted, and what the hits saved."""
    provider.latency = 0.05
    answer = ask(provider)
    ask(provider)
    ask(provider)
    with askonce.bypass():
        ask(provider)
    provider.fail_next(Fault.STATUS(500))
    with pytest.raises(AssertionError):
        ask(provider, "What fails?")
    with askonce.options(mode="offline"), pytest.raises(AssertionError):
        ask(provider, "What is not there?")
    stats = askonce.stats()
    assert (2, 2, 1, 1, 1, 0) == (
        stats.hits, stats.misses, stats.recorded, stats.bypassed, stats.refused, stats.shared
    )  # fmt: skip
    assert 0.1 <= stats.seconds_saved < 5
    assert stats.bytes_saved > 2 * len(answer)
    assert stats.tokens_saved > 10
    assert "6 calls: 2 from the store, 0 shared, 2 asked (1 recorded), 1 refused, 1 bypassed" in str(stats)


def test_stats_outlive_the_session(provider: LocalProvider, store: Path) -> None:
    """Before anything they are all nought; after `disable` they are the last session's."""
    askonce.enable(store, domains=[provider.url])
    assert askonce.Stats() == askonce.stats()
    ask(provider)
    askonce.disable()
    assert 1 == askonce.stats().recorded
    ask(provider)
    assert 1 == askonce.stats().misses


# --- Modes ------------------------------------------------------------------------------------------------------


def test_refresh_replaces(provider: LocalProvider, store: Path) -> None:
    """`refresh` asks again and what it is told is what is told from then on."""
    with askonce.caching(store, domains=[provider.url]):
        first = ask(provider)
        with askonce.options(mode="refresh"):
            second = ask(provider)
        third = ask(provider)
    assert first != second == third
    assert 1 == askonce.open_storage(str(store)).totals().takes


def test_a_refresh_that_fails_replaces_nothing(provider: LocalProvider, store: Path) -> None:
    """When the fresh answer is an error or broken, the recorded one stays."""
    with askonce.caching(store, domains=[provider.url]):
        first = ask(provider)
        for fault in (Fault.STATUS(500), Fault.NOT_JSON, Fault.CUT()):
            provider.fail_next(fault)
            with askonce.options(mode="refresh"), pytest.raises((AssertionError, ValueError, httpx2.HTTPError)):
                ask(provider)
        assert first == ask(provider)


def test_replay_keeps_nothing(provider: LocalProvider, store: Path) -> None:
    """`replay` answers what is recorded, asks for the rest, and adds nothing to the store."""
    with askonce.caching(store, domains=[provider.url]):
        first = ask(provider)
    with askonce.caching(store, domains=[provider.url], mode="replay"):
        assert first == ask(provider)
        assert ask(provider, "Another?") != ask(provider, "Another?")
    (entry,) = askonce.open_storage(str(store)).entries()
    assert (1, 0) == (len(entry.takes), entry.hits)


def test_replay_counts_what_is_used_since_a_mark(provider: LocalProvider, store: Path) -> None:
    """Replaying leaves the store as it is, but for noting what was used once there is a mark."""
    askonce.enable(store, domains=[provider.url])
    for content in ("one", "two"):
        ask(provider, content)
    askonce.enable(store, domains=[provider.url], mode="replay")
    ask(provider, "one")
    askonce.disable()
    storage = askonce.open_storage(store)
    assert 0 == storage.totals().hits
    assert isinstance(storage, Marks)
    storage.set_mark(time.time())
    askonce.enable(store, domains=[provider.url], mode="replay")
    ask(provider, "two")
    mark = storage.mark()
    assert mark is not None
    used = [entry.question.body for entry in storage.entries(askonce.Filter(used=mark))]
    storage.close()
    assert ["two" in body.decode() for body in used] == [True]


def test_off_touches_nothing(provider: LocalProvider, store: Path) -> None:
    """`off` asks each time, and makes no store."""
    with askonce.caching(store, domains=[provider.url], mode="off"):
        assert ask(provider) != ask(provider)
    assert not store.exists()
    with askonce.caching(store, domains=[provider.url]):
        first = ask(provider)
    before = store.read_bytes()
    with askonce.caching(store, domains=[provider.url]), askonce.bypass():
        assert first != ask(provider)
    assert before == store.read_bytes()


def test_offline_asks_nobody(provider: LocalProvider, store: Path) -> None:
    """`offline` answers what is recorded and refuses the rest, with the provider running."""
    with askonce.caching(store, domains=[provider.url]):
        first = ask(provider)
    with askonce.caching(store, domains=[provider.url], mode="offline"):
        assert first == ask(provider)
        with pytest.raises(AssertionError, match="offline"):
            ask(provider, "Another?")
    assert 1 == provider.count()


@pytest.mark.parametrize("mode", ["record", "replay", "offline", "refresh", "off"])
def test_modes_come_from_the_environment(
    provider: LocalProvider, store: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """`ASKONCE_…` says what arguments do not, and arguments win."""
    monkeypatch.setenv("ASKONCE_MODE", mode)
    monkeypatch.setenv("ASKONCE_STORE", str(store))
    monkeypatch.setenv("ASKONCE_DOMAINS", provider.url)
    assert mode == askonce.enable().settings.mode
    assert str(store) == askonce.enable().settings.store
    assert "record" == askonce.enable(mode="record").settings.mode
    assert ask(provider) == ask(provider)


def test_a_setting_that_is_none_is_refused_with_the_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong values and unknown variables are named, with what they may be; nothing is enabled."""
    for arguments in ({"mode": "sometimes"}, {"ttl": "soon"}, {"delays": "maybe"}, {"max_size": -1}):
        with pytest.raises(askonce.SettingsError, match=next(iter(arguments))):
            askonce.enable("memory:", **arguments)  # type: ignore[arg-type]
    with pytest.raises(askonce.SettingsError, match="record, replay, offline, refresh, off"):
        askonce.options(mode="sometimes").__enter__()  # type: ignore[arg-type]
    monkeypatch.setenv("ASKONCE_MOOD", "good")
    with pytest.raises(askonce.SettingsError, match=r"ASKONCE_MOOD.*ASKONCE_MODE"):
        askonce.enable("memory:")
    assert None is askonce.session.current()


def test_the_default_store_is_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a store named, it is `.askonce/cache.db` where the project's pyproject.toml is, ignored by git."""
    (tmp_path / "pyproject.toml").touch()
    inner = tmp_path / "notebooks" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    with LocalProvider() as provider, askonce.caching(domains=[provider.url]) as cache:
        ask(provider)
        assert str(tmp_path / ".askonce" / "cache.db") == cache.settings.store
    assert ["*"] == (tmp_path / ".askonce" / ".gitignore").read_text().split()
    assert (tmp_path / ".askonce" / "cache.db").exists()


# --- Times ------------------------------------------------------------------------------------------------------


def test_an_answer_expires(provider: LocalProvider, store: Path, clock: Clock) -> None:
    """After its time to live an answer is asked for again, and replaced."""
    askonce.enable(store, domains=[provider.url], ttl="1h")
    first = ask(provider)
    clock.now += 3599
    assert first == ask(provider)
    clock.now += 2
    second = ask(provider)
    assert first != second == ask(provider)
    assert 1 == askonce.open_storage(str(store)).totals().takes


def test_a_reader_may_want_it_fresher(provider: LocalProvider, enabled: askonce.Cache, clock: Clock) -> None:
    """A ttl given for a reading applies to what was recorded without one."""
    first = ask(provider)
    clock.now += 100
    assert first == ask(provider)
    with askonce.options(ttl=101):
        assert first == ask(provider)
    with askonce.options(ttl=99):
        assert first != ask(provider)
    assert 1 == enabled.stats.misses - 1


def test_what_is_too_old_is_refused_offline(provider: LocalProvider, store: Path, clock: Clock) -> None:
    """Offline, an answer past its time is refused with its age, not given."""
    with askonce.caching(store, domains=[provider.url], ttl=60):
        ask(provider)
    clock.now += 61
    with (
        askonce.caching(store, domains=[provider.url], mode="offline"),
        pytest.raises(AssertionError, match=r"recorded 61 s ago.*time to live"),
    ):
        ask(provider)


# --- Partitions and seeds ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("enabled")
def test_partitions_never_share(provider: LocalProvider) -> None:
    """What one partition recorded is unknown to the others and to those in none."""
    answers = [ask(provider)]
    for name in ("ada", "bob", ""):
        with askonce.options(partition=name):
            answers.append(ask(provider))
    answers.append(ask(provider, headers={"x-askonce-partition": "ada"}))
    assert answers[0] == answers[3]
    assert answers[1] == answers[4]
    assert 3 == len(set(answers)) == provider.count()


@pytest.mark.usefixtures("enabled")
def test_seeds_name_takes(provider: LocalProvider) -> None:
    """Each seed has its own answer to the same question, wherever the seed is given."""
    answers = [ask(provider)]
    for seed in ("a", 7):
        with askonce.options(seed=seed):
            answers += [ask(provider), ask(provider)]
    answers.append(ask(provider, headers={"x-askonce-seed": "7"}))
    assert answers[1] == answers[2]
    assert answers[3] == answers[4] == answers[5]
    assert 3 == len(set(answers)) == provider.count()


# --- Options, threads and tasks ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("enabled")
def test_options_nest_and_end(provider: LocalProvider) -> None:
    """The inner block says what it says, the rest is the outer's, and afterwards all is as before."""
    with askonce.options(partition="ada", mode="replay"):
        with askonce.options(mode="record"):
            first = ask(provider)
        assert first == ask(provider)
        assert ask(provider, "Another?") != ask(provider, "Another?")
    assert first != ask(provider)
    with pytest.raises(KeyError), askonce.options(partition="ada"):
        raise KeyError
    assert 4 == provider.count()


@pytest.mark.usefixtures("enabled")
def test_options_stay_in_their_thread(provider: LocalProvider) -> None:
    """A block in one thread changes nothing in the others, which run at the same time."""
    ask(provider)
    barrier = threading.Barrier(2)

    def inside() -> str:
        with askonce.options(partition="ada"):
            barrier.wait(5)
            answer = ask(provider)
            barrier.wait(5)
        return answer

    with ThreadPoolExecutor(1) as pool:
        ada = pool.submit(inside)
        barrier.wait(5)
        here = ask(provider)
        barrier.wait(5)
    assert here == ask(provider) != ada.result()
    assert 2 == provider.count()


@pytest.mark.usefixtures("enabled")
def test_options_stay_in_their_task(provider: LocalProvider) -> None:
    """A block in one task changes nothing in the others, however they interleave; one begun inside inherits it."""

    async def story() -> list[str]:
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {KEY}"}) as client:

            async def ask_here() -> str:
                answer = await client.post(provider.url + CHAT, json=chat())
                return str(answer.json()["id"])

            async def inside(name: str, entered: asyncio.Event, others: asyncio.Event) -> list[str]:
                with askonce.options(partition=name):
                    entered.set()
                    await others.wait()
                    first = await ask_here()
                    return [first, await asyncio.create_task(ask_here())]

            one, two = asyncio.Event(), asyncio.Event()
            pairs = await asyncio.gather(inside("ada", one, two), inside("bob", two, one), ask_here())
            return [*pairs[0], *pairs[1], pairs[2]]

    ada, ada_again, bob, bob_again, nobody = asyncio.run(story())
    assert ada == ada_again
    assert bob == bob_again
    assert 3 == len({ada, bob, nobody}) == provider.count()


def test_bypass_is_for_what_is_inside(provider: LocalProvider, enabled: askonce.Cache) -> None:
    """Calls inside `bypass()` go to the provider and are not kept; those after it are as before."""
    first = ask(provider)
    with askonce.bypass():
        assert first != ask(provider)
    assert first == ask(provider)
    assert (1, 1, 1) == (enabled.stats.bypassed, enabled.stats.recorded, enabled.stats.hits)


# --- Rhythm -----------------------------------------------------------------------------------------------------


async def arrivals(rig: Rig, provider: LocalProvider) -> list[float]:
    """Ask for a stream; return when its head and its chunks came, in seconds since it was asked."""
    async with rig.client() as client:
        began = time.monotonic()
        async with client.stream("POST", provider.url + CHAT, json=chat(stream=True)) as answer:
            times = [time.monotonic() - began]
            async for _ in each(answer, "raw"):
                times.append(time.monotonic() - began)
    return times


async def test_the_rhythm_is_replayed_when_asked_for(rig: Rig, provider: LocalProvider, store: Path) -> None:
    """By default a hit comes at once; `delays=True` keeps the provider's rhythm, and a number scales it."""
    provider.pace, provider.latency = 0.03, 0.1
    with askonce.caching(store, domains=[provider.url]):
        miss = await arrivals(rig, provider)
        at_once = await arrivals(rig, provider)
        with askonce.options(delays=True):
            same = await arrivals(rig, provider)
        with askonce.options(delays=0.5):
            half = await arrivals(rig, provider)
    assert 1 == provider.count()
    assert len(miss) == len(at_once) == len(same) == len(half)
    assert at_once[-1] < 0.25 * miss[-1]
    for times, scale in ((same, 1.0), (half, 0.5)):
        assert 0.7 * scale * miss[0] < times[0] < 2 * scale * miss[0] + 0.1
        assert 0.7 * scale * miss[-1] < times[-1] < 2 * scale * miss[-1] + 0.1
        pauses = [later - earlier for earlier, later in pairwise(times[1:])]
        assert min(pauses) > 0.3 * scale * provider.pace


# --- Noise ------------------------------------------------------------------------------------------------------


def test_noise_is_left_out_of_the_key_alone(provider: LocalProvider, store: Path) -> None:
    """With `normalize=` what differs in noise alone is one question; the request that goes out is untouched."""
    one, other = "Explain <f at 0x7f3c5e2a9d10>.", "Explain <f at 0x7f3c5e2a9e20>."
    with askonce.caching(store, domains=[provider.url], normalize=askonce.NOTEBOOK_NOISE):
        assert ask(provider, one) == ask(provider, other)
        assert ask(provider, "Is 0xDEADBEEF even?") != ask(provider, "Is 0xCAFEBABE even?")
    assert one.encode() in provider.received[0].body
    with askonce.caching(store, domains=[provider.url]):
        assert ask(provider, "Is 0xDEADBEEF even?") == ask(provider, "Is 0xDEADBEEF even?")
        ask(provider, one)
        ask(provider, "Explain <f at 0xMEMORY>.")
    assert 5 == provider.count()


# --- Debugging --------------------------------------------------------------------------------------------------


def test_a_line_a_call_says_what_happened_and_why(
    provider: LocalProvider, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ASKONCE_VERBOSE=1` prints for each call whether it was recorded, hit, asked, passed or refused, and why."""
    monkeypatch.setenv("ASKONCE_VERBOSE", "1")
    with askonce.caching(store, domains=[provider.url]):
        ask(provider)
        ask(provider)
        with askonce.bypass():
            ask(provider)
        provider.fail_next(Fault.STATUS(500))
        for mode in ("record", "offline"):
            with askonce.options(mode=mode), pytest.raises(AssertionError):  # type: ignore[arg-type]
                ask(provider, "Another?")
        CLIENT.get(f"{provider.url}/v1/models")
    lines = capsys.readouterr().err.splitlines()
    assert ["recorded", "hit", "passed", "asked", "refused", "passed"] == [line.split()[1] for line in lines]
    assert f"POST 127.0.0.1{CHAT} gpt-local: not recorded yet; took" in lines[0]
    assert "saved" in lines[1]
    assert "off" in lines[2]
    assert "not kept: status 500" in lines[3]
    assert "offline" in lines[4]
    assert "GET 127.0.0.1/v1/models: not generation" in lines[5]


def test_without_it_nothing_is_printed(
    provider: LocalProvider, enabled: askonce.Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cache is silent unless asked."""
    ask(provider)
    ask(provider)
    assert ("", "") == capsys.readouterr()
    assert "record" in repr(enabled)
