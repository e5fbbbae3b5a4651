"""What OpenAI's SDK can be asked of Amazon Bedrock: OpenAI's format, with a key of Bedrock's or signed."""

from __future__ import annotations

from typing import Any

from openai import AsyncBedrockOpenAI, BedrockOpenAI

from . import secrets
from .calls import Clients, call, shown
from .openai_calls import MESSAGES, MODEL, spoken

SIGNED: Any = {
    "aws_region": "us-east-1",
    "aws_access_key_id": secrets.AWS_ID,
    "aws_secret_access_key": secrets.AWS_KEY,
    "aws_session_token": secrets.AWS_TOKEN,
}

openai_bedrock = Clients(
    "openai_bedrock",
    lambda url: BedrockOpenAI(base_url=f"{url}/openai/v1", api_key=secrets.BEDROCK_KEY, aws_region="us-east-1"),
    lambda url: AsyncBedrockOpenAI(
        base_url=f"{url}/openai/v1", api_key=secrets.BEDROCK_KEY, aws_region="us-east-1"
    ),
)


@openai_bedrock.both("chat", "plain", lambda r: r.choices[0].message.content)
def chat(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES)


@openai_bedrock.both("chat", "stream", spoken)
def chat_stream(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)


@call("openai_bedrock", "chat", "signed", "sync")
def chat_signed(url: str) -> Any:
    with BedrockOpenAI(base_url=f"{url}/openai/v1", **SIGNED) as client:
        return shown(client.chat.completions.create(model=MODEL, messages=MESSAGES))
