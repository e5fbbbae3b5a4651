"""A visit to the gateway's own pages: what is asked, what is answered, and whether the visitor may."""

from __future__ import annotations

import hashlib
import hmac
import json
from http.cookies import CookieError, SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

from askonce._core.messages import Headers
from askonce.gateway.credentials import shown
from askonce.gateway.keys import GatewayKey, Keys

COOKIE = "askonce_key"
_MOST_FORM = 64 << 10
_HOME = frozenset({"localhost", "127.0.0.1", "::1"})
_POLICY = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class Visit(NamedTuple):
    """One request to the pages or the API; `root` is what the application is mounted under."""

    method: str
    path: str
    query: dict[str, str]
    headers: Headers
    root: str
    scheme: str

    @property
    def cookie(self) -> str:
        """The gateway key in the cookie."""
        try:
            found = SimpleCookie(self.headers.get(b"cookie") or "").get(COOKIE)
        except CookieError:
            return ""
        return found.value if found else ""

    @property
    def is_at_home(self) -> bool:
        """Whether it is this machine's own name that was called: any other may have been rebound to it."""
        return is_at_home(self.headers)

    @property
    def comes_from_elsewhere(self) -> bool:
        """Whether a page of another site has sent it."""
        return comes_from_elsewhere(self.headers)


def is_at_home(headers: Headers) -> bool:
    """Tell whether a request calls this machine by a name of its own."""
    try:
        return (urlsplit(f"//{headers.get(b'host') or ''}").hostname or "") in _HOME
    except ValueError:
        return False


def comes_from_elsewhere(headers: Headers) -> bool:
    """Tell whether a browser says that a page of another site has sent a request."""
    origin = headers.get(b"origin")
    if origin is not None and origin.partition("://")[2] != (headers.get(b"host") or ""):
        return True
    return (headers.get(b"sec-fetch-site") or "none") not in ("none", "same-origin")


def is_from_here(headers: Headers) -> bool:
    """Tell whether a request comes from a program of this machine, or a page of ours."""
    return is_at_home(headers) and not comes_from_elsewhere(headers)


class Reply(NamedTuple):
    """What is answered."""

    status: int
    body: bytes
    media_type: str = "text/html; charset=utf-8"
    more: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"content-type", self.media_type.encode()),
            (b"content-length", b"%d" % len(self.body)),
            (b"content-security-policy", _POLICY),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            (b"cache-control", b"no-store"),
            *self.more,
        ]


def reply_json(value: Any, status: int = 200) -> Reply:
    """Answer with JSON."""
    return Reply(status, json.dumps(value, ensure_ascii=False).encode(), "application/json")


def redirect(visit: Visit, path: str, more: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """Send the browser to another of our pages."""
    return Reply(303, b"", more=((b"location", (visit.root + path).encode()), *more))


def admitted(visit: Visit, keys: Keys, *, needs_keys: bool) -> GatewayKey | str | None:
    """Return the admin key that a visitor shows, None where nobody needs one, or why there is no entry."""
    if not (needs_keys or keys.all()):
        if visit.is_at_home:
            return None
        return "Without gateway keys this is for 127.0.0.1 alone. Make a key: askonce keys add NAME --admin"
    texts = shown(visit.headers, "")
    key = keys.find([*texts, visit.cookie])
    if key is None or not key.admin:
        return "This wants an admin key: askonce keys add NAME --admin"
    return key


def seal(visit: Visit) -> str:
    """Return what a form must hold that a page of ours has made for this visitor."""
    return hmac.digest((visit.cookie or "open").encode(), b"askonce form", hashlib.sha256).hex()


def is_sealed(visit: Visit, form: dict[str, str]) -> bool:
    """Tell whether a form comes from a page of ours."""
    return not visit.comes_from_elsewhere and hmac.compare_digest(
        form.get("seal", "").encode(), seal(visit).encode()
    )


def set_cookie(visit: Visit, key: str) -> tuple[bytes, bytes]:
    """Return the header that keeps a key in the browser, out of reach of scripts and of other sites."""
    secure = "; Secure" if visit.scheme == "https" else ""
    return (
        b"set-cookie",
        f"{COOKIE}={quote(key)}; Path={visit.root}/askonce/; HttpOnly; SameSite=Strict{secure}".encode(),
    )


def read_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form."""
    return dict(parse_qsl(body[:_MOST_FORM].decode("utf-8", "replace"), keep_blank_values=True))
