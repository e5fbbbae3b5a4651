"""What google-genai can be asked; its asynchronous half rides on aiohttp if that is installed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from google import genai
from pydantic import BaseModel

from . import secrets
from .calls import Clients

MODEL = "gemini-local"
ASK: Any = {"model": MODEL, "contents": "What is a café?"}
CITY = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}
WEATHER = {"name": "weather", "description": "Tells the weather", "parameters": CITY}


class Recipe(BaseModel):
    """A structured answer."""

    name: str
    minutes: int


@contextmanager
def client(url: str) -> Iterator[Any]:
    """Return the synchronous half of a client."""
    with genai.Client(api_key=secrets.GEMINI_KEY, http_options={"base_url": url}) as whole:
        yield whole


@asynccontextmanager
async def async_client(url: str) -> AsyncIterator[Any]:
    """Return the asynchronous half of a client."""
    with genai.Client(api_key=secrets.GEMINI_KEY, http_options={"base_url": url}) as whole:
        async with whole.aio as half:
            yield half


gemini = Clients("gemini", client, async_client)


@gemini.both("generate", "plain", lambda r: r.text)
def generate(client: Any) -> Any:
    return client.models.generate_content(**ASK, config={"system_instruction": "Be brief.", "temperature": 0})


@gemini.both("generate", "stream", lambda r: len(r) > 6 and "".join(c.text for c in r))
def generate_stream(client: Any) -> Any:
    return client.models.generate_content_stream(**ASK)


@gemini.both("tools", "plain", lambda r: r.function_calls[0].args["city"])
def tools(client: Any) -> Any:
    return client.models.generate_content(**ASK, config={"tools": [{"function_declarations": [WEATHER]}]})


@gemini.both("tools", "stream", lambda r: r[0].function_calls[0].args["city"])
def tools_stream(client: Any) -> Any:
    config = {"tools": [{"function_declarations": [WEATHER]}]}
    return client.models.generate_content_stream(**ASK, config=config)


@gemini.both("generate", "parse", lambda r: isinstance(r.parsed, Recipe))
def generate_parse(client: Any) -> Any:
    config = {"response_mime_type": "application/json", "response_schema": Recipe}
    return client.models.generate_content(**ASK, config=config)


@gemini.both("count-tokens", "plain", lambda r: r.total_tokens)
def count_tokens(client: Any) -> Any:
    return client.models.count_tokens(**ASK)


@gemini.both("embed", "plain", lambda r: len(r.embeddings) == 2 and len(r.embeddings[0].values) == 32)
def embed(client: Any) -> Any:
    return client.models.embed_content(
        model="embedding-local", contents=["one", "two"], config={"output_dimensionality": 32}
    )
