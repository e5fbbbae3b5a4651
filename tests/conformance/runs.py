"""The three runs of an SDK: without askonce, recording, and replaying with the server stopped."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from askonce._core.domains import Domain, Domains, Route, is_stateful, parse_domain
from tests.conformance.answers import dump
from tests.conformance.sdks import Sdk
from tests.conformance.server import Asked, Server
from tests.conformance.values import Unmakeable
from tests.conformance.walk import Call, Method, calls, methods, shapes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to, and what was asked for it."""

    result: Any
    failed: bool
    asked: tuple[Asked, ...]


@dataclass(slots=True)
class Tally:
    """What was found out about one SDK's client."""

    name: str
    generation: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    calls: int = 0
    failing: list[str] = field(default_factory=list)
    refused: int = 0
    stateful: list[str] = field(default_factory=list)
    pairs: int = 0
    alike: set[str] = field(default_factory=set)
    merged: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    misjudged: list[str] = field(default_factory=list)


class Runs:
    """Runs one SDK's calls against a server."""

    def __init__(self, sdk: Sdk, server: Server, folder: Path) -> None:
        self.sdk, self.server = sdk, server
        self.store = folder / "store.db"
        self.domain = parse_domain(f"127.0.0.1:{server.port}")
        self.tally = Tally(sdk.name)

    async def run(self, only: Iterable[str] = ()) -> Tally:
        """Make all calls of all methods, or of those named alone."""
        client = self.sdk.make(self.server)
        try:
            for method in methods(client, self.sdk.resources):
                if not only or method.name in only:
                    await self._method(method)
        finally:
            closed = (getattr(client, "close", None) or client.aclose)()
            if inspect.isawaitable(closed):
                await closed
        return self.tally

    async def _method(self, method: Method) -> None:
        asking: list[tuple[Call, Outcome]] = []
        for needed in shapes(method):
            try:
                first = next(calls(method, needed))
            except Unmakeable:
                continue
            outcome = await self._outcome(method, first)
            if any(self._route(one) for one in outcome.asked):
                self.tally.generation.append(method.name)
                await self._generation(method, needed)
                return
            if outcome.asked:
                asking.append((first, outcome))
        (self.tally.untouched if asking else self.tally.silent).append(method.name)
        await self._untouched(method, asking[:1])

    def _route(self, asked: Asked) -> Route | None:
        """Say which generation route a request is; the provider's own host must agree with any host."""
        found = self.domain.route(asked.method, asked.path)
        known = Domains().find("https", self.sdk.host, None)
        if (found is None) != (_first_route(known, asked) is None):
            self.tally.misjudged.append(f"{asked.method} {asked.path}")
        return found

    async def _generation(self, method: Method, needed: frozenset[str]) -> None:
        kept: list[tuple[Call, Outcome]] = []
        stateful: list[tuple[Call, Outcome]] = []
        seen: dict[tuple[Asked, ...], Call] = {}
        arguments: dict[str, int] = {}
        for call in calls(method, needed):
            bare = await self._outcome(method, call)
            self.tally.calls += 1
            if not bare.asked:
                self.tally.refused += 1
                continue
            if bare.failed:
                self.tally.failing.append(f"{method.name}({call.label}): {bare.result}")
            if bare.asked in seen:
                self.tally.alike.add(call.argument or seen[bare.asked].argument)
                continue
            seen[bare.asked] = call
            if any(_continues_state(self._route(one), one) for one in bare.asked):
                stateful.append((call, bare))
                self.tally.stateful.append(f"{method.name}({call.label})")
                continue
            kept.append((call, bare))
            arguments[call.argument] = arguments.get(call.argument, 0) + 1
        self.tally.pairs += sum(count * (count + 1) // 2 for name, count in arguments.items() if name)
        await self._recorded(method, kept)
        await self._untouched(method, stateful)

    async def _recorded(self, method: Method, kept: list[tuple[Call, Outcome]]) -> None:
        where = {"domains": f"127.0.0.1:{self.server.port}", "partition": f"{self.sdk.name} {method.name}"}
        self.sdk.turn_on(self.store, mode="record", **where)
        for call, bare in kept:
            recorded = await self._outcome(method, call)
            if len(recorded.asked) < len(bare.asked):
                self.tally.merged.append(f"{method.name}({call.label})")
            else:
                self._compare("recording", call, bare, recorded)
        self.server.stop()
        self.sdk.turn_on(self.store, mode="offline", **where)
        for call, bare in kept:
            self._compare("replaying", call, bare, await self._outcome(method, call))
        self.sdk.turn_off()
        self.server.start()

    async def _untouched(self, method: Method, made: list[tuple[Call, Outcome]]) -> None:
        self.sdk.turn_on(self.store, mode="record", domains=f"127.0.0.1:{self.server.port}", partition="untouched")
        for call, bare in made:
            for _ in range(2):
                passed = await self._outcome(method, call)
                self._compare("passing", call, bare, passed)
                if passed.asked != bare.asked:
                    self.tally.misjudged.append(f"{method.name}({call.label}) is not asked each time")
        self.sdk.turn_off()

    def _compare(self, run: str, call: Call, bare: Outcome, other: Outcome) -> None:
        if bare.result != other.result or bare.failed != other.failed:
            self.tally.differing.append(f"{run} {call.method}({call.label}): {other.result!r:.200}")

    async def _outcome(self, method: Method, call: Call) -> Outcome:
        self.server.label = f"{call.method} {call.label}"
        self.server.asked = []
        self.sdk.tell(self.server, method.function)
        try:
            result, failed = await _settled(method.function(**call.arguments)), False
        except Exception as error:
            result, failed = f"{type(error).__qualname__}: {error}", True
        return Outcome(result, failed, tuple(self.server.asked))


async def _settled(result: Any) -> Any:
    """Read an answer to its end, whichever way the SDK hands it out."""
    if inspect.isawaitable(result):
        result = await result
    if hasattr(result, "__aenter__") and not hasattr(result, "__aiter__"):
        async with result as inner:
            return await _settled(inner)
    if hasattr(result, "__enter__") and not hasattr(result, "__iter__"):
        with result as inner:
            return await _settled(inner)
    if hasattr(result, "aread"):
        return dump(await result.aread() if not hasattr(result, "read") else result.read())
    is_model = hasattr(result, "model_dump")
    if hasattr(result, "__aiter__") and not is_model:
        return [_request_id(result), *[dump(one) async for one in result]]
    if hasattr(result, "__next__"):
        return [_request_id(result), *[dump(one) for one in result]]
    return dump(result)


def _request_id(stream: Any) -> str | None:
    headers = getattr(getattr(stream, "response", None), "headers", {})
    return headers.get("x-request-id")


def _first_route(domains: Iterable[Domain], asked: Asked) -> Route | None:
    return next(filter(None, (domain.route(asked.method, asked.path) for domain in domains)), None)


def _continues_state(route: Route | None, asked: Asked) -> bool:
    try:
        body = json.loads(asked.body)
    except ValueError:
        return False
    return route is not None and isinstance(body, dict) and is_stateful(route, body, asked.prefer)
