"""What Ollama's SDK can be asked."""

from __future__ import annotations

from typing import Any

from ollama import AsyncClient, Client

from . import secrets
from .calls import Clients

MODEL = "llama-local"
MESSAGES: Any = [{"role": "user", "content": "What is a café?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
KEY = {"authorization": f"Bearer {secrets.OLLAMA_KEY}"}

ollama = Clients(
    "ollama",
    lambda url: Client(host=url, headers=KEY),
    lambda url: AsyncClient(host=url, headers=KEY),
)


@ollama.both("chat", "plain", lambda r: r.message.content and r.done)
def chat(client: Any) -> Any:
    return client.chat(model=MODEL, messages=MESSAGES)


@ollama.both("chat", "stream", lambda r: len(r) > 6 and r[-1].done)
def chat_stream(client: Any) -> Any:
    return client.chat(model=MODEL, messages=MESSAGES, stream=True)


@ollama.both("chat", "thinking", lambda r: r.message.thinking)
def chat_thinking(client: Any) -> Any:
    return client.chat(model=MODEL, messages=MESSAGES, think=True)


@ollama.both("tools", "plain", lambda r: r.message.tool_calls[0].function.arguments["city"])
def tools(client: Any) -> Any:
    return client.chat(model=MODEL, messages=MESSAGES, tools=TOOLS)


@ollama.both("tools", "stream", lambda r: r[0].message.tool_calls and r[-1].done)
def tools_stream(client: Any) -> Any:
    return client.chat(model=MODEL, messages=MESSAGES, tools=TOOLS, stream=True)


@ollama.both("chat", "schema", lambda r: "city" in r.message.content)
def chat_schema(client: Any) -> Any:
    return client.chat(model=MODEL, messages=MESSAGES, format=CITY)


@ollama.both("generate", "plain", lambda r: r.response)
def generate(client: Any) -> Any:
    return client.generate(model=MODEL, prompt="What is a café?")


@ollama.both("generate", "stream", lambda r: "".join(part.response for part in r) and r[-1].done)
def generate_stream(client: Any) -> Any:
    return client.generate(model=MODEL, prompt="What is a café?", stream=True)


@ollama.both("embed", "plain", lambda r: len(r.embeddings) == 2)
def embed(client: Any) -> Any:
    return client.embed(model=MODEL, input=["one", "two"])
