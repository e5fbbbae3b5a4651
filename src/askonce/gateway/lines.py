"""Lines of the journal, and the rows that hold them: calls that are alike in all but their time are one row."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from askonce._core.messages import Usage
from askonce._core.transcript import asked, gist
from askonce.gateway.calls import Again, Call
from askonce.prices import price

RUN_SECONDS = 1.0
"""The time that a row of calls spans at the most."""

RUN_CALLS = 1000
"""How many calls a row holds at the most."""

NAME = 500
"""How many characters of a name are written; longer ones PostgreSQL would not index."""

_GIST = 300

COLUMNS = (
    "at", "outcome", "status", "upstream", "provider", "kind", "model", "customer", "method", "path", "key",
    "seconds", "first", "size", "input_tokens", "output_tokens", "cached_tokens", "cost", "saved", "saved_seconds",
    "gist", "why",
)  # fmt: skip
_SECONDS = COLUMNS.index("seconds")
_SUMMED = tuple(map(COLUMNS.index, ("input_tokens", "output_tokens", "saved_seconds", "cost", "saved")))


class Line(NamedTuple):
    """One call, as it was written. Times are in seconds, money in US dollars; no question, no `key`."""

    id: int
    at: float
    outcome: str
    status: int
    upstream: str
    provider: str
    kind: str
    model: str
    customer: str
    method: str
    path: str
    key: str
    seconds: float
    first: float | None
    size: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: float | None
    saved: float | None
    saved_seconds: float
    gist: str
    why: str


class Run(NamedTuple):
    """Calls that are alike: one's row, and of each when it was and how many seconds it took, one after another."""

    row: tuple[Any, ...]
    times: array[float]
    omit: bool

    @property
    def calls(self) -> int:
        return len(self.times) // 2

    @property
    def outcome(self) -> str:
        return str(self.row[1])

    def sums(self) -> tuple[float, ...]:
        """Return what they come to: calls, tokens in and out, seconds, seconds saved, cost, money saved."""
        tokens_in, tokens_out, saved_seconds, cost, saved = (self.calls * (self.row[i] or 0) for i in _SUMMED)
        return self.calls, tokens_in, tokens_out, sum(self.times[1::2]), saved_seconds, cost, saved


def runs_of(calls: Iterable[Call | Again]) -> Iterator[Run]:
    """Yield calls as they are to be written."""
    open_: dict[int, Run] = {}
    for noted in calls:
        if isinstance(noted, Call):
            yield Run(_row(noted), array("d", (noted.at, noted.seconds)), noted.omit)
            continue
        call, at, seconds = noted
        run = open_.get(id(call))
        if run is None or at - run.times[0] > RUN_SECONDS or len(run.times) >= 2 * RUN_CALLS:
            if run is not None:
                yield run
            row = _row(call) if run is None else run.row
            again = (at, *row[1:_SECONDS], seconds, seconds, *row[_SECONDS + 2 :])
            run = open_[id(call)] = Run(again, array("d"), call.omit)
        run.times.extend((at, seconds))
    yield from open_.values()


def lines_of(row: Sequence[Any]) -> Iterator[Line]:
    """Yield the lines of a row, the latest first."""
    first, *values, count, packed = row
    key = COLUMNS.index("key")
    values[key] = values[key].hex() if values[key] else ""
    if packed is None:
        yield Line._make((first, *values))
        return
    times = array("d", packed)
    for place in reversed(range(count)):
        at, seconds = times[2 * place : 2 * place + 2]
        yield Line._make((first + place, at, *values[1:_SECONDS], seconds, seconds, *values[_SECONDS + 2 :]))


def plain(text: str, most: int = NAME) -> str:
    """Return so much of a text, without what UTF-8 or PostgreSQL does not have: half of a surrogate pair, NUL."""
    text = text[:most]
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _row(call: Call) -> tuple[Any, ...]:
    question = call.question
    answer = call.take.answer if call.take is not None else call.answer
    usage = Usage() if answer is None else answer.usage
    provider = question.provider if question is not None else call.upstream
    saves = call.outcome in ("hit", "shared")
    worth = price(provider, question.model, usage, call.at) if question is not None else None
    text = ""
    if question is not None and not call.omit:
        text = gist(asked(question))[:_GIST]
    return (
        call.at,
        call.outcome,
        call.status,
        call.upstream,
        plain(provider),
        "" if question is None else question.kind,
        "" if question is None else plain(question.model),
        plain(call.customer),
        plain(call.method),
        plain(call.path),
        None if question is None else question.key,
        call.seconds,
        call.first,
        call.size,
        usage.input_tokens,
        usage.output_tokens,
        usage[2],
        None if saves else worth,
        worth if saves else None,
        answer.seconds if saves and answer is not None else 0.0,
        plain(text),
        plain(call.why),
    )
