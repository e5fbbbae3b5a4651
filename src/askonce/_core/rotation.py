"""Which of a question's takes answers."""

from __future__ import annotations

from collections.abc import Sequence

from askonce._core.entry import Take


def choose(takes: Sequence[Take], seed: str | None) -> Take | None:
    """Return the take recorded for just this seed (or for none), the earliest if there are several."""
    for take in takes:
        if take.seed == seed:
            return take
    return None
