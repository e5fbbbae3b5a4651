"""From one client's request to its answer, by way of the cache: what the journal needs is noted on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from askonce._core.controls import Mode
from askonce._core.decide import reader_ttl
from askonce._core.dialects import status_headers
from askonce._core.domains import Dialect
from askonce._core.messages import CREDENTIAL_HEADERS, Answer, Headers, Request
from askonce._core.refusal import refusal
from askonce._core.tape import Left, Tape
from askonce._engine.aio import AsyncAnswered, answer_call
from askonce._engine.call import Call as CacheCall
from askonce._engine.call import Match, Steady
from askonce._engine.flight import Flight
from askonce._engine.upstream import AsyncUpstream
from askonce.errors import ControlError, UpstreamEnded
from askonce.gateway.calls import Call
from askonce.gateway.client import UpstreamError
from askonce.gateway.credentials import shown
from askonce.gateway.heads import GATEWAY_KEY, for_client, for_upstream, forward_status, hit_status, old_status
from askonce.gateway.shortcuts import Arrived
from askonce.gateway.stale import Old, is_failure
from askonce.gateway.upstreams import Upstream, Way, find_way, host_of, with_key
from askonce.gateway.visits import is_from_here
from askonce.notices import warn_once

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_LAST_SECONDS = 0.05  # for which the last chunk waits until the answer has been kept
_MOST_TAPED = 4 << 20  # bytes of an answer that goes past the cache, in which its tokens are looked for
_DIALECTS = {
    "anthropic": Dialect.ANTHROPIC,
    "gemini": Dialect.GEMINI,
    "cohere": Dialect.COHERE,
    "ollama": Dialect.OLLAMA,
}
_LISTS = {"gemini": "/v1beta/models", "ollama": "/api/tags"}  # what a provider tells those it knows, for nothing
_LIST = "/v1/models"


if TYPE_CHECKING:
    from askonce.gateway.proxy import Proxy


class GoneError(Exception):
    """The client has gone."""


class Exchange:
    """One request and its answer."""

    def __init__(self, proxy: Proxy, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        self.proxy = proxy
        self.cache = proxy.cache
        self.call = call
        self.receive = receive
        self.send = send
        self.sent = Headers(scope["headers"])
        self.http_version: str = scope.get("http_version", "1.1")
        self.arrived: Arrived | None = scope.get("askonce")
        self.keys = proxy.keys.all()
        self._named: bytes | None = None
        self.has_begun = False
        self.is_whole = False

    # --- Its course ---------------------------------------------------------------------------------------

    async def run(self, target: str) -> None:
        """Answer the request."""
        settings = self.proxy.settings
        way = find_way(settings.upstreams, settings.default, target)
        if isinstance(way, str):
            await self._refuse(Dialect.OPENAI, 404, way)
            return
        self.call.upstream = way.upstream.name
        dialect = _DIALECTS.get(way.upstream.name, Dialect.OPENAI)
        trouble = self._admit(way.upstream, target)
        if trouble:
            await self._refuse(dialect, *trouble)
            return
        headers = for_upstream(self.sent, host_of(way.upstream))
        origin = (self.call.method, way.upstream.scheme, way.upstream.host, way.upstream.port, way.target)
        match = self.cache.match(*origin)
        if match is None:
            await self._pass(way, dialect, Request(*origin, headers, b""))
            return
        try:
            body = await self._read_body(settings.max_body)
        except GoneError:
            return
        if body is None:
            await self._refuse(
                match.route.dialect, 413, f"A request's body is at the most {settings.max_body:,} bytes."
            )
            return
        request = Request(*origin, headers, body)
        known = self.cache.recall(request) if self._is_accepted(way.upstream, request) else None
        if known is not None:
            await self._give_again(way.upstream, request, known)
        else:
            await self._while_there(self._ask(way.upstream, match, request), match.route.dialect)

    def _admit(self, upstream: Upstream, target: str) -> tuple[int, str] | None:
        """Say why this client is not to be served, if so, with the status that says it."""
        settings, keys = self.proxy.settings, self.proxy.keys
        if not (settings.needs_keys or keys.all()):
            if upstream.key is not None and not is_from_here(self.sent):
                return 403, "A page of another site may not spend the key that this gateway holds."
            return None
        own = self.sent.get(GATEWAY_KEY)
        texts = shown(self.sent, target.partition("?")[2])
        key = keys.find(texts[:1] if own else texts)
        if key is None:
            return 401, "This gateway wants one of its keys. Ask who runs it; `askonce keys add NAME` makes one."
        if own is None and upstream.key is None:
            return 401, (
                f"The gateway holds no key for {upstream.name}. Send your own key for it as usual, and the "
                "gateway's in the header x-askonce-key."
            )
        self.call.customer = key.name
        return None

    async def _read_body(self, most: int) -> bytes | None:
        """Return the request's body, or None when it is too long."""
        length = self.sent.get(b"content-length") or ""
        if length.isdecimal() and int(length) > most:
            return None
        parts: list[bytes] = []
        size = 0
        async for part in self._parts():
            parts.append(part)
            size += len(part)
            if size > most:
                return None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _parts(self) -> AsyncIterator[bytes]:
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body"):
                return

    async def _while_there(self, work: Any, dialect: Dialect) -> None:
        """Do the work while the client is there; what breaks it is told as far as it still can be."""
        task = asyncio.get_running_loop().create_task(work)
        gone = asyncio.get_running_loop().create_task(self._await_leaving())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self.call.why = "the client went away"
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
                return
            await self._conclude(task, dialect)
        finally:
            for one in (task, gone):
                one.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

    async def _conclude(self, task: asyncio.Task[None], dialect: Dialect) -> None:
        error = task.exception()
        if error is None:
            return
        self.call.outcome, self.call.why = "error", str(error)
        if self.has_begun:  # broken is passed on as broken
            if not isinstance(error, UpstreamError | UpstreamEnded):
                warn_once(f"the gateway broke off an answer: {error!r}")
            return
        if isinstance(error, UpstreamError):
            await self._answer(refusal(dialect, error.status, f"askonce: {error}"), forward_status("bypass"))
        else:
            warn_once(f"the gateway could not answer a request: {error!r}")
            await self._answer(refusal(dialect, 502, "askonce: the gateway failed"), forward_status("bypass"))

    async def _await_leaving(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def _refuse(self, dialect: Dialect, status: int, message: str) -> None:
        self.call.outcome, self.call.why = "refused", message
        await self._answer(refusal(dialect, status, f"askonce: {message}"), [])

    # --- Through the cache --------------------------------------------------------------------------------

    async def _ask(self, upstream: Upstream, match: Match, request: Request) -> None:
        cache, noted = self.cache, self.call
        try:
            call = cache.begin(request, match)
        except Exception as error:  # a fault of ours must not become the client's
            warn_once(f"a request could not be understood and goes to the provider unrecorded: {error!r}")
            await self._stream(await self._forward(upstream, request), forward_status("bypass"))
            return
        if isinstance(call, Answer):
            noted.outcome = "refused"
            await self._answer(call, [])
            return
        noted.question, noted.omit = call.question, call.controls.omit_log
        noted.customer = call.controls.caller or noted.customer
        alone = False
        if call.controls.mode is not Mode.OFF and not await self._may_share(upstream, request):
            # Nobody else's answer for a credential that may be wrong; what the provider says to it is its own.
            call, alone = call._replace(controls=call.controls._replace(mode=_alone(call.controls.mode))), True

        async def forward(changed: Request) -> AsyncUpstream:
            return await self._forward(upstream, changed)

        stale = self.proxy.stale
        old = None if alone else await stale.find(call)
        if old is not None and stale.is_given_at_once(call, old):
            stale.refresh(call, noted.anew(), forward)
            await self._give_old(call, old)
            return
        try:
            answered = await answer_call(cache, call, forward, self.proxy.settings.idle, alone=alone)
        except UpstreamError as error:
            if old is None or not stale.replaces_error(call, old):
                raise
            stale.failed(call)
            await self._give_old(call, old, why=str(error))
            return
        if old is not None and is_failure(answered.head.status) and stale.replaces_error(call, old):
            await (answered.body if isinstance(answered, AsyncAnswered) else answered).aclose()
            stale.failed(call)
            await self._give_old(call, old, answered.head.status)
            return
        key = call.question.key.hex()
        said = call.controls.dialects
        if isinstance(answered, AsyncUpstream):
            await self._stream(answered, [*forward_status("bypass", key), *status_headers(said, "bypass", key)])
            return
        await self._give(call, answered, key)
        known = cache.steady(request) if answered.outcome == "hit" else None
        if known is not None:
            self._learn(upstream, request, known)

    async def _give_old(self, call: CacheCall, old: Old, status: int | None = None, why: str = "") -> None:
        """Give an answer past its time: at once, or in place of an error, whose status it may have."""
        noted, key = self.call, call.question.key.hex()
        noted.outcome, noted.take = "hit", old.take
        failed = status is not None or bool(why)
        if failed:  # the provider's failure is a call of its own, or an outage would look like good fortune
            trouble = noted.anew()
            trouble.outcome, trouble.status, trouble.why = (
                "error",
                status or 0,
                why or f"the provider said {status}",
            )
            trouble.ended()
            self.proxy.note(trouble)
        noted.why = "past its time to live" + (f"; the provider failed: {status or why}" if failed else "")
        answer = self.cache.replay(call, old.take)
        now = time.time()
        more = old_status(old.take, key, old.since, now, forwarded=failed, status=status)
        await self._begin(
            answer.head.status, for_client(answer.head, more + status_headers(call.controls.dialects, "hit", key))
        )
        for chunk in answer.chunks:
            await self._send_part(chunk.data)
        await self._finish()

    async def _give_again(self, upstream: Upstream, request: Request, known: Steady) -> None:
        """Give a hit that is what it was."""
        noted, call, take = self.call, known.call, known.take
        noted.question, noted.omit, noted.outcome, noted.take = call.question, call.controls.omit_log, "hit", take
        noted.customer = call.controls.caller or noted.customer
        key = call.question.key.hex()
        more = hit_status(take, key, known.until, time.time())
        more += status_headers(call.controls.dialects, "hit", key)
        head, chunks = known.answer.head, known.answer.chunks
        await self._begin(head.status, for_client(head, more))
        for chunk in chunks[:-1]:
            await self._send_part(chunk.data)
        await self._finish(chunks[-1].data if chunks else b"")
        self._learn(upstream, request, known)

    def _learn(self, upstream: Upstream, request: Request, known: Steady) -> None:
        """Have the next request of these very bytes answered where it arrives."""
        if self.arrived is not None and self.http_version == "1.1":
            credential = self._credential(request) if self._wants_acceptance(upstream) else None
            arrived = self.arrived
            arrived.shortcuts.learn(arrived.head, self.sent, request.body, known, self.call, self.keys, credential)

    def _wants_acceptance(self, upstream: Upstream) -> bool:
        return upstream.key is None and self.proxy.settings.check_credentials

    def _is_accepted(self, upstream: Upstream, request: Request) -> bool:
        """Tell whether it is known that this client may have what others were answered."""
        return not self._wants_acceptance(upstream) or self.proxy.accepted.has(self._credential(request))

    def _credential(self, request: Request) -> bytes:
        """Return what the client's credential is remembered by; made once."""
        if self._named is None:
            self._named = self.proxy.accepted.name(request)
        return self._named

    async def _give(self, call: CacheCall, answered: AsyncAnswered, key: str) -> None:
        noted, said = self.call, call.controls.dialects
        noted.outcome = answered.outcome
        head, body = answered.head, answered.body
        if answered.take is not None:
            noted.take = answered.take
            now = time.time()
            until = answered.take.fresh_until(reader_ttl(call.controls))
            more = [*hit_status(answered.take, key, until, now), *status_headers(said, "hit", key)]
        elif answered.outcome == "refused":
            more = forward_status("bypass", key)[:1]
        else:
            refreshed = call.controls.mode is Mode.REFRESH
            verdict = answered.verdict
            why = "request" if refreshed else "stale" if verdict is not None and verdict.replace else "miss"
            stored = verdict is not None and verdict.keep and not answered.flight.tape.worthless  # type: ignore[union-attr]
            more = forward_status(why, key, stored=stored, collapsed=verdict is None)
            more += status_headers(said, "refresh" if refreshed else "miss", key)
        try:
            await self._begin(head.status, for_client(head, more))
            await self._send_body(aiter(body), answered.flight)
            await self._finish()
        finally:
            await body.aclose()
            if answered.flight is not None and isinstance(answered.flight.outcome, Answer):
                noted.answer = answered.flight.outcome

    async def _send_body(self, chunks: AsyncIterator[bytes], flight: Flight | None) -> None:
        """Send chunks as they come; the one that completes an answer when that is kept, or very soon."""
        more: asyncio.Task[bytes | None] | None = None
        try:
            chunk = await _next(chunks)
            while chunk is not None:
                if flight is not None and flight.tape.left() is Left.COMPLETE:
                    # Whoever has read all may ask again at once, and is to be answered from the store.
                    more = asyncio.get_running_loop().create_task(_next(chunks))
                    await asyncio.wait({more}, timeout=_LAST_SECONDS)
                    await self._send_part(chunk)
                    chunk = await more
                else:
                    await self._send_part(chunk)
                    chunk = await _next(chunks)
        finally:
            if more is not None and not more.done():
                more.cancel()
                await asyncio.wait({more})

    async def _may_share(self, upstream: Upstream, request: Request) -> bool:
        """Tell whether this client may have what others were answered."""
        if self._is_accepted(upstream, request):
            return True
        accepted, name = self.proxy.accepted, self._credential(request)

        async def ask() -> int:
            path = _LISTS.get(upstream.name, _LIST)
            prefix = upstream.prefix.removesuffix("/v1") if upstream.prefix.endswith("/v1") else upstream.prefix
            query = request.query if upstream.name == "gemini" else ""
            kept = tuple(
                p for p in request.headers if p[0].lower() in (*CREDENTIAL_HEADERS, b"host", b"anthropic-version")
            )
            target = prefix + path + (f"?{query}" if query else "")
            probe = request._replace(method="GET", target=target, headers=Headers(kept), body=b"")
            answer = await self.proxy.client.send(probe)
            await answer.aclose()
            return answer.head.status

        return await accepted.check(name, ask)

    async def _forward(self, upstream: Upstream, request: Request, body: Any = None) -> AsyncUpstream:
        answer = await self.proxy.client.send(with_key(upstream, request), body)
        if upstream.key is None:
            self.proxy.accepted.note(self.proxy.accepted.name(request), answer.head.status)
        return answer

    # --- Past the cache -----------------------------------------------------------------------------------

    async def _pass(self, way: Way, dialect: Dialect, request: Request) -> None:
        """Send on what is no generation, its body as it comes."""
        try:
            given, headers = self.cache.reader.read_headers(request.headers)
        except ControlError as error:
            await self._refuse(dialect, 400, str(error))
            return
        self.call.omit, self.call.customer = given.omit_log, given.caller or self.call.customer
        request = request._replace(headers=headers)
        if self.sent.get(b"content-length") or self.sent.get(b"transfer-encoding"):
            await self._guarded(self._send_on(way.upstream, request, self._parts()), dialect)
        else:
            await self._while_there(self._send_on(way.upstream, request, None), dialect)

    async def _send_on(self, upstream: Upstream, request: Request, body: Any) -> None:
        await self._stream(await self._forward(upstream, request, body), forward_status("bypass"))

    async def _guarded(self, work: Any, dialect: Dialect) -> None:
        """Do the work of one whose body is still being read, so that its leaving is met there."""
        task = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait({task})
            await self._conclude(task, dialect)
        finally:
            task.cancel()

    async def _stream(self, upstream: AsyncUpstream, more: list[tuple[bytes, bytes]]) -> None:
        """Give the provider's answer as it comes; its tokens are read on the way, if it is generation."""
        tape = Tape(upstream.head, 0.0) if self.call.question is not None else None
        taped = 0
        started = time.perf_counter()
        try:
            await self._begin(upstream.head.status, for_client(upstream.head, more))
            async for chunk in upstream.chunks:
                await self._send_part(chunk)
                taped += len(chunk)
                if tape is not None and taped <= _MOST_TAPED:
                    tape.feed(chunk, time.perf_counter() - started)
            await self._finish()
        finally:
            await upstream.aclose()
        if tape is not None and taped <= _MOST_TAPED:
            answer = tape.finish()
            self.call.answer = answer if isinstance(answer, Answer) else None

    # --- What the client gets -----------------------------------------------------------------------------

    async def _answer(self, answer: Answer, more: list[tuple[bytes, bytes]]) -> None:
        await self._begin(answer.head.status, for_client(answer.head, more))
        for chunk in answer.chunks:
            await self._send_part(chunk.data)
        await self._finish()

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.has_begun = True
        self.call.began(status)
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def _send_part(self, data: bytes) -> None:
        self.call.sent(len(data))
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def _finish(self, data: bytes = b"") -> None:
        if data:
            self.call.sent(len(data))
        self.is_whole = True
        await self.send({"type": "http.response.body", "body": data, "more_body": False})


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    async for chunk in chunks:
        return chunk
    return None


def _alone(mode: Mode | None) -> Mode:
    """Return what is done for a credential that may be wrong: the store does not answer it."""
    return {Mode.REPLAY: Mode.OFF, Mode.OFFLINE: Mode.OFF}.get(mode or Mode.RECORD, Mode.REFRESH)
