"""What Anthropic's SDK can be asked of Vertex: Anthropic's format under Google's paths."""

from __future__ import annotations

from typing import Any

from anthropic import AnthropicVertex, AsyncAnthropicVertex

from . import secrets
from .anthropic_calls import ASK
from .calls import Clients

WHERE: Any = {"region": "europe-west1", "project_id": "a-project", "access_token": secrets.GOOGLE_TOKEN}

anthropic_vertex = Clients(
    "anthropic_vertex",
    lambda url: AnthropicVertex(base_url=f"{url}/v1", **WHERE),
    lambda url: AsyncAnthropicVertex(base_url=f"{url}/v1", **WHERE),
)


@anthropic_vertex.both("messages", "plain", lambda r: r.content[0].text)
def messages(client: Any) -> Any:
    return client.messages.create(**ASK)


@anthropic_vertex.both("messages", "stream", lambda r: r[-1].type == "message_stop")
def messages_stream(client: Any) -> Any:
    return client.messages.create(**ASK, stream=True)
