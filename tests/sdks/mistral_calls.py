"""What Mistral's SDK can be asked; its asynchronous methods are named `…_async`."""

from __future__ import annotations

from typing import Any, Self

from mistralai.client import Mistral
from pydantic import BaseModel

from . import secrets
from .calls import Clients

MESSAGES: Any = [{"role": "user", "content": "What is a café?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
DOCUMENT: Any = {"type": "document_url", "document_url": "https://example.com/menu.pdf"}


class Recipe(BaseModel):
    """A structured answer."""

    name: str
    minutes: int


class AsyncNames:
    """Let `client.chat.complete` name `complete_async`."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        """Return the asynchronous method, or a part of the client."""
        found = getattr(self._inner, f"{name}_async", None)
        return found if found is not None else AsyncNames(getattr(self._inner, name))

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *trouble: object) -> None:
        await self._inner.__aexit__(*trouble)


mistral = Clients(
    "mistral",
    lambda url: Mistral(api_key=secrets.MISTRAL_KEY, server_url=url),
    lambda url: AsyncNames(Mistral(api_key=secrets.MISTRAL_KEY, server_url=url)),
)


@mistral.both("chat", "plain", lambda r: r.choices[0].message.content)
def chat(client: Any) -> Any:
    return client.chat.complete(model="mistral-local", messages=MESSAGES)


@mistral.both("chat", "stream", lambda r: len(r) > 6 and r[-1].data.choices[0].finish_reason == "stop")
def chat_stream(client: Any) -> Any:
    return client.chat.stream(model="mistral-local", messages=MESSAGES)


@mistral.both("tools", "plain", lambda r: r.choices[0].message.tool_calls[0].function.arguments)
def tools(client: Any) -> Any:
    return client.chat.complete(model="mistral-local", messages=MESSAGES, tools=TOOLS)


@mistral.both("tools", "stream", lambda r: r[-1].data.choices[0].delta.tool_calls[0].function.arguments)
def tools_stream(client: Any) -> Any:
    return client.chat.stream(model="mistral-local", messages=MESSAGES, tools=TOOLS)


@mistral.both("chat", "parse", lambda r: isinstance(r.choices[0].message.parsed, Recipe))
def chat_parse(client: Any) -> Any:
    return client.chat.parse(model="mistral-local", messages=MESSAGES, response_format=Recipe)


@mistral.both("embeddings", "plain", lambda r: len(r.data) == 2 and r.data[0].embedding)
def embeddings(client: Any) -> Any:
    return client.embeddings.create(model="mistral-embed-local", inputs=["one", "two"])


@mistral.both("fim", "plain", lambda r: r.choices[0].message.content)
def fim(client: Any) -> Any:
    return client.fim.complete(model="codestral-local", prompt="def add(", suffix="return a + b")


@mistral.both("fim", "stream", lambda r: "".join(event.data.choices[0].delta.content for event in r))
def fim_stream(client: Any) -> Any:
    return client.fim.stream(model="codestral-local", prompt="def add(", suffix="return a + b")


@mistral.both("ocr", "plain", lambda r: r.pages[0].markdown)
def ocr(client: Any) -> Any:
    return client.ocr.process(model="mistral-ocr-local", document=DOCUMENT)
