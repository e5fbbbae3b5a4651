"""Patterns that are taken out of questions and answers before they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable

from askonce._core.coding import CODINGS, coding_of, undo
from askonce._core.content import read_content, write_content
from askonce._core.entry import Question, Take
from askonce._core.messages import Answer, Chunk, Headers
from askonce.errors import SettingsError

REDACTED = "[redacted]"
_BODY = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


class Redaction:
    """Regular expressions, what they match to be replaced by `[redacted]`. More can be added."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns: list[re.Pattern[str]] = []
        for pattern in patterns:
            self.add(pattern)

    def add(self, pattern: str) -> None:
        """Take out what this matches too.

        Raises:
            SettingsError: when it is no regular expression, or matches nothing at all.
        """
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise SettingsError(f"redact: {pattern!r} is no regular expression ({error}).") from None
        if compiled.match(""):
            raise SettingsError(f"redact: {pattern!r} matches everywhere, also where nothing is.")
        self._patterns.append(compiled)

    def _clean(self, data: bytes) -> bytes:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return data
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return text.encode()

    def question(self, question: Question) -> Question:
        """Return a question to be written; its key stays, so that it is found by what is really asked."""
        if not self._patterns:
            return question
        return question._replace(head=self._clean(question.head), body=self._clean(question.body))

    def take(self, take: Take) -> Take:
        """Return a take to be written."""
        answer = take.answer
        if not self._patterns:
            return take
        headers = Headers((name, self._clean(value)) for name, value in answer.head.headers)
        head, chunks = answer.head._replace(headers=headers), answer.chunks
        if coding_of(headers) in CODINGS:
            head, chunks = undo(head, chunks)
        body = b"".join(chunk.data for chunk in chunks)
        clean = self._clean(body)
        if clean == body:
            return take._replace(answer=answer._replace(head=answer.head._replace(headers=headers)))
        head = head._replace(
            headers=Headers([*head.headers.without(_BODY), (b"content-length", b"%d" % len(clean))])
        )
        return take._replace(
            answer=Answer(head, answer.head_at, _cut(clean, head.headers, answer.seconds), answer.usage)
        )


def _cut(body: bytes, headers: Headers, at: float) -> tuple[Chunk, ...]:
    """Return the chunks of a body that is not the one that came: an event each."""
    media_type = (headers.get(b"content-type") or "").partition(";")[0].strip().lower()
    return tuple(Chunk(piece, at) for piece in read_content(write_content(body, media_type)))
