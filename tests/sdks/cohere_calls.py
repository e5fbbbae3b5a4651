"""What Cohere's SDK can be asked, in versions 1 and 2 of its interface."""

from __future__ import annotations

from typing import Any

import cohere as sdk

from . import secrets
from .calls import Clients

MESSAGES: Any = [{"role": "user", "content": "What is a café?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]

cohere = Clients(
    "cohere",
    lambda url: sdk.ClientV2(secrets.COHERE_KEY, base_url=url, client_name="askonce tests"),
    lambda url: sdk.AsyncClientV2(secrets.COHERE_KEY, base_url=url, client_name="askonce tests"),
)
cohere_v1 = Clients(
    "cohere",
    lambda url: sdk.Client(secrets.COHERE_KEY, base_url=url),
    lambda url: sdk.AsyncClient(secrets.COHERE_KEY, base_url=url),
)


@cohere.both("chat", "plain", lambda r: r.message.content[0].text)
def chat(client: Any) -> Any:
    return client.chat(model="command-local", messages=MESSAGES)


@cohere.both("chat", "stream", lambda r: len(r) > 6 and r[-1].type == "message-end" and r[-1].delta.usage)
def chat_stream(client: Any) -> Any:
    return client.chat_stream(model="command-local", messages=MESSAGES)


@cohere.both("tools", "plain", lambda r: r.message.tool_calls[0].function.arguments)
def tools(client: Any) -> Any:
    return client.chat(model="command-local", messages=MESSAGES, tools=TOOLS)


@cohere.both("tools", "stream", lambda r: "tool-call-delta" in [event.type for event in r])
def tools_stream(client: Any) -> Any:
    return client.chat_stream(model="command-local", messages=MESSAGES, tools=TOOLS)


@cohere.both("embed", "plain", lambda r: len(r.embeddings.float_) == 2)
def embed(client: Any) -> Any:
    return client.embed(
        model="embed-local",
        texts=["one", "two"],
        input_type="search_query",
        embedding_types=["float", "int8"],
    )


@cohere.both("rerank", "plain", lambda r: r.results[0].index == 2)
def rerank(client: Any) -> Any:
    return client.rerank(model="rerank-local", query="a café", documents=["one", "two", "three"], top_n=2)


@cohere_v1.both("chat-v1", "plain", lambda r: r.text)
def chat_v1(client: Any) -> Any:
    return client.chat(model="command-local", message="What is a café?")


@cohere_v1.both("chat-v1", "stream", lambda r: r[-1].event_type == "stream-end" and r[-1].response.text)
def chat_v1_stream(client: Any) -> Any:
    return client.chat_stream(model="command-local", message="What is a café?")
