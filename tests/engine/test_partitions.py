"""Whose entries are whose, when a request and its session both say something about it."""

from __future__ import annotations

import pytest

from askonce._core.messages import Answer, Headers, Request
from askonce._engine.cache import Cache
from askonce.settings import read_settings

BODY = b'{"model":"m","messages":[],"cache_options":{"cache_by_customer":true}%s}'


def key(partition: str, customer: str | None, credential: str = "Bearer a") -> bytes:
    """Return the key of one question, asked in a session's partition by a customer."""
    cache = Cache(read_settings({"store": "memory:partitions", "partition": partition}, environ={}))
    named = b"" if customer is None else b',"customer_identifier":"%s"' % customer.encode()
    headers = Headers(((b"content-type", b"application/json"), (b"authorization", credential.encode())))
    origin = ("POST", "https", "api.openai.com", None, "/v1/chat/completions")
    match = cache.match(*origin)
    assert match is not None
    call = cache.begin(Request(*origin, headers, BODY % named), match)
    assert not isinstance(call, Answer)
    return call.question.key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("", "bob"), ("", "ada")),
        (("tenant", "bob"), ("other", "bob")),
        (("tenant", "bob"), ("", "bob")),
        (("bob", None), ("", "bob")),
    ],
)
def test_customers_of_different_tenants_share_nothing(
    one: tuple[str, str | None], other: tuple[str, str | None]
) -> None:
    """A customer is one inside the session's partition; the same name in another is somebody else."""
    assert key(*one) == key(*one)
    assert key(*one) != key(*other)


def test_whoever_names_no_customer_is_told_by_the_credential() -> None:
    """Without a customer, callers with different credentials share nothing."""
    assert key("", None, "Bearer a") == key("", None, "Bearer a")
    assert key("", None, "Bearer a") != key("", None, "Bearer b")
