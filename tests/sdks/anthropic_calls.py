"""What Anthropic's SDK can be asked."""

from __future__ import annotations

from typing import Any

from anthropic import Anthropic, AsyncAnthropic

from . import secrets
from .calls import Clients, call, headers, shown

MESSAGES: Any = [{"role": "user", "content": "What is a café?"}]
ASK: Any = {"model": "claude-local", "max_tokens": 1000, "messages": MESSAGES}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
TOOLS: Any = [{"name": "weather", "description": "Tells the weather", "input_schema": SCHEMA}]


def client(url: str) -> Anthropic:
    """Return the client that all calls are made with."""
    return Anthropic(base_url=url, api_key=secrets.ANTHROPIC_KEY)


def async_client(url: str) -> AsyncAnthropic:
    """Return the asynchronous client."""
    return AsyncAnthropic(base_url=url, api_key=secrets.ANTHROPIC_KEY)


anthropic = Clients("anthropic", client, async_client)


@anthropic.both("messages", "plain", lambda r: r.content[0].text and r._request_id)
def messages(client: Any) -> Any:
    return client.messages.create(**ASK, system="Be brief.")


@anthropic.both("messages", "stream", lambda r: r[-1].type == "message_stop")
def messages_stream(client: Any) -> Any:
    return client.messages.create(**ASK, stream=True)


@anthropic.both("tools", "plain", lambda r: r.content[0].input["city"] and r.stop_reason == "tool_use")
def tools(client: Any) -> Any:
    return client.messages.create(**ASK, tools=TOOLS)


@anthropic.both("tools", "stream", lambda r: r[-1].type == "message_stop")
def tools_stream(client: Any) -> Any:
    return client.messages.create(**ASK, tools=TOOLS, stream=True)


@anthropic.both("thinking", "plain", lambda r: r.content[0].thinking and r.content[1].text)
def thinking(client: Any) -> Any:
    return client.messages.create(**ASK, thinking={"type": "adaptive"})


@anthropic.both("thinking", "stream", lambda r: r[-1].type == "message_stop")
def thinking_stream(client: Any) -> Any:
    return client.messages.create(**ASK, thinking={"type": "adaptive"}, stream=True)


@anthropic.both("count-tokens", "plain", lambda r: r.input_tokens)
def count_tokens(client: Any) -> Any:
    return client.messages.count_tokens(model="claude-local", messages=MESSAGES)


@call("anthropic", "messages", "helper", "sync")
def messages_helper(url: str) -> Any:
    with client(url) as anthropic, anthropic.messages.stream(**ASK) as stream:
        events = [shown(event) for event in stream]
        final, said = stream.get_final_message(), stream.get_final_text()
    assert said
    return {"events": events, "final": shown(final), "text": said}


@call("anthropic", "messages", "helper", "async")
async def messages_helper_async(url: str) -> Any:
    async with async_client(url) as anthropic, anthropic.messages.stream(**ASK) as stream:
        said = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert said
    return {"text": said, "final": shown(final)}


@call("anthropic", "messages", "raw", "sync")
def messages_raw(url: str) -> Any:
    with client(url) as anthropic:
        raw = anthropic.messages.with_raw_response.create(**ASK)
        parsed = raw.parse()
        assert parsed.content[0].text
        return {"status": raw.status_code, "headers": headers(raw.headers), "parsed": shown(parsed)}


@call("anthropic", "messages", "raw", "async")
async def messages_raw_async(url: str) -> Any:
    async with async_client(url) as anthropic:
        raw = await anthropic.messages.with_raw_response.create(**ASK)
        parsed = await raw.parse()
        assert parsed.content[0].text
        return {"status": raw.status_code, "headers": headers(raw.headers), "parsed": shown(parsed)}


@call("anthropic", "messages", "streaming-response", "sync")
def messages_streaming_response(url: str) -> Any:
    with (
        client(url) as anthropic,
        anthropic.messages.with_streaming_response.create(**ASK, stream=True) as raw,
    ):
        lines = list(raw.iter_lines())
        assert 'data: {"type":"message_stop"}' in lines
        return {"status": raw.status_code, "headers": headers(raw.headers), "lines": lines}
