"""What LlamaIndex can be asked of OpenAI."""

from __future__ import annotations

from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI

from . import secrets
from .calls import call, shown

MESSAGES = [ChatMessage(role="user", content="What is a café?")]


def model(url: str) -> OpenAI:
    """Return the model that is asked: one whose window LlamaIndex knows."""
    return OpenAI(model="gpt-4o-mini", api_base=f"{url}/v1", api_key=secrets.OPENAI_KEY)


def said(answer: Any) -> Any:
    """Select what came from the provider."""
    assert answer.message.content
    return shown({"text": answer.message.content, "id": answer.raw.id, "usage": answer.raw.usage})


def pieces(answers: list[Any]) -> Any:
    """Return the text of a stream in the pieces that it came in."""
    found = [answer.delta for answer in answers]
    assert len(found) > 6
    return shown(found)


@call("llama_index", "chat", "plain", "sync")
def chat(url: str) -> Any:
    return said(model(url).chat(MESSAGES))


@call("llama_index", "chat", "plain", "async")
async def chat_async(url: str) -> Any:
    return said(await model(url).achat(MESSAGES))


@call("llama_index", "chat", "stream", "sync")
def chat_stream(url: str) -> Any:
    return pieces(list(model(url).stream_chat(MESSAGES)))


@call("llama_index", "chat", "stream", "async")
async def chat_stream_async(url: str) -> Any:
    return pieces([answer async for answer in await model(url).astream_chat(MESSAGES)])
