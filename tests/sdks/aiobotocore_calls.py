"""What aiobotocore can be asked of Amazon Bedrock."""

from __future__ import annotations

from typing import Any

from aiobotocore.session import get_session

from .bedrock import CONVERSE, INVOKE, WHERE, converse_events, invoke_events, without_metadata
from .calls import call, shown


def client(url: str) -> Any:
    """Return the client that is asked."""
    return get_session().create_client("bedrock-runtime", endpoint_url=url, **WHERE)


@call("aiobotocore", "converse", "plain", "async")
async def converse(url: str) -> Any:
    async with client(url) as bedrock:
        answer = await bedrock.converse(**CONVERSE)
    assert answer["output"]["message"]["content"][0]["text"]
    return shown(without_metadata(answer))


@call("aiobotocore", "converse", "stream", "async")
async def converse_stream(url: str) -> Any:
    async with client(url) as bedrock:
        answer = await bedrock.converse_stream(**CONVERSE)
        return shown(converse_events([event async for event in answer["stream"]]))


@call("aiobotocore", "invoke", "plain", "async")
async def invoke(url: str) -> Any:
    async with client(url) as bedrock:
        answer = await bedrock.invoke_model(**INVOKE)
        body = await answer["body"].read()
    assert b'"text"' in body
    return shown({"body": body.decode(), "type": answer["contentType"]})


@call("aiobotocore", "invoke", "stream", "async")
async def invoke_stream(url: str) -> Any:
    async with client(url) as bedrock:
        answer = await bedrock.invoke_model_with_response_stream(**INVOKE)
        return shown(invoke_events([event async for event in answer["body"]]))
