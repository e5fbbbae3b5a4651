"""What Anthropic's SDK can be asked with its aiohttp client."""

from __future__ import annotations

from typing import Any

from anthropic import AsyncAnthropic, DefaultAioHttpClient

from . import secrets
from .anthropic_calls import ASK
from .calls import call, shown


def client(url: str) -> AsyncAnthropic:
    """Return a client that rides on aiohttp."""
    return AsyncAnthropic(base_url=url, api_key=secrets.ANTHROPIC_KEY, http_client=DefaultAioHttpClient())


@call("anthropic_aiohttp", "messages", "plain", "async")
async def messages(url: str) -> Any:
    async with client(url) as anthropic:
        answer = await anthropic.messages.create(**ASK)
    assert answer.content[0].text
    return shown(answer)


@call("anthropic_aiohttp", "messages", "stream", "async")
async def messages_stream(url: str) -> Any:
    async with client(url) as anthropic:
        events = [event async for event in await anthropic.messages.create(**ASK, stream=True)]
    assert "message_stop" == events[-1].type
    return shown(events)
