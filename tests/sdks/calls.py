"""The catalogue: each call asks one kind of question of one SDK and returns what can be compared as JSON.

A call's name is `sdk.name.form.mode`: "openai.chat.stream.async". It asserts that it succeeded, so that two
failures are never taken for two equal answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

SDKS = ("openai", "azure", "anthropic", "gemini", "mistral", "cohere", "groq", "ollama")
HEADERS = (
    "content-type",
    "date",
    "x-request-id",
    "request-id",
    "openai-processing-ms",
    "openai-version",
    "x-ratelimit-remaining-requests",
    "anthropic-ratelimit-requests-remaining",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `make` takes the provider's address."""

    sdk: str
    name: str
    make: Callable[[str], Any]

    def __call__(self, url: str, run: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run) -> Any:
        """Make the call and return its result."""
        result = run(self.make(url)) if inspect.iscoroutinefunction(self.make) else self.make(url)
        assert result not in (None, [], {}, ""), f"{self.name} returned nothing"
        return result


CALLS: dict[str, Call] = {}
Make = Callable[[str], Any]


def call(sdk: str, name: str, form: str, mode: str) -> Callable[[Make], Make]:
    """Register a call that takes the provider's address."""

    def register(make: Make) -> Make:
        title = f"{sdk}.{name}.{form}.{mode}"
        assert title not in CALLS, title
        CALLS[title] = Call(sdk, title, make)
        return make

    return register


@dataclass(frozen=True, slots=True)
class Clients:
    """How one SDK's two clients are made, and where in the asynchronous one its methods are."""

    sdk: str
    sync: Callable[[str], AbstractContextManager[Any]]
    asynchronous: Callable[[str], AbstractAsyncContextManager[Any]]

    def both(
        self, name: str, form: str, check: Callable[[Any], Any]
    ) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
        """Register one question for both clients; it returns a result, an iterator, or either to be awaited.

        `check` gets the result, a stream as the list of its events, and returns something truthy.
        """

        def register(ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def make(url: str) -> Any:
                with self.sync(url) as client:
                    result = ask(client)
                    result = result if _whole(result) else list(result)
                assert check(result), result
                return shown(result)

            async def make_async(url: str) -> Any:
                async with self.asynchronous(url) as client:
                    result = ask(client)
                    result = await result if inspect.isawaitable(result) else result
                    result = result if _whole(result) else [event async for event in result]
                assert check(result), result
                return shown(result)

            call(self.sdk, name, form, "sync")(make)
            call(self.sdk, name, form, "async")(make_async)
            return ask

        return register


def _whole(result: Any) -> bool:
    return isinstance(result, BaseModel | str | bytes | list | tuple | dict) or hasattr(result, "content")


def shown(value: Any) -> Any:
    """Turn any SDK's result into JSON, with its request id if the SDK tells it."""
    if isinstance(value, BaseModel):
        result = value.model_dump(mode="json", warnings=False, exclude={"sdk_http_response"})
        for name in ("_request_id", "request_id"):
            if isinstance(found := getattr(value, name, None), str):
                result["_request_id"] = found
        if (answer := getattr(value, "sdk_http_response", None)) is not None:  # google-genai
            result["_headers"] = headers(answer.headers)
        return result
    if isinstance(value, bytes):
        return {"sha256": hashlib.sha256(value).hexdigest(), "length": len(value)}
    if isinstance(value, Mapping):
        return {str(name): shown(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [shown(one) for one in value]
    assert value is None or isinstance(value, str | int | float), f"cannot show {value!r}"
    return value


def headers(found: Any) -> dict[str, str]:
    """Select the headers of an answer that SDKs or their users read."""
    given = {name.lower(): value for name, value in found.items()}
    return {name: given[name] for name in HEADERS if name in given}


def load(only: Iterable[str] | None = None) -> dict[str, Call]:
    """Import the calls of some SDKs, or of all, and with them the SDKs themselves."""
    wanted = SDKS if only is None else tuple(only)
    for sdk in wanted:
        importlib.import_module(f".{sdk}_calls", __package__)
    return {name: one for name, one in CALLS.items() if one.sdk in wanted}
