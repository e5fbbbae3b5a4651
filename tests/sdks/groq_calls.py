"""What Groq's SDK can be asked: OpenAI's format, on httpx."""

from __future__ import annotations

from typing import Any

from groq import AsyncGroq, Groq

from . import secrets
from .calls import Clients, call, headers, shown

MODEL = "llama-local"
MESSAGES: Any = [{"role": "user", "content": "What is a café?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]

groq = Clients(
    "groq",
    lambda url: Groq(base_url=url, api_key=secrets.GROQ_KEY),
    lambda url: AsyncGroq(base_url=url, api_key=secrets.GROQ_KEY),
)


@groq.both("chat", "plain", lambda r: r.choices[0].message.content)
def chat(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES)


@groq.both("chat", "stream", lambda r: len(r) > 6 and r[-1].choices[0].finish_reason == "stop")
def chat_stream(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)


@groq.both("tools", "plain", lambda r: r.choices[0].message.tool_calls[0].function.arguments)
def tools(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS)


@groq.both("tools", "stream", lambda r: r[-1].choices[0].finish_reason == "tool_calls")
def tools_stream(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, stream=True)


@groq.both("transcriptions", "plain", lambda r: r.text)
def transcriptions(client: Any) -> Any:
    return client.audio.transcriptions.create(model="whisper-local", file=("hello.wav", b"RIFF" + bytes(100)))


@call("groq", "chat", "raw", "sync")
def chat_raw(url: str) -> Any:
    with Groq(base_url=url, api_key=secrets.GROQ_KEY) as client:
        raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
        parsed = raw.parse()
        assert parsed.choices[0].message.content
        return {"status": raw.status_code, "headers": headers(raw.headers), "parsed": shown(parsed)}
