"""What smolagents' models can be asked; they have no asynchronous half."""

from __future__ import annotations

from typing import Any

from smolagents import ChatMessage, OpenAIModel

from . import secrets
from .calls import call, shown

MESSAGES: Any = [ChatMessage(role="user", content=[{"type": "text", "text": "What is a café?"}])]


def model(url: str) -> OpenAIModel:
    """Return the model that is asked."""
    return OpenAIModel("gpt-local", api_base=f"{url}/v1", api_key=secrets.OPENAI_KEY)


@call("smolagents", "chat", "plain", "sync")
def chat(url: str) -> Any:
    message = model(url).generate(MESSAGES)
    assert message.content
    return shown({"text": message.content, "tokens": message.token_usage.output_tokens})


@call("smolagents", "chat", "stream", "sync")
def chat_stream(url: str) -> Any:
    pieces = [delta.content for delta in model(url).generate_stream(MESSAGES)]
    assert len(pieces) > 6
    return pieces
