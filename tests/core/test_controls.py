"""What one request asks of the cache: read by value, then stripped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askonce._core.controls import NONE, Controls, Mode, parse_duration, read_fields, read_headers
from askonce.errors import ControlError
from tests.core.building import Fields, headers


def read(fields: Fields) -> Controls:
    return read_headers(headers(fields))[0]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("x-askonce-ttl", "90", Controls(ttl=90, enabled=True)),
        ("X-AskOnce-TTL", " 1.5h ", Controls(ttl=5400, enabled=True)),
        ("x-askonce-ttl", "0", Controls(ttl=0, enabled=True)),
        ("x-askonce-seed", "a", Controls(seed="a", enabled=True)),
        ("x-askonce-partition", "p", Controls(partition="p", enabled=True)),
        *(("x-askonce-mode", mode.upper(), Controls(mode=mode, enabled=True)) for mode in Mode),
        ("cache-control", "no-cache", Controls(mode=Mode.REFRESH)),
        ("Cache-Control", "No-Store", Controls(mode=Mode.REPLAY)),
        ("cache-control", "no-store, no-cache", Controls(mode=Mode.OFF)),
        ("cache-control", "only-if-cached", Controls(mode=Mode.OFFLINE)),
        ("cache-control", "max-age=60", Controls(max_age=60)),
        ("x-askonce-delays", "True", Controls(delays=1.0, enabled=True)),
        ("x-askonce-delays", "0.5", Controls(delays=0.5, enabled=True)),
        ("x-askonce-delays", "off", Controls(delays=0.0, enabled=True)),
        ("cache-control", 'max-age="0" , only-if-cached', Controls(mode=Mode.OFFLINE, max_age=0)),
        ("cache-control", "min-fresh=5, private, x", Controls()),
        ("cache-control", "stale-if-error=5, x", Controls(stale_if_error=5)),
        ("x-askonce-stale-while-revalidate", "2m", Controls(stale_while_revalidate=120, enabled=True)),
        ("cache-control", "", Controls()),
    ],
)
def test_headers(name: str, value: str, expected: Controls) -> None:
    """Each header says what it says, and is taken out."""
    controls, rest = read_headers(headers([("accept", "*/*"), (name, value)]))
    assert (expected, headers({"accept": "*/*"})) == (controls, rest)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("x-askonce-ttl", "soon", "15m"),
        ("x-askonce-ttl", "-1", "15m"),
        ("x-askonce-ttl", "", "15m"),
        ("x-askonce-ttl", "nan", "15m"),
        ("x-askonce-mode", "fast", "record, replay, offline, refresh, off"),
        ("x-askonce-seed", "", "leave the header out"),
        ("x-askonce-partition", " ", "leave the header out"),
        ("x-askonce-partition", "customer=ada", "marks a customer"),
        ("x-askonce-repeat", "round", "same, rotate, all, sequence"),
        ("x-askonce-delays", "slow", "a factor such as 0.5"),
        ("x-askonce-samples", "0", "from 1 to 10000"),
        ("x-askonce-samples", "10001", "from 1 to 10000"),
        ("x-askonce-samples", "²", "from 1 to 10000"),
        ("x-askonce-samples", "1.5", "from 1 to 10000"),
        ("x-askonce-tll", "", "x-askonce-repeat, x-askonce-samples, x-askonce-seed"),
        ("cache-control", "max-age=soon", "whole number of seconds"),
        ("cache-control", "max-age=-1", "whole number of seconds"),
        ("cache-control", "max-age", "whole number of seconds"),
        ("cache-control", "max-age=\xb2", "whole number of seconds"),
    ],
)
def test_malformed_headers(name: str, value: str, allowed: str) -> None:
    """A malformed value is an error that names the header, the value and what is allowed; never a default."""
    with pytest.raises(ControlError) as caught:
        read({name: value})
    assert name in str(caught.value)
    assert allowed in str(caught.value)
    assert value.strip().removeprefix("max-age=") in str(caught.value)


def test_own_headers_win() -> None:
    """Our own headers win over the standard one, in either order, and the last of a kind wins."""
    own, standard = ("x-askonce-mode", "offline"), ("cache-control", "no-cache")
    assert read([own, standard]) == read([standard, own]) == Controls(mode=Mode.OFFLINE, enabled=True)
    assert Controls(ttl=2, enabled=True) == read([("x-askonce-ttl", "1"), ("x-askonce-ttl", "2")])


def test_cache_control_in_two_fields() -> None:
    """A header sent twice is one list: no-store is not lost behind no-cache."""
    assert Controls(mode=Mode.OFF) == read([("cache-control", "no-cache"), ("cache-control", "no-store")])


def test_no_controls() -> None:
    """Without controls the headers stay the very same."""
    sent = headers({"accept": "*/*"})
    controls, rest = read_headers(sent)
    assert controls is NONE
    assert rest is sent


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Controls()),
        ({"cache_enabled": False}, Controls(mode=Mode.OFF, enabled=False)),
        ({"cache_enabled": True}, Controls(enabled=True)),
        ({"cache_enabled": None, "cache_ttl": None, "cache_options": None, "customer_params": None}, Controls()),
        ({"cache_ttl": 60}, Controls(ttl=60)),
        ({"cache_ttl": 0}, Controls(ttl=0)),
        ({"cache_options": {}}, Controls()),
        ({"cache_options": {"cache_by_customer": False}, "customer_identifier": "c"}, Controls(caller="c")),
        ({"cache_options": {"is_cached_by_model": True, "omit_log": True}}, Controls(omit_log=True)),
        ({"omit_logs": True}, Controls(omit_log=True)),
        (
            {"cache_options": {"cache_by_customer": True}, "customer_identifier": "c"},
            Controls(customer="c", caller="c"),
        ),
        (
            {"cache_options": {"cache_by_customer": True}, "customer_params": {"customer_identifier": "c"}},
            Controls(customer="c", caller="c"),
        ),
        ({"cache_options": {"cache_by_customer": True}}, Controls(by_credential=True)),
        ({"customer_identifier": "c"}, Controls(caller="c")),
    ],
    ids=str,
)
def test_fields(fields: dict[str, Any], expected: Controls) -> None:
    """Each body field means its value: false is false, and what merely exists changes nothing."""
    assert expected == read_fields(fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cache_enabled": "false"}, "cache_enabled: 'false' is neither true nor false"),
        ({"cache_enabled": 0}, "cache_enabled: 0 is neither true nor false"),
        ({"cache_ttl": "60"}, "cache_ttl: '60' is not a number of seconds"),
        ({"cache_ttl": -1}, "cache_ttl: -1 is not a number of seconds"),
        ({"cache_ttl": True}, "cache_ttl: True is not a number of seconds"),
        ({"cache_ttl": 10**400}, "is not a number of seconds"),
        ({"cache_options": True}, "cache_options: True is not an object"),
        ({"cache_options": {"by_customer": True}}, "cache_by_customer, is_cached_by_model, omit_log"),
        ({"cache_options": {"omit_log": 1}}, "cache_options.omit_log: 1 is neither true nor false"),
        ({"customer_params": "c"}, "customer_params: 'c' is not an object"),
        ({"customer_identifier": ""}, "customer_identifier: '' is not a string with something in it"),
        ({"customer_identifier": 5}, "customer_identifier: 5 is not a string"),
        ({"customer_identifier": "credential:1f"}, "stands for whoever has a credential"),
        ({"customer_params": {"email": 5}}, "customer_params.email: 5 is not a string"),
        ({"omit_logs": 1}, "omit_logs: 1 is neither true nor false"),
        ({"customer_params": {"customer_identifier": 5}}, "customer_identifier: 5 is not a string"),
    ],
    ids=str,
)
def test_malformed_fields(fields: dict[str, Any], said: str) -> None:
    """A malformed field is an error that names field and value and says what is allowed."""
    with pytest.raises(ControlError) as caught:
        read_fields(fields)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("12 h", 43200),
        ("30d", 2592000),
        ("2w", 1209600),
        ("0.5h", 1800),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A duration is a number, and a unit or seconds."""
    assert seconds == parse_duration(text)


@given(st.text(max_size=12))
def test_any_duration(text: str) -> None:
    """Any other text is none; a duration is never negative, infinite or not a number."""
    seconds = parse_duration(text)
    assert seconds is None or 0 <= seconds < float("inf")


def test_over() -> None:
    """What a request says wins, and where it is silent, what the session says stays."""
    session = Controls(Mode.RECORD, 60, 5, "s", "p", delays=1.0)
    assert session == NONE.over(session) == session.over(NONE)
    assert session == Controls().over(session)
    zero = Controls(Mode.OFF, 0.0, 0.0, "", "", delays=0.0)
    assert zero == zero.over(session)


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        (Controls(by_credential=True), Controls(partition="p"), True),
        (Controls(partition="p"), Controls(by_credential=True), True),
        (Controls(), Controls(by_credential=True), True),
    ],
)
def test_over_by_credential(inner: Controls, outer: Controls, expected: bool) -> None:
    """A customer by credential is one inside the partition, wherever that is named."""
    assert expected == inner.over(outer).by_credential
