"""The names by which other gateways' clients control a cache, each with its own unit and meaning.

They are understood where a client has changed its base URL and nothing else. What would let one question be
answered with another's answer (Cloudflare's own keys, Helicone's ignored ones) is not taken at its word: a custom
key only divides, and no key is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from askonce._core.controls import NONE, Controls, Mode, parse_partition
from askonce._core.messages import Headers
from askonce._core.rotation import Repeat
from askonce.errors import ControlError

FOREIGN_FIELDS = frozenset({"cache", "tensorzero::cache_options"})
"""Body fields that LiteLLM and TensorZero read."""

_LONGEST = 1e12
_LARGEST_BUCKET = 20
_PREFIXES = {
    b"x-portkey-": "portkey",
    b"helicone-": "helicone",
    b"cf-aig-": "cloudflare",
    b"x-openrouter-": "openrouter",
}
_LITELLM = ("ttl", "s-maxage", "s-max-age", "no-cache", "no-store", "namespace", "use-cache")
_TENSORZERO_MODES = {
    "on": Controls(enabled=True),
    "off": Controls(enabled=False, mode=Mode.OFF),
    "read_only": Controls(enabled=True, mode=Mode.REPLAY),
    "write_only": Controls(enabled=True, mode=Mode.REFRESH),
}


# --- Headers ----------------------------------------------------------------------------------------------


def read_foreign_headers(headers: Headers) -> tuple[Controls, Headers]:
    """Read the controls of other gateways; return them and the headers that are not addressed to a gateway.

    Raises:
        ControlError: when a value is malformed.
    """
    controls = NONE
    kept = []
    for pair in headers:
        name = pair[0].lower()
        dialect = next((one for prefix, one in _PREFIXES.items() if name.startswith(prefix)), None)
        if dialect is None:
            kept.append(pair)
            continue
        read = _HEADERS.get(name)
        if read is not None:
            text = pair[1].decode("latin-1").strip()
            controls = read(name.decode(), text)._replace(dialects=frozenset({dialect})).over(controls)
    return (controls, Headers(kept)) if len(kept) < len(headers) else (NONE, headers)


def _flag(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ControlError(f"{name}: {text!r} is neither true nor false.")
    return text.lower() == "true"


def _seconds(name: str, text: str) -> float:
    if not (text.isdecimal() and text.isascii()):
        raise ControlError(f"{name}: {text!r} is not a whole number of seconds.")
    return min(float(text), _LONGEST)


def _named(name: str, text: str) -> str:
    if not text:
        raise ControlError(f"{name}: the value is empty. Give a name, or leave the header out.")
    return text


def _switch(name: str, text: str) -> Controls:
    return Controls(enabled=True) if _flag(name, text) else Controls(enabled=False, mode=Mode.OFF)


def _refresh(name: str, text: str) -> Controls:
    return Controls(mode=Mode.REFRESH) if _flag(name, text) else NONE


def _skip(name: str, text: str) -> Controls:
    return Controls(enabled=False, mode=Mode.OFF) if _flag(name, text) else NONE


def _bucket(name: str, text: str) -> Controls:
    if not (text.isdecimal() and text.isascii() and len(text) < 3 and 1 <= int(text) <= _LARGEST_BUCKET):
        raise ControlError(f"{name}: {text!r} is not a number from 1 to {_LARGEST_BUCKET}.")
    return Controls(samples=int(text), repeat=Repeat.ROTATE)


def _config(name: str, text: str) -> Controls:
    """Read the cache of a Portkey config that is given in full; one that is named by its id is not ours."""
    if not text.startswith("{"):
        return NONE
    try:
        cache = json.loads(text).get("cache")
    except (ValueError, RecursionError):
        raise ControlError(f"{name}: {text[:80]!r} is not JSON.") from None
    if cache is None:
        return NONE
    if not isinstance(cache, dict) or cache.get("mode") not in ("simple", "semantic"):
        raise ControlError(f"{name}: cache {cache!r} has no mode that is 'simple' or 'semantic'.")
    return Controls(enabled=True, ttl=_number(f"{name}: cache.max_age", cache.get("max_age")))


_HEADERS: Mapping[bytes, Callable[[str, str], Controls]] = {
    b"x-portkey-cache-force-refresh": _refresh,
    b"x-portkey-cache-namespace": lambda name, text: Controls(partition=parse_partition(_named(name, text), name)),
    b"x-portkey-config": _config,
    b"helicone-cache-enabled": _switch,
    b"helicone-cache-bucket-max-size": _bucket,
    b"helicone-cache-seed": lambda name, text: Controls(seed=_named(name, text)),
    b"helicone-user-id": lambda name, text: Controls(caller=text or None),
    b"cf-aig-cache-ttl": lambda name, text: Controls(enabled=True, ttl=_seconds(name, text)),
    b"cf-aig-skip-cache": _skip,
    b"cf-aig-cache-key": lambda name, text: Controls(partition=parse_partition(_named(name, text), name)),
    b"x-openrouter-cache": _switch,
    b"x-openrouter-cache-ttl": lambda name, text: Controls(ttl=_seconds(name, text)),
    b"x-openrouter-cache-clear": _refresh,
}


# --- Body fields ------------------------------------------------------------------------------------------


def read_foreign_fields(fields: Mapping[str, Any]) -> Controls:
    """Read LiteLLM's and TensorZero's fields.

    Raises:
        ControlError: when a value is malformed, or an object holds an unknown name.
    """
    if not fields:
        return NONE
    return _read_litellm(fields.get("cache")).over(_read_tensorzero(fields.get("tensorzero::cache_options")))


def _read_litellm(cache: Any) -> Controls:
    if cache is None:
        return NONE
    values = _object("cache", cache, _LITELLM)
    no_cache, no_store = (_boolean(f"cache.{name}", values.get(name)) for name in ("no-cache", "no-store"))
    use = _boolean("cache.use-cache", values.get("use-cache"))
    namespace = values.get("namespace")
    if namespace is not None and (not isinstance(namespace, str) or not namespace):
        raise ControlError(f"cache.namespace: {namespace!r} is not a string with something in it.")
    ttl = _number("cache.ttl", values.get("ttl"))
    name = "s-maxage" if values.get("s-maxage") is not None else "s-max-age"
    max_age = _number(f"cache.{name}", values.get(name))
    mode = None
    if no_cache:
        mode = Mode.OFF if no_store else Mode.REFRESH
    elif no_store:
        mode = Mode.REPLAY
    asks = use or ttl is not None or max_age is not None or namespace is not None
    return Controls(
        mode=mode,
        ttl=ttl,
        max_age=max_age,
        partition=None if namespace is None else parse_partition(namespace, "cache.namespace"),
        enabled=True if asks else None,
        dialects=frozenset({"litellm"}),
    )


def _read_tensorzero(options: Any) -> Controls:
    if options is None:
        return NONE
    name = "tensorzero::cache_options"
    values = _object(name, options, ("enabled", "max_age_s"))
    enabled = values.get("enabled", "write_only")  # TensorZero's own default
    if not isinstance(enabled, str) or enabled not in _TENSORZERO_MODES:
        raise ControlError(f"{name}.enabled: {enabled!r} is none of {', '.join(_TENSORZERO_MODES)}.")
    max_age = _number(f"{name}.max_age_s", values.get("max_age_s"))
    return _TENSORZERO_MODES[enabled]._replace(max_age=max_age, dialects=frozenset({"tensorzero"}))


def _object(name: str, value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ControlError(f"{name}: {value!r} is not an object.")
    for one in value:
        if one not in names:
            raise ControlError(f"{name}.{one}: there is no such option. There are {', '.join(names)}.")
    return value


def _boolean(name: str, value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise ControlError(f"{name}: {value!r} is neither true nor false.")
    return value is True


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST:
        raise ControlError(f"{name}: {value!r} is not a number of seconds.")
    return float(value)


# --- What the answer says ---------------------------------------------------------------------------------


def status_headers(dialects: frozenset[str], outcome: str, key: str) -> list[tuple[bytes, bytes]]:
    """Return what those gateways would say of an answer; `outcome` is hit, miss, refresh or bypass."""
    word = b"HIT" if outcome == "hit" else b"MISS"
    portkey = {"refresh": b"REFRESH", "bypass": b"DISABLED"}.get(outcome, word)
    said = {
        "portkey": (b"x-portkey-cache-status", portkey),
        "helicone": (b"helicone-cache", word),
        "cloudflare": (b"cf-aig-cache-status", word),
        "openrouter": (b"x-openrouter-cache-status", word),
        "litellm": (b"x-litellm-cache-key", key.encode()) if outcome == "hit" else None,
    }
    return [pair for dialect in sorted(dialects) if (pair := said.get(dialect)) is not None]
