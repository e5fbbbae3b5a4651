"""Answers past their time to live, for requests that say they will do (RFC 5861).

`stale-while-revalidate` has one at once, while a fresh one is asked for behind its back; `stale-if-error` has it
when the provider fails. After a failure the provider is left alone for a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from askonce._core.controls import Mode
from askonce._core.decide import reader_ttl
from askonce._core.entry import Key, Take
from askonce._core.messages import Answer, Request
from askonce._core.rotation import choose
from askonce._engine.aio import AsyncAnswered, answer_call
from askonce._engine.cache import Cache
from askonce._engine.call import Call
from askonce._engine.upstream import AsyncUpstream
from askonce.gateway.calls import Call as Noted

_LEFT_ALONE = 1.0  # seconds after a failure in which the provider is not asked again for the same
_LAST_SECONDS = 5.0  # that a refresh may take when the gateway stops
_MOST = 10_000

Forward = Callable[[Request], Awaitable[AsyncUpstream]]


class Old(NamedTuple):
    """A take that is no longer fresh, and for how many seconds it has not been."""

    take: Take
    since: float


def is_failure(status: int) -> bool:
    """Tell whether a status says that the provider cannot answer now (RFC 5861, 4), or is asked too much."""
    return status >= 500 or status == 429


class Stale:
    """What is known of old answers, and who is asking for new ones."""

    def __init__(self, cache: Cache, note: Callable[[Noted], None]) -> None:
        self._cache = cache
        self._note = note
        self._failed: dict[Key, float] = {}
        self._refreshing: dict[Key, asyncio.Task[None]] = {}

    async def find(self, call: Call) -> Old | None:
        """Return the old answer that this request would have, if it asks for one and there is no fresh one."""
        controls = call.controls
        if controls.stale_if_error is None and controls.stale_while_revalidate is None:
            return None
        if controls.mode not in (Mode.RECORD, Mode.REPLAY):
            return None
        if self._cache.guard.workers is None:
            return self._find(call)
        return await asyncio.to_thread(self._find, call)

    def _find(self, call: Call) -> Old | None:
        now, ttl = time.time(), reader_ttl(call.controls)
        takes = self._cache.guard.takes(call.question.key)
        take = None if any(one.fresh(now, ttl) for one in takes) else choose(takes, call.controls.seed)
        until = None if take is None else take.fresh_until(ttl)
        return None if take is None or until is None else Old(take, now - until)

    def replaces_error(self, call: Call, old: Old) -> bool:
        """Tell whether an old answer may be given in place of an error."""
        return old.since <= (call.controls.stale_if_error or -1.0)

    def is_given_at_once(self, call: Call, old: Old) -> bool:
        """Tell whether an old answer is given before the provider is asked."""
        if old.since <= (call.controls.stale_while_revalidate or -1.0):
            return True
        return self.replaces_error(call, old) and self._failed.get(call.question.key, 0.0) > time.monotonic()

    def failed(self, call: Call) -> None:
        """The provider has failed: for a moment it is not asked again."""
        if len(self._failed) >= _MOST:
            self._failed.clear()
        self._failed[call.question.key] = time.monotonic() + _LEFT_ALONE

    def refresh(self, call: Call, noted: Noted, forward: Forward) -> None:
        """Ask for a fresh answer, unless somebody does or the provider just failed; `noted` is written then."""
        key = call.question.key
        if key in self._refreshing or self._failed.get(key, 0.0) > time.monotonic():
            return
        task = asyncio.get_running_loop().create_task(self._refresh(call, noted, forward))
        self._refreshing[key] = task
        task.add_done_callback(lambda _: self._refreshing.pop(key, None))

    async def _refresh(self, call: Call, noted: Noted, forward: Forward) -> None:
        again = call._replace(controls=call.controls._replace(mode=Mode.REFRESH))
        noted.outcome, noted.why = "miss", "asked anew, after an old answer had been given"
        try:
            answered = await answer_call(self._cache, again, forward)
            noted.began(answered.head.status)
            if is_failure(answered.head.status):
                self.failed(call)
            if isinstance(answered, AsyncAnswered):
                async for chunk in answered.body:
                    noted.sent(len(chunk))
                await answered.body.aclose()
                if answered.flight is not None and isinstance(answered.flight.outcome, Answer):
                    noted.answer = answered.flight.outcome
            else:
                await answered.aclose()
        except Exception as error:  # the old answer stays
            self.failed(call)
            noted.outcome, noted.why = "error", str(error)
        finally:
            noted.ended()
            self._note(noted)

    async def close(self) -> None:
        """Let those who ask for new answers come to an end."""
        tasks = list(self._refreshing.values())
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=_LAST_SECONDS)
            for task in pending:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
