"""Limits for tests of what runs at once: none hangs, none leaves a thread or an unheard error behind."""

from __future__ import annotations

import gc
import logging
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

import askonce
from askonce._engine.cache import Cache
from tests.engine.readers import Loop
from tests.engine.stepped import Stepped, until

# httpcore's nested generators, closed all at once at the end of a loop, say so without us too.
_BARE = re.compile(r"closing of asynchronous generator <async_generator object (PoolByteStream|HTTP11Conn)")

LIMIT = 40
"""Seconds after which a test is stuck."""


@pytest.fixture(autouse=True, scope="session")
def light() -> Iterator[None]:
    """Let the collector pass over the modules: these tests call it often."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    """Fail a test that hangs, with what each thread was doing."""

    def fail(_signal: int, _frame: FrameType | None) -> None:
        frames = sys._current_frames()
        stacks = [
            f"{thread.name}: {frames[thread.ident].f_code.co_qualname} line {frames[thread.ident].f_lineno}"
            for thread in threading.enumerate()
            if thread.ident in frames
        ]
        raise TimeoutError("the test hangs\n" + "\n".join(stacks))

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def tidy(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Expect no thread of ours that a test began to outlive it, and asyncio to have had nothing to complain of."""
    before = set(threading.enumerate())  # other tests' servers and stores may have theirs

    def begun() -> list[str]:
        return [one.name for one in threading.enumerate() if one.name.startswith("askonce-") and one not in before]

    with caplog.at_level(logging.WARNING, "asyncio"):
        yield
        gc.collect()
        until(lambda: not begun())
    heard = [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"]
    assert [] == [message for message in heard if not _BARE.search(message)]


@pytest.fixture
def provider() -> Iterator[Stepped]:
    """Return a running local provider that can be held."""
    with Stepped() as running:
        yield running


@pytest.fixture
def cache(provider: Stepped, store: Path) -> Iterator[Cache]:
    """Cache what goes to the local provider; expect nothing to be in flight at the end."""
    with askonce.caching(store, domains=[provider.url]) as caching:
        yield caching
        until(lambda: len(caching.flights) == 0)


@pytest.fixture
def loops() -> Iterator[tuple[Loop, Loop]]:
    """Return two event loops, each running in a thread of its own."""
    with Loop() as one, Loop() as other:
        yield one, other
