"""Which Redis a URL names, and what it says about how to use it."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from askonce.errors import ControlError, SettingsError
from askonce.settings import read_duration

_OURS = ("prefix", "timeout", "nearby", "lease", "grace")
_LONGEST = {"grace": 366 * 86_400.0}  # seconds; the others a day
_THEIRS = (
    "db", "client_name", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs",
    "ssl_check_hostname",
)  # fmt: skip
_PORTS = {"": 6379, "cluster": 6379, "sentinel": 26379}
_SHAPES = (
    "redis://host:6379/0, rediss://…, unix:///path/to/socket, redis+sentinel://host:26379,host2/service/0, "
    "redis+cluster://host:6379,host2"
)


class Address(NamedTuple):
    """A Redis, and how it is used. `kind` is `""` (one server), `sentinel` or `cluster`; times are in seconds."""

    url: str
    """Without the password."""
    kind: str
    hosts: tuple[tuple[str, int], ...]
    service: str
    connection: dict[str, Any]
    """What redis-py's connections are made with, as far as the URL says it."""
    prefix: str = "askonce:"
    timeout: float = 0.05
    """How long a call waits for it at the most."""
    nearby: float = 5.0
    """How long an answer is handed out from memory while changes are not heard of."""
    lease: float = 10.0
    """How long a claim outlives a process that does not renew it."""
    grace: float = 60.0
    """How long after its time to live the server forgets a take: clocks differ, and some ask for old answers."""


def read_address(url: str) -> Address:
    """Return what a URL names; raises SettingsError, without the password, where it names nothing."""
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    userinfo, _, places = parts.netloc.rpartition("@")
    plain = f"{parts.scheme}://{_without_password(userinfo)}{places}{parts.path}"
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    username, _, password = userinfo.partition(":")
    connection: dict[str, Any] = {}
    if username:
        connection["username"] = unquote(username)
    if password:
        connection["password"] = unquote(password)
    if "password" in given:  # as redis-py has it in URLs of sockets
        connection["password"] = given.pop("password")
    known = [f"{name}={value}" for name, value in given.items() if name in _OURS + _THEIRS]
    plain += "?" * bool(known) + "&".join(known)
    service = ""
    hosts: tuple[tuple[str, int], ...] = ()
    path = unquote(parts.path).strip("/")
    if scheme == "unix":
        connection["path"] = unquote(parts.path)
        if not path:
            raise SettingsError(f"store: {plain!r} names no socket. It is unix:///path/to/socket.")
    else:
        hosts = tuple(_host(place, _PORTS[kind], plain) for place in places.split(",") if place)
        hosts = hosts or (("localhost", _PORTS[kind]),)
        if kind == "sentinel":
            service, _, path = path.partition("/")
            if not service:
                raise SettingsError(f"store: {plain!r} names no service. It is {_SHAPES}.")
        if not kind and len(hosts) > 1:
            raise SettingsError(f"store: {plain!r} names several servers. There are {_SHAPES}.")
        if path and (kind == "cluster" or not path.isdecimal()):
            raise SettingsError(f"store: {plain!r} names no database: {path!r} is none, or out of place.")
        if path:
            connection["db"] = int(path)
        if scheme == "rediss":
            connection["ssl"] = True
    ours: dict[str, Any] = {}
    for name, value in given.items():
        if name in _OURS:
            ours[name] = value if name == "prefix" else read_seconds(name, value, plain)
        elif name == "db" and value.isdecimal():
            connection["db"] = int(value)
        elif name in _THEIRS and name != "db":
            connection[name] = value if name != "ssl_check_hostname" else value.lower() in ("1", "true", "yes")
        else:
            raise SettingsError(
                f"store: {plain.partition('?')[0]!r}: there is no {name!r} in its URL, or not with this value. "
                f"There are {', '.join(_OURS + _THEIRS)}."
            )
    if "{" in ours.get("prefix", "") or "}" in ours.get("prefix", ""):
        raise SettingsError(f"store: {plain!r}: a prefix has no braces, which mean something in a cluster.")
    return Address(plain, kind, hosts, service, connection, **ours)


def _without_password(userinfo: str) -> str:
    username = userinfo.partition(":")[0]
    return f"{username}@" if username else ""


def _host(place: str, port: int, url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{place}")
        return unquote(parts.hostname or "localhost"), parts.port or port
    except ValueError as error:
        raise SettingsError(f"store: {url!r}: {place!r} is no host and port ({error}).") from None


def read_seconds(name: str, value: str, url: str, setting: str = "store") -> float:
    """Return the seconds that a part of a URL stands for; raises SettingsError."""
    try:
        seconds = float(value[:-2]) / 1000 if value.endswith("ms") else read_duration(value, name)
    except (ValueError, ControlError) as error:
        raise SettingsError(f"{setting}: {url!r}: {name}={value} is no time ({error}).") from None
    if not 0 < seconds <= _LONGEST.get(name, 86_400.0):
        raise SettingsError(
            f"{setting}: {url!r}: {name}={value} is not between 0 and a {'year' if name in _LONGEST else 'day'}."
        )
    return seconds
