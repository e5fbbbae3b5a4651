"""What pydantic-ai's agents can be asked of OpenAI."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from . import secrets
from .calls import call, shown

QUESTION = "What is a café?"


class Recipe(BaseModel):
    """A structured answer."""

    name: str
    minutes: int


def provider(url: str) -> OpenAIProvider:
    """Return where the agents ask."""
    return OpenAIProvider(base_url=f"{url}/v1", api_key=secrets.OPENAI_KEY)


def agent(url: str) -> Agent[None, str]:
    """Return an agent that chats."""
    return Agent(OpenAIChatModel("gpt-local", provider=provider(url)), instructions="Be brief.")


@call("pydantic_ai", "chat", "plain", "sync")
def chat(url: str) -> Any:
    result = agent(url).run_sync(QUESTION)
    return shown({"output": result.output, "tokens": result.usage.output_tokens})


@call("pydantic_ai", "chat", "plain", "async")
async def chat_async(url: str) -> Any:
    result = await agent(url).run(QUESTION)
    return shown({"output": result.output, "tokens": result.usage.output_tokens})


@call("pydantic_ai", "chat", "stream", "sync")
def chat_stream(url: str) -> Any:
    pieces = list(agent(url).run_stream_sync(QUESTION).stream_text(delta=True, debounce_by=None))
    assert len(pieces) > 6
    return pieces


@call("pydantic_ai", "chat", "stream", "async")
async def chat_stream_async(url: str) -> Any:
    async with agent(url).run_stream(QUESTION) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 6
    return pieces


@call("pydantic_ai", "responses", "plain", "async")
async def responses(url: str) -> Any:
    result = await Agent(OpenAIResponsesModel("gpt-local", provider=provider(url))).run(QUESTION)
    return shown({"output": result.output})


@call("pydantic_ai", "tools", "plain", "async")
async def tools(url: str) -> Any:
    """Answer through the tool that stands for the output's type."""
    model = OpenAIChatModel("gpt-local", provider=provider(url))
    result = await Agent(model, output_type=Recipe).run(QUESTION)
    assert isinstance(result.output, Recipe)
    return shown(result.output)
