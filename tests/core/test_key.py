"""What identifies a request: everything of it but what is volatile or secret."""

from __future__ import annotations

import hashlib
import json
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.building import CHAT, SSE, question

BODY = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-pro:generateContent"
AZURE = "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=1"


def test_key_is_the_digest_of_what_is_kept() -> None:
    """The key is SHA-256 over the head and the digest of the body, so that any reader can check a question."""
    asked = question(BODY)
    assert hashlib.sha256(asked.head + b"\n" + hashlib.sha256(asked.body).digest()).digest() == asked.key
    assert (CHAT, "openai", "chat", "gpt") == (asked.url, asked.provider, asked.kind, asked.model)


def test_key_is_stable() -> None:
    """The canonical form of this version never changes: a store made by it is read by every later one."""
    asked = question(BODY, fields={"anthropic-version": "1", "x-new": "y"}, partition="team")
    head = json.loads(asked.head)
    digest = hashlib.sha256(b"y").hexdigest()[:32]
    assert {
        "askonce": 1,
        "body": "json",
        "headers": [["anthropic-version", "1"], ["x-new", f"sha256:{digest}"]],
        "method": "POST",
        "partition": "team",
        "url": CHAT,
    } == head
    assert b'{"messages":[{"content":"hi","role":"user"}],"model":"gpt"}' == asked.body
    assert "33efd283bb8af0ea93ff57c3d45f6a910bc3c5b319eddbe634987b709b14e3c2" == asked.key.hex()


OTHERS: list[dict[str, Any]] = [
    {},
    {"body": {**BODY, "model": "gpt-2"}},
    {"body": {**BODY, "temperature": 1}},
    {"body": {**BODY, "temperature": 1.0}},
    {"body": {**BODY, "a_parameter_of_tomorrow": None}},
    {"body": b'{"model":"gpt","messages":[{"role":"user","content":"hi"}],"x":NaN}'},
    {"method": "PUT"},
    {"url": "https://api.openai.com/v1/completions"},
    {"url": "https://api.groq.com/openai/v1/chat/completions"},
    {"url": "http://api.openai.com/v1/chat/completions"},
    {"url": "https://api.openai.com:8443/v1/chat/completions"},
    {"url": CHAT + "?unknown=1"},
    {"url": CHAT + "?unknown=2"},
    {"url": CHAT + "?unknown=%ff"},
    {"url": CHAT + "?unknown=%fe"},
    {"url": CHAT + "?unknown=1&unknown=2"},
    {"url": CHAT + "?unknown=2&unknown=1"},
    {"url": "http://[::1]:1234/v1/chat/completions"},
    {"url": "http://[::1:1234]/v1/chat/completions"},
    {"partition": "a"},
    {"partition": "b"},
    {"fields": {"anthropic-version": "2023-06-01"}},
    {"fields": {"anthropic-version": "2024-06-01"}},
    {"fields": {"anthropic-beta": "2023-06-01"}},
    {"fields": {"openai-organization": "org-1"}},
    {"fields": {"openai-project": "org-1"}},
    {"fields": {"x-never-heard-of": "1"}},
    {"fields": {"x-never-heard-of": "2"}},
    {"fields": [("x-never-heard-of", "1"), ("x-never-heard-of", "2")]},
    {"fields": [("x-never-heard-of", "2"), ("x-never-heard-of", "1")]},
    {"fields": {"accept": SSE}},
    {"content_type": "text/plain"},
    {"content_type": "text/plain; charset=x"},
    {"content_type": "application/ld+json"},
]


def test_questions_differ() -> None:
    """Whatever may change the answer changes the key."""
    keys = [question(**{"body": BODY, **other}).key for other in OTHERS]
    found = [pair for pair in combinations(range(len(keys)), 2) if keys[pair[0]] == keys[pair[1]]]
    assert [] == [(OTHERS[one], OTHERS[other]) for one, other in found]


VOLATILE = (
    "Authorization X-API-Key api-key x-goog-api-key User-Agent X-Stainless-Retry-Count x-stainless-os "
    "idempotency-key traceparent tracestate cookie x-request-id accept-encoding connection host date "
    "content-length x-amz-date x-amz-content-sha256 x-amz-security-token amz-sdk-invocation-id x-amzn-trace-id "
    "x-goog-api-client x-goog-user-project x-fern-language cache-control x-askonce-ttl proxy-authorization "
    "baggage sentry-trace Ocp-Apim-Subscription-Key x-auth-token X-Session-Id hf_token x-functions-key"
).split()


@pytest.mark.parametrize("name", VOLATILE)
def test_volatile_headers(name: str) -> None:
    """Who asks, from where, by which library and how often says nothing about the question, and is not kept."""
    asked = question(BODY, fields={name: "SECRET"})
    assert question(BODY).key == asked.key
    assert b"SECRET" not in asked.head


@pytest.mark.parametrize(
    "query",
    [
        "key=SECRET",
        "api_key=SECRET",
        "api-key=SECRET",
        "apiKey=SECRET",
        "access_token=SECRET",
        "accessToken=SECRET",
        "X-Amz-Signature=SECRET",
        "X-Amz-Credential=SECRET",
        "X-Amz-Security-Token=SECRET",
        "sig=SECRET",
        "subscription-key=SECRET",
    ],
)
def test_secret_queries(query: str) -> None:
    """A credential in the query is no part of the question, and is not kept."""
    asked = question(BODY, f"{GEMINI}?{query}&alt=sse")
    assert question(BODY, GEMINI + "?alt=sse").key == asked.key
    assert b"SECRET" not in asked.head
    assert GEMINI + "?alt=sse" == asked.url


@pytest.mark.parametrize(
    "asked", [{"fields": {"x-unheard-of": "SECRET"}}, {"url": CHAT + "?unheard=SECRET"}], ids=str
)
def test_unknown_values_are_digests(asked: dict[str, Any]) -> None:
    """A value that is not known to be harmless identifies the question, but cannot be read in the store."""
    found = question(BODY, **asked)
    assert b"SECRET" not in found.head + found.body
    assert question(BODY).key != found.key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"url": AZURE + "&a=1"}, {"url": AZURE.replace("?", "?a=1&")}),
        ({"url": CHAT}, {"url": "https://API.openai.com:443/v1/chat/completions"}),
        ({"fields": [("x-a", "1"), ("x-b", "2")]}, {"fields": [("X-B", "2"), ("X-A", "1")]}),
        ({"fields": {"accept": "application/json"}}, {"fields": {"accept": "*/*"}}),
        ({"content_type": "application/json"}, {"content_type": "Application/JSON; charset=utf-8"}),
    ],
)
def test_spelling(one: dict[str, Any], other: dict[str, Any]) -> None:
    """How a URL, a header or a type is spelt does not matter where HTTP says that it does not."""
    assert question(BODY, **one).key == question(BODY, **other).key


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_partition_and_content_cannot_be_mixed_up(one: str, other: str, a: str, b: str) -> None:
    """No partition together with one prompt is taken for another with another prompt."""
    asked = question({"prompt": a}, partition=one), question({"prompt": b}, partition=other)
    assert ((one, a) == (other, b)) == (asked[0].key == asked[1].key)


@given(st.text(alphabet=st.characters(codec=None), max_size=6))
def test_what_is_listed_can_be_stored(text: str) -> None:
    """Model and partition can be written as UTF-8, also where JSON held half of a surrogate pair."""
    asked = question({"model": text}, partition=text)
    (asked.model + asked.partition).encode()  # raises nothing


@pytest.mark.parametrize(
    ("url", "model"),
    [
        (GEMINI, "gemini-pro"),
        (AZURE, "d"),
        (
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-3-v1%3A0/converse",
            "anthropic.claude-3-v1:0",
        ),
    ],
)
def test_model_in_path(url: str, model: str) -> None:
    """Where the body names no model, the path does."""
    assert model == question({"x": 1}, url).model
