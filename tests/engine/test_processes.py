"""Processes that share a store make one request for one question, whatever becomes of the one that asks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from askonce.storage import Storage, open_storage
from askonce.testing import Fault
from tests.engine.scripts import PRELUDE, ROOT
from tests.engine.stepped import Stepped, until

_ASK = """
    import json
    print("ready", flush=True)
    sys.stdin.readline()
    with client() as one:
        answer = one.post(url + "/v1/chat/completions", json=body(stream={stream}))
    stats = askonce.stats()
    print(json.dumps([answer.status_code, answer.text, stats.misses, stats.hits, stats.recorded]), flush=True)
"""
_ASK_ASYNC = """
    import json
    print("ready", flush=True)
    sys.stdin.readline()

    async def main():
        async with async_client() as one:
            return await one.post(url + "/v1/chat/completions", json=body(stream={stream}))

    answer = asyncio.run(main())
    stats = askonce.stats()
    print(json.dumps([answer.status_code, answer.text, stats.misses, stats.hits, stats.recorded]), flush=True)
"""

Process = subprocess.Popen[str]


@contextmanager
def started(script: str, count: int, url: str, store: Path | str, **environment: str) -> Iterator[list[Process]]:
    """Start processes; each says that it is ready, and goes on at a word."""
    pipe = subprocess.PIPE
    program = PRELUDE + textwrap.dedent(script)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "error", "-c", program, url, str(store)],
                    stdin=pipe,
                    stdout=pipe,
                    text=True,
                    cwd=ROOT,
                    env=os.environ | environment,
                )
            )
            for _ in range(count)
        ]
        for process in processes:
            stack.callback(process.kill)
            assert process.stdout is not None
            assert "ready\n" == process.stdout.readline()
        yield processes


def go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def result(process: Process) -> list[Any]:
    """Return status, text, misses, hits and recordings of a process that has gone."""
    assert process.stdout is not None
    answer: list[Any] = json.loads(process.stdout.readline())
    return answer


@pytest.fixture
def kept(store: Path) -> Iterator[Storage]:
    """Return the store, to look at afterwards."""
    storage = open_storage(store)
    yield storage
    storage.close()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("script", [_ASK, _ASK_ASYNC], ids=["sync", "async"])
def test_four_processes_ask_once(provider: Stepped, store: Path, script: str, stream: bool) -> None:
    """Four processes that ask the same at once make one request, and have the same answer."""
    provider.hold()
    with started(script.format(stream=stream), 4, provider.url, store) as processes:
        for process in processes:
            go(process)
        until(lambda: provider.is_waiting)
        time.sleep(0.3)  # for the others to ask, if they would
        provider.release()
        results = [result(process) for process in processes]
    assert 1 == provider.count()
    assert 1 == len({(status, text) for status, text, *_ in results})
    assert 200 == results[0][0]
    assert [[0, 1, 0]] * 3 + [[1, 0, 1]] == sorted(counts for _, _, *counts in results)


def test_the_one_that_asks_is_killed(provider: Stepped, store: Path) -> None:
    """When the process that asks is killed, one of those that wait goes in its place, and soon."""
    provider.hold(2)
    with started(_ASK.format(stream=True), 4, provider.url, store) as processes:
        leader, *others = processes
        go(leader)
        until(lambda: provider.is_waiting)
        for process in others:
            go(process)
        time.sleep(0.3)
        assert 1 == provider.count()
        leader.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: provider.count() == 2)
        assert time.monotonic() - killed < 1
        provider.release()
        results = [result(process) for process in others]
    assert 2 == provider.count()
    assert 1 == len({(status, text) for status, text, *_ in results})
    assert [[0, 1, 0]] * 2 + [[1, 0, 1]] == sorted(counts for _, _, *counts in results)


def test_the_one_that_asks_gets_an_error(provider: Stepped, store: Path) -> None:
    """An error is the asking process's own; another goes, and its answer serves the rest."""
    provider.hold()
    provider.fail_next(Fault.STATUS(400))
    with started(_ASK.format(stream=False), 3, provider.url, store) as processes:
        for process in processes:
            go(process)
        until(lambda: provider.is_waiting)
        time.sleep(0.3)
        provider.release()
        results = [result(process) for process in processes]
    assert 2 == provider.count()
    assert [200, 200, 400] == sorted(status for status, *_ in results)


def test_one_that_has_stopped_reading_is_not_waited_for(provider: Stepped, store: Path) -> None:
    """A process that holds an answer half-read keeps nobody from asking."""
    holding = """
        one = client()
        response, chunks = opened(one)
        next(chunks)
        print("ready", flush=True)
        sys.stdin.readline()
    """
    provider.hold(2)
    with started(holding, 1, provider.url, store):
        provider.release()
        with started(_ASK.format(stream=True), 1, provider.url, store) as (process,):
            go(process)
            status, _, misses, *_ = result(process)
            assert (200, 1) == (status, misses)
    assert 2 == provider.count()


def test_samples_of_several_processes(provider: Stepped, store: Path, kept: Storage) -> None:
    """Processes that collect answers to one question fill a slot each, and no answer is lost."""
    collecting = """
        import json
        print("ready", flush=True)
        sys.stdin.readline()
        with client() as one:
            for _ in range(4):
                answer = one.post(url + "/v1/chat/completions", json=body(stream=False))
        print(json.dumps([answer.status_code, "", *askonce.stats()[:3]]), flush=True)
    """
    with started(collecting, 3, provider.url, store, ASKONCE_SAMPLES="6", ASKONCE_REPEAT="rotate") as processes:
        for process in processes:
            go(process)
        assert [200] * 3 == [result(process)[0] for process in processes]
    (entry,) = kept.entries()
    assert list(range(6)) == sorted(take.slot for take in entry.takes)
    assert 6 == len({take.answer.body for take in entry.takes}) == provider.count()
