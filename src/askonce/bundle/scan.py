"""What must not be handed out: keys, who is billed, signed URLs, paths of the computer it was recorded on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from askonce._core.coding import plain_body
from askonce._core.entry import Entry, Take
from askonce._core.leaks import FORMS

_START = rb"(?<![A-Za-z0-9_+/-])"

# Each with words of which one must be there, since looking for them is much cheaper than the pattern is.
_PATTERNS: tuple[tuple[str, tuple[bytes, ...], re.Pattern[bytes]], ...] = (
    *(
        (form.kind, tuple(mark.encode() for mark in form.marks), re.compile(form.pattern.encode()))
        for form in FORMS
    ),
    *(
        (what, words, re.compile(pattern))
        for what, words, pattern in (
            ("an authorization", (b"earer ",), rb"[Bb]earer [A-Za-z0-9._~+/-]{20,}"),
            ("an organization id", (b"org-",), _START + rb"org-[A-Za-z0-9]{20,}"),
            ("a project id", (b"proj_",), _START + rb"proj_[A-Za-z0-9]{20,}"),
            (
                "a signed URL",
                (b"sig=", b"ignature="),
                rb"https?://[^\s\"'<>\\]*[?&;](?:sig|Signature|X-(?:Amz|Goog)-Signature)=[^\s\"'<>\\&]{8,}",
            ),
            ("a local path", (b"file://",), rb"file://[^\s\"'<>\\]*"),
            ("a local path", (b"/home/", b"/Users/"), rb"(?<![\w.:/~-])/(?:home|Users)/[\w.-]+/[\w./-]+"),
            ("a local path", (b":\\",), rb"(?<![A-Za-z])[A-Za-z]:\\{1,2}Users\\{1,2}[^\s\"'<>\\]+"),
        )
    ),
)
_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)")  # of JSON: in `\nsk-…` the n stands before no key
_SHOWN = 14  # characters of what was found


class Finding(NamedTuple):
    """Something in an entry that is not to be handed out; of it no more is shown than tells it from others."""

    key: bytes
    where: str
    what: str
    shown: str

    def __str__(self) -> str:
        return f"{self.key.hex()[:12]}: {self.what} in {self.where} ({self.shown})"


def scan(entry: Entry) -> list[Finding]:
    """Return what is in an entry that must not be handed out, each kind once."""
    found: dict[tuple[str, str], Finding] = {}
    for where, data in _contents(entry):
        for what, words, pattern in _PATTERNS:
            if (what, where) not in found and any(word in data for word in words):
                match = pattern.search(data) or pattern.search(_ESCAPE.sub(b" ", data))
                if match:
                    text = match[0].decode("utf-8", "replace")
                    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
                    found[what, where] = Finding(entry.question.key, where, what, shown)
    return list(found.values())


def _contents(entry: Entry) -> Iterator[tuple[str, bytes]]:
    yield "the question", entry.question.head
    yield "the question", entry.question.body
    for take in entry.takes:
        yield from _answered(take)


def _answered(take: Take) -> Iterator[tuple[str, bytes]]:
    answer = take.answer
    yield "an answer's headers", b"\n".join(b": ".join(pair) for pair in answer.head.headers)
    yield "an answer", plain_body(answer)
    if "event-stream" in (answer.head.headers.get(b"content-type") or ""):
        from askonce._core.transcript import answered, plain

        yield "an answer", plain(answered(answer)).encode("utf-8", "replace")  # what its pieces make together
