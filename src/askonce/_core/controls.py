"""What one request asks of the cache: read from its headers and body fields, then stripped.

A value is parsed, never merely noticed: `cache_enabled: false` is false. A value that cannot be parsed is an
error that names it, never a default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from askonce._core.messages import Headers
from askonce._core.rotation import Repeat
from askonce.errors import ControlError


class Mode(StrEnum):
    """What happens on a hit and on a miss."""

    RECORD = "record"
    REPLAY = "replay"
    OFFLINE = "offline"
    REFRESH = "refresh"
    OFF = "off"


class Controls(NamedTuple):
    """The knobs of one call; None leaves what the session says.

    `ttl` and `max_age` are in seconds; `customer` and `by_credential` ask for a partition of the customer's own
    inside the partition, the latter named after the caller's credential;
    `delays` scales the recorded rhythm, 0.0 is at once; `samples` is how many answers to a question are recorded
    before any is given again.

    `tags` are kept with what is recorded. `stale_if_error` and `stale_while_revalidate` are in seconds past the
    time to live.

    The last six matter at the gateway alone: `enabled` asks for the cache where it is off unless asked for;
    `caller` is the customer whom the journal names; `omit_log` keeps the call out of it; `dialects` are the
    gateways by whose names it was said.
    """

    mode: Mode | None = None
    ttl: float | None = None
    max_age: float | None = None
    seed: str | None = None
    partition: str | None = None
    customer: str | None = None
    by_credential: bool = False
    delays: float | None = None
    repeat: Repeat | None = None
    samples: int | None = None
    enabled: bool | None = None
    caller: str | None = None
    omit_log: bool = False
    dialects: frozenset[str] = frozenset()
    stale_if_error: float | None = None
    stale_while_revalidate: float | None = None
    tags: tuple[str, ...] = ()

    def over(self, other: Controls) -> Controls:
        """Return these controls, and where they are silent, the other's."""
        if other is NONE:
            return self
        if self is NONE:
            return other
        return Controls(
            self.mode or other.mode,
            other.ttl if self.ttl is None else self.ttl,
            other.max_age if self.max_age is None else self.max_age,
            other.seed if self.seed is None else self.seed,
            other.partition if self.partition is None else self.partition,
            other.customer if self.customer is None else self.customer,
            self.by_credential or other.by_credential,
            other.delays if self.delays is None else self.delays,
            self.repeat or other.repeat,
            other.samples if self.samples is None else self.samples,
            other.enabled if self.enabled is None else self.enabled,
            other.caller if self.caller is None else self.caller,
            self.omit_log or other.omit_log,
            self.dialects | other.dialects,
            other.stale_if_error if self.stale_if_error is None else self.stale_if_error,
            other.stale_while_revalidate if self.stale_while_revalidate is None else self.stale_while_revalidate,
            self.tags or other.tags,
        )


NONE = Controls()

CUSTOMER = "customer="
"""What comes before a customer's name in the name of a partition."""

CREDENTIAL = "credential:"
"""What a customer's name begins with that stands for whoever has a credential."""

_PREFIX = b"x-askonce-"
_HEADERS = (
    "x-askonce-delays", "x-askonce-mode", "x-askonce-partition", "x-askonce-repeat", "x-askonce-samples",
    "x-askonce-seed", "x-askonce-stale-if-error", "x-askonce-stale-while-revalidate", "x-askonce-tags",
    "x-askonce-ttl",
)  # fmt: skip
_MOST_SAMPLES = 10_000
_MOST_TAGS, _LONGEST_TAG = 32, 100
_CACHE_OPTIONS = ("cache_by_customer", "is_cached_by_model", "omit_log")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)?")
_LONGEST = 1e12  # seconds; beyond all calendars, and within what every store can hold
_WORDS = {"true": 1.0, "yes": 1.0, "on": 1.0, "false": 0.0, "no": 0.0, "off": 0.0, "": 0.0}
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(text: str) -> float | None:
    """Return the seconds that `90`, `90s`, `15m`, `12h`, `30d` or `2w` stand for, or None for anything else."""
    match = _DURATION.fullmatch(text.strip().lower())
    return min(float(match[1]) * _SECONDS[match[2]], _LONGEST) if match else None


def read_headers(headers: Headers) -> tuple[Controls, Headers]:
    """Read the controls in a request's headers; return them and the headers that go to the provider.

    They are `x-askonce-…`, and the request directives of Cache-Control (RFC 9111, 5.2.1).

    Raises:
        ControlError: when a value is malformed, or an `x-askonce-` header is not one of these.
    """
    controls = NONE
    directives = []
    kept = []
    for pair in headers:
        name = pair[0].lower()
        if name.startswith(_PREFIX):
            own = _read_own(name.decode("latin-1"), pair[1].decode("latin-1").strip())
            controls = own._replace(enabled=True).over(controls)
        elif name == b"cache-control":
            directives.append(pair[1].decode("latin-1"))
        else:
            kept.append(pair)
    if directives:
        controls = controls.over(_read_cache_control(",".join(directives)))
    return (controls, Headers(kept)) if len(kept) < len(headers) else (NONE, headers)


def _read_own(name: str, value: str) -> Controls:
    match name:
        case "x-askonce-ttl":
            return Controls(ttl=_read_duration(name, value))
        case "x-askonce-tags":
            return Controls(tags=parse_tags(value.split(","), name))
        case "x-askonce-stale-if-error":
            return Controls(stale_if_error=_read_duration(name, value))
        case "x-askonce-stale-while-revalidate":
            return Controls(stale_while_revalidate=_read_duration(name, value))
        case "x-askonce-delays":
            return Controls(delays=parse_delays(value, name))
        case "x-askonce-mode":
            return Controls(mode=parse_mode(value, name))
        case "x-askonce-repeat":
            return Controls(repeat=parse_repeat(value, name))
        case "x-askonce-samples":
            return Controls(samples=parse_samples(value, name))
        case "x-askonce-seed" | "x-askonce-partition" if not value:
            raise ControlError(f"{name}: the value is empty. Give a name, or leave the header out.")
        case "x-askonce-seed":
            return Controls(seed=value)
        case "x-askonce-partition":
            return Controls(partition=parse_partition(value, name))
        case _:
            raise ControlError(f"{name}: there is no such control. There are {', '.join(_HEADERS)}.")


def parse_tags(values: Iterable[str], name: str) -> tuple[str, ...]:
    """Return tags in order, each once; `name` is what to blame where one is none."""
    tags = sorted({value.strip() for value in values} - {""})
    for tag in tags:
        if len(tag) > _LONGEST_TAG or not tag.isprintable() or "," in tag:
            raise ControlError(
                f"{name}: {tag!r} is no tag: at most {_LONGEST_TAG} characters on one line, no comma."
            )
    if len(tags) > _MOST_TAGS:
        raise ControlError(f"{name}: there are {len(tags)} tags; an entry has at most {_MOST_TAGS}.")
    return tuple(tags)


def _read_duration(name: str, value: str) -> float:
    seconds = parse_duration(value)
    if seconds is None:
        raise ControlError(f"{name}: {value!r} is not a duration. Write seconds (3600) or 15m, 12h, 30d.")
    return seconds


def parse_mode(value: str, name: str) -> Mode:
    """Return the mode of that name; `name` is what to blame when there is none."""
    try:
        return Mode(value.strip().lower())
    except ValueError:
        raise ControlError(f"{name}: {value!r} is not a mode. There are {', '.join(Mode)}.") from None


def parse_repeat(value: str, name: str) -> Repeat:
    """Return the policy of that name; `name` is what to blame when there is none."""
    try:
        return Repeat(value.strip().lower())
    except ValueError:
        raise ControlError(f"{name}: {value!r} is no way to repeat. There are {', '.join(Repeat)}.") from None


def parse_delays(value: str, name: str) -> float:
    """Return the scale of the recorded rhythm; `name` is what to blame when it is none."""
    text = value.strip().lower()
    if text in _WORDS:
        return _WORDS[text]
    try:
        scale = float(text)
    except ValueError:
        scale = -1.0
    if not 0 <= scale < float("inf"):
        raise ControlError(f"{name}: {value!r} is neither true, false nor a factor such as 0.5.")
    return scale


def parse_partition(value: str, name: str) -> str:
    """Return the name of a partition; none can be that of a customer inside a partition."""
    if CUSTOMER in value:
        raise ControlError(f"{name}: {value!r} has {CUSTOMER!r} in it, which marks a customer. Choose another.")
    return value


def parse_samples(value: str, name: str) -> int:
    """Return how many answers are wanted; `name` is what to blame when that is no such number."""
    text = value.strip()
    if not (text.isdecimal() and text.isascii() and len(text) < 6 and 1 <= int(text) <= _MOST_SAMPLES):
        raise ControlError(f"{name}: {value!r} is not a number of answers from 1 to {_MOST_SAMPLES}.")
    return int(text)


def _read_cache_control(value: str) -> Controls:
    """Read the directives that RFC 9111 defines for requests, and RFC 5861's.

    Others are ignored, as RFC 9111 says they must be.
    """
    given = dict(_directives(value))
    mode: Mode | None = None
    if "only-if-cached" in given:
        mode = Mode.OFFLINE
    elif "no-cache" in given:
        mode = Mode.OFF if "no-store" in given else Mode.REFRESH
    elif "no-store" in given:
        mode = Mode.REPLAY
    max_age, if_error, revalidated = (
        _whole_seconds(name, given.get(name)) for name in ("max-age", "stale-if-error", "stale-while-revalidate")
    )
    return Controls(mode, max_age=max_age, stale_if_error=if_error, stale_while_revalidate=revalidated)


def _whole_seconds(name: str, value: str | None) -> float | None:
    if value is not None and not (value.isdecimal() and value.isascii()):
        raise ControlError(f"cache-control: {name}={value!r} is not a whole number of seconds.")
    return None if value is None else min(float(value), _LONGEST)


def _directives(value: str) -> Iterator[tuple[str, str]]:
    for directive in value.split(","):
        name, _, argument = directive.strip().lower().partition("=")
        yield name, argument.strip('"')


def read_fields(fields: Mapping[str, Any]) -> Controls:
    """Read the controls in a request's JSON body (Keywords AI / Respan's names).

    Raises:
        ControlError: when a value is malformed, or `cache_options` holds an unknown name.
    """
    if not fields:
        return NONE
    controls = NONE
    enabled = fields.get("cache_enabled")
    if enabled is not None and not isinstance(enabled, bool):
        raise ControlError(f"cache_enabled: {enabled!r} is neither true nor false.")
    if enabled is not None:
        controls = controls._replace(enabled=enabled, mode=None if enabled else Mode.OFF)
    ttl = fields.get("cache_ttl")
    if ttl is not None:
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 <= ttl <= _LONGEST:
            raise ControlError(f"cache_ttl: {ttl!r} is not a number of seconds. Write 3600 for an hour.")
        controls = controls._replace(ttl=float(ttl))
    customer = _read_customer(fields)
    options = _read_options(fields.get("cache_options"))
    if options.get("cache_by_customer"):
        controls = controls._replace(customer=customer, by_credential=customer is None)
    omit_logs = fields.get("omit_logs")
    if omit_logs is not None and not isinstance(omit_logs, bool):
        raise ControlError(f"omit_logs: {omit_logs!r} is neither true nor false.")
    return controls._replace(caller=customer, omit_log=options.get("omit_log", False) or omit_logs is True)


def _read_customer(fields: Mapping[str, Any]) -> str | None:
    params = fields.get("customer_params")
    if params is not None and not isinstance(params, dict):
        raise ControlError(f"customer_params: {params!r} is not an object.")
    customer = fields.get("customer_identifier")
    if customer is None and params:
        customer = params.get("customer_identifier")
    if customer is not None and (not isinstance(customer, str) or not customer):
        raise ControlError(f"customer_identifier: {customer!r} is not a string with something in it.")
    if customer is not None and customer.startswith(CREDENTIAL):
        raise ControlError(
            f"customer_identifier: {customer!r} begins with {CREDENTIAL!r}, which stands for whoever has a "
            "credential. Choose another name."
        )
    for name in ("name", "email"):
        value = params.get(name) if params else None
        if value is not None and not isinstance(value, str):
            raise ControlError(f"customer_params.{name}: {value!r} is not a string.")
    return customer


def _read_options(options: Any) -> dict[str, bool]:
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise ControlError(f"cache_options: {options!r} is not an object.")
    for name, value in options.items():
        if name not in _CACHE_OPTIONS:
            raise ControlError(f"cache_options.{name}: no such option. There are {', '.join(_CACHE_OPTIONS)}.")
        if not isinstance(value, bool):
            raise ControlError(f"cache_options.{name}: {value!r} is neither true nor false.")
    return options
