"""One chat with each SDK, with headers and body fields of the caller's own, and the errors it raises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anthropic
import cohere
import groq
import ollama
import openai
from google import genai
from google.genai.errors import ClientError
from mistralai.client import Mistral
from mistralai.client.errors import MistralError

from . import secrets

SYSTEM = "Be brief."


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what is said beside it; `headers` and `body` are the caller's own."""

    content: str = "What is a café?"
    model: str = "some-local"
    temperature: float = 0.5
    headers: dict[str, str] | None = None
    body: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """An SDK: how it asks, what it raises for 404 and for 400, and where in its request the question is."""

    name: str
    ask: Callable[[str, Question], Any]
    missing: type[Exception]
    malformed: type[Exception]
    content: str
    temperature: str = "temperature"
    takes_body: bool = True

    def __str__(self) -> str:
        return self.name


def _messages(question: Question) -> Any:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question.content}]


def _chat(client: Any, question: Question, **more: Any) -> Any:
    return client.chat.completions.create(
        model=question.model,
        messages=_messages(question),
        temperature=question.temperature,
        extra_headers=question.headers,
        extra_body=question.body,
        **more,
    )


def _openai(url: str, question: Question) -> Any:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=secrets.OPENAI_KEY) as client:
        return _chat(client, question).model_dump()


def _openai_stream(url: str, question: Question) -> Any:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=secrets.OPENAI_KEY) as client:
        return [event.model_dump() for event in _chat(client, question, stream=True)]


def _openai_async(url: str, question: Question) -> Any:
    async def ask() -> Any:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=secrets.OPENAI_KEY) as client:
            return (await _chat(client, question)).model_dump()

    return asyncio.run(ask())


def _azure(url: str, question: Question) -> Any:
    with openai.AzureOpenAI(azure_endpoint=url, api_key=secrets.AZURE_KEY, api_version="2025-03-01") as client:
        return _chat(client, question).model_dump()


def _groq(url: str, question: Question) -> Any:
    with groq.Groq(base_url=url, api_key=secrets.GROQ_KEY) as client:
        return _chat(client, question).model_dump()


def _claude(question: Question) -> Any:
    # Anthropic's clients still take a temperature only through the body.
    return {
        "model": question.model,
        "max_tokens": 100,
        "system": SYSTEM,
        "messages": [{"role": "user", "content": question.content}],
        "extra_headers": question.headers,
        "extra_body": {"temperature": question.temperature, **(question.body or {})},
    }


def _anthropic(url: str, question: Question) -> Any:
    with anthropic.Anthropic(base_url=url, api_key=secrets.ANTHROPIC_KEY) as client:
        return client.messages.create(**_claude(question)).model_dump()


def _anthropic_async(url: str, question: Question) -> Any:
    async def ask() -> Any:
        async with anthropic.AsyncAnthropic(base_url=url, api_key=secrets.ANTHROPIC_KEY) as client:
            return [
                event.model_dump()
                async for event in await client.messages.create(**_claude(question), stream=True)
            ]

    return asyncio.run(ask())


def _gemini(url: str, question: Question) -> Any:
    with genai.Client(api_key=secrets.GEMINI_KEY, http_options={"base_url": url}) as client:
        config: Any = {
            "temperature": question.temperature,
            "system_instruction": SYSTEM,
            "http_options": {"headers": question.headers, "extra_body": question.body},
        }
        answer = client.models.generate_content(model=question.model, contents=question.content, config=config)
        return answer.model_dump(exclude={"sdk_http_response"})


def _mistral(url: str, question: Question) -> Any:
    with Mistral(api_key=secrets.MISTRAL_KEY, server_url=url) as client:
        return client.chat.complete(
            model=question.model,
            messages=_messages(question),
            temperature=question.temperature,
            http_headers=question.headers,
        ).model_dump()


def _cohere(url: str, question: Question) -> Any:
    with cohere.ClientV2(secrets.COHERE_KEY, base_url=url) as client:
        return client.chat(
            model=question.model,
            messages=_messages(question),
            temperature=question.temperature,
            request_options={
                "additional_headers": question.headers or {},
                "additional_body_parameters": question.body or {},
            },
        ).model_dump()


def _ollama(url: str, question: Question) -> Any:
    headers = {"authorization": f"Bearer {secrets.OLLAMA_KEY}", **(question.headers or {})}
    options = {"temperature": question.temperature}
    with ollama.Client(host=url, headers=headers) as client:
        return client.chat(model=question.model, messages=_messages(question), options=options).model_dump()


OPENAI = Way("openai", _openai, openai.NotFoundError, openai.BadRequestError, "messages[1].content")

WAYS = (
    OPENAI,
    Way("openai-stream", _openai_stream, openai.NotFoundError, openai.BadRequestError, "messages[1].content"),
    Way("openai-async", _openai_async, openai.NotFoundError, openai.BadRequestError, "messages[1].content"),
    Way("azure", _azure, openai.NotFoundError, openai.BadRequestError, "messages[1].content"),
    Way("groq", _groq, groq.NotFoundError, groq.BadRequestError, "messages[1].content"),
    Way("anthropic", _anthropic, anthropic.NotFoundError, anthropic.BadRequestError, "messages[0].content"),
    Way(
        "anthropic-async-stream",
        _anthropic_async,
        anthropic.NotFoundError,
        anthropic.BadRequestError,
        "messages[0].content",
    ),
    Way("gemini", _gemini, ClientError, ClientError, "contents[0].parts[0].text", "generationConfig.temperature"),
    Way("mistral", _mistral, MistralError, MistralError, "messages[1].content", takes_body=False),
    Way("cohere", _cohere, cohere.NotFoundError, cohere.BadRequestError, "messages[1].content"),
    Way(
        "ollama",
        _ollama,
        ollama.ResponseError,
        ollama.ResponseError,
        "messages[1].content",
        "options.temperature",
        takes_body=False,
    ),
)
