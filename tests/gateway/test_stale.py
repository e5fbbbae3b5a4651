"""Old answers: given at once while a new one is asked for, or in place of an error, to those who ask for it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from askonce.testing import Fault, LocalProvider
from tests.gateway.conftest import Running, Start

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "cache_enabled": True, "cache_ttl": 30}
WAIT = {"x_askonce_stale_while_revalidate": "1h"}
SPARE = {"x_askonce_stale_if_error": "1h"}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what moves the clock on by so many seconds."""
    real, shift = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + shift[0])

    def move(seconds: float) -> None:
        shift[0] += seconds

    return move


@pytest.fixture
def gateway(start: Start) -> Running:
    return start(check_credentials=False)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def status(answer: httpx.Response) -> str:
    """Return what is said of an answer, without its key."""
    return re.sub(r'; key="[0-9a-f]+"', "", answer.headers["cache-status"])


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_while_it_is_asked_for_anew(
    gateway: Running, provider: LocalProvider, later: Callable[[float], None], stream: bool
) -> None:
    """An old answer comes at once, and is the last of its kind: one request brings the next, whoever asks."""
    body = BODY | {"stream": stream}
    first = gateway.post(body)
    later(60)
    provider.latency = 0.3
    old = [gateway.post(body, **WAIT) for _ in range(5)]
    assert {first.text} == {answer.text for answer in old}
    assert {"askonce; hit; ttl=-30"} == {status(answer) for answer in old}
    assert {"60"} == {answer.headers["age"] for answer in old}
    until(lambda: not gateway.app.proxy.stale._refreshing)
    assert 2 == provider.count("completions")
    new = gateway.post(body, **WAIT)
    assert "hit" == new.headers["x-askonce-cache"]
    assert first.text != new.text
    assert "askonce; hit; ttl=29" == status(new)
    assert 2 == provider.count("completions")


def test_in_place_of_an_error(gateway: Running, provider: LocalProvider, later: Callable[[float], None]) -> None:
    """An old answer stands in for a provider that fails, or is not there; the status says why."""
    first = gateway.post(BODY)
    later(60)
    for code in (500, 503, 429):
        provider.fail_next(Fault.STATUS(code))
        old = gateway.post(BODY, **SPARE)
        assert (200, first.text) == (old.status_code, old.text)
        assert f"askonce; fwd=stale; fwd-status={code}; ttl=-30" == status(old)
        gateway.app.proxy.stale._failed.clear()
    provider.stop()
    old = gateway.post(BODY, **SPARE)
    assert (200, first.text, "askonce; fwd=stale; ttl=-30") == (old.status_code, old.text, status(old))
    provider.start()
    gateway.app.proxy.stale._failed.clear()
    assert first.text != gateway.post(BODY, **SPARE).text
    gateway.settle()
    lines = gateway.app.journal.lines()
    assert ["error"] * 4 + ["hit"] * 4 + ["miss"] * 2 == sorted(line.outcome for line in lines)
    assert {0, 429, 500, 503} == {line.status for line in lines if line.outcome == "error"}


def test_a_provider_that_failed_is_left_alone(
    gateway: Running, provider: LocalProvider, later: Callable[[float], None]
) -> None:
    """For a moment after a failure an old answer is given without asking."""
    gateway.post(BODY)
    later(60)
    provider.fail_next(Fault.STATUS(500))
    gateway.post(BODY, **SPARE)
    asked = provider.count("completions")
    assert "askonce; hit; ttl=-30" == status(gateway.post(BODY, **SPARE))
    assert asked == provider.count("completions")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, BODY),
        ({"x_askonce_stale_if_error": "29"}, BODY),
        (SPARE, BODY | {"messages": [{"role": "user", "content": "another"}]}),
        (SPARE, BODY | {"cache_enabled": False}),
        (SPARE | {"x_askonce_mode": "refresh"}, BODY),
        (SPARE | {"x_askonce_partition": "other"}, BODY),
    ],
    ids=["not asked for", "too old", "another question", "no cache", "refresh", "another's"],
)
def test_an_error_is_an_error(
    gateway: Running,
    provider: LocalProvider,
    later: Callable[[float], None],
    headers: dict[str, str],
    body: dict[str, Any],
) -> None:
    """Without an old answer that will do, the provider's error is passed on."""
    gateway.post(BODY)
    later(60)
    provider.fail_next(Fault.STATUS(503))
    assert 503 == gateway.post(body, **headers).status_code


def test_other_errors_are_passed_on(
    gateway: Running, provider: LocalProvider, later: Callable[[float], None]
) -> None:
    """What the provider says of the request itself is not hidden."""
    gateway.post(BODY)
    later(60)
    provider.fail_next(Fault.STATUS(401))
    assert 401 == gateway.post(BODY, **SPARE).status_code


def test_a_refresh_that_fails(gateway: Running, provider: LocalProvider, later: Callable[[float], None]) -> None:
    """An old answer stays when no new one comes, and the journal says what became of the attempt."""
    first = gateway.post(BODY)
    later(60)
    provider.fail_next(Fault.STATUS(500))
    gateway.post(BODY, **WAIT)
    until(lambda: not gateway.app.proxy.stale._refreshing)
    again = gateway.post(BODY, **WAIT)
    assert first.text == again.text
    gateway.settle()
    lines = gateway.app.journal.lines()
    assert ["hit", "miss", "hit", "miss"] == [line.outcome for line in lines]
    assert [200, 500] == [line.status for line in lines[:2]]


def test_directives(gateway: Running, provider: LocalProvider, later: Callable[[float], None]) -> None:
    """RFC 5861's directives are read in Cache-Control; what is malformed is refused."""
    first = gateway.post(BODY)
    later(60)
    provider.fail_next(Fault.STATUS(500))
    old = gateway.post(BODY, cache_control="stale-if-error=3600")
    assert (first.text, 1) == (old.text, provider.count("completions") - 1)
    refused = gateway.post(BODY, cache_control="stale-while-revalidate=soon")
    assert 400 == refused.status_code
    assert "stale-while-revalidate='soon'" in refused.text
    refused = gateway.post(BODY, x_askonce_stale_if_error="soon")
    assert (400, True) == (refused.status_code, "x-askonce-stale-if-error: 'soon'" in refused.text)
