"""Which recorded question is nearest to one that was not recorded, and what differs, path by path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from askonce._core.entry import Question

_SHOWN = 60  # characters of a value in a message
_LISTED = 8  # differences in a message
_DEEP = 40  # levels of nesting that are told apart


class Difference(NamedTuple):
    """One place where two questions differ; a value is JSON text, or None where there is nothing."""

    path: str
    asked: str | None
    recorded: str | None

    def __str__(self) -> str:
        if self.asked is None:
            return f"{self.path}: recorded with {_clip(self.recorded or '')}, now absent"
        if self.recorded is None:
            return f"{self.path}: now {_clip(self.asked)}, recorded without it"
        asked, recorded = around_difference(self.asked, self.recorded)
        return f"{self.path}: now {asked}, recorded {recorded}"


def contents(question: Question) -> dict[str, Any]:
    """Return a question as plain values: method, url, headers, partition, rules of normalising, body."""
    head = json.loads(question.head)
    body: Any
    try:
        body = json.loads(question.body)
    except (ValueError, RecursionError):
        body = question.body.decode("utf-8", "replace")
    return {
        "method": head["method"],
        "url": head["url"],
        "partition": head["partition"],
        "headers": dict(head["headers"]),
        "normalized": head.get("normalized", {}),
        "body": body,
    }


def differences(asked: Question, recorded: Question) -> list[Difference]:
    """List where two questions differ, in the order of the asked one's paths."""
    now, then = _flat(asked), _flat(recorded)
    return [
        Difference(path, now.get(path), then.get(path))
        for path in [*now, *(path for path in then if path not in now)]
        if now.get(path) != then.get(path)
    ]


def nearest(asked: Question, recorded: Sequence[Question]) -> Question | None:
    """Return the recorded question that has the most in common with `asked`."""
    now = _flat(asked)
    return max(recorded, key=lambda question: _likeness(now, _flat(question)), default=None)


def neighbours(asked: Question, recorded: Sequence[Question], count: int) -> list[Question]:
    """Return so many recorded questions that have the most in common with `asked`, the nearest first."""
    now = _flat(asked)
    return sorted(recorded, key=lambda question: -_likeness(now, _flat(question)))[:count]


def describe_miss(asked: Question, recorded: Sequence[Question], seed: str | None) -> str:
    """Say that a question is not recorded, which one is nearest, and what differs."""
    lines = [f"askonce is offline and this request is not recorded: {_title(asked)}"]
    if seed is not None:
        lines[0] += f", seed {seed.removeprefix('name=')}"
    near = nearest(asked, recorded)
    if near is None:
        lines.append("Nothing like it is recorded in this store.")
    elif near.key == asked.key:
        lines.append("The question is recorded, but not with this seed.")
    else:
        found = differences(asked, near)
        lines.append(f"The nearest recorded request ({near.key.hex()[:12]}) differs in:")
        lines += [f"  {difference}" for difference in found[:_LISTED]]
        if len(found) > _LISTED:
            lines.append(f"  and {len(found) - _LISTED} more")
    lines.append("Record it once with mode='record' (ASKONCE_MODE=record), or mend the difference.")
    return "\n".join(lines)


def _title(question: Question) -> str:
    head = json.loads(question.head)
    model = f" {question.model}" if question.model else ""
    return f"{head['method']} {head['url']}{model}"


def _flat(question: Question) -> dict[str, str]:
    values = contents(question)
    body = values.pop("body")
    for name in ("headers", "normalized"):
        if not values[name]:
            del values[name]
    if isinstance(body, dict):
        values.update(body)
    else:
        values["body"] = body
    return dict(_walk("", values))


def _walk(path: str, value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value and depth < _DEEP:
        for name, inner in value.items():
            yield from _walk(f"{path}.{name}" if path else name, inner, depth + 1)
    elif isinstance(value, list) and value and depth < _DEEP:
        for index, inner in enumerate(value):
            yield from _walk(f"{path}[{index}]", inner, depth + 1)
    else:
        try:
            yield path, json.dumps(value, ensure_ascii=False)
        except RecursionError:
            yield path, "…"


def _likeness(now: dict[str, str], then: dict[str, str]) -> float:
    """Score two flat questions: equal values count whole, values at the same path by their likeness."""
    import difflib  # a miss offline is rare, and must not make every program's start slower

    score = 0.0
    for path, value in now.items():
        other = then.get(path)
        if other == value:
            score += 1.0
        elif other is not None:
            matcher = difflib.SequenceMatcher(None, value[:400], other[:400], autojunk=False)
            score += 0.1 + 0.8 * matcher.quick_ratio()
    return score / max(len(now), len(then), 1)


def _clip(text: str, shown: int = _SHOWN) -> str:
    return text if len(text) <= shown else f"{text[:shown]}…"


def around_difference(one: str, other: str, shown: int = _SHOWN) -> tuple[str, str]:
    """Clip two long texts to `shown` characters, so that the place where they part is shown."""
    if max(len(one), len(other)) <= shown:
        return one, other
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, same - shown // 3)
    lead = "…" if start else ""
    return lead + _clip(one[start:], shown), lead + _clip(other[start:], shown)
