"""The SDKs that are walked: their clients, which tell the server what type they will read an answer as."""

from __future__ import annotations

import functools
import inspect
import typing
from collections import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import anthropic
import openai
import pydantic
from google import genai

import askonce
import askonce.openai as dropin
from tests.conformance import answers
from tests.conformance.server import Server


class Sdk(NamedTuple):
    """An SDK's client: its name in the tables, how it is made, what its resources are, and its provider's host."""

    name: str
    make: Callable[[Server], Any]
    resources: tuple[type, ...]
    host: str
    tell: Callable[[Server, Any], None] = lambda server, function: None
    """Tell the server what a method returns, where the client's own request does not."""
    turn_on: Callable[..., Any] = askonce.enable
    turn_off: Callable[[], Any] = askonce.disable


def _told(client: Any, server: Server, end: str = "") -> Any:
    """Have the server told what the client is about to read: the SDK's own `request` knows."""
    original = client.request

    @functools.wraps(original)
    def request(cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        if stream and stream_cls is not None:
            event = stream_cls.__args__[0]
            server.answer = answers.stream(event, server.label, end)
        else:
            server.answer = answers.answer(cast_to, server.label)
        return original(cast_to, options, stream=stream, stream_cls=stream_cls)

    client.request = request
    return client


def _openai(make: Callable[..., Any]) -> Callable[[Server], Any]:
    return lambda server: _told(
        make(base_url=f"{server.url}/v1", api_key="no-key", admin_api_key="no-key", max_retries=0, timeout=20),
        server,
        "[DONE]",
    )


def _dropin(server: Server) -> Any:
    dropin.configure("memory:", mode="off")
    return _openai(dropin.OpenAI)(server)


def _anthropic(make: Callable[..., Any]) -> Callable[[Server], Any]:
    return lambda server: _told(make(base_url=server.url, api_key="no-key", max_retries=0, timeout=20), server)


def _google(server: Server) -> Any:
    options = genai.types.HttpOptions(base_url=server.url, timeout=20_000)
    return genai.Client(api_key="no-key", vertexai=False, http_options=options)


def _tell_returned(server: Server, function: Any) -> None:
    """Answer with what a method says that it returns, which is its provider's answer under other names."""
    kind = typing.get_type_hints(inspect.unwrap(getattr(function, "__func__", function))).get("return")
    is_stream = False
    while typing.get_origin(kind) in _WRAPPED:
        is_stream |= typing.get_origin(kind) not in (abc.Awaitable, abc.Coroutine)
        kind = typing.get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        made = answers.stream if is_stream else answers.answer
        server.answer = made(kind, server.label)


_WRAPPED = (abc.Awaitable, abc.Coroutine, abc.Iterator, abc.AsyncIterator)


def sdks() -> list[Sdk]:
    """Return all that are walked."""
    from anthropic._resource import AsyncAPIResource as AsyncAnthropicResource
    from anthropic._resource import SyncAPIResource as AnthropicResource
    from google.genai._api_module import BaseModule
    from openai._resource import AsyncAPIResource as AsyncOpenAIResource
    from openai._resource import SyncAPIResource as OpenAIResource

    return [
        Sdk("openai", _openai(openai.OpenAI), (OpenAIResource,), "api.openai.com"),
        Sdk("openai, async", _openai(openai.AsyncOpenAI), (AsyncOpenAIResource,), "api.openai.com"),
        Sdk(
            "openai, drop-in",
            _dropin,
            (OpenAIResource,),
            "api.openai.com",
            turn_on=functools.partial(dropin.configure, repeat="same"),
            turn_off=functools.partial(dropin.configure, mode="off"),
        ),
        Sdk("anthropic", _anthropic(anthropic.Anthropic), (AnthropicResource,), "api.anthropic.com"),
        Sdk(
            "anthropic, async",
            _anthropic(anthropic.AsyncAnthropic),
            (AsyncAnthropicResource,),
            "api.anthropic.com",
        ),
        Sdk("google-genai", _google, (BaseModule,), "generativelanguage.googleapis.com", _tell_returned),
        Sdk(
            "google-genai, async",
            lambda server: _google(server).aio,
            (BaseModule,),
            "generativelanguage.googleapis.com",
            _tell_returned,
        ),
    ]
