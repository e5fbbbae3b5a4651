"""What OpenAI's SDK can be asked; the same on httpx2 (3.x) and on httpx (2.x)."""

from __future__ import annotations

import io
from typing import Any

from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from . import secrets
from .calls import Clients, call, headers, shown

MODEL = "gpt-local"
MESSAGES: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a café?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
FLAT_TOOLS: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt " + b"\r\n--\x00" * 50


class Step(BaseModel):
    """A part of the structured answer."""

    explanation: str
    number: int


class Plan(BaseModel):
    """A structured answer."""

    title: str
    steps: list[Step]
    sure: bool
    note: str | None


def client(url: str) -> OpenAI:
    """Return the client that all calls are made with."""
    return OpenAI(
        base_url=f"{url}/v1",
        api_key=secrets.OPENAI_KEY,
        organization=secrets.OPENAI_ORGANIZATION,
        project=secrets.OPENAI_PROJECT,
    )


def async_client(url: str) -> AsyncOpenAI:
    """Return the asynchronous client."""
    return AsyncOpenAI(
        base_url=f"{url}/v1",
        api_key=secrets.OPENAI_KEY,
        organization=secrets.OPENAI_ORGANIZATION,
        project=secrets.OPENAI_PROJECT,
    )


openai = Clients("openai", client, async_client)


def spoken(events: list[Any]) -> str:
    """Join the text of a chat's chunks."""
    return "".join(c.choices[0].delta.content or "" for c in events if c.choices)


@openai.both("chat", "plain", lambda r: r.choices[0].message.content and r._request_id)
def chat(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES)


@openai.both("chat", "n", lambda r: len({c.message.content for c in r.choices}) == 3)
def chat_n(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, n=3, temperature=0.5, seed=7)


@openai.both("chat", "stream", lambda r: len(r) > 6 and spoken(r) and r[-1].choices[0].finish_reason == "stop")
def chat_stream(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)


@openai.both("chat", "stream-usage", lambda r: spoken(r) and r[-1].usage.total_tokens)
def chat_stream_usage(client: Any) -> Any:
    options = {"include_usage": True}
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, stream_options=options)


@openai.both("chat", "stream-long", lambda r: len(r) > 200 and spoken(r))
def chat_stream_long(client: Any) -> Any:
    return client.chat.completions.create(model=f"{MODEL}-chunks-200", messages=MESSAGES, stream=True)


@openai.both("tools", "plain", lambda r: r.choices[0].message.tool_calls[0].function.name == "weather")
def tools(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS)


@openai.both("tools", "stream", lambda r: r[-1].choices[0].finish_reason == "tool_calls")
def tools_stream(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, stream=True)


@openai.both("chat", "parse", lambda r: isinstance(r.choices[0].message.parsed, Plan))
def chat_parse(client: Any) -> Any:
    return client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Plan)


@call("openai", "chat", "helper", "sync")
def chat_helper(url: str) -> Any:
    with client(url) as openai, openai.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        events = [shown(event) for event in stream]
        final = stream.get_final_completion()
    assert final.choices[0].message.content
    return {"events": events, "final": shown(final)}


@call("openai", "chat", "helper", "async")
async def chat_helper_async(url: str) -> Any:
    async with (
        async_client(url) as openai,
        openai.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream,
    ):
        events = [shown(event) async for event in stream]
        final = await stream.get_final_completion()
    assert final.choices[0].message.content
    return {"events": events, "final": shown(final)}


def raw_shown(raw: Any, parsed: Any) -> Any:
    """Show a raw response: its status, headers and body."""
    return {
        "status": raw.status_code,
        "http_version": raw.http_response.http_version,
        "headers": headers(raw.headers),
        "request_id": raw.request_id,
        "parsed": shown(parsed),
    }


@call("openai", "chat", "raw", "sync")
def chat_raw(url: str) -> Any:
    with client(url) as openai:
        raw = openai.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
        parsed = raw.parse()
        assert parsed.choices[0].message.content
        assert raw.elapsed.total_seconds() >= 0
        return raw_shown(raw, parsed) | {"text": shown(raw.content)}


@call("openai", "chat", "raw", "async")
async def chat_raw_async(url: str) -> Any:
    async with async_client(url) as openai:
        raw = await openai.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
        parsed = raw.parse()
        assert parsed.choices[0].message.content
        assert raw.elapsed.total_seconds() >= 0
        return raw_shown(raw, parsed) | {"text": shown(raw.content)}


@call("openai", "chat", "raw-stream", "sync")
def chat_raw_stream(url: str) -> Any:
    with client(url) as openai:
        raw = openai.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, stream=True)
        events = list(raw.parse())
        assert spoken(events)
        return raw_shown(raw, events)


@call("openai", "chat", "raw-stream", "async")
async def chat_raw_stream_async(url: str) -> Any:
    async with async_client(url) as openai:
        raw = await openai.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, stream=True)
        events = [event async for event in raw.parse()]
        assert spoken(events)
        return raw_shown(raw, events)


@call("openai", "chat", "streaming-response", "sync")
def chat_streaming_response(url: str) -> Any:
    with client(url) as openai:
        create = openai.chat.completions.with_streaming_response.create
        with create(model=MODEL, messages=MESSAGES) as raw:
            lines = list(raw.iter_lines())
            assert lines
            return {"status": raw.status_code, "headers": headers(raw.headers), "lines": lines}


@call("openai", "chat", "streaming-response", "async")
async def chat_streaming_response_async(url: str) -> Any:
    async with async_client(url) as openai:
        create = openai.chat.completions.with_streaming_response.create
        async with create(model=MODEL, messages=MESSAGES) as raw:
            lines = [line async for line in raw.iter_lines()]
            assert lines
            return {"status": raw.status_code, "headers": headers(raw.headers), "lines": lines}


@openai.both("completions", "plain", lambda r: r.choices[0].text)
def completions(client: Any) -> Any:
    return client.completions.create(model=MODEL, prompt="Once upon a time")


@openai.both("completions", "stream", lambda r: "".join(c.choices[0].text for c in r))
def completions_stream(client: Any) -> Any:
    return client.completions.create(model=MODEL, prompt="Once upon a time", stream=True)


@openai.both("responses", "plain", lambda r: r.output_text and r._request_id)
def responses(client: Any) -> Any:
    return client.responses.create(model=MODEL, instructions="Be brief.", input="What is a café?")


@openai.both("responses", "stream", lambda r: r[-1].type == "response.completed" and r[-1].response.output_text)
def responses_stream(client: Any) -> Any:
    return client.responses.create(model=MODEL, input="What is a café?", stream=True)


@openai.both("responses", "tools", lambda r: r.output[0].type == "function_call" and r.output[0].arguments)
def responses_tools(client: Any) -> Any:
    return client.responses.create(model=MODEL, input="What weather?", tools=FLAT_TOOLS)


@openai.both("responses", "tools-stream", lambda r: r[-1].response.output[0].type == "function_call")
def responses_tools_stream(client: Any) -> Any:
    return client.responses.create(model=MODEL, input="What weather?", tools=FLAT_TOOLS, stream=True)


@openai.both("responses", "parse", lambda r: isinstance(r.output_parsed, Plan))
def responses_parse(client: Any) -> Any:
    return client.responses.parse(model=MODEL, input="Plan my day", text_format=Plan)


@call("openai", "responses", "helper", "sync")
def responses_helper(url: str) -> Any:
    with (
        client(url) as openai,
        openai.responses.stream(model=MODEL, input="Hello", text_format=Plan) as stream,
    ):
        events = [shown(event) for event in stream]
        final = stream.get_final_response()
    assert isinstance(final.output_parsed, Plan)
    return {"events": events, "final": shown(final)}


@call("openai", "responses", "helper", "async")
async def responses_helper_async(url: str) -> Any:
    async with (
        async_client(url) as openai,
        openai.responses.stream(model=MODEL, input="Hello", text_format=Plan) as stream,
    ):
        events = [shown(event) async for event in stream]
        final = await stream.get_final_response()
    assert isinstance(final.output_parsed, Plan)
    return {"events": events, "final": shown(final)}


@openai.both("embeddings", "base64", lambda r: len(r.data) == 2 and len(r.data[0].embedding) == 64)
def embeddings(client: Any) -> Any:
    return client.embeddings.create(model="embedding-local", input=["one", "two"])


@openai.both("embeddings", "float", lambda r: len(r.data[0].embedding) == 16)
def embeddings_float(client: Any) -> Any:
    return client.embeddings.create(model="embedding-local", input="one", encoding_format="float", dimensions=16)


@openai.both("moderations", "plain", lambda r: r.id and r.results[0].flagged is False)
def moderations(client: Any) -> Any:
    return client.moderations.create(model="moderation-local", input="I like cafés")


@openai.both("images", "base64", lambda r: len(r.data) == 2 and r.data[0].b64_json)
def images(client: Any) -> Any:
    return client.images.generate(model="image-local", prompt="a café", n=2)


@openai.both("images", "url", lambda r: ".png?" in r.data[0].url)
def images_url(client: Any) -> Any:
    return client.images.generate(model="image-local", prompt="a café", response_format="url")


@openai.both("images", "edit", lambda r: r.data[0].b64_json)
def images_edit(client: Any) -> Any:
    return client.images.edit(model="image-local", prompt="more cups", image=("cafe.png", PNG, "image/png"))


@call("openai", "speech", "content", "sync")
def speech(url: str) -> Any:
    with client(url) as openai:
        answer = openai.audio.speech.create(model="tts-local", voice="alloy", input="Hello")
        assert answer.content.startswith(b"ID3")
        return {"content": shown(answer.content), "headers": headers(answer.response.headers)}


@call("openai", "speech", "content", "async")
async def speech_async(url: str) -> Any:
    async with async_client(url) as openai:
        answer = await openai.audio.speech.create(
            model="tts-local", voice="alloy", input="Hello", response_format="wav"
        )
        content = await answer.aread()
        assert content.startswith(b"RIFF")
        return {"content": shown(content), "headers": headers(answer.response.headers)}


@call("openai", "speech", "iter-bytes", "sync")
def speech_bytes(url: str) -> Any:
    with client(url) as openai:
        create = openai.audio.speech.with_streaming_response.create
        with create(model="tts-local", voice="alloy", input="Hello", response_format="wav") as answer:
            chunks = list(answer.iter_bytes())
            assert b"".join(chunks).startswith(b"RIFF")
            return {"chunks": shown(chunks), "headers": headers(answer.headers)}


@call("openai", "speech", "iter-bytes", "async")
async def speech_bytes_async(url: str) -> Any:
    async with async_client(url) as openai:
        create = openai.audio.speech.with_streaming_response.create
        async with create(model="tts-local", voice="alloy", input="Hello") as answer:
            chunks = [chunk async for chunk in answer.iter_bytes(1000)]
            assert b"".join(chunks).startswith(b"ID3")
            return {"chunks": shown(chunks), "headers": headers(answer.headers)}


@openai.both("transcriptions", "json", lambda r: r.text)
def transcriptions(client: Any) -> Any:
    return client.audio.transcriptions.create(model="whisper-local", file=("hello.wav", io.BytesIO(WAV)))


@openai.both("transcriptions", "text", lambda r: r.startswith("Answer"))
def transcriptions_text(client: Any) -> Any:
    return client.audio.transcriptions.create(
        model="whisper-local", file=("hello.wav", WAV), response_format="text"
    )


@openai.both("transcriptions", "verbose", lambda r: r.segments[0].text)
def transcriptions_verbose(client: Any) -> Any:
    return client.audio.transcriptions.create(
        model="whisper-local",
        file=("hello.wav", WAV),
        response_format="verbose_json",
        timestamp_granularities=["segment"],
    )


@openai.both("transcriptions", "stream", lambda r: r[-1].type == "transcript.text.done" and r[-1].text)
def transcriptions_stream(client: Any) -> Any:
    return client.audio.transcriptions.create(model="whisper-local", file=("hello.wav", WAV), stream=True)


@openai.both("translations", "json", lambda r: r.text)
def translations(client: Any) -> Any:
    return client.audio.translations.create(model="whisper-local", file=("hello.wav", WAV))
