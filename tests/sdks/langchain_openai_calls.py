"""What LangChain can be asked of OpenAI."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from . import secrets
from .calls import call, shown

QUESTION = "What is a café?"


def model(url: str) -> ChatOpenAI:
    """Return the model that is asked."""
    return ChatOpenAI(model="gpt-local", base_url=f"{url}/v1", api_key=secrets.OPENAI_KEY)


def said(message: AIMessage) -> Any:
    """Select what came from the provider; a run's id is made here."""
    assert message.text or message.tool_calls
    return shown({"text": message.text, "calls": message.tool_calls, "usage": message.usage_metadata})


@call("langchain_openai", "chat", "plain", "sync")
def chat(url: str) -> Any:
    return said(model(url).invoke(QUESTION))


@call("langchain_openai", "chat", "plain", "async")
async def chat_async(url: str) -> Any:
    return said(await model(url).ainvoke(QUESTION))


@call("langchain_openai", "chat", "stream", "sync")
def chat_stream(url: str) -> Any:
    pieces = [chunk.text for chunk in model(url).stream(QUESTION)]
    assert len(pieces) > 6
    return pieces


@call("langchain_openai", "chat", "stream", "async")
async def chat_stream_async(url: str) -> Any:
    pieces = [chunk.text async for chunk in model(url).astream(QUESTION)]
    assert len(pieces) > 6
    return pieces


@call("langchain_openai", "tools", "plain", "sync")
def tools(url: str) -> Any:
    def weather(city: str) -> str:
        """Tell the weather."""
        return city

    return said(model(url).bind_tools([weather]).invoke(QUESTION))


@call("langchain_openai", "embeddings", "plain", "sync")
def embeddings(url: str) -> Any:
    embedder = OpenAIEmbeddings(
        model="embedding-local",
        base_url=f"{url}/v1",
        api_key=secrets.OPENAI_KEY,
        check_embedding_ctx_length=False,  # else it fetches the tokenizer's tables
    )
    return shown(embedder.embed_documents(["one", "two"]))
