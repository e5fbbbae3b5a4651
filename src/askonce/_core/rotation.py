"""Which of a question's takes answers a call, and which places are free for one that is still to come.

A take is named by its seed and, among those of one seed, by its slot: 0, 1, 2, …
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from askonce._core.entry import Take


class Repeat(StrEnum):
    """How identical calls are answered where several takes are recorded."""

    SAME = "same"
    ROTATE = "rotate"
    ALL = "all"
    SEQUENCE = "sequence"


def choose(takes: Sequence[Take], seed: str | None, repeat: Repeat = Repeat.SAME, turn: int = 0) -> Take | None:
    """Return the take that answers: one recorded for just this seed (or for none).

    `same`: the earliest. `rotate`: they come round, `turn` counts from 0. `sequence`: that of slot `turn`, if any.
    `all`: for a seed, its earliest; without one, those of every seed come round in the order of recording.
    """
    if repeat is Repeat.ALL and seed is None:
        return takes[turn % len(takes)] if takes else None
    if repeat in (Repeat.SAME, Repeat.ALL):
        for take in takes:
            if take.seed == seed:
                return take
        return None
    own = [take for take in takes if take.seed == seed]
    if repeat is Repeat.ROTATE:
        return own[turn % len(own)] if own else None
    return next((take for take in own if take.slot == turn), None)


def free_slots(takes: Sequence[Take], seed: str | None, samples: int) -> tuple[int, ...]:
    """Return the slots that no take of this seed is in, as far as `samples` takes are wanted."""
    taken = {take.slot for take in takes if take.seed == seed}
    return tuple(slot for slot in range(samples) if slot not in taken)[: max(0, samples - len(taken))]
