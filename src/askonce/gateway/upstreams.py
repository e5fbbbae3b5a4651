"""Where a request goes: the first part of its path names a configured upstream, and nothing else chooses one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from askonce._core.domains import KNOWN, Domain, Domains, parse_domain
from askonce._core.key import public_url
from askonce._core.messages import CREDENTIAL_HEADERS, CREDENTIAL_PARAMETERS, Headers, Request

_DOTS = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_OWN_API = frozenset({"ollama", "openrouter"})  # where /api/… is the provider's own
_KEY_HEADERS = {"anthropic": b"x-api-key", "gemini": b"x-goog-api-key", "azure": b"api-key"}
_AT_127 = frozenset({"ollama"})  # whose client asks for 127.0.0.1; the others' users write localhost


class Secret(str):
    """A text that is not shown where a value that holds it is described."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class Upstream(NamedTuple):
    """A provider that requests can be sent to.

    `prefix` is the path that all its paths begin with; `key` is the provider's key that the gateway holds for its
    clients; `domain` says what is generation there, where the known domains do not.
    """

    name: str
    url: str
    scheme: str
    host: str
    port: int | None
    prefix: str
    key: Secret | None = None
    domain: Domain | None = None

    @classmethod
    def at(cls, name: str, url: str, key: Secret | None = None) -> Upstream:
        """Return the upstream at a URL."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = None if parts.port == (443 if parts.scheme == "https" else 80) else parts.port
        is_known = Domains().find(parts.scheme, host, port)
        domain = None if is_known else parse_domain(url)
        return cls(name, url, parts.scheme, host, port, parts.path.rstrip("/"), key, domain)

    @property
    def origin(self) -> str:
        """Scheme, host and port as a URL."""
        return public_url(self.scheme, self.host, self.port, "")


class Way(NamedTuple):
    """An upstream, and the target that it is asked for."""

    upstream: Upstream
    target: str


@lru_cache(maxsize=1)
def known_upstreams() -> dict[str, Upstream]:
    """Return the providers whose address is the same for everyone, by name."""
    found: dict[str, Upstream] = {}
    for domain in KNOWN:
        host = "127.0.0.1" if domain.provider in _AT_127 else domain.host
        if "*" not in host and domain.provider not in found:
            scheme = "http" if domain.port else "https"
            url = public_url(scheme, host, domain.port, "")
            found[domain.provider] = Upstream(domain.provider, url, scheme, host, domain.port, "")
    return found


def find_way(upstreams: Mapping[str, Upstream], default: str, target: str) -> Way | str:
    """Return the way of a request; a string says why there is none."""
    path, question, query = target.partition("?")
    if not path.startswith("/") or _DOTS.search(path) or "\\" in path:
        return "A path begins with a slash and has no dots or backslashes that lead elsewhere."
    first, slash, rest = path[1:].partition("/")
    upstream = upstreams.get(first)
    if upstream is not None:
        path = slash + rest or "/"
    elif first in ("v1", "api"):
        upstream = upstreams[default]
        if first == "api" and upstream.name not in _OWN_API:
            path = f"/{rest}" if rest.startswith("v1/") or rest == "v1" else f"/v1/{rest}"
    else:
        return (
            f"There is no upstream {first!r}. Paths begin with /v1 (for {default}), or with the name of one: "
            f"{', '.join(sorted(upstreams))}. To add one: askonce serve --upstream {first or 'name'}=https://…"
        )
    if upstream.prefix.endswith("/v1"):  # `--upstream name=https://…/v1`, as base URLs are written
        path = path.removeprefix("/v1")
    return Way(upstream, upstream.prefix + path + question + query)


def host_of(upstream: Upstream) -> bytes:
    """Return what the header `Host` says of an upstream."""
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    return (host if upstream.port is None else f"{host}:{upstream.port}").encode()


def with_key(upstream: Upstream, request: Request) -> Request:
    """Return the request with the provider's key that the gateway holds, where the client's own would be."""
    if upstream.key is None:
        return request
    places = [name for name in CREDENTIAL_HEADERS if request.headers.get(name)]
    place = places[0] if places else _KEY_HEADERS.get(upstream.name, b"authorization")
    value = upstream.key.encode()
    headers = request.headers.without(frozenset(CREDENTIAL_HEADERS))
    pair = (place, b"Bearer " + value if place == b"authorization" else value)
    path, question, query = request.target.partition("?")
    if question:
        left = [part for part in query.split("&") if part.partition("=")[0].lower() not in CREDENTIAL_PARAMETERS]
        path += "?" + "&".join(left) if left else ""
    return request._replace(target=path, headers=Headers((*headers, pair)))
