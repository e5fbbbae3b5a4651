"""The fast path: a hit answered inside `create()`, before the SDK transforms parameters and builds a request.

What a call becomes, and how its answer is parsed, is learned from a hit that took the slow path. From then on the
same arguments, as JSON, are the same request, as long as nothing that goes into one has changed at the client. The
decision is the cache's, made anew each time by the code that makes it for the slow path; the object is parsed by
the SDK, and for the same answer copied anew each time. Where anything is not as it was, the slow path answers.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from askonce._core.decide import Replay
from askonce._core.messages import Answer, Headers, Request
from askonce._core.rotation import Repeat
from askonce._dropin import state
from askonce._dropin.copies import CannotCopyError, copier
from askonce._engine.call import Call
from askonce.intercept.transport import ClientSeam
from askonce.storage.lru import LRU

MEMO = "_askonce_fast"
"""The attribute of a client whose hits may be answered here, and what it has learned."""

_METHODS = (
    "post", "request", "_build_headers", "_build_request", "_prepare_options", "_prepare_request", "_prepare_url",
    "_process_response", "_send_request", "default_headers", "auth_headers",
)  # fmt: skip
_SENDING = ("send", "build_request", "_send_handling_auth", "_send_single_request")
_LOGS = tuple(
    (logging.getLogger(name), level)
    for name, level in (("openai._base_client", logging.DEBUG), ("httpx", logging.INFO), ("httpx2", logging.INFO))
)
_MOST = 8 << 20  # bytes of what one client has learned
_NOT_HERE = frozenset({"extra_headers", "extra_query", "extra_body", "timeout"})
_encode = json.JSONEncoder().encode


class Memo:
    """What a client has learned, and the answers to it that were parsed."""

    def __init__(self) -> None:
        self.learned: LRU[str, Learned] = LRU(_MOST)
        self.copies: LRU[tuple[str, int], tuple[Answer, Callable[[], Any]]] = LRU(_MOST)

    def find_copy(self, name: str, answer: Answer) -> Callable[[], Any] | None:
        """Return what makes another object of an answer that was parsed before; told by identity."""
        found = self.copies.get((name, id(answer)))
        return found[1] if found is not None and found[0] is answer else None

    def keep_copy(self, name: str, answer: Answer, parsed: Any) -> Any:
        """Keep a parsed answer for others; return what the caller gets, who may change it."""
        try:
            make = copier(parsed)
        except CannotCopyError:
            return parsed
        self.copies.put((name, id(answer)), (answer, make), 8192 + 8 * answer.size)
        return make()


class Learned(NamedTuple):
    """What a call became, under which state of its client, and what its answer is parsed with."""

    state: tuple[Any, ...]
    request: Request
    native: Any
    response: Any
    parsing: dict[str, Any]


class _Lesson(NamedTuple):
    client: Any
    method: str
    kwargs: dict[str, Any]
    name: str
    state: tuple[Any, ...]


_lesson: ContextVar[_Lesson | None] = ContextVar("askonce_lesson", default=None)


def allow(client: Any) -> None:
    """Let a client learn. It must be of our own class, and its HTTP client its own."""
    vars(client)[MEMO] = Memo()


def call(resource: Any, method: str, kwargs: dict[str, Any], slow: Callable[[], Any]) -> Any:
    """Answer a call, by the fast path where it can, or by `slow`."""
    lesson = _prepare(resource._client, method, kwargs)
    if lesson is None:
        return slow()
    learned = _find(lesson)
    if learned is not None:
        answer = _decide(learned)
        if answer is not None:
            memo, client = vars(lesson.client)[MEMO], lesson.client
            make = memo.find_copy(lesson.name, answer)
            if make is not None:
                return make()
            parsed = client._process_response(response=_respond(learned, answer), **learned.parsing)
            return memo.keep_copy(lesson.name, answer, parsed)
    token = _lesson.set(lesson)
    try:
        return slow()
    finally:
        _lesson.reset(token)


def call_async(resource: Any, method: str, kwargs: dict[str, Any], slow: Callable[[], Any]) -> Any:
    """Do the same for an async client."""
    # Made now, so that what is wrong with the arguments is told now, as the SDK does; what they are is read
    # when it is awaited.
    return _call_async(resource._client, method, kwargs, slow())


async def _call_async(client: Any, method: str, kwargs: dict[str, Any], made: Any) -> Any:
    lesson = _prepare(client, method, kwargs)
    if lesson is None:
        return await made
    learned = _find(lesson)
    if learned is not None:
        answer = _decide(learned)
        if answer is not None:
            made.close()
            memo = vars(client)[MEMO]
            make = memo.find_copy(lesson.name, answer)
            if make is not None:
                return make()
            parsed = await client._process_response(response=_respond(learned, answer), **learned.parsing)
            return memo.keep_copy(lesson.name, answer, parsed)
    token = _lesson.set(lesson)
    try:
        return await made
    finally:
        _lesson.reset(token)


def take_note(client: Any, parsing: dict[str, Any]) -> None:
    """Learn from a response that is about to be parsed, if it is a hit that may be learned from."""
    lesson = _lesson.get()
    if lesson is None or lesson.client is not client:
        return
    response = parsing["response"]
    if response.extensions.get("askonce") != "hit" or parsing["stream"] or parsing.get("retries_taken"):
        return
    # Another thread may have changed something while the request was made of it.
    if _prepare(client, lesson.method, lesson.kwargs) != lesson:
        return
    native = response.request
    seam = ClientSeam(sys.modules[type(native).__module__.partition(".")[0]])
    request = Request(*seam.origin(native), Headers(seam.headers(native)), native.read())
    rest = {name: value for name, value in parsing.items() if name != "response"}
    learned = Learned(lesson.state, request, native, type(response), rest)
    vars(client)[MEMO].learned.put(lesson.name, learned, 4096 + 2 * len(lesson.name) + 2 * len(request.body))


def _prepare(client: Any, method: str, kwargs: dict[str, Any]) -> _Lesson | None:
    """Return what a call is learned under, or None where the slow path is to answer."""
    if MEMO not in vars(client) or kwargs.get("stream") or not _NOT_HERE.isdisjoint(kwargs):
        return None
    for log, level in _LOGS:  # the slow path would write a line
        if log.isEnabledFor(level):
            return None
    try:
        arguments = _encode(kwargs)
    except (TypeError, ValueError, RecursionError):  # not plain JSON: what the SDK makes of it is its own affair
        return None
    try:
        seen = _state(client)
    except (KeyError, AttributeError):  # an HTTP library or an SDK that is made otherwise
        return None
    return None if seen is None else _Lesson(client, method, kwargs, f"{method} {arguments}", seen)


def _find(lesson: _Lesson) -> Learned | None:
    learned: Learned | None = vars(lesson.client)[MEMO].learned.get(lesson.name)
    return learned if learned is not None and learned.state == lesson.state else None


def _state(client: Any) -> tuple[Any, ...] | None:
    """Return all that goes into a request beside the arguments; None where something is out of the ordinary."""
    own, http = vars(client), client._client
    theirs = vars(http)
    kind = type(http)
    if http.is_closed or theirs["_auth"] is not None or any(theirs["_event_hooks"].values()):
        return None
    if not own.keys().isdisjoint(_METHODS) or not theirs.keys().isdisjoint(_SENDING):
        return None
    for provider in ("_api_key_provider", "_provider_runtime", "_workload_identity_auth"):
        if own.get(provider) is not None:
            return None
    return (
        http,
        theirs["_transport"],
        theirs["_mounts"],
        theirs["_params"],
        theirs["_headers"].raw,
        [getattr(kind, name) for name in _SENDING],
        [getattr(type(client), name) for name in _METHODS],
        own["_strict_response_validation"],
        own["_base_url"],
        own["api_key"],
        own["organization"],
        own["project"],
        dict(own["_custom_headers"]),
        dict(own["_custom_query"]),
    )


def _decide(learned: Learned) -> Answer | None:
    """Return what the cache answers, or None where it is not a hit that is given at once."""
    cache = state.current()
    try:
        match = cache.match(*learned.request[:5])
        made = cache.begin(learned.request, match) if match is not None else None
        if not isinstance(made, Call) or made.controls.delays or made.controls.repeat is Repeat.SEQUENCE:
            return None
        verdict = cache.settle_at_once(made, 0)
        return cache.replay(made, *verdict) if isinstance(verdict, Replay) else None
    except Exception:  # the slow path meets it too, and deals with it
        return None


def _respond(learned: Learned, answer: Answer) -> Any:
    """Return the response that the slow path would have parsed."""
    head = answer.head
    return learned.response(
        head.status,
        headers=list(head.headers),
        content=answer.body,
        request=learned.native,
        extensions={"http_version": head.http_version, "reason_phrase": head.reason, "askonce": "hit"},
    )
