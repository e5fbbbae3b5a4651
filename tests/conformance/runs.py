"""Every method of an SDK: without askonce, recording, and replaying with a provider that is down."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel

import askonce
from tests.conformance.server import Server
from tests.conformance.values import argument
from tests.conformance.walk import Method, bound, methods

KEY = "sk-test-SECRET-conformance-3e90"
SDKS = ("openai", "anthropic", "google-genai")


class Case(NamedTuple):
    """One call of a method."""

    method: Method
    arguments: dict[str, Any]
    stream: bool


class Report(NamedTuple):
    """What was counted.

    `pairs` are of calls to one method that ask something else; of these, `merged` share an answer. `differing`
    results are not the same in all three runs. `state` are calls of generation that are not kept, since they leave
    something behind; `refused` were refused by the SDK itself.
    """

    sdk: str
    how: str
    generation: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    calls: int = 0
    pairs: int = 0
    merged: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    state: int = 0
    refused: int = 0


def client_of(sdk: str, url: str, *, is_async: bool) -> tuple[Any, tuple[type, ...]]:
    """Return a client of an SDK, and the classes of what hangs from it."""
    if sdk == "openai":
        import openai
        from openai._resource import AsyncAPIResource, SyncAPIResource

        made: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
        given = {"api_key": KEY, "admin_api_key": KEY, "base_url": f"{url}/v1", "max_retries": 0}
        return made(**given), (SyncAPIResource, AsyncAPIResource)
    if sdk == "anthropic":
        import anthropic
        from anthropic._resource import AsyncAPIResource as Async
        from anthropic._resource import SyncAPIResource as Sync

        made = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
        return made(api_key=KEY, base_url=url, max_retries=0), (Sync, Async)
    from google import genai
    from google.genai._api_module import BaseModule

    client = genai.Client(api_key=KEY, http_options={"base_url": url})
    return (client.aio if is_async else client), (BaseModule,)


def cases(method: Method) -> Iterator[Case]:
    """Yield the calls of a method: what is required alone, each argument changed or added alone, all together."""
    least = {name: argument(method.parameters[name]) for name in method.parameters if name in method.required}
    whole = {name: argument(hint) for name, hint in method.parameters.items()}
    for stream in (False, True) if method.stream is not None else (False,):
        yield Case(method, least, stream)
        if not stream:
            for name, hint in method.parameters.items():
                for choice in (0, 1):
                    if choice or name not in method.required:
                        yield Case(method, least | {name: argument(hint, choice)}, stream)
        yield Case(method, whole, stream)


async def run(sdk: str, *, is_async: bool, thorough: bool = True) -> Report:
    """Call every method of an SDK, and count."""
    with Server() as server, warnings.catch_warnings(action="ignore"):
        client, roots = client_of(sdk, server.url, is_async=is_async)
        found = [method for method in methods(client, roots) if method.name.split(".")[0] != "chats"]
        report = Report(sdk, "async" if is_async else "sync")
        for method in found:
            report = await run_method(report, server, client, method, thorough=thorough)
        closing = getattr(client, "aclose" if sdk == "google-genai" and is_async else "close")()
        if isinstance(closing, Awaitable):
            await closing
        return report


async def run_method(
    report: Report, server: Server, client: Any, method: Method, *, thorough: bool = True
) -> Report:
    """Call one method in all ways, and add what was counted."""
    server.plain, server.events = method.plain, method.stream
    store, fresh = (f"memory:{report.sdk} {report.how} {what}" for what in ("all", method.name))
    first = next(cases(method))
    with askonce.caching(store, domains=[server.url]) as cache:
        before = len(server.asked)
        once = await _call(client, first)
        is_ours = cache.stats.recorded + cache.stats.hits > 0  # by another name it may have been asked already
        if len(server.asked) == before and not is_ours:
            return report._replace(refused=report.refused + 1)
        asked = len(server.asked)
        twice = await _call(client, first)
    if not is_ours:
        is_asked_again = len(server.asked) > asked and once == twice
        name = method.name if is_asked_again else f"{method.name} (not asked again)"
        return report._replace(others=(*report.others, name), calls=report.calls + 2)
    report = report._replace(generation=(*report.generation, method.name))
    chosen = (
        list(cases(method)) if thorough else [case for case in cases(method) if case.arguments == first.arguments]
    )
    plain: list[tuple[Case, str, tuple[Any, ...]]] = []
    for case in chosen:
        before = len(server.asked)
        result = await _call(client, case)
        wire = tuple(server.asked[before:])
        if wire:
            plain.append((case, result, wire))
        else:
            report = report._replace(refused=report.refused + 1)
    kept: list[bool] = []
    differing, started = [], len(server.asked)
    with askonce.caching(fresh, domains=[server.url]) as cache:
        for case, expected, _ in plain:
            before = cache.stats.recorded + cache.stats.hits
            if await _call(client, case) != expected:
                differing.append(f"{method.name} {_shown(case)} while recording")
            kept.append(cache.stats.recorded + cache.stats.hits > before)
    asked = len(server.asked) - started
    distinct = {wire for _, _, wire in plain}
    server.is_down = True
    with askonce.caching(fresh, mode="offline", domains=[server.url]):
        for (case, expected, _), is_kept in zip(plain, kept, strict=True):
            before = len(server.asked)
            if is_kept and await _call(client, case) != expected:
                differing.append(f"{method.name} {_shown(case)} when replayed")
            assert before == len(server.asked), f"{method.name} was asked while offline"
    server.is_down = False
    again = sum(1 for *_, is_kept in zip(plain, kept, strict=True) if not is_kept)
    merged = () if asked >= len(distinct) else (f"{method.name}: {asked} of {len(distinct)}",)
    return report._replace(
        calls=report.calls + 3 * len(plain),
        pairs=report.pairs + len(distinct) * (len(distinct) - 1) // 2,
        merged=report.merged + merged,
        differing=(*report.differing, *differing),
        state=report.state + again,
    )


def _shown(case: Case) -> str:
    return ", ".join(sorted(case.arguments)) + (", stream" if case.stream else "")


async def _call(client: Any, case: Case) -> str:
    """Return all that a call brings, as text; an error by its type and words."""
    more = {"stream": True} if case.stream else {}
    try:
        function: Callable[..., Any] = bound(client, case.method.name)
        result = function(**case.arguments, **more)
        if isinstance(result, Awaitable):
            result = await result
        if hasattr(result, "__aiter__") and not isinstance(result, BaseModel):
            return _dumped([item async for item in result])
        if hasattr(result, "__next__") or type(result).__name__ == "Stream":
            return _dumped(list(result))
        return _dumped(result)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _dumped(result: Any) -> str:
    if isinstance(result, list):
        return "\n".join(map(_dumped, result))
    if isinstance(result, BaseModel):
        values = result.model_dump(mode="json", warnings=False, exclude={"sdk_http_response"})
        return json.dumps([type(result).__name__, getattr(result, "_request_id", None), values], default=repr)
    content = getattr(result, "content", None)
    return (
        f"{type(result).__name__} {content!r}"
        if isinstance(content, bytes)
        else f"{type(result).__name__} {result}"
    )


def measured(sdk: str, *, is_async: bool, thorough: bool = True) -> Report:
    """Do the same, from code that has no event loop."""
    return asyncio.run(run(sdk, is_async=is_async, thorough=thorough))
