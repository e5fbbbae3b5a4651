"""Hits, ready to be sent: what answers the very bytes of a request, for as long as nothing has changed.

Only the whole way through the gateway puts one here, after it has let a request in and answered it with a hit that
was not for this once. All on which that depends is looked at again each time: the gateway's keys, the provider's
acceptance of the credential, the time to live, and the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from askonce._core.dialects import status_headers
from askonce._core.messages import Chunk, Headers
from askonce._engine.cache import Cache
from askonce._engine.call import Steady
from askonce.errors import SettingsError
from askonce.gateway.calls import Again, Call
from askonce.gateway.credentials import Accepted
from askonce.gateway.heads import for_client, hit_age, hit_status
from askonce.gateway.keys import GatewayKey, Keys
from askonce.storage.lru import LRU

MOST = 1 << 20
"""Bytes of a request's body, and of an answer's, beyond which a call takes the whole way."""

_HEADS = 4 << 20  # bytes of heads that are remembered, and of answers
_ANSWERS = 64 << 20
_IN_VAIN = 1024  # heads that are put here without any having come again: each is another
_PAUSE_SECONDS = 30.0  # for which then none is
_ODD = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"connection", b"trailer", b"te"})


class Arrived(NamedTuple):
    """A request's head as it came, and where its answer may be put for the next one like it."""

    head: bytes
    shortcuts: Shortcuts


class Shortcut:
    """What answers a request; the text is made anew when the age in it, or the time it has left, is another."""

    __slots__ = ("_after", "_before", "_text", "_times", "call", "credential", "keys", "steady")

    def __init__(self, steady: Steady, call: Call, keys: tuple[GatewayKey, ...], credential: bytes | None) -> None:
        self.steady = steady
        self.call = call
        self.keys = keys
        self.credential = credential
        self._before, self._after = _texts(steady)
        self._times: tuple[int, int | None] | None = None
        self._text = b""

    def text(self, now: float) -> bytes:
        """Return head and body."""
        times = hit_age(self.steady.take, self.steady.until, now)
        if times != self._times:
            key = self.steady.call.question.key.hex()
            said = hit_status(self.steady.take, key, self.steady.until, now)
            self._text = self._before + _lines(said) + self._after
            self._times = times
        return self._text


class Shortcuts:
    """What a gateway can answer from the bytes of a request alone."""

    def __init__(self, cache: Cache, keys: Keys, accepted: Accepted, note: Callable[[Again], None]) -> None:
        self.used = 0
        """How many requests were answered so."""
        self._cache = cache
        self._keys = keys
        self._accepted = accepted
        self._note = note
        self._used_before = 0
        self._in_vain = 0
        self._resume_at = 0.0
        self._heads: LRU[bytes, tuple[bytes, int]] = LRU(_HEADS)
        self._answers: LRU[tuple[bytes, bytes], Shortcut] = LRU(_ANSWERS)

    def body_of(self, head: bytes) -> tuple[bytes, int] | None:
        """Return a head that came before, and the length of the body that follows it."""
        return self._heads.get(head)

    def answer(self, head: bytes, body: bytes) -> bytes | None:
        """Return what answers a request, or None where the whole way is to be taken."""
        shortcut = self._answers.get((head, body))
        if shortcut is None:
            return None
        started = time.perf_counter()
        try:
            is_admitted = self._keys.all() is shortcut.keys
        except SettingsError:  # the whole way says so
            return None
        credential = shortcut.credential
        if not is_admitted or (credential is not None and not self._accepted.has(credential)):
            self._answers.pop((head, body))
            return None
        if not self._cache.confirm(shortcut.steady):
            self._answers.pop((head, body))
            return None
        now = time.time()
        text = shortcut.text(now)
        self.used += 1
        self._note(Again(shortcut.call, now, time.perf_counter() - started))
        return text

    def learn(
        self,
        head: bytes,
        headers: Headers,
        body: bytes,
        steady: Steady,
        call: Call,
        keys: tuple[GatewayKey, ...],
        credential: bytes | None,
    ) -> None:
        """Have the next request of the same bytes answered from here, if it is one that can be.

        `keys` are those that were in force when this one was let in: its answer may have taken long.
        """
        lengths = [value for name, value in headers if name == b"content-length"]
        if call.method != "POST" or lengths != [b"%d" % len(body)]:
            return
        if any(name in _ODD and value.lower() != b"keep-alive" for name, value in headers):
            return
        if len(body) > MOST or steady.answer.size > MOST:
            return
        known = self._heads.get(head)
        if known is None:
            if self._is_in_vain():
                return
            known = head, len(body)
            self._heads.put(head, known, 2 * len(head) + 200)
        shortcut = Shortcut(steady, call, keys, credential)
        size = len(body) + 2 * steady.answer.size + 1000
        self._answers.put((known[0], body), shortcut, size)

    def _is_in_vain(self) -> bool:
        """Tell whether no head seems to come twice, so that it is not worth it to put more here."""
        now = time.monotonic()
        if now < self._resume_at:
            return True
        if self.used != self._used_before:
            self._used_before, self._in_vain = self.used, 0
        self._in_vain += 1
        if self._in_vain <= _IN_VAIN:
            return False
        self._resume_at, self._in_vain = now + _PAUSE_SECONDS, _IN_VAIN // 2
        return True


def _texts(steady: Steady) -> tuple[bytes, bytes]:
    """Return what is sent before and after that which changes with time, as the whole way sends it."""
    call, _, answer, _ = steady
    head = answer.head
    try:
        phrase = HTTPStatus(head.status).phrase
    except ValueError:
        phrase = ""
    kept = for_client(head)
    more = status_headers(call.controls.dialects, "hit", call.question.key.hex())
    is_sized = any(name == b"content-length" for name, _ in kept)
    chunks = answer.chunks
    body = b"".join(chunk.data for chunk in chunks) if is_sized else b"".join(map(_framed, chunks)) + b"0\r\n\r\n"
    if not is_sized:
        more.append((b"transfer-encoding", b"chunked"))
    return f"HTTP/1.1 {head.status} {phrase}\r\n".encode() + _lines(kept), _lines(more) + b"\r\n" + body


def _lines(pairs: Any) -> bytes:
    return b"".join(b"%b: %b\r\n" % pair for pair in pairs)


def _framed(chunk: Chunk) -> bytes:
    """Return a chunk as HTTP/1.1 frames it (RFC 9112, 7.1); an empty one would end the body."""
    return b"%x\r\n%b\r\n" % (len(chunk.data), chunk.data) if chunk.data else b""
