"""A storage that never breaks the program: what it cannot do is warned of once, and the call goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from askonce._core.entry import Key, Question, Take
from askonce.errors import StorageError
from askonce.notices import warn_once
from askonce.storage import Storage
from askonce.storage.protocol import Claims, Marks

T = TypeVar("T")

_FIRST_PAUSE = 1.0  # seconds after a failure; doubled each time, up to the longest
_LONGEST_PAUSE = 30.0


class _Here(threading.local):
    is_inside = False


class _Pause:
    """When something that failed may be tried again."""

    def __init__(self, meanwhile: str = "") -> None:
        self.meanwhile = meanwhile
        """What happens while it lasts, for people."""
        self.seconds = 0.0
        """How long the pause is; 0.0 while all is well."""
        self._resume_at = 0.0

    def is_over(self) -> bool:
        """Tell whether it is time to try again."""
        return time.monotonic() >= self._resume_at

    def lengthen(self) -> None:
        """It has failed, again or for the first time."""
        self.seconds = min(self.seconds * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
        self._resume_at = time.monotonic() + self.seconds


class Guard:
    """Use a storage as far as it can be used.

    After a failure to read it is not read for a while, after one to write not written, so that a locked or dead
    store is not waited for at each call, and a full one still answers.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        # Found out once: to ask a protocol takes longer than to claim.
        self._marks = storage if isinstance(storage, Marks) else None
        self._claims = storage if isinstance(storage, Claims) else None
        self._here = _Here()
        self._reading = _Pause("Until then calls go to the provider.")
        self._writing = _Pause("Until then answers are not recorded.")

    @property
    def is_well(self) -> bool:
        """Whether the storage could do what was last asked of it."""
        return not (self._reading.seconds or self._writing.seconds)

    def takes(self, key: Key) -> Sequence[Take]:
        return self._try(self._reading, (), self.storage.takes, key)

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        return self._try(self._reading, (), self.storage.similar, question, limit)

    def add(self, question: Question, take: Take, *, replace: bool) -> bool:
        return self._try(self._writing, False, partial(self.storage.add, replace=replace), question, take)

    def count_hit(self, key: Key, take: Take, now: float) -> None:
        self._try(self._writing, None, self.storage.count_hit, key, take, now)

    @property
    def is_marked(self) -> bool:
        """Whether it matters what is used from now on."""
        return self._marks is not None and self._marks.is_marked

    def claim(self, name: bytes) -> bool:
        """Claim a name among the processes that share the storage; True where nobody can."""
        return self._claims is None or self._try(_Pause(), True, self._claims.claim, name)

    def release(self, name: bytes) -> None:
        """Give up a claim, also in a call that the garbage collector ends inside the storage: others wait."""
        if self._claims is not None:
            with suppress(Exception):
                self._claims.release(name)

    def open(self) -> None:
        """Touch the storage, so that its trouble is told now rather than at the first call."""
        self._try(self._reading, None, self.storage.totals)

    def close(self) -> None:
        """Close the storage, whatever state it is in."""
        self._try(_Pause(), None, self.storage.close)

    def _try(self, pause: _Pause, otherwise: T, action: Callable[..., T], *arguments: object) -> T:
        if pause.seconds and not pause.is_over():
            return otherwise
        here = self._here
        if here.is_inside:  # the garbage collector ended a call in here, where locks are held
            return otherwise
        here.is_inside = True
        try:
            result = action(*arguments)
        except Exception as error:  # whatever a storage raises, the call it serves must go on
            pause.lengthen()
            cause = str(error) if isinstance(error, StorageError) else f"{self.storage.url}: {error!r}"
            warn_once(f"the store cannot be used: {cause} {pause.meanwhile}".rstrip())
            return otherwise
        finally:
            here.is_inside = False
        pause.seconds = 0.0
        return result
