"""What LangChain can be asked of Anthropic."""

from __future__ import annotations

from typing import Any

from langchain_anthropic import ChatAnthropic

from . import secrets
from .calls import call
from .langchain_openai_calls import QUESTION, said


def model(url: str) -> ChatAnthropic:
    """Return the model that is asked."""
    return ChatAnthropic(model="claude-local", base_url=url, api_key=secrets.ANTHROPIC_KEY, max_tokens=1000)


@call("langchain_anthropic", "chat", "plain", "sync")
def chat(url: str) -> Any:
    return said(model(url).invoke(QUESTION))


@call("langchain_anthropic", "chat", "plain", "async")
async def chat_async(url: str) -> Any:
    return said(await model(url).ainvoke(QUESTION))


@call("langchain_anthropic", "chat", "stream", "sync")
def chat_stream(url: str) -> Any:
    pieces = [chunk.text for chunk in model(url).stream(QUESTION)]
    assert len(pieces) > 6
    return pieces


@call("langchain_anthropic", "chat", "stream", "async")
async def chat_stream_async(url: str) -> Any:
    pieces = [chunk.text async for chunk in model(url).astream(QUESTION)]
    assert len(pieces) > 6
    return pieces
