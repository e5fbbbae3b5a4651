"""Bedrock through the real SDKs of AWS: whole answers and binary event streams, signed requests, refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
import urllib3
from aiobotocore.session import get_session
from botocore.config import Config

import askonce
from askonce.testing import Fault, LocalProvider

AWS_KEY = "aws-test-SECRET-key-90be41"
AWS_TOKEN = "aws-test-SECRET-token-5a77c2"
CLAUDE = "anthropic.claude-local-v1:0"
MESSAGES: Any = [{"role": "user", "content": [{"text": "What is a café?"}]}]
TOOLS: Any = {
    "tools": [
        {
            "toolSpec": {
                "name": "look_up",
                "inputSchema": {"json": {"type": "object", "properties": {"word": {"type": "string"}}}},
            }
        }
    ]
}
BODY = json.dumps(
    {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "What is a café?"}],
    }
)


def options(provider: LocalProvider) -> dict[str, Any]:
    return {
        "region_name": "us-east-1",
        "endpoint_url": provider.url,
        "aws_access_key_id": "AKIALOCAL",
        "aws_secret_access_key": AWS_KEY,
        "aws_session_token": AWS_TOKEN,
        "config": Config(retries={"total_max_attempts": 2}),
    }


_clients: list[Any] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the clients of a test."""
    yield
    while _clients:
        _clients.pop().close()


def client(provider: LocalProvider) -> Any:
    _clients.append(boto3.client("bedrock-runtime", **options(provider)))
    return _clients[-1]


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer with its status and request id, less what is about the connection."""
    about = answer.pop("ResponseMetadata")
    return {**answer, "about": [about["HTTPStatusCode"], about["RequestId"]]}


CALLS: dict[str, Callable[[Any], Any]] = {
    "converse": lambda bedrock: bedrock.converse(modelId=CLAUDE, messages=MESSAGES),
    "tool": lambda bedrock: bedrock.converse(modelId=CLAUDE, messages=MESSAGES, toolConfig=TOOLS),
    "converse_stream": lambda bedrock: bedrock.converse_stream(modelId=CLAUDE, messages=MESSAGES),
    "tool_stream": lambda bedrock: bedrock.converse_stream(modelId=CLAUDE, messages=MESSAGES, toolConfig=TOOLS),
    "invoke": lambda bedrock: bedrock.invoke_model(modelId=CLAUDE, body=BODY),
    "embed": lambda bedrock: bedrock.invoke_model(modelId="amazon.titan-embed-v2", body='{"inputText":"a"}'),
    "invoke_stream": lambda bedrock: bedrock.invoke_model_with_response_stream(modelId=CLAUDE, body=BODY),
}


def read(answer: dict[str, Any]) -> Any:
    """Read what an answer streams."""
    for name in ("stream", "body"):
        if name in answer:
            with closing(answer[name]) as content:
                answer[name] = content.read() if hasattr(content, "read") else list(content)
    return plain(answer)


async def read_async(answer: dict[str, Any]) -> Any:
    for name in ("stream", "body"):
        if name in answer:
            content = answer[name]
            answer[name] = await content.read() if hasattr(content, "read") else [one async for one in content]
    return plain(answer)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_is_asked_once(provider: LocalProvider, store: Path, call: str) -> None:
    """Each call is recorded and replayed, by boto3 and by aiobotocore, with the provider stopped."""

    async def ask_async() -> Any:
        async with get_session().create_client("bedrock-runtime", **options(provider)) as bedrock:
            return await read_async(await CALLS[call](bedrock))

    with askonce.caching(store, domains=[provider.url]) as cache:
        first = read(CALLS[call](client(provider)))
        provider.stop()
        second = read(CALLS[call](client(provider)))
        third = asyncio.run(ask_async())
    assert first
    assert first == second == third
    assert 200 == first["about"][0]
    assert (1, 1, 2) == (provider.count(), cache.stats.recorded, cache.stats.hits)


@pytest.mark.parametrize("call", ["converse", "converse_stream", "invoke_stream"])
def test_aiobotocore_records(provider: LocalProvider, store: Path, call: str) -> None:
    """What aiobotocore records answers boto3."""

    async def ask_async() -> Any:
        async with get_session().create_client("bedrock-runtime", **options(provider)) as bedrock:
            return await read_async(await CALLS[call](bedrock))

    with askonce.caching(store, domains=[provider.url]):
        first = asyncio.run(ask_async())
        assert first == read(CALLS[call](client(provider)))
    assert 1 == provider.count()


def test_signatures_are_no_part_of_the_question(provider: LocalProvider, store: Path) -> None:
    """Another account's call, signed with its own key, is the same question; a model is part of it."""
    with askonce.caching(store, domains=[provider.url]) as cache:
        first = read(CALLS["converse"](client(provider)))
        other = boto3.client(
            "bedrock-runtime",
            **{**options(provider), "aws_access_key_id": "AKIAOTHER", "aws_session_token": None},
        )
        _clients.append(other)
        assert first == read(CALLS["converse"](other))
        another = read(other.converse(modelId="amazon.nova-local", messages=MESSAGES))
    assert first["output"] != another["output"]
    assert (2, 2, 1) == (provider.count(), cache.stats.recorded, cache.stats.hits)
    [first_signature, second_signature] = [one.header("authorization") for one in provider.received]
    assert first_signature != second_signature


def test_events_come_as_they_are_sent(provider: LocalProvider, store: Path) -> None:
    """On a miss each event reaches the caller before the provider has sent the last."""
    provider.fail_next(Fault.STALL(after_chunks=3, seconds=60))
    with askonce.caching(store, domains=[provider.url]):
        stream = CALLS["converse_stream"](client(provider))["stream"]
        events = iter(stream)
        assert ["messageStart", "contentBlockDelta", "contentBlockDelta"] == [
            next(iter(next(events))) for _ in "abc"
        ]
        stream.close()
    assert 0 == askonce.stats().recorded


FAULTS = {
    "cut": Fault.CUT(),
    "error event": Fault.ERROR_EVENT(),
    "early end": Fault.EOF_EARLY(),
    "status 400": Fault.STATUS(400),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("call", ["converse", "converse_stream"])
def test_broken_answers(provider: LocalProvider, store: Path, call: str, fault: Any) -> None:
    """What breaks looks as it does without us, and is not kept."""

    def ask() -> Any:
        try:
            read(CALLS[call](client(provider)))
        except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError) as error:
            return type(error), str(error)
        except botocore.exceptions.ClientError as error:
            return type(error), error.response["Error"]
        return "end"

    provider.fail_next(fault)
    bare = ask()
    with askonce.caching(store, domains=[provider.url]):
        provider.clear()
        provider.fail_next(fault)
        assert bare == ask()
        assert 0 == askonce.stats().recorded
        assert "end" == ask()
        assert 1 == askonce.stats().recorded


def test_retries_of_botocore(provider: LocalProvider, store: Path) -> None:
    """botocore retries above us: the error is not kept, the answer after it is."""
    provider.fail_next(Fault.STATUS(503))
    with askonce.caching(store, domains=[provider.url]) as cache:
        first = read(CALLS["converse"](client(provider)))
        assert first == read(CALLS["converse"](client(provider)))
    assert (2, 1) == (provider.count(), cache.stats.recorded)


@pytest.mark.parametrize("call", ["converse", "converse_stream"])
def test_offline_is_an_error_with_our_words(provider: LocalProvider, store: Path, call: str) -> None:
    """An offline miss is botocore's own error, at once, and says what differs."""
    with askonce.caching(store, domains=[provider.url]):
        read(CALLS[call](client(provider)))
        other: Any = [{"role": "user", "content": [{"text": "What is tea?"}]}]
        with askonce.options(mode="offline"), pytest.raises(botocore.exceptions.ClientError) as caught:
            getattr(client(provider), call)(modelId=CLAUDE, messages=other)
    message = caught.value.response["Error"]["Message"]
    assert "askonce is offline" in message
    assert "What is tea?" in message
    assert 1 == provider.count()
