"""What is asked of Amazon Bedrock through botocore's API, sync and async, and what an answer must hold."""

from __future__ import annotations

import json
from typing import Any

from . import secrets

WHERE: Any = {
    "region_name": "us-east-1",
    "aws_access_key_id": secrets.AWS_ID,
    "aws_secret_access_key": secrets.AWS_KEY,
    "aws_session_token": secrets.AWS_TOKEN,
}
CONVERSE: Any = {
    "modelId": "anthropic.claude-local-v1:0",
    "messages": [{"role": "user", "content": [{"text": "What is a café?"}]}],
}
INVOKE: Any = {
    "modelId": "anthropic.claude-local-v1:0",
    "body": json.dumps(
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "What is a café?"}],
        }
    ),
}


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    """Drop what botocore says of the transfer, but for the request's id."""
    metadata = answer.pop("ResponseMetadata")
    return {**answer, "request_id": metadata["RequestId"], "retries": metadata["RetryAttempts"]}


def converse_events(events: list[Any]) -> list[Any]:
    """Check that a conversation's stream is whole."""
    assert len(events) > 6
    assert any("messageStop" in event for event in events)
    assert "metadata" in events[-1]
    return events


def invoke_events(events: list[Any]) -> list[str]:
    """Return a model's own events, whole."""
    said = [event["chunk"]["bytes"].decode() for event in events]
    assert "message_stop" in said[-1]
    return said
