"""Keep what was found: conflicts settled, all of a file or nothing of it, everything counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from askonce._core.entry import CACHY, MARK_KEY, Question, Take
from askonce._core.record import pack
from askonce.errors import FileFormatError, StorageError
from askonce.exchange.finding import Finding, Recorded, Skipped
from askonce.exchange.source import Format, Source
from askonce.storage import Storage


class OnConflict(StrEnum):
    """What happens where another answer is recorded already."""

    KEEP = "keep"
    REPLACE = "replace"
    FAIL = "fail"


class Fate(StrEnum):
    """What became of an answer."""

    IMPORTED = "imported"
    REPLACED = "replaced"
    THERE = "already there"
    KEPT = "not imported: another answer is recorded"


@dataclass(slots=True)
class Intake:
    """What became of one file."""

    path: str
    format: Format
    fates: Counter[tuple[str, str, Fate]] = field(default_factory=Counter)
    """How many answers by provider, model and fate."""
    skipped: list[Skipped] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    """The places whose questions have another answer in the store."""

    def count(self, *fates: Fate) -> int:
        """Return how many answers met these fates."""
        return sum(count for (_, _, fate), count in self.fates.items() if fate in fates)


def take_in(
    source: Source,
    storage: Storage,
    *,
    on_conflict: OnConflict = OnConflict.KEEP,
    dry_run: bool = False,
    note: Callable[[int], None] = lambda count: None,
) -> Intake:
    """Import a file; `note` is told how many findings have been dealt with.

    A file that has to be checked first is read to its end before anything is kept. Should the storage fail
    half-way, the same import goes on where it stopped: what is there already is passed over.

    Raises:
        FileFormatError: when it is not what it has to be, or conflicts when that is to fail; nothing was kept.
        StorageError: when the storage cannot be written.
    """
    intake = Intake(str(source.path), source.format)
    findings: Iterable[Finding] = source.read()
    if source.is_checked_first:
        findings = list(findings)
    if on_conflict is OnConflict.FAIL:
        _refuse_conflicts(source, storage, findings if isinstance(findings, list) else source.read())
    is_marked = dry_run
    for number, finding in enumerate(findings, 1):
        if isinstance(finding, Skipped):
            intake.skipped.append(finding)
        else:
            question, take = finding.question, finding.take
            if question.provider == CACHY and not is_marked:
                is_marked = True
                _mark(storage, take.recorded)
            if question.key == MARK_KEY:  # no answer, but a sign that there are some
                continue
            fate = settle(storage, question, take, on_conflict, dry_run=dry_run)
            if fate in (Fate.KEPT, Fate.REPLACED):
                intake.conflicts.append(finding.place)
            intake.fates[question.provider, question.model, fate] += 1
        note(number)
    return intake


def settle(
    storage: Storage, question: Question, take: Take, on_conflict: OnConflict, *, dry_run: bool = False
) -> Fate:
    """Keep an answer, unless it is there or another has its place; return what became of it."""
    there = namesake(storage.takes(question.key), take)
    if there is not None and same(there, take):
        return Fate.THERE
    if there is not None and on_conflict is not OnConflict.REPLACE:
        return Fate.KEPT
    if not dry_run and not storage.add(question, take, replace=there is not None):
        if (now := namesake(storage.takes(question.key), take)) is not None:  # another process was quicker
            return Fate.THERE if same(now, take) else Fate.KEPT
        raise StorageError(f"{storage.url} has not taken an answer. Is it larger than the store's max_size?")
    return Fate.IMPORTED if there is None else Fate.REPLACED


def namesake(takes: Sequence[Take], take: Take) -> Take | None:
    """Return the take that has the place of this one."""
    place = (take.seed, take.slot)
    return next((one for one in takes if (one.seed, one.slot) == place), None)


def same(one: Take, other: Take) -> bool:
    """Tell whether two takes hold one answer, byte for byte."""
    return pack(one.answer) == pack(other.answer)


def _mark(storage: Storage, recorded: float) -> None:
    """Let caches know that there are answers of cachy's to look for."""
    from askonce._core.cachy import MARK, MARK_TAKE

    storage.add(MARK, MARK_TAKE._replace(recorded=recorded))


def _refuse_conflicts(source: Source, storage: Storage, findings: Iterable[Finding]) -> None:
    places = []
    for finding in findings:
        if isinstance(finding, Recorded):
            there = namesake(storage.takes(finding.question.key), finding.take)
            if there is not None and not same(there, finding.take):
                places.append(finding.place)
    if places:
        more = f" and {len(places) - 5} more" if len(places) > 5 else ""
        raise FileFormatError(
            f"{source.path}: other answers are recorded already for {', '.join(places[:5])}{more}. Nothing of the "
            "file was imported. Say --on-conflict keep or replace."
        )
