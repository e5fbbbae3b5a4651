"""What boto3 can be asked of Amazon Bedrock."""

from __future__ import annotations

from typing import Any

import boto3

from .bedrock import CONVERSE, INVOKE, WHERE, converse_events, invoke_events, without_metadata
from .calls import call, shown


def client(url: str) -> Any:
    """Return the client that is asked."""
    return boto3.session.Session().client("bedrock-runtime", endpoint_url=url, **WHERE)


@call("boto3", "converse", "plain", "sync")
def converse(url: str) -> Any:
    answer = client(url).converse(**CONVERSE)
    assert answer["output"]["message"]["content"][0]["text"]
    return shown(without_metadata(answer))


@call("boto3", "converse", "stream", "sync")
def converse_stream(url: str) -> Any:
    return shown(converse_events(list(client(url).converse_stream(**CONVERSE)["stream"])))


@call("boto3", "invoke", "plain", "sync")
def invoke(url: str) -> Any:
    answer = client(url).invoke_model(**INVOKE)
    body = answer["body"].read()
    assert b'"text"' in body
    return shown({"body": body.decode(), "type": answer["contentType"]})


@call("boto3", "invoke", "stream", "sync")
def invoke_stream(url: str) -> Any:
    return shown(invoke_events(list(client(url).invoke_model_with_response_stream(**INVOKE)["body"])))
