"""What looks like a key: the forms that providers and hosts give to theirs."""

from __future__ import annotations

import re
from typing import NamedTuple

_BEFORE, _AFTER = r"(?<![A-Za-z0-9_-])", r"(?![A-Za-z0-9])"
_FORMS = {
    "Anthropic key": r"sk-ant-[A-Za-z0-9_-]{20,}",
    "OpenRouter key": r"sk-or-[A-Za-z0-9-]{20,}",
    "OpenAI key": r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}",
    "Google key": r"AIza[A-Za-z0-9_-]{35}",
    "Google token": r"ya29\.[A-Za-z0-9_-]{20,}",
    "AWS key": r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    "GitHub token": r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
    "Hugging Face token": r"hf_[A-Za-z0-9]{30,}",
    "xAI key": r"xai-[A-Za-z0-9]{40,}",
    "Groq key": r"gsk_[A-Za-z0-9]{40,}",
    "Replicate token": r"r8_[A-Za-z0-9]{37,}",
    "Slack token": r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    "Stripe key": r"[sr]k_live_[A-Za-z0-9]{20,}",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
}
_KEY = re.compile(
    "|".join(
        f"(?P<f{number}>{form if form.startswith('-') else _BEFORE + form + _AFTER})"
        for number, form in enumerate(_FORMS.values())
    )
)
_NAMES = list(_FORMS)
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")


class Leak(NamedTuple):
    """Something that looks like a key: what kind, and enough of it to recognise it by."""

    kind: str
    shown: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.shown})"


def find_leak(text: str) -> Leak | None:
    """Return the first thing in a text that looks like a key; a text of JSON may be as it is."""
    # In JSON a letter may stand before a key that is none of its characters: `\nsk-…`.
    match = _KEY.search(_ESCAPE.sub(" ", text)) or _KEY.search(text)
    if match is None:
        return None
    assert match.lastgroup is not None
    found = match[0]
    return Leak(_NAMES[int(match.lastgroup[1:])], f"{found[:7]}…{found[-2:]}")
