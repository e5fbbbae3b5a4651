"""Removing entries from the store, by what they are of."""

from __future__ import annotations

from typing import NamedTuple

from askonce._core.controls import CUSTOMER
from askonce._core.entry import Entry
from askonce.storage import Filter, Storage


class Purge(NamedTuple):
    """What is to go: entries that agree with all that is given, or `everything`."""

    key: str | None = None
    customer: str | None = None
    model: str | None = None
    provider: str | None = None
    tag: str | None = None
    everything: bool = False

    @property
    def is_bounded(self) -> bool:
        """Whether it says anything at all."""
        return self.everything or any((self.key, self.customer, self.model, self.provider, self.tag))

    def matches(self, entry: Entry) -> bool:
        """Tell whether an entry is to go; a model is meant by its whole name."""
        question = entry.question
        return (
            (not self.customer or question.partition.partition(CUSTOMER)[2] == self.customer)
            and (not self.model or question.model == self.model)
            and (not self.key or question.key.hex() == self.key)
        )


def purge(storage: Storage, wanted: Purge) -> int:
    """Remove what is meant; return how many entries there were."""
    if not wanted.is_bounded:
        return 0
    where = Filter(
        provider=wanted.provider or None,
        model=wanted.model or None,
        key=wanted.key or None,
        tag=wanted.tag or None,
    )
    return storage.remove([entry.question.key for entry in storage.entries(where) if wanted.matches(entry)])
