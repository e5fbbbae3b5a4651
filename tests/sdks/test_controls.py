"""What one call asks of the cache goes in by each SDK's own door, and does not come out at the other side."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import askonce
from askonce.testing import LocalProvider
from tests.sdks.ways import OPENAI, WAYS, Question, Way

each_way = pytest.mark.parametrize("way", WAYS, ids=str)
each_body = pytest.mark.parametrize("way", [way for way in WAYS if way.takes_body], ids=str)


@pytest.fixture(autouse=True)
def enabled(provider: LocalProvider, store: Path) -> askonce.Cache:
    """Cache what goes to the local provider."""
    return askonce.enable(store, domains=[provider.url])


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that lets days pass."""
    now = [time.time()]
    monkeypatch.setattr("askonce._engine.cache.time.time", lambda: now[0])

    def passing(days: float) -> None:
        now[0] += days * 86400

    return passing


# The local provider answers 400 when a control reaches it, so that each success below shows that it was stripped.


@each_way
def test_ttl(provider: LocalProvider, way: Way, days: Any) -> None:
    """`x-askonce-ttl` is how long the answer is good for."""
    question = Question(headers={"x-askonce-ttl": "2d"})
    first = way.ask(provider.url, question)
    days(1.9)
    assert first == way.ask(provider.url, question)
    days(0.2)
    assert first != way.ask(provider.url, question)


@each_way
def test_seed(provider: LocalProvider, way: Way) -> None:
    """`x-askonce-seed` names one of several answers."""
    one, two = Question(headers={"x-askonce-seed": "1"}), Question(headers={"x-askonce-seed": "2"})
    answers = [way.ask(provider.url, question) for question in (one, two, one, two)]
    assert answers[:2] == answers[2:]
    assert answers[0] != answers[1]
    assert 2 == provider.count()


MODES = pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-askonce-mode": "off"}, 3),
        ({"x-askonce-mode": "refresh"}, 2),
        ({"x-askonce-mode": "Replay"}, 1),
        ({"cache-control": "no-cache"}, 2),
        ({"cache-control": "no-store"}, 1),
        ({"cache-control": "no-cache, no-store"}, 3),
        ({"Cache-Control": "only-if-cached"}, 1),
        ({"cache-control": "max-age=3600"}, 1),
        ({"cache-control": "max-age=0"}, 2),
        ({"x-askonce-mode": "record"}, 1),
    ],
    ids=lambda value: " ".join(*value.items()) if isinstance(value, dict) else "",
)


@MODES
def test_modes(provider: LocalProvider, headers: dict[str, str], expected: int) -> None:
    """Each way of naming a mode does to a question that is recorded what it says."""
    check_mode(provider, OPENAI, headers, expected)


@each_way
@pytest.mark.parametrize("headers", [{"x-askonce-mode": "refresh"}, {"cache-control": "no-cache"}], ids=str)
def test_a_mode(provider: LocalProvider, way: Way, headers: dict[str, str]) -> None:
    """Each SDK can have one question asked again."""
    check_mode(provider, way, headers, 2)


def check_mode(provider: LocalProvider, way: Way, headers: dict[str, str], expected: int) -> None:
    """Ask a question plainly, with these headers, and plainly again.

    Expect of the one in the middle the recorded answer (1), a fresh one that is kept (2), or one that is not (3).
    """
    first = way.ask(provider.url, Question())
    controlled = way.ask(provider.url, Question(headers=headers))
    last = way.ask(provider.url, Question())
    if expected == 1:
        assert first == controlled == last
    elif expected == 2:
        assert first != controlled == last
    else:
        assert first != controlled
        assert first == last
    assert min(expected, 2) == provider.count()


@each_way
def test_partition(provider: LocalProvider, way: Way) -> None:
    """`x-askonce-partition` says whose answers these are."""
    ada, bob = Question(headers={"x-askonce-partition": "ada"}), Question(headers={"x-askonce-partition": "bob"})
    answers = [way.ask(provider.url, question) for question in (ada, bob, Question(), ada, bob, Question())]
    assert answers[:3] == answers[3:]
    assert 3 == provider.count()


@each_body
def test_body_fields(provider: LocalProvider, way: Way, days: Any) -> None:
    """`cache_enabled`, `cache_ttl`, `cache_options` and the customer go in by `extra_body`; false is false."""
    first = way.ask(provider.url, Question(body={"cache_enabled": True}))
    assert first == way.ask(provider.url, Question(body={"cache_options": {"cache_by_customer": False}}))
    assert first == way.ask(provider.url, Question(body={"customer_identifier": "ada"}))
    assert first != way.ask(provider.url, Question(body={"cache_enabled": False}))
    assert 2 == provider.count()
    by_customer = {"cache_enabled": True, "cache_ttl": 86400, "cache_options": {"cache_by_customer": True}}
    ada = Question(body={**by_customer, "customer_identifier": "ada"})
    bob = Question(body={**by_customer, "customer_identifier": "bob"})
    by_key = Question(body=by_customer)
    answers = [way.ask(provider.url, question) for question in (ada, bob, by_key)]
    assert answers == [way.ask(provider.url, question) for question in (ada, bob, by_key)]
    assert 5 == provider.count()
    days(1.1)
    assert answers[0] != way.ask(provider.url, ada)


@each_way
def test_a_malformed_control_is_refused_at_once(provider: LocalProvider, way: Way) -> None:
    """A control that cannot be read is the SDK's own error for a bad request, at once, in our words."""
    for headers, words in (
        ({"x-askonce-mode": "sometimes"}, "There are record, replay, offline, refresh, off"),
        ({"x-askonce-ttl": "soon"}, "is not a duration"),
        ({"x-askonce-flavour": "sweet"}, "there is no such control"),
        ({"cache-control": "max-age=soon"}, "max-age"),
    ):
        began = time.monotonic()
        with pytest.raises(way.malformed, match=words):
            way.ask(provider.url, Question(headers=headers))
        assert time.monotonic() - began < 2
    assert 4 == askonce.stats().refused
    assert 0 == provider.count()


@each_body
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"cache_enabled": "false"}, "cache_enabled: 'false' is neither true nor false"),
        ({"cache_ttl": "1h"}, "cache_ttl"),
        ({"cache_options": {"by_customer": True}}, "cache_by_customer"),
        ({"cache_options": {"cache_by_customer": True}, "customer_identifier": 7}, "customer_identifier"),
    ],
    ids=["enabled", "ttl", "options", "customer"],
)
def test_a_malformed_field_is_refused_at_once(
    provider: LocalProvider, way: Way, body: dict[str, Any], words: str
) -> None:
    """So is a field of the body: a text is not a truth, and no value counts for merely being there."""
    with pytest.raises(way.malformed, match=words):
        way.ask(provider.url, Question(body=body))
    assert 1 == askonce.stats().refused
    assert 0 == provider.count()


# --- Offline ----------------------------------------------------------------------------------------------------


@each_way
@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"content": "What is a cup?"}, "content", "What is a c"),
        ({"model": "other-local"}, "model", "other-local"),
        ({"temperature": 0.75}, "temperature", "now 0.75, recorded 0.5"),
    ],
    ids=["content", "model", "temperature"],
)
def test_an_offline_miss_says_what_differs(
    provider: LocalProvider, store: Path, way: Way, change: dict[str, Any], path: str, said: str
) -> None:
    """Offline, what is not recorded is the SDK's own error, at once, naming the nearest and what differs."""
    question = Question()
    recorded = way.ask(provider.url, question)
    way.ask(provider.url, replace(question, content="Something altogether different, and longer"))
    askonce.enable(store, domains=[provider.url], mode="offline")
    provider.stop()
    assert recorded == way.ask(provider.url, question)
    began = time.monotonic()
    with pytest.raises(way.missing) as caught:
        way.ask(provider.url, replace(question, **change))
    assert time.monotonic() - began < 2
    assert 1 == askonce.stats().refused
    text = str(caught.value).replace("\\n", "\n").replace('\\"', '"')
    assert "askonce is offline and this request is not recorded: POST http://127.0.0.1" in text
    assert change.get("model", "some-local") in text
    where = {"content": way.content, "temperature": way.temperature, "model": "model"}[path]
    if path == "model" and way.name in ("azure", "gemini"):  # their model is in the path
        where = "url"
    assert f"{where}: now " in text
    assert said in text
    assert (2 if where == "url" and way.name == "azure" else 1) == text.count(": now ")  # its body names it too


def test_an_offline_miss_of_an_empty_store_says_so(provider: LocalProvider, store: Path) -> None:
    """With nothing to compare with, the refusal says that, and what to do."""
    askonce.enable(store, domains=[provider.url], mode="offline")
    with pytest.raises(OPENAI.missing, match=r"(?s)Nothing like it is recorded.*mode='record'"):
        OPENAI.ask(provider.url, Question())
    with pytest.raises(OPENAI.missing, match=r"seed .*7"):
        OPENAI.ask(provider.url, Question(headers={"x-askonce-seed": "7"}))


def test_only_if_cached_refuses_like_offline(provider: LocalProvider) -> None:
    """`cache-control: only-if-cached` makes one call offline."""
    with pytest.raises(OPENAI.missing, match="not recorded"):
        OPENAI.ask(provider.url, Question(headers={"cache-control": "only-if-cached"}))
    assert 0 == provider.count()
