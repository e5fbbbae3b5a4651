"""One request on its way through the cache: what it asks, who asks, and how it is to be answered."""

from __future__ import annotations

from typing import NamedTuple

from askonce._core.body import Body
from askonce._core.coding import accepted, coding_of, undo
from askonce._core.controls import Controls
from askonce._core.domains import Domain, Route
from askonce._core.entry import Key, Question, Take
from askonce._core.messages import Answer, Head, Headers, Request
from askonce._core.rotation import Repeat
from askonce._engine.flight import Name

Origin = tuple[str, str, str, int | None, str]
"""A request's method, scheme, host, port and target."""


class Match(NamedTuple):
    """A request that is generation, by its method and URL."""

    domain: Domain
    route: Route


class Call(NamedTuple):
    """One request on its way through the cache. `request` still has the controls in its headers."""

    request: Request
    headers: Headers
    body: Body
    match: Match
    question: Question
    controls: Controls

    @property
    def repeats(self) -> bool:
        """Whether a call like it may get another answer, so that it matters how many there were."""
        return self.controls.repeat is not Repeat.SAME

    @property
    def rotates(self) -> bool:
        """Whether answers come round."""
        repeat = self.controls.repeat
        return repeat is Repeat.ROTATE or (repeat is Repeat.ALL and self.controls.seed is None)

    @property
    def series(self) -> tuple[Key, str | None]:
        """What calls have in common that are numbered together."""
        return self.question.key, self.controls.seed

    def name(self, slot: int) -> Name:
        """What calls have in common that one answer serves."""
        return self.question.key, self.controls.seed, slot

    def accepts(self, head: Head) -> bool:
        """Tell whether the caller takes the content coding of this answer."""
        coding = coding_of(head.headers)
        return not coding or not accepted(self.request.headers).isdisjoint({coding, "*"})

    def outgoing(self, codings: frozenset[str] | None = None) -> Request:
        """Return what the provider gets: no controls, and of content codings, if given, these alone."""
        headers = self.headers
        if codings is not None and not accepted(headers) <= codings | {"identity", ""}:
            wanted = ", ".join(sorted(accepted(headers) & codings)) or "identity"
            headers = Headers(
                tuple((n, wanted.encode() if n.lower() == b"accept-encoding" else v) for n, v in headers)
            )
        if headers is self.request.headers and self.body.sent is self.request.body:
            return self.request
        request = self.request._replace(headers=headers)
        return request if self.body.sent is self.request.body else request.with_body(self.body.sent)


class Steady(NamedTuple):
    """A hit whose decision depends on the call and its takes alone: the same until one of them changes.

    `until` is when it is no longer fresh, in Unix seconds; None: never.
    """

    call: Call
    take: Take
    answer: Answer
    until: float | None


def fit(call: Call, answer: Answer) -> Answer:
    """Return an answer in a content coding that the caller takes."""
    if call.accepts(answer.head):
        return answer
    head, chunks = undo(answer.head, answer.chunks)
    return answer._replace(head=head, chunks=chunks)
