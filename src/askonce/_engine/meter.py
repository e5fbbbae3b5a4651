"""What the cache has done so far in this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from askonce._core.entry import Question
from askonce._core.messages import Answer, Usage
from askonce._core.usage import Spared
from askonce.forks import renew_in_children

if TYPE_CHECKING:
    from askonce.prices import Money


class Stats(NamedTuple):
    """Counts of calls, and what the hits among them saved.

    `hits` were answered from the store; `shared` from an identical call in flight; `misses` were asked;
    `recorded` of those were kept; `refused` could not be answered offline, or without a key;
    `bypassed` went past the cache.
    `money_saved` is an estimate by the models in `spared`, made when it is asked for.
    """

    hits: int = 0
    shared: int = 0
    misses: int = 0
    recorded: int = 0
    refused: int = 0
    bypassed: int = 0
    bytes_saved: int = 0
    seconds_saved: float = 0.0
    tokens_saved: int = 0
    spared: tuple[Spared, ...] = ()
    """The calls that were answered without asking, by model."""

    @property
    def money_saved(self) -> Money | None:
        """What these calls would have cost, as an estimate; None without the extra: pip install 'askonce[prices]'.

        The price list is imported when this is first asked for.
        """
        from askonce.prices import estimate

        return estimate(self.spared)

    def __str__(self) -> str:
        calls = self.hits + self.shared + self.misses + self.refused + self.bypassed
        return (
            f"{calls} calls: {self.hits} from the store, {self.shared} shared, {self.misses} asked "
            f"({self.recorded} recorded), {self.refused} refused, {self.bypassed} bypassed; saved "
            f"{self.seconds_saved:,.1f} s, {self.tokens_saved:,} tokens, {self.bytes_saved:,} bytes"
        )


class Meter:
    """Count, from any thread."""

    def __init__(self) -> None:
        self._counts: dict[str, Any] = Stats()._asdict()
        self._spared: dict[tuple[str, str], list[int]] = {}
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin with a lock of one's own, in a forked child too."""
        self._lock = threading.RLock()  # the garbage collector may end a call, and count it, anywhere

    @property
    def stats(self) -> Stats:
        with self._lock:
            spared = [
                Spared(*name, calls, Usage(*usage), uncounted)
                for name, [calls, *usage, uncounted] in self._spared.items()
            ]
            return Stats(**{**self._counts, "spared": tuple(spared)})

    def count(self, name: str) -> None:
        """Add one to the count of that name."""
        with self._lock:
            self._counts[name] += 1

    def count_saved(self, name: str, question: Question, answer: Answer, times: int = 1) -> None:
        """Add so many to the count of that name, and what not asking for this answer saved."""
        counts = self._counts
        usage = answer.usage
        model = (question.provider, question.model)
        with self._lock:
            spared = self._spared.get(model)
            if spared is None:
                spared = self._spared[model] = [0] * 6
            if usage.input_tokens or usage.output_tokens:
                spared[0] += times
                spared[1] += times * usage.input_tokens
                spared[2] += times * usage.output_tokens
                spared[3] += times * usage.cached_tokens
                spared[4] += times * usage.written_tokens
            else:
                spared[5] += times
            counts[name] += times
            counts["bytes_saved"] += times * answer.size
            counts["seconds_saved"] += times * answer.seconds
            counts["tokens_saved"] += times * answer.usage.tokens
