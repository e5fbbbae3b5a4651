"""What Fireworks' SDK can be asked: OpenAI's format."""

from __future__ import annotations

from typing import Any

from fireworks import AsyncFireworks, Fireworks

from . import secrets
from .calls import Clients

MODEL = "llama-local"
MESSAGES: Any = [{"role": "user", "content": "What is a café?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]

fireworks = Clients(
    "fireworks",
    lambda url: Fireworks(base_url=f"{url}/inference", api_key=secrets.FIREWORKS_KEY),
    lambda url: AsyncFireworks(base_url=f"{url}/inference", api_key=secrets.FIREWORKS_KEY),
)


@fireworks.both("chat", "plain", lambda r: r.choices[0].message.content)
def chat(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES)


@fireworks.both("chat", "stream", lambda r: len(r) > 6 and r[-1].choices[0].finish_reason == "stop")
def chat_stream(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)


@fireworks.both("tools", "plain", lambda r: r.choices[0].message.tool_calls[0].function.arguments)
def tools(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS)
