"""Copy entries from one storage into another: what is there already is passed over, so that a copy can go on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from askonce._core.entry import Entry, Key, Take
from askonce.errors import StorageError
from askonce.exchange.intake import Fate, OnConflict, namesake, same, settle
from askonce.exchange.source import entries_of
from askonce.storage import Filter, Storage

_NAMED = 3  # keys that are named of what is amiss


@dataclass(slots=True)
class Copied:
    """What became of a copy.

    `conflicts` are the keys that have another answer in the target, `missing` the beginnings of those of which not
    all was found again.
    """

    fates: Counter[Fate] = field(default_factory=Counter)
    entries: int = 0
    hits: int = 0
    verified: int = 0
    damaged: int = 0
    is_stopped: bool = False
    conflicts: dict[Key, None] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def copy(
    source: Storage,
    target: Storage,
    where: Filter = Filter(),
    *,
    on_conflict: OnConflict = OnConflict.KEEP,
    copying: Callable[[int], None] = lambda count: None,
    verifying: Callable[[int], None] = lambda count: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Copied:
    """Copy the entries that match, then read each again from the target and compare.

    `copying` and `verifying` are told how many entries have been dealt with. `is_stopped` is asked after each: a
    stopped copy is whole as far as it went, and another one goes on. Hits are added where an entry is new.

    Raises:
        StorageError: when one of the two cannot be read or written.
    """
    started = time.time()
    copied = Copied()
    for number, entry in enumerate(entries_of(source, where), 1):
        _copy_entry(entry, target, on_conflict, copied)
        copying(number)
        if is_stopped():
            copied.is_stopped = True
            return copied
    target.totals()  # writes the hits that are pending
    copied.damaged = getattr(source, "damaged", 0)
    for number, entry in enumerate(source.entries(where), 1):
        _verify_entry(entry, target, started, copied)
        verifying(number)
        if is_stopped():
            copied.is_stopped = True
            return copied
    return copied


def refuse_missing(copied: Copied, target: Storage) -> None:
    """Raise StorageError where not all was found again."""
    if copied.missing:
        more = f" and {len(copied.missing) - _NAMED:,} more" if len(copied.missing) > _NAMED else ""
        raise StorageError(
            f"{target.url} does not hold what was copied to it: {', '.join(copied.missing[:_NAMED])}{more}. Does "
            "it evict, or does somebody remove from it? Copy again: what is there is passed over."
        )


def _copy_entry(entry: Entry, target: Storage, on_conflict: OnConflict, copied: Copied) -> None:
    key = entry.question.key
    fates = [settle(target, entry.question, take, on_conflict) for take in entry.takes]
    copied.fates.update(fates)
    copied.entries += 1
    if Fate.KEPT in fates:
        copied.conflicts[key] = None
    if entry.hits and all(fate is Fate.IMPORTED for fate in fates):
        each, left = divmod(entry.hits, len(entry.takes))
        for number, take in enumerate(entry.takes):
            if times := each + (number < left):
                target.count_hit(key, take, entry.used, times)
        copied.hits += entry.hits


def _verify_entry(entry: Entry, target: Storage, started: float, copied: Copied) -> None:
    key = entry.question.key
    found = target.takes(key)
    for take in entry.takes:
        there = namesake(found, take)
        if there is not None and same(there, take):
            copied.verified += 1
        elif key not in copied.conflicts and not _may_be_gone(take, started):
            copied.missing.append(key.hex()[:12])


def _may_be_gone(take: Take, started: float) -> bool:
    """Tell whether a take came after the copying began, or its time to live has passed."""
    return take.recorded >= started or not take.fresh(time.time(), None)
