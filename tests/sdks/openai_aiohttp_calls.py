"""What OpenAI's SDK can be asked with its aiohttp client."""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI, DefaultAioHttpClient

from . import secrets
from .calls import call, shown
from .openai_calls import MESSAGES, MODEL, spoken


def client(url: str) -> AsyncOpenAI:
    """Return a client that rides on aiohttp."""
    return AsyncOpenAI(base_url=f"{url}/v1", api_key=secrets.OPENAI_KEY, http_client=DefaultAioHttpClient())


@call("openai_aiohttp", "chat", "plain", "async")
async def chat(url: str) -> Any:
    async with client(url) as openai:
        answer = await openai.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert answer.choices[0].message.content
    return shown(answer)


@call("openai_aiohttp", "chat", "stream", "async")
async def chat_stream(url: str) -> Any:
    async with client(url) as openai:
        stream = await openai.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        events = [event async for event in stream]
    assert spoken(events)
    return shown(events)


@call("openai_aiohttp", "responses", "stream", "async")
async def responses_stream(url: str) -> Any:
    async with client(url) as openai:
        events = [event async for event in await openai.responses.create(model=MODEL, input="café?", stream=True)]
    assert "response.completed" == events[-1].type
    return shown(events)


@call("openai_aiohttp", "speech", "bytes", "async")
async def speech(url: str) -> Any:
    async with client(url) as openai:
        sound = await openai.audio.speech.create(model="tts-local", voice="alloy", input="café?")
        return shown(sound.content)
