"""What OpenAI's SDK can be asked of Azure: the deployment is in the path, the key in `api-key`."""

from __future__ import annotations

from typing import Any

from openai import AsyncAzureOpenAI, AzureOpenAI

from . import secrets
from .calls import Clients
from .openai_calls import MESSAGES, MODEL, spoken

VERSION = "2025-03-01-preview"

azure = Clients(
    "azure",
    lambda url: AzureOpenAI(azure_endpoint=url, api_key=secrets.AZURE_KEY, api_version=VERSION),
    lambda url: AsyncAzureOpenAI(azure_endpoint=url, api_key=secrets.AZURE_KEY, api_version=VERSION),
)


@azure.both("chat", "plain", lambda r: r.choices[0].message.content)
def chat(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES)


@azure.both("chat", "stream", spoken)
def chat_stream(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)


@azure.both("embeddings", "plain", lambda r: r.data[0].embedding)
def embeddings(client: Any) -> Any:
    return client.embeddings.create(model="embedding-local", input="one")
