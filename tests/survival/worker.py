"""A program that asks, in a process of its own that may be killed: `python -m tests.survival.worker PLAN`.

It prints a line a call, once the answer has been read whole: `right 7`, `wrong 7`, or `failed 7 why`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import IO, NamedTuple

import httpx2

import askonce
from tests.survival.oracle import PATH, answer, question
from tests.survival.toll import Toll

ROOT = Path(__file__).parents[2]
_PATIENCE = 60.0  # seconds
_LONGEST = 400  # seconds that a program may take


class Plan(NamedTuple):
    """What is asked: `count` questions from `first` on, each by one of `threads`; `rounds` times all of them.

    `url` is where, `domain` the provider for the cache; without a `store` there is no cache in the process.
    """

    url: str
    store: str | None
    first: int
    count: int
    threads: int = 1
    rounds: int = 1
    mode: str = "record"
    shuffled: bool = False
    stream: bool = False
    patient: bool = False
    """Whether a call that fails is tried again for a minute, as SDKs do a few times."""
    prelude: str = ""
    """What is executed first: code that breaks something from inside the process."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    plan = Plan(*json.loads(sys.argv[1]))
    warnings.simplefilter("ignore")  # that something is broken is told, and expected
    if plan.store is not None:
        askonce.enable(plan.store, domains=[plan.url], mode=plan.mode)  # type: ignore[arg-type]
    exec(plan.prelude, {"plan": plan})
    run(plan)
    askonce.disable()
    print("done", flush=True)


def run(plan: Plan) -> None:
    """Ask all that is planned."""
    numbers = [number for _ in range(plan.rounds) for number in range(plan.first, plan.first + plan.count)]
    if plan.shuffled:
        random.shuffle(numbers)
    limits = httpx2.Limits(max_connections=64)
    with (
        httpx2.Client(timeout=60, limits=limits, verify=False) as client,
        ThreadPoolExecutor(plan.threads) as pool,
    ):
        for line in pool.map(lambda number: ask(client, plan, number), numbers):
            say(line)


def ask(client: httpx2.Client, plan: Plan, number: int) -> str:
    """Ask one question; return what became of it."""
    until = time.monotonic() + (_PATIENCE if plan.patient else 0)
    while (outcome := _ask(client, plan, number)).startswith("failed") and time.monotonic() < until:
        time.sleep(0.05)
    return outcome


def _ask(client: httpx2.Client, plan: Plan, number: int) -> str:
    try:
        response = client.post(plan.url + PATH, json=question(number, stream=plan.stream), headers=_HEADERS)
    except Exception as error:
        return f"failed {number} {error!r}"
    if response.status_code != 200:
        return f"failed {number} {response.status_code} {response.text[:200]!r}"
    return f"{'right' if response.content == answer(number, stream=plan.stream) else 'wrong'} {number}"


_HEADERS = {"authorization": "Bearer sk-test-SECRET-survival-0c2f"}


def say(line: str) -> None:
    """Print whole lines, whoever else prints."""
    os.write(1, f"{line}\n".encode())


@contextmanager
def started(plan: Plan, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start such a program."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.survival.worker", json.dumps(plan)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
    )
    timer = Timer(_LONGEST, process.kill)  # a program that hangs is a finding, and must end
    timer.start()
    with process:
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


def finished(plan: Plan, **environment: str) -> Toll:
    """Run such a program to its end, and count; one that does not come to its end failed in what it owes."""
    with started(plan, **environment) as process:
        toll, numbers, is_done = read(process.stdout)
    owed = plan.count * plan.rounds
    return toll if is_done else toll.plus(Toll(failed=max(owed - len(numbers), 1)))


def read(lines: IO[str] | None) -> tuple[Toll, list[int], bool]:
    """Count what a program says; return that, the questions rightly answered, and whether it came to its end."""
    assert lines is not None
    toll, right, is_done = Toll(), [], False
    for line in lines:
        outcome, _, rest = line.rstrip("\n").partition(" ")
        if not line.endswith("\n"):
            break  # the last word of one that was killed
        match outcome:
            case "right":
                toll = toll.plus(Toll(calls=1, right=1))
                right.append(int(rest))
            case "wrong":
                toll = toll.plus(Toll(calls=1, wrong=1))
                sys.stderr.write(line)
            case "failed":
                toll = toll.plus(Toll(calls=1, failed=1))
                sys.stderr.write(line)
            case "done":
                is_done = True
    return toll, right, is_done


if __name__ == "__main__":
    main()
