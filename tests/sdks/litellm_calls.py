"""What litellm can be asked, on its routes to OpenAI and to Anthropic."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import secrets
from .calls import call, shown

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import fetches a list of prices

import litellm

MESSAGES: Any = [{"role": "user", "content": "What is a café?"}]
ROUTES: dict[str, Callable[[str], Any]] = {
    "openai": lambda url: {"model": "openai/gpt-local", "api_base": f"{url}/v1", "api_key": secrets.OPENAI_KEY},
    "anthropic": lambda url: {
        "model": "anthropic/claude-local",
        "api_base": url,
        "api_key": secrets.ANTHROPIC_KEY,
    },
}


def said(answer: Any) -> Any:
    """Select what came from the provider; litellm makes some ids itself."""
    text = answer.choices[0].message.content
    assert text
    return shown({"text": text, "tokens": answer.usage.completion_tokens, "model": answer.model})


def pieces(chunks: list[Any]) -> Any:
    """Return the text of a stream in the pieces that it came in."""
    found = [chunk.choices[0].delta.content for chunk in chunks]
    assert len(found) > 6
    return found


def register(route: str, where: Callable[[str], Any]) -> None:
    """Register the calls on one route."""

    @call("litellm", route, "plain", "sync")
    def plain(url: str) -> Any:
        return said(litellm.completion(messages=MESSAGES, **where(url)))

    @call("litellm", route, "stream", "sync")
    def stream(url: str) -> Any:
        return pieces(list(litellm.completion(messages=MESSAGES, stream=True, **where(url))))

    @call("litellm", route, "plain", "async")
    async def plain_async(url: str) -> Any:
        return said(await litellm.acompletion(messages=MESSAGES, **where(url)))

    @call("litellm", route, "stream", "async")
    async def stream_async(url: str) -> Any:
        answer = await litellm.acompletion(messages=MESSAGES, stream=True, **where(url))
        return pieces([chunk async for chunk in answer])


for name, where in ROUTES.items():
    register(name, where)


@call("litellm", "embeddings", "plain", "sync")
def embeddings(url: str) -> Any:
    where = ROUTES["openai"](url) | {"model": "openai/embedding-local"}
    return shown(litellm.embedding(input=["one", "two"], **where).data)
