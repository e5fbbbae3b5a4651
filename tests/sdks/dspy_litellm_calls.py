"""What DSPy can be asked of OpenAI over litellm."""

from __future__ import annotations

from typing import Any

from .calls import call, shown
from .dspy_calls import QUESTION, model


@call("dspy_litellm", "chat", "plain", "sync")
def chat(url: str) -> Any:
    return shown(model(url, engine="litellm")(QUESTION))


@call("dspy_litellm", "chat", "plain", "async")
async def chat_async(url: str) -> Any:
    return shown(await model(url, engine="litellm").acall(QUESTION))
