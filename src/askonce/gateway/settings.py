"""What can be set for a gateway: arguments win over its file, the file over the defaults."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from askonce.errors import SettingsError
from askonce.gateway.upstreams import Secret, Upstream, known_upstreams
from askonce.settings import Settings, default_store, read_duration, read_settings, read_variable
from askonce.storage import is_postgres

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_RESERVED = frozenset({"v1", "api", "askonce"})
_DAY = 86400.0
_TTL = 30 * _DAY


class GatewaySettings(NamedTuple):
    """How a gateway behaves. Read from a file and from arguments by `read_gateway_settings`.

    `default` names the upstream of `/v1/…` and `/api/…`. `cache_enabled` is what holds for requests that say
    nothing. `check_credentials`: whoever brings a provider's key gets a recorded answer only after the provider
    has accepted that key. With `fast_path`, `askonce serve` answers a hit where its bytes arrive. Sizes are in
    bytes; `idle` (of a provider), `client_idle`, `keep_calls` in seconds. `max_connections` is for each process.
    """

    cache: Settings
    upstreams: Mapping[str, Upstream]
    default: str = "openai"
    cache_enabled: bool = False
    check_credentials: bool = True
    needs_keys: bool = False
    fast_path: bool = True
    keys: Path | None = None
    journal: Path | str | None = None
    max_body: int = 64 << 20
    max_head: int = 64 << 10
    max_connections: int = 10_000
    idle: float = 600.0
    client_idle: float = 60.0
    keep_calls: float = 30 * _DAY
    max_journal: int = 2 << 30


def read_gateway_settings(
    file: Path | None = None,
    *,
    store: str | None = None,
    upstreams: Mapping[str, str] | None = None,
    with_keys: bool = True,
    **arguments: Any,
) -> GatewaySettings:
    """Return the settings that a TOML file and arguments make; an argument that is not None wins.

    Who asks no provider needs none of the providers' keys (`with_keys`).

    Raises:
        SettingsError: when the file cannot be read, a name is unknown, or a value is not one of those allowed.
    """
    given = _read_file(file) if file is not None else {}
    tables = {**_table(given.pop("upstreams", {}), "upstreams"), **(upstreams or {})}
    chosen = {name: value for name, value in (*given.items(), *arguments.items()) if value is not None}
    cache = {"store": chosen.pop("store", None), "ttl": chosen.pop("ttl", None)}
    cache["store"] = store or cache["store"]
    for name in ("mode", "partition", "max_size", "memory", "debug"):
        cache[name] = chosen.pop(name, None)
    values: dict[str, Any] = {}
    for name, value in chosen.items():
        if name not in _READERS:
            raise SettingsError(f"{name}: a gateway has no such setting. There are {', '.join(NAMES)}.")
        values[name] = _READERS[name](value, name)
    found = known_upstreams() | {
        name: read_upstream(name, value, with_key=with_keys) for name, value in tables.items()
    }
    default = values.setdefault("default", "openai")
    if default not in found:
        raise SettingsError(f"default: {default!r} is no upstream. There are {', '.join(found)}.")
    settings = read_settings(cache)
    if settings.ttl is None and cache["ttl"] is None:
        settings = settings._replace(ttl=_TTL)
    extra = tuple(one.domain for one in found.values() if one.domain is not None)
    settings = settings._replace(domains=(*settings.domains, *extra))
    folder = None if settings.store.startswith("memory:") else Path(settings.store).parent
    if "://" in settings.store and not settings.store.startswith("sqlite:"):  # on another machine
        folder = default_store().parent
    if folder is not None:
        values.setdefault("journal", settings.store if is_postgres(settings.store) else folder / "journal.db")
        values.setdefault("keys", folder / "gateway-keys.json")
    return GatewaySettings(settings, found, **values)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}.") from None


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{name}: {value!r} is not a table.")
    return value


def read_upstream(name: str, value: Any, *, with_key: bool = True) -> Upstream:
    """Return the upstream that a URL, or a table of `url` and `key_file` or `key_variable`, describes."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise SettingsError(
            f"upstreams: {name!r} is no name for one. Use small letters, digits, '.', '_' and '-', but none of "
            f"{', '.join(sorted(_RESERVED))}."
        )
    table = {"url": value} if isinstance(value, str) else _table(value, f"upstreams.{name}")
    for one in table:
        if one not in ("url", "key_file", "key_variable"):
            raise SettingsError(f"upstreams.{name}.{one}: there are url, key_file and key_variable.")
    known = known_upstreams().get(name)
    url = table.get("url", known.url if known else None)
    if not isinstance(url, str):
        raise SettingsError(f"upstreams.{name}: url is missing. Write 'https://llm.example.com'.")
    return Upstream.at(name, _checked(name, url), _read_key(name, table) if with_key else None)


def _checked(name: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or parts.query or parts.fragment or "@" in parts.netloc:
        raise SettingsError(f"upstreams.{name}: {url!r} is not a URL such as 'https://llm.example.com/prefix'.")
    return url.rstrip("/")


def _read_key(name: str, table: Mapping[str, Any]) -> Secret | None:
    if "key_file" in table:
        try:
            key: str | None = Path(str(table["key_file"])).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"upstreams.{name}.key_file: {table['key_file']} cannot be read ({error})."
            ) from None
    elif "key_variable" in table:
        key = read_variable(str(table["key_variable"]))
        if key is None:
            raise SettingsError(f"upstreams.{name}.key_variable: {table['key_variable']} is not set.")
    else:
        return None
    if not key or not key.isascii() or not key.isprintable():
        raise SettingsError(f"upstreams.{name}: its key is empty, or not one line of ASCII.")
    return Secret(key)


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{name}: {value!r} is neither true nor false.")
    return value


def _size(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise SettingsError(f"{name}: {value!r} is not a number of bytes.")
    return value


def _number(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise SettingsError(f"{name}: {value!r} is not a whole number from 1 on.")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"{name}: {value!r} is not a string.")
    return value


def _place(text: str) -> Path | str:
    return text if is_postgres(text) else Path(text).expanduser()


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "default": _text,
    "cache_enabled": _flag,
    "check_credentials": _flag,
    "needs_keys": _flag,
    "fast_path": _flag,
    "keys": lambda value, name: Path(_text(str(value), name)).expanduser(),
    "journal": lambda value, name: _place(_text(str(value), name)),
    "max_body": _size,
    "max_head": _size,
    "max_connections": _number,
    "idle": read_duration,
    "client_idle": read_duration,
    "keep_calls": read_duration,
    "max_journal": _size,
}
NAMES = ("store", "ttl", "mode", "partition", "max_size", "memory", "debug", "upstreams", *_READERS)
"""What a gateway's file may hold."""
