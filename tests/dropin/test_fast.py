"""The fast path: equal to the slow one in all it gives, and not taken where it cannot be sure."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

import askonce
import askonce.openai as dropin
from askonce._dropin import fast
from askonce._dropin.copies import CannotCopyError, copier
from askonce.testing import LocalProvider
from tests.dropin.conftest import KEY, MODEL, QUESTION, plain

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "plan", "schema": {"type": "object", "properties": {}}}}
CHATS: dict[str, dict[str, Any]] = {
    "plain": {},
    "several choices": {"n": 3, "temperature": 0.5, "stop": ["x", "y"]},
    "tool": {"tools": [TOOL], "tool_choice": "auto"},
    "schema": {"response_format": FORMAT},
    "not a stream": {"stream": False, "user": "Ada", "metadata": {"a": "b"}},
    "seed": {"seed": 7},
    "text": {"logprobs": True, "max_completion_tokens": 5, "logit_bias": {"50256": -100}},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "café ☕"}]}]},
}
EMBEDDINGS: dict[str, dict[str, Any]] = {
    "one": {"input": "x"},
    "many": {"input": ["x", "y"], "dimensions": 8},
    "tokens": {"input": [1, 2, 3]},
    "floats": {"input": "x", "encoding_format": "float"},
    "base64": {"input": "x", "encoding_format": "base64"},
}
CALLS = [("chat", name, more) for name, more in CHATS.items()]
CALLS += [("embedding", name, more) for name, more in EMBEDDINGS.items()]


def call(client: Any, kind: str, more: dict[str, Any]) -> Any:
    if kind == "chat":
        return client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, **more})
    return client.embeddings.create(model="embedding-local", **more)


def shown(value: Any) -> Any:
    """Return all of an object, all the way down: type, fields, those that were set, what the SDK adds."""
    if isinstance(value, BaseModel):
        fields = {**dict(value), **(value.model_extra or {})}
        return (
            type(value),
            {name: shown(one) for name, one in fields.items()},
            value.model_fields_set,
            getattr(value, "_request_id", None),
        )
    if isinstance(value, list):
        return [shown(one) for one in value]
    return type(value), value


def mutable(value: Any) -> set[int]:
    """Return the identities of all that can be changed in an object."""
    if isinstance(value, BaseModel):
        inner = [vars(value), value.model_fields_set, value.model_extra]
        return {id(value)}.union(*(mutable(one) for one in inner))
    if isinstance(value, list | dict | set):
        parts = value.values() if isinstance(value, dict) else value
        return {id(value)}.union(*(mutable(one) for one in parts))
    return set()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Return the answers that the fast path gives."""
    answers: list[Any] = []
    find = fast.Memo.find_copy

    def note(memo: Any, name: str, answer: Any) -> Any:
        answers.append(answer)
        return find(memo, name, answer)

    monkeypatch.setattr(fast.Memo, "find_copy", note)
    return answers


def warm(client: Any, taken: list[Any], **more: Any) -> str:
    """Ask until the fast path answers."""
    asked = [plain(client, **more) for _ in range(3)]
    assert 1 == len(set(asked))
    assert 1 == len(taken)
    taken.clear()
    return asked[0]


@pytest.mark.parametrize(("kind", "name", "more"), CALLS, ids=[f"{kind}-{name}" for kind, name, _ in CALLS])
def test_equal_to_the_slow_path(
    client: Any, provider: LocalProvider, taken: list[Any], kind: str, name: str, more: dict[str, Any]
) -> None:
    """Every field, type and request id is what the slow path gives, sync and async, each time in a new object."""
    call(client, kind, more)
    slow = call(client, kind, more)
    assert [] == taken
    quick = [call(client, kind, more) for _ in range(4)]
    assert 4 == len(taken)
    assert 1 == len(vars(client)[fast.MEMO].copies)
    for one in quick:
        assert shown(slow) == shown(one)
        assert slow.model_dump_json(warnings=False) == one.model_dump_json(warnings=False)
        assert repr(slow) == repr(one)
    assert slow._request_id is not None
    assert set() == mutable(quick[2]) & mutable(quick[3])

    async def ask() -> list[Any]:
        async with dropin.AsyncOpenAI(base_url=client.base_url, api_key=KEY) as asynchronous:
            return [await call(asynchronous, kind, more) for _ in range(3)]

    taken.clear()
    assert [shown(slow)] * 3 == [shown(one) for one in asyncio.run(ask())]
    assert 2 == len(taken)
    assert 1 == provider.count()
    assert (8, 1) == (dropin.stats().hits, dropin.stats().misses)


def test_the_wire_says_nothing(client: Any, provider: LocalProvider, taken: list[Any]) -> None:
    """Objects, streams, raw responses, and calls with headers of their own take the slow path."""
    warm(client, taken)
    chat = client.chat.completions
    raw = chat.with_raw_response.create(model=MODEL, messages=QUESTION)
    assert raw.headers["x-request-id"] == raw.request_id
    with chat.with_streaming_response.create(model=MODEL, messages=QUESTION) as response:
        assert response.parse().choices
    list(chat.create(model=MODEL, messages=QUESTION, stream=True))
    plain(client, extra_headers={"x-team": "a"})
    plain(client, extra_body={"user": "b"})
    plain(client, timeout=5)
    plain(client, temperature=openai.NOT_GIVEN)
    message = chat.create(model=MODEL, messages=QUESTION).choices[0].message
    taken.clear()
    for _ in range(3):
        chat.create(model=MODEL, messages=[*QUESTION, message, *QUESTION])
    assert [] == taken


def test_arguments(client: Any, provider: LocalProvider, taken: list[Any]) -> None:
    """Whatever makes another question is one: 1 and 1.0 and True, null and nothing, a list that was changed."""
    messages: Any = [{"role": "user", "content": "x"}]
    answers = set()
    for more in ({}, {"user": "1"}, {"temperature": 1}, {"temperature": 1.0}, {"temperature": None}, {"n": 1}):
        for _ in range(3):
            answers.add(client.chat.completions.create(model=MODEL, messages=messages, **more).id)
    assert 6 == len(answers) == provider.count()
    messages[0]["content"] = "y"
    assert client.chat.completions.create(model=MODEL, messages=messages).id not in answers
    with pytest.raises(TypeError, match="messages"):
        client.chat.completions.create(model=MODEL)


def test_arguments_that_change_before_they_are_awaited(client: Any, provider: LocalProvider) -> None:
    """An async call asks what its arguments are when it is awaited, as the SDK's does."""

    async def ask() -> tuple[str, str]:
        async with dropin.AsyncOpenAI(base_url=client.base_url, api_key=KEY) as asynchronous:
            chat = asynchronous.chat.completions
            messages: Any = [{"role": "user", "content": "x"}]
            for _ in range(3):
                first = await chat.create(model=MODEL, messages=messages)
            made = chat.create(model=MODEL, messages=messages)
            messages[0]["content"] = "y"
            with pytest.raises(TypeError, match="messages"):
                chat.create(model=MODEL)
            return first.id, (await made).id

    first, second = asyncio.run(ask())
    assert first != second
    assert 2 == provider.count()


CHANGES: dict[str, Any] = {
    "off": lambda client: dropin.configure(mode="off"),
    "refresh": lambda client: dropin.configure(mode="refresh"),
    "partition": lambda client: dropin.configure(partition="b"),
    "ttl": lambda client: (time.sleep(0.002), dropin.configure(ttl=0.001)),
    "another store": lambda client: dropin.configure("memory:another"),
    "organization": lambda client: setattr(client, "organization", "org-b"),
    "project": lambda client: setattr(client, "project", "b"),
    "headers": lambda client: client._custom_headers.update({"x-route": "b"}),
    "query": lambda client: client._custom_query.update({"api": "b"}),
    "base url": lambda client: setattr(client, "base_url", str(client.base_url).replace("/v1", "/openai/v1")),
    "headers below": lambda client: client._client.headers.update({"x-route": "b"}),
    "samples": lambda client: dropin.configure(samples=2),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_that_ask_anew(client: Any, provider: LocalProvider, taken: list[Any], change: Any) -> None:
    """What the slow path would ask for is asked for, whatever changed meanwhile."""
    client._custom_headers, client._custom_query = {}, {}
    answer = warm(client, taken)
    change(client)
    assert answer != plain(client)
    assert [] == taken
    assert 2 == provider.count()


def test_changes_in_the_store(client: Any, provider: LocalProvider, taken: list[Any], store: Path) -> None:
    """What another client, or another process, puts in the store is what is answered from then on."""
    first = warm(client, taken)
    with dropin.OpenAI(base_url=client.base_url, api_key=KEY) as other:
        second = plain(other, overwrite_cache=True)
    assert first != second == plain(client)
    elsewhere = askonce.open_storage(store)
    elsewhere.remove([entry.question.key for entry in elsewhere.entries()])
    elsewhere.close()
    time.sleep(0.02)  # past the moment for which memory is trusted
    assert plain(client) not in (first, second)
    assert 3 == provider.count()


def test_blocks(client: Any, provider: LocalProvider, taken: list[Any]) -> None:
    """`bypass` and `options` hold on the fast path too."""
    answer = warm(client, taken)
    with askonce.bypass():
        assert answer != plain(client)
    with askonce.options(seed="a"):
        assert answer != plain(client)
    with askonce.options(mode="offline"):
        assert plain(client)
    assert 3 == provider.count()


def test_what_is_above_the_wire_stays(
    client: Any, taken: list[Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks, logs, delays, and whatever was put in the place of one of the SDK's methods still see each call."""
    warm(client, taken)
    seen: list[Any] = []
    client._client.event_hooks = {"response": [seen.append]}
    plain(client)
    client._client.event_hooks = {}
    with caplog.at_level(logging.INFO, logger="httpx"), caplog.at_level(logging.INFO, logger="httpx2"):
        plain(client)
    assert any("HTTP Request" in record.message for record in caplog.records)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    dropin.configure(delays=True)
    plain(client)
    assert slept
    dropin.configure(delays=False)
    kind = openai.OpenAI
    prepare = kind._prepare_options
    monkeypatch.setattr(kind, "_prepare_options", lambda self, given: seen.append(given) or prepare(self, given))
    plain(client)
    resource = openai.resources.chat.completions.Completions
    create = resource.create
    monkeypatch.setattr(resource, "create", lambda *given, **more: seen.append(more) or create(*given, **more))
    plain(client)
    assert 3 + 1 == len(seen)
    assert [] == taken


def test_a_closed_client(client: Any, taken: list[Any]) -> None:
    """A closed client does not answer."""
    warm(client, taken)
    client.close()
    with pytest.raises((RuntimeError, openai.APIConnectionError)):
        plain(client.with_options(max_retries=0))
    with pytest.raises((RuntimeError, openai.APIConnectionError)):
        plain(client)


def test_clients_that_do_not_learn(provider: LocalProvider, store: Path, taken: list[Any]) -> None:
    """The user's own HTTP client or subclass, Azure's clients and the module's take the slow path."""
    dropin.configure(store, mode="record")

    class Mine(dropin.OpenAI):  # type: ignore[misc,name-defined]
        def _prepare_options(self, options: Any) -> Any:
            return super()._prepare_options(options)

    where = {"base_url": f"{provider.url}/v1", "api_key": KEY}
    dropin.base_url, dropin.api_key = where["base_url"], KEY
    azure = dropin.AzureOpenAI(azure_endpoint=provider.url, api_version="1", api_key=KEY)
    for client in (Mine(**where), dropin.OpenAI(**where, http_client=openai.DefaultHttpxClient()), azure, dropin):
        assert 1 == len({plain(client) for _ in range(4)})
        if client is not dropin:
            client.close()
    assert [] == taken


def test_verbose_and_used(client: Any, taken: list[Any], store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line is printed, and a mark notes the use."""
    warm(client, taken)
    dropin.configure(debug=True, mode="replay")
    storage = askonce.open_storage(store)
    assert isinstance(storage, askonce.storage.Marks)
    storage.set_mark(time.time())
    time.sleep(0.02)
    plain(client)
    assert 1 == len(taken)
    assert "hit" in capsys.readouterr().err
    assert 1 == len(list(storage.entries(askonce.Filter(used=storage.mark()))))
    storage.close()


def test_what_is_learned_is_bounded(client: Any, taken: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A client remembers so much and no more; what it has forgotten takes the slow path."""
    vars(client)[fast.MEMO].learned.limit = 40_000
    for _ in range(2):
        for number in range(30):
            plain(client, user=str(number))
    assert 0 < len(vars(client)[fast.MEMO].learned) < 10


def test_what_cannot_be_copied() -> None:
    """Models, lists, dicts and plain values are copied; anything else is left to the SDK."""

    class Model(BaseModel):
        items: list[Any]

    model = Model(items=[{"a": [1.5, None]}, Model(items=[])])
    made = copier(model)()
    assert (model, model.model_fields_set) == (made, made.model_fields_set)
    assert set() == mutable(model) & mutable(made)
    for strange in (object(), {1, 2}, (1,), b"x", [time], Model.model_construct(items=[Path()])):
        with pytest.raises(CannotCopyError):
            copier(strange)
