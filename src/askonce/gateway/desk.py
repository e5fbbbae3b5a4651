"""The gateway's own addresses, under /askonce/: health, metrics, the API and the pages."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl

from askonce._core.messages import Headers
from askonce._engine.cache import Cache
from askonce.errors import StorageError
from askonce.gateway import reports
from askonce.gateway.api import Api, ApiError
from askonce.gateway.journal import Journal
from askonce.gateway.keys import Keys
from askonce.gateway.pages import Pages
from askonce.gateway.visits import (
    Reply,
    Visit,
    admitted,
    is_sealed,
    read_form,
    redirect,
    reply_json,
    set_cookie,
)
from askonce.notices import warn_once

_STATIC = {
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_MOST_BODY = 64 << 10


class Desk:
    """Answer what is asked of the gateway itself."""

    def __init__(self, cache: Cache, keys: Keys, journal: Journal, *, needs_keys: bool) -> None:
        self._cache = cache
        self._keys = keys
        self._journal = journal
        self._needs_keys = needs_keys
        self._api = Api(journal, cache.guard.storage)
        self._pages = Pages(journal, cache.guard.storage)

    async def __call__(self, scope: Any, receive: Any, send: Any, target: str, in_flight: int) -> None:
        path, _, query = target.partition("?")
        visit = Visit(
            "GET" if scope["method"] == "HEAD" else scope["method"],
            path,
            dict(parse_qsl(query)),
            Headers(scope["headers"]),
            scope.get("root_path", ""),
            scope.get("scheme", "http"),
        )
        body = await _read(receive)
        if body is None:
            reply = reply_json({"error": "The body is too long."}, 413)
        else:
            try:
                reply = await asyncio.to_thread(self.answer, visit, body, in_flight)
            except ApiError as error:
                reply = self._pages.trouble(visit, 400, str(error))
            except StorageError as error:
                if path.startswith("/askonce/api/"):
                    reply = reply_json({"error": str(error)}, 503)
                else:
                    reply = self._pages.trouble(visit, 503, str(error))
            except Exception as error:  # a page that fails must not take the gateway with it
                warn_once(f"the gateway's page {path} failed: {error!r}")
                reply = Reply(500, b"askonce: this page failed; the gateway's log says why.", "text/plain")
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": reply.body})

    def answer(self, visit: Visit, body: bytes, in_flight: int) -> Reply:
        """Answer one visit."""
        name = visit.path.removeprefix("/askonce").strip("/")
        if name == "health" or name.startswith("health/"):
            guard, has_journal = self._cache.guard, not self._journal.trouble
            # Without a store that others share it goes on as they do: a balancer would take away all at once.
            # And one that has been left alone for long enough needs calls to find out that it is well again.
            is_ready = not guard.is_paused or guard.is_far
            status = 503 if name == "health/ready" and not is_ready else 200
            told = {"store": guard.is_well, "journal": has_journal}
            trouble = [part for part, is_well in told.items() if not is_well]
            said = {"live": True, "ready": is_ready, **({"trouble": trouble} if trouble else {})}
            return reply_json(said, status)
        if name.startswith("static/"):
            return _static(name.removeprefix("static/"))
        if name == "login" and visit.method == "POST":
            return self._enter(visit, read_form(body))
        may = admitted(visit, self._keys, needs_keys=self._needs_keys)
        if isinstance(may, str):
            return self._turn_away(visit, name, may)
        if name == "metrics":
            text = reports.metrics(self._journal, in_flight, self._troubles, self._cache.guard.health)
            return Reply(200, text, "text/plain; version=0.0.4; charset=utf-8")
        if name.startswith("api/"):
            if visit.method != "GET" and visit.comes_from_elsewhere:
                return reply_json({"error": "This came from a page of another site."}, 403)
            return self._api.answer(visit, name.removeprefix("api/"))
        if visit.method == "POST":
            form = read_form(body)
            if not is_sealed(visit, form):
                return self._pages.trouble(
                    visit, 403, "This form is not from a page of this gateway. Load it again."
                )
            if name == "logout":
                return redirect(visit, "/askonce/", (set_cookie(visit, ""),))
            return self._pages.change(visit, name, form)
        return self._pages.show(visit, name, self._troubles)

    def _troubles(self) -> list[str]:
        """Say what cannot be used; to be asked when all that a page shows has been read."""
        found = []
        if not self._cache.guard.is_well:
            url = self._cache.guard.storage.url
            found.append(f"The store {url} cannot be used; requests go to their providers.")
        if self._journal.trouble:
            found.append(f"The journal cannot be used: {self._journal.trouble}")
        return found

    def _enter(self, visit: Visit, form: dict[str, str]) -> Reply:
        key = self._keys.find([form.get("key", "").strip()])
        if visit.comes_from_elsewhere or key is None or not key.admin:
            return self._pages.login(visit, "That is no admin key of this gateway.")
        return redirect(visit, "/askonce/", (set_cookie(visit, form["key"].strip()),))

    def _turn_away(self, visit: Visit, name: str, why: str) -> Reply:
        if name == "metrics" or name.startswith("api/"):
            return reply_json({"error": why}, 401)
        if not self._keys.all():
            return self._pages.trouble(visit, 403, why)
        return self._pages.login(visit, "")


def _static(name: str) -> Reply:
    if name not in _STATIC:
        return Reply(404, b"There is no such file.", "text/plain")
    return Reply(200, (files("askonce.gateway") / "static" / name).read_bytes(), _STATIC[name])


async def _read(receive: Any) -> bytes | None:
    body = b""
    while True:
        message: dict[str, Any] = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > _MOST_BODY:
            return None
        if not message.get("more_body"):
            return body
