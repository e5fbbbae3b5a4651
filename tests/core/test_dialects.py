"""Other gateways' names: each with its own unit and meaning, by value, then stripped."""

from __future__ import annotations

from typing import Any

import pytest

from askonce._core.controls import Controls, Mode
from askonce._core.dialects import read_foreign_fields, read_foreign_headers, status_headers
from askonce._core.rotation import Repeat
from askonce.errors import ControlError
from tests.core.building import headers

OFF = Controls(enabled=False, mode=Mode.OFF)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("X-Portkey-Cache-Force-Refresh", "true", Controls(mode=Mode.REFRESH)),
        ("x-portkey-cache-force-refresh", "false", Controls()),
        ("x-portkey-cache-namespace", "n", Controls(partition="n")),
        ("x-portkey-config", '{"cache": {"mode": "simple", "max_age": 60}}', Controls(enabled=True, ttl=60)),
        ("x-portkey-config", '{"retry": {"attempts": 3}}', Controls()),
        ("x-portkey-config", "pc-config-1f", Controls()),
        ("Helicone-Cache-Enabled", "True", Controls(enabled=True)),
        ("Helicone-Cache-Enabled", "false", OFF),
        ("Helicone-Cache-Bucket-Max-Size", "3", Controls(samples=3, repeat=Repeat.ROTATE)),
        ("Helicone-Cache-Seed", "s", Controls(seed="s")),
        ("Helicone-User-Id", "ada", Controls(caller="ada")),
        ("cf-aig-cache-ttl", "3600", Controls(enabled=True, ttl=3600)),
        ("cf-aig-skip-cache", "true", OFF),
        ("cf-aig-skip-cache", "false", Controls()),
        ("cf-aig-cache-key", "k", Controls(partition="k")),
        ("X-OpenRouter-Cache", "true", Controls(enabled=True)),
        ("X-OpenRouter-Cache", "false", OFF),
        ("X-OpenRouter-Cache-TTL", "60", Controls(ttl=60)),
        ("X-OpenRouter-Cache-Clear", "true", Controls(mode=Mode.REFRESH)),
    ],
)
def test_headers(name: str, value: str, expected: Controls) -> None:
    """Each header says what it says with its own gateway, and is taken out."""
    controls, rest = read_foreign_headers(headers([("accept", "*/*"), (name, value)]))
    assert (expected, headers({"accept": "*/*"})) == (controls._replace(dialects=frozenset()), rest)


@pytest.mark.parametrize(
    "name", ["Helicone-Auth", "helicone-property-app", "x-portkey-api-key", "cf-aig-metadata"]
)
def test_what_is_addressed_to_another_gateway_goes_no_further(name: str) -> None:
    """A header of another gateway that is no control is taken out too: no provider knows it."""
    controls, rest = read_foreign_headers(headers({name: "v"}))
    assert (Controls(), headers({})) == (controls._replace(dialects=frozenset()), rest)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("x-portkey-cache-force-refresh", "yes", "'yes' is neither true nor false"),
        ("x-portkey-config", '{"cache": {"mode": "fast"}}', "'simple' or 'semantic'"),
        ("x-portkey-config", '{"cache"', "is not JSON"),
        ("x-portkey-cache-namespace", "customer=ada", "marks a customer"),
        ("helicone-cache-enabled", "1", "'1' is neither true nor false"),
        ("helicone-cache-bucket-max-size", "21", "from 1 to 20"),
        ("helicone-cache-seed", "", "the value is empty"),
        ("cf-aig-cache-ttl", "1h", "'1h' is not a whole number of seconds"),
        ("cf-aig-cache-key", "customer=ada", "marks a customer"),
        ("x-openrouter-cache-ttl", "-1", "'-1' is not a whole number of seconds"),
    ],
)
def test_malformed_headers(name: str, value: str, said: str) -> None:
    """A malformed value is an error that names header and value; presence alone means nothing."""
    with pytest.raises(ControlError) as caught:
        read_foreign_headers(headers({name: value}))
    assert str(caught.value).startswith(name)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"cache": {}}, Controls()),
        ({"cache": {"ttl": 60}}, Controls(ttl=60, enabled=True)),
        ({"cache": {"s-maxage": 60}}, Controls(max_age=60, enabled=True)),
        ({"cache": {"s-max-age": 60}}, Controls(max_age=60, enabled=True)),
        ({"cache": {"no-cache": True}}, Controls(mode=Mode.REFRESH)),
        ({"cache": {"no-cache": False, "no-store": True}}, Controls(mode=Mode.REPLAY)),
        ({"cache": {"no-cache": True, "no-store": True}}, Controls(mode=Mode.OFF)),
        ({"cache": {"namespace": "n"}}, Controls(partition="n", enabled=True)),
        ({"cache": {"use-cache": True}}, Controls(enabled=True)),
        ({"tensorzero::cache_options": {"enabled": "on"}}, Controls(enabled=True)),
        ({"tensorzero::cache_options": {"enabled": "off", "max_age_s": None}}, OFF),
        (
            {"tensorzero::cache_options": {"enabled": "read_only", "max_age_s": 5}},
            Controls(enabled=True, mode=Mode.REPLAY, max_age=5),
        ),
        ({"tensorzero::cache_options": {}}, Controls(enabled=True, mode=Mode.REFRESH)),
    ],
    ids=str,
)
def test_fields(fields: dict[str, Any], expected: Controls) -> None:
    """LiteLLM's and TensorZero's fields mean what they mean there."""
    assert expected == read_foreign_fields(fields)._replace(dialects=frozenset())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cache": True}, "cache: True is not an object"),
        ({"cache": {"tll": 5}}, "cache.tll: there is no such option"),
        ({"cache": {"ttl": "60"}}, "cache.ttl: '60' is not a number of seconds"),
        ({"cache": {"no-cache": "false"}}, "cache.no-cache: 'false' is neither true nor false"),
        ({"cache": {"namespace": "customer=ada"}}, "marks a customer"),
        ({"cache": {"namespace": ""}}, "cache.namespace: ''"),
        ({"tensorzero::cache_options": {"enabled": True}}, "on, off, read_only, write_only"),
        ({"tensorzero::cache_options": {"max_age_s": -1}}, "max_age_s: -1 is not a number of seconds"),
    ],
    ids=str,
)
def test_malformed_fields(fields: dict[str, Any], said: str) -> None:
    """A malformed field is an error that names field and value."""
    with pytest.raises(ControlError) as caught:
        read_foreign_fields(fields)
    assert said in str(caught.value)


def test_status_headers() -> None:
    """The answer says it in the words of those gateways whose names were used, and of no other."""
    spoken = frozenset({"portkey", "cloudflare", "litellm"})
    assert [] == status_headers(frozenset(), "hit", "1f")
    assert dict(status_headers(spoken, "hit", "1f")) == {
        b"cf-aig-cache-status": b"HIT",
        b"x-litellm-cache-key": b"1f",
        b"x-portkey-cache-status": b"HIT",
    }
    assert dict(status_headers(spoken, "refresh", "1f")) == {
        b"cf-aig-cache-status": b"MISS",
        b"x-portkey-cache-status": b"REFRESH",
    }
