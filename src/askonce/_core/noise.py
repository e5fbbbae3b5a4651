"""What differs between runs of the same notebook and is no part of the question. Opt-in; by default nothing is.

A rule may only match what a machine writes. Two questions that are taken for one give a wrong answer, and one that
is taken for two costs a call: where a pattern cannot be sure, it does not match.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from typing import Any, NamedTuple

from askonce._core.body import Body, canonical_json


class Rule(NamedTuple):
    """What to leave out of the key: text that matches `pattern` counts as `replacement`, both as in `re.sub`."""

    name: str
    pattern: str
    replacement: str


# Eight characters are what Python's `tempfile` draws. Those with a digit before a letter are no name people give.
_DRAWN = r"(?=[a-z0-9_]{0,7}[0-9][a-z])[a-z0-9_]{8}(?![A-Za-z0-9_])"
_FOLDERS = (
    r"(?:(?:/private)?/var/folders/[a-z0-9_]{2}/[a-z0-9_]{20,40}/T/"  # macOS
    r"|(?:(?<![\w./~-])|(?<=file://))(?:/var)?/tmp/"
    r"|(?<!\w)[A-Za-z]:\\Users\\[^\\/:*?\"<>|\n]{1,64}\\AppData\\Local\\Temp\\)"
)

NOTEBOOK_NOISE: tuple[Rule, ...] = (
    # /tmp/ipykernel_1234/5678.py: where IPython says that a cell's code is
    Rule("cell file", rf"{_FOLDERS}ipykernel_\d+([/\\])\d+\.py(?!\w)", r"/tmp/ipykernel_N\1N.py"),  # noqa: S108 -- a text, not a file
    # <ipython-input-7-0123456789ab>, and since IPython 8 `Cell In[7], line 1`
    Rule("cell name", r"<ipython-input-\d+-[0-9a-f]{8,40}>", "<ipython-input>"),
    Rule("cell number", r"(?<!\w)Cell In\[\d+\](?=, line \d)", "Cell In[N]"),
    Rule("temporary path", rf"{_FOLDERS}tmp{_DRAWN}", "/tmp/tmpX"),  # noqa: S108
    # <__main__.Thing object at 0x7f3c5e2a9d10>: twelve digits or so, sixteen capitals on Windows
    Rule("memory address", r"(<[^<>\n]{1,200} at 0x)(?:[0-9a-f]{9,16}|[0-9A-F]{16})(?=>)", r"\1MEMORY"),
)
"""Rules for what notebooks put into prompts by themselves: cells' files, names and numbers in tracebacks, names
that `tempfile` draws, and memory addresses where a `repr` ends with one. What a person types is left alone."""


def check_rule(rule: Rule) -> None:
    """Refuse a rule that cannot work.

    Raises:
        ValueError: with what is wrong, as the end of a sentence that begins with the rule.
    """
    if not rule.name:
        raise ValueError("has no name")
    try:
        compiled = _compiled(rule.pattern)
        compiled.sub(rule.replacement, "")
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"cannot be used ({error}): pattern {rule.pattern!r}, {rule.replacement!r}") from None
    except IndexError:
        raise ValueError(
            f"has a replacement {rule.replacement!r} with a group that is not in its pattern"
        ) from None
    if compiled.fullmatch(""):
        raise ValueError(f"has a pattern {rule.pattern!r} that matches nothing at all, and so everywhere")


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def normalized(body: Body, rules: tuple[Rule, ...]) -> Body:
    """Return a body whose canonical form is what the rules make of the texts in it; what is sent stays.

    A body in which nothing matches is returned as it is, with the same key as without rules.
    """
    if body.kind == "bytes":
        return body
    applied: dict[str, str] = {}
    text = body.canonical.decode("utf-8", "surrogatepass")
    if body.kind == "text":
        canonical = _clean(text, rules, applied)
    else:
        try:
            value = json.loads(text)
            value = _walk(value, rules, applied) if body.kind == "json" else _parts(value, rules, applied)
            canonical = canonical_json(value)
        except RecursionError:
            return body
    if not applied:
        return body
    return body._replace(canonical=canonical.encode("utf-8", "surrogatepass"), normalized=applied)


def _parts(parts: list[dict[str, Any]], rules: tuple[Rule, ...], applied: dict[str, str]) -> list[dict[str, Any]]:
    """Change the texts of a form; the digest of a file is no text."""
    return [
        {**part, "text": _clean(part["text"], rules, applied)} if isinstance(part.get("text"), str) else part
        for part in parts
    ]


def _walk(value: Any, rules: tuple[Rule, ...], applied: dict[str, str]) -> Any:
    if isinstance(value, str):
        return _clean(value, rules, applied)
    if isinstance(value, dict):
        return {name: _walk(inner, rules, applied) for name, inner in value.items()}
    if isinstance(value, list):
        return [_walk(inner, rules, applied) for inner in value]
    return value


def _clean(text: str, rules: tuple[Rule, ...], applied: dict[str, str]) -> str:
    for rule in rules:
        changed, count = _compiled(rule.pattern).subn(rule.replacement, text)
        if count:
            applied[rule.name] = "sha256:" + hashlib.sha256(canonical_json(rule).encode()).hexdigest()[:32]
            text = changed
    return text
