"""A storage that never breaks the program: what it cannot do is warned of once, and the call goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from askonce._core.entry import MARK_KEY, Key, Question, Take
from askonce._engine.workers import Workers
from askonce._engine.writer import Job, Writer
from askonce.errors import StorageError
from askonce.notices import tell, warn_once
from askonce.storage import Storage
from askonce.storage.protocol import Claims, Far, Marks, Sealed

T = TypeVar("T")

_FIRST_PAUSE = 1.0  # seconds after a failure; doubled each time, up to the longest
_LONGEST_PAUSE = 30.0
_LONGEST_PAUSE_FAR = 5.0  # of a storage that comes back by itself
_FLUSH_SECONDS = 5.0  # for which closing waits until all is written


class _Here(threading.local):
    is_inside = False


class _Pause:
    """When something that failed may be tried again."""

    def __init__(self, meanwhile: str = "", longest: float = _LONGEST_PAUSE, tolerated: int = 0) -> None:
        self.tolerated = tolerated
        """How many failures in a row are none: a machine that is busy for a moment is not ill."""
        self.failures = 0
        self.meanwhile = meanwhile
        """What happens while it lasts, for people."""
        self.seconds = 0.0
        """How long the pause is; 0.0 while all is well."""
        self._longest = longest
        self._resume_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether it is not yet time to try again."""
        return self.seconds > 0.0 and time.monotonic() < self._resume_at

    def is_over(self) -> bool:
        """Tell whether it is time to try again; it is so for one, and only if that fails or is slow for more."""
        if time.monotonic() < self._resume_at:
            return False
        self._resume_at = time.monotonic() + self.seconds
        return True

    def lengthen(self) -> None:
        """It has failed, again or for the first time."""
        self.failures += 1
        if self.failures <= self.tolerated:
            return
        self.seconds = min(self.seconds * 2 or _FIRST_PAUSE, self._longest)
        self._resume_at = time.monotonic() + self.seconds


class Health(NamedTuple):
    """How a storage has done: what failed, what was not even tried therefore, and what waits to be written."""

    is_well: bool
    failures: int
    skipped: int
    waiting: int
    dropped: int


class Guard:
    """Use a storage as far as it can be used.

    After a failure to read it is not read for a while, after one to write not written, so that a locked or dead
    store is not waited for at each call, and a full one still answers.

    What is written to a storage far away waits its turn in the `writer`; what is in memory of it is always used.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        # Found out once: to ask a protocol takes longer than to claim.
        self._marks = storage if isinstance(storage, Marks) else None
        self._claims = storage if isinstance(storage, Claims) else None
        self._far = storage if isinstance(storage, Far) and storage.is_far else None
        self.writer = Writer() if self._far is not None else None
        self.workers = Workers() if self._far is not None else None
        self._here = _Here()
        how = (_LONGEST_PAUSE, 0) if self._far is None else (_LONGEST_PAUSE_FAR, 1)
        self._reading = _Pause("Until then calls go to the provider.", *how)
        self._writing = _Pause("Until then answers are not recorded.", *how)
        self._claiming = _Pause("Until then other processes may ask the same.", *how)
        self._is_ill = False
        self._failures = self._skipped = self._dropped = 0

    @property
    def is_well(self) -> bool:
        """Whether the storage could do what was last asked of it."""
        return not (self._reading.seconds or self._writing.seconds)

    @property
    def is_paused(self) -> bool:
        """Whether the storage has failed and is left alone; afterwards a call has to find out if it is well."""
        return self._reading.is_on or self._writing.is_on

    @property
    def health(self) -> Health:
        """How the storage has done so far."""
        waiting = 0 if self.writer is None else self.writer.waiting
        return Health(self.is_well, self._failures, self._skipped, waiting, self._dropped)

    @property
    def is_far(self) -> bool:
        """Whether looking something up may take long."""
        return self._far is not None

    @property
    def patience(self) -> float:
        """How many seconds a call may be kept waiting for a storage far away; 0.0 for one that is not."""
        return 0.0 if self._far is None else self._far.patience

    def at_once(self, key: Key) -> Sequence[Take] | None:
        """Return the takes of a question; None where that could take long."""
        return self.takes(key) if self._far is None else self._far.peek(key)

    def takes(self, key: Key) -> Sequence[Take]:
        if self._far is None:
            return self._try(self._reading, (), self.storage.takes, key)
        found = self._far.peek(key)
        if found is None:
            found = self._try(self._reading, None, self.storage.takes, key)
        return self._far.meanwhile(key) if found is None else found

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        return self._try(self._reading, (), self.storage.similar, question, limit)

    def sealed(self) -> Sequence[str]:
        """Return the names of what may hold near questions and cannot show them."""
        return self._try(self._reading, (), self.storage.sealed) if isinstance(self.storage, Sealed) else ()

    def add(self, question: Question, take: Take, *, replace: bool) -> bool:
        if self._far is not None and self._reading.is_on:  # a server that is not there takes nothing either
            self._skipped += 1
            return False
        return self._try(self._writing, False, partial(self.storage.add, replace=replace), question, take)

    def keep(self, question: Question, take: Take, then: Callable[[bool], None], *, replace: bool) -> Job | None:
        """Add a take and call `then` with whether it was kept; far away from another thread.

        Return what is worth waiting for, if anything is.
        """
        far, writer = self._far, self.writer
        if far is None or writer is None:
            then(self.add(question, take, replace=replace))
            return None

        def write() -> None:
            kept = False
            try:
                kept = self.add(question, take, replace=replace)
            finally:
                far.unexpect(question, take)
                then(kept)

        far.expect(question, take, replace=replace)
        job = writer.put(write, len(question.head) + len(question.body) + take.footprint)
        if job is None:
            far.unexpect(question, take)
            self._dropped += 1
            warn_once(
                f"more was answered than could be written to the store {self.storage.url}: some of it is not "
                "recorded. The store is slow, or answers are large."
            )
            then(False)
        is_doubtful = self._reading.failures or self._writing.failures or writer.is_late
        return None if is_doubtful else job

    def count_hits(self, hits: Sequence[tuple[Key, Take, float, int]]) -> None:
        """Count hits: of which take, when the last was, and how many."""
        if not hits:
            return

        def count() -> None:
            for hit in hits:
                self._try(self._writing, None, self.storage.count_hit, *hit)

        if self.writer is None:
            count()
        else:
            self.writer.put(count)

    @property
    def is_marked(self) -> bool:
        """Whether it matters what is used from now on."""
        return self._marks is not None and self._marks.is_marked

    def claim(self, name: bytes) -> bool:
        """Claim a name among the processes that share the storage; True where nobody can."""
        if self._claims is None:
            return True
        if self._far is None:
            return self._try(_Pause(), True, self._claims.claim, name)
        return self._reading.is_on or self._try(self._claiming, True, self._claims.claim, name)

    def is_claimed(self, name: bytes) -> bool:
        """Tell whether another process has a claim; False where that cannot be known."""
        if self._far is not None:
            return not self._reading.is_on and self._try(self._claiming, False, self._far.is_claimed, name)
        if not self.claim(name):
            return True
        self.release(name)
        return False

    def release(self, name: bytes) -> None:
        """Give up a claim, also in a call that the garbage collector ends inside the storage: others wait."""
        if self._claims is None:
            return
        if self.writer is None:
            self._release(self._claims, name)
        else:
            self.writer.put(partial(self._release, self._claims, name))

    def _release(self, claims: Claims, name: bytes) -> None:
        try:
            claims.release(name)
        except Exception:  # far away it runs out by itself
            self._failures += 1

    def flush(self) -> None:
        """Wait until what is to be written is written, no longer than a call would."""
        if self.writer is not None:
            self.writer.flush(self.patience)

    def open(self) -> None:
        """Touch the storage, so that its trouble is told now rather than at the first call."""
        if self.writer is None:
            self._try(self._reading, None, self.storage.totals)
        elif (job := self.writer.put(self._meet)) is not None:
            job.wait(_FIRST_PAUSE)

    def _meet(self) -> None:
        """Have all that the first call would otherwise wait for: connections, and what is made with them."""
        self._try(self._reading, None, self.storage.totals)
        self._try(self._reading, None, self.storage.takes, MARK_KEY)

    def close(self) -> None:
        """Close the storage, whatever state it is in, after what waits has been written."""
        seconds = _FLUSH_SECONDS if self.is_well else self.patience
        if self.writer is not None and not self.writer.close(seconds) and self.is_well:
            warn_once(f"the store {self.storage.url} was too slow to take all that was recorded last.")
        if self.workers is not None:
            self.workers.close()
        self._try(_Pause(), None, self.storage.close)

    def _try(self, pause: _Pause, otherwise: T, action: Callable[..., T], *arguments: object) -> T:
        if pause.seconds and not pause.is_over():
            self._skipped += 1
            return otherwise
        here = self._here
        if here.is_inside:  # the garbage collector ended a call in here, where locks are held
            return otherwise
        here.is_inside = True
        try:
            result = action(*arguments)
        except Exception as error:  # whatever a storage raises, the call it serves must go on
            self._failures += 1
            pause.lengthen()
            if pause.seconds or self._far is None:
                self._tell(error, pause.meanwhile)
            return otherwise
        finally:
            here.is_inside = False
        if pause.failures:
            pause.seconds, pause.failures = 0.0, 0
            if self._is_ill and self.is_well and not self._claiming.seconds:
                self._is_ill = False
                tell(f"the store {self.storage.url} can be used again.")
        return result

    def _tell(self, error: Exception, meanwhile: str) -> None:
        """Warn of what is wrong; of a storage far away once for each time that something is."""
        cause = str(error) if isinstance(error, StorageError) else f"{self.storage.url}: {error!r}"
        message = f"the store cannot be used: {cause} {meanwhile}".rstrip()
        if self._far is None:
            warn_once(message)
        elif not self._is_ill:
            self._is_ill = True
            if not warn_once(message, cause=f"ill: {self.storage.url}"):
                tell(message)
