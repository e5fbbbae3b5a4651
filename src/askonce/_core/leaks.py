"""What looks like a credential in a text: the forms that providers and hosts give to theirs."""

from __future__ import annotations

import re
from typing import NamedTuple

_BEFORE, _AFTER = r"(?<![A-Za-z0-9_+/-])", r"(?![A-Za-z0-9])"


class Form(NamedTuple):
    """A kind of credential. One of `marks` is in each: looking for those is much cheaper than the pattern is."""

    kind: str
    marks: tuple[str, ...]
    pattern: str


FORMS = tuple(
    Form(kind, marks, pattern if pattern.startswith("-") else _BEFORE + pattern + _AFTER)
    for kind, marks, pattern in (
        ("Anthropic key", ("sk-ant-",), r"sk-ant-[A-Za-z0-9_-]{20,}"),
        ("OpenRouter key", ("sk-or-",), r"sk-or-[A-Za-z0-9-]{20,}"),
        ("OpenAI key", ("sk-",), r"sk-(?!ant-|or-)[A-Za-z0-9_-]{20,}"),
        ("Google key", ("AIza",), r"AIza[A-Za-z0-9_-]{35}"),
        ("Google token", ("ya29.",), r"ya29\.[A-Za-z0-9_-]{20,}"),
        ("AWS key", ("AKIA", "ASIA"), r"(?:AKIA|ASIA)[0-9A-Z]{16}"),
        (
            "GitHub token",
            ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
            r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
        ),
        ("Hugging Face token", ("hf_",), r"hf_[A-Za-z0-9]{30,}"),
        ("xAI key", ("xai-",), r"xai-[A-Za-z0-9]{40,}"),
        ("Groq key", ("gsk_",), r"gsk_[A-Za-z0-9]{40,}"),
        ("Replicate token", ("r8_",), r"r8_[A-Za-z0-9]{37,}"),
        ("Slack token", ("xox",), r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
        ("Stripe key", ("k_live_",), r"[sr]k_live_[A-Za-z0-9]{20,}"),
        ("private key", ("PRIVATE KEY",), r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    )
)

_COMPILED = tuple((form, re.compile(form.pattern)) for form in FORMS)
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")


class Leak(NamedTuple):
    """Something that looks like a credential: what kind, and enough of it to recognise it by."""

    kind: str
    shown: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.shown})"


def find_leak(text: str) -> Leak | None:
    """Return the first kind of thing in a text that looks like a credential; a text of JSON may be as it is."""
    for form, pattern in _COMPILED:
        if any(mark in text for mark in form.marks):
            # In JSON a letter may stand before a key that is none of its characters: `\nsk-…`.
            match = pattern.search(_ESCAPE.sub(" ", text)) or pattern.search(text)
            if match is not None:
                return Leak(form.kind, f"{match[0][:7]}…{match[0][-2:]}")
    return None
