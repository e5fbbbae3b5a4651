"""What Hugging Face's client can be asked: OpenAI's format, of any provider behind it."""

from __future__ import annotations

from typing import Any

from huggingface_hub import AsyncInferenceClient, InferenceClient

from . import secrets
from .calls import Clients

MESSAGES: Any = [{"role": "user", "content": "What is a café?"}]

huggingface = Clients(
    "huggingface",
    lambda url: InferenceClient(base_url=f"{url}/v1", api_key=secrets.HUGGING_FACE_KEY),
    lambda url: AsyncInferenceClient(base_url=f"{url}/v1", api_key=secrets.HUGGING_FACE_KEY),
)


@huggingface.both("chat", "plain", lambda r: r.choices[0].message.content)
def chat(client: Any) -> Any:
    return client.chat.completions.create(model="llama-local", messages=MESSAGES)


@huggingface.both("chat", "stream", lambda r: len(r) > 6 and r[-1].choices[0].finish_reason == "stop")
def chat_stream(client: Any) -> Any:
    return client.chat.completions.create(model="llama-local", messages=MESSAGES, stream=True)
