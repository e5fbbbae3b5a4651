"""What Anthropic's SDK can be asked of Amazon Bedrock: signed, and streamed in Amazon's binary events."""

from __future__ import annotations

from typing import Any

from anthropic import AnthropicBedrock, AsyncAnthropicBedrock

from . import secrets
from .anthropic_calls import ASK
from .calls import Clients

WHERE: Any = {
    "aws_region": "eu-central-1",
    "aws_access_key": secrets.AWS_ID,
    "aws_secret_key": secrets.AWS_KEY,
    "aws_session_token": secrets.AWS_TOKEN,
}
MODEL = {"model": "anthropic.claude-local-v1:0"}

anthropic_bedrock = Clients(
    "anthropic_bedrock",
    lambda url: AnthropicBedrock(base_url=url, **WHERE),
    lambda url: AsyncAnthropicBedrock(base_url=url, **WHERE),
)


@anthropic_bedrock.both("messages", "plain", lambda r: r.content[0].text)
def messages(client: Any) -> Any:
    return client.messages.create(**ASK | MODEL)


@anthropic_bedrock.both("messages", "stream", lambda r: r[-1].type == "message_stop")
def messages_stream(client: Any) -> Any:
    return client.messages.create(**ASK | MODEL, stream=True)
