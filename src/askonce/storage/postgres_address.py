"""Which PostgreSQL a URL names, and what it says about how to use it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from askonce.errors import SettingsError
from askonce.storage.redis_address import read_seconds

_OURS = ("schema", "timeout", "connections", "nearby", "lease")
_THEIRS = ("host", "application_name", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,50}")


class Address(NamedTuple):
    """A PostgreSQL, and how it is used; times are in seconds."""

    url: str
    """Without the password."""
    connection: dict[str, str]
    """What libpq is given."""
    schema: str = "askonce"
    timeout: float = 0.05
    """How long a call waits for it at the most."""
    connections: int = 16
    """How many of them a process has at the most, but for the one on which it listens."""
    nearby: float = 5.0
    """How long an answer is handed out from memory while changes are not heard of."""
    lease: float = 10.0
    """How long a claim outlives a process that does not renew it."""


def read_address(url: str, setting: str = "store") -> Address:
    """Return what the URL in a setting names; raises SettingsError, without the password, if it names nothing."""
    parts = urlsplit(url)
    userinfo, _, place = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    secret = given.pop("password", unquote(password))
    known = {name: value for name, value in given.items() if name in _OURS + _THEIRS}
    netloc = f"{user}@{place}" if user else place
    plain = f"postgresql://{netloc}{parts.path}" + (f"?{urlencode(known, safe='/:')}" if known else "")
    connection: dict[str, str] = {name: given[name] for name in _THEIRS if name in given}
    try:
        named = urlsplit(f"//{place}")
        host, port = named.hostname, named.port
    except ValueError as error:
        raise SettingsError(f"{setting}: {plain!r}: {place!r} is no host and port ({error}).") from None
    for name, value in (
        ("host", unquote(host or "")),
        ("port", str(port or "")),
        ("user", unquote(user)),
        ("password", secret),
        ("dbname", unquote(parts.path).strip("/")),
    ):
        if value:
            connection.setdefault(name, value)
    ours: dict[str, Any] = {}
    for name, value in given.items():
        if name == "schema":
            if not _SCHEMA.fullmatch(value):
                raise SettingsError(
                    f"{setting}: {plain!r}: a schema is named with a-z, 0-9 and _, and no more than 51."
                )
            ours[name] = value
        elif name == "connections":
            if not value.isdecimal() or not 0 < int(value) <= 1000:
                raise SettingsError(f"{setting}: {plain!r}: connections={value} is no number from 1 to 1000.")
            ours[name] = int(value)
        elif name in _OURS:
            ours[name] = read_seconds(name, value, plain, setting)
        elif name not in _THEIRS:
            raise SettingsError(
                f"{setting}: {plain.partition('?')[0]!r}: there is no {name!r} in its URL. There are "
                f"{', '.join(_OURS + _THEIRS)}."
            )
    return Address(plain, connection, **ours)
