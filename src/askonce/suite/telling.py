"""What a failure report says of a request that is not recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from askonce._core.decide import Refuse
from askonce._core.entry import Question
from askonce._core.messages import Answer
from askonce._core.nearest import Difference, around_difference, differences, nearest
from askonce._engine.cache import Cache
from askonce._engine.call import Call
from askonce.settings import Settings
from askonce.storage import Storage

_LEAD = re.compile(r"\Aaskonce is offline,? and ")
_CURE = re.compile(r"\s*Record it once with mode='record'[^\n]*")  # a report has a cure of its own
_CANDIDATES = 400
_SHOWN = 100  # characters of a value
_LISTED = 12  # differences


class TellingCache(Cache):
    """A cache that keeps what it has refused, in words for the report of a test."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        super().__init__(settings, storage)
        self.refused: list[str] = []

    def refuse(self, call: Call, verdict: Refuse) -> Answer:
        told = tell(call.question, verdict.message, self.guard.similar(call.question, _CANDIDATES))
        if told not in self.refused:  # SDKs may ask again
            self.refused.append(told)
        asked = f"{call.request.method} {call.request.path} {call.question.model}".rstrip()
        return super().refuse(
            call, Refuse(f"askonce is offline and has no answer to {asked}. The report of this test says more.")
        )


def tell(question: Question, message: str, recorded: Sequence[Question]) -> str:
    """Say which request is not recorded, and how it differs from the nearest that is."""
    near = nearest(question, recorded)
    if near is None or near.key == question.key:
        told = _CURE.sub("", _LEAD.sub("", message)).strip()
        return told[0].upper() + told[1:]
    found = differences(question, near)
    lines = [
        f"This request is not recorded:\n  {_title(question)}",
        f"The nearest that is ({near.key.hex()[:12]}) differs in:",
    ]
    for difference in found[:_LISTED]:
        lines += _lines(difference)
    if len(found) > _LISTED:
        lines.append(f"  and {len(found) - _LISTED} more")
    return "\n".join(lines)


def _lines(difference: Difference) -> list[str]:
    asked, recorded = difference.asked, difference.recorded
    if asked is not None and recorded is not None:
        asked, recorded = around_difference(asked, recorded, _SHOWN)
    return [
        f"  {difference.path}",
        f"    now       {_clip(asked)}",
        f"    recorded  {_clip(recorded)}",
    ]


def _clip(text: str | None) -> str:
    if text is None:
        return "(nothing)"
    return text if len(text) <= _SHOWN + 2 else f"{text[:_SHOWN]}…"


def _title(question: Question) -> str:
    method = json.loads(question.head)["method"]
    return f"{method} {question.url}" + (f", model {question.model}" if question.model else "")
