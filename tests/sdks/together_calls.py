"""What Together's SDK can be asked: OpenAI's format."""

from __future__ import annotations

from typing import Any

from together import AsyncTogether, Together

from . import secrets
from .calls import Clients

MODEL = "llama-local"
MESSAGES: Any = [{"role": "user", "content": "What is a café?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]

together = Clients(
    "together",
    lambda url: Together(base_url=url, api_key=secrets.TOGETHER_KEY),
    lambda url: AsyncTogether(base_url=url, api_key=secrets.TOGETHER_KEY),
)


@together.both("chat", "plain", lambda r: r.choices[0].message.content)
def chat(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES)


@together.both("chat", "stream", lambda r: len(r) > 6 and r[-1].choices[0].finish_reason == "stop")
def chat_stream(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)


@together.both("tools", "plain", lambda r: r.choices[0].message.tool_calls[0].function.arguments)
def tools(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS)
