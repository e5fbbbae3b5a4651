"""What every storage can do. All methods may be called from any thread, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from askonce._core.entry import Entry, Key, Question, Take
from askonce._core.messages import Usage
from askonce._core.usage import Spared


class Filter(NamedTuple):
    """Which entries to list; None (or empty) leaves a field open.

    `model` and `text` match anywhere, without regard to case; `text` is looked for in question and answer.
    `since` and `until` are Unix seconds, and so is `used`: recorded, or an answer, then or later. `key` is the
    beginning of a key in hexadecimal, `tag` one of the entry's, whole.
    """

    provider: str | None = None
    model: str | None = None
    partition: str | None = None
    text: str | None = None
    since: float | None = None
    until: float | None = None
    key: str | None = None
    used: float | None = None
    tag: str | None = None

    def matches(self, entry: Entry) -> bool:
        """Tell whether an entry is one of those meant."""
        question = entry.question
        return (
            (self.provider is None or question.provider == self.provider)
            and (self.model is None or self.model.lower() in question.model.lower())
            and (self.partition is None or question.partition == self.partition)
            and (self.since is None or entry.recorded >= self.since)
            and (self.until is None or entry.recorded < self.until)
            and (self.key is None or question.key.hex().startswith(self.key.lower()))
            and (self.tag is None or self.tag in question.tags)
            and (self.used is None or max(entry.used, entry.recorded) >= self.used)
            and (not self.text or _mentions(entry, self.text))
        )


def _mentions(entry: Entry, text: str) -> bool:
    """Look for `text` as a person sees it: nothing is escaped, a stream is one text, base64 is none."""
    from askonce._core.transcript import answered, plain, words  # programs that search nothing need not load it

    wanted = text.lower()
    return wanted in words(entry.question).lower() or any(
        wanted in plain(answered(take.answer)).lower() for take in entry.takes
    )


class Totals(NamedTuple):
    """What a storage holds, and how often it has answered; `size` is in bytes."""

    entries: int = 0
    takes: int = 0
    size: int = 0
    hits: int = 0
    seconds_saved: float = 0.0
    tokens_saved: int = 0


class ModelTotals(NamedTuple):
    """What a storage holds of one model's; `size` is in bytes, `seconds` is how long recording took.

    The four `…_saved` are tokens that hits would have used again, by the average of the takes of each entry;
    `uncounted` hits had answers that count no tokens.
    """

    provider: str
    model: str
    entries: int = 0
    takes: int = 0
    size: int = 0
    hits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    input_saved: float = 0.0
    output_saved: float = 0.0
    cached_saved: float = 0.0
    written_saved: float = 0.0
    uncounted: int = 0

    @property
    def spared(self) -> Spared:
        """The calls that the hits stand for."""
        tokens = (self.input_saved, self.output_saved, self.cached_saved, self.written_saved)
        usage = Usage(*map(round, tokens))
        return Spared(self.provider, self.model, self.hits - self.uncounted, usage, self.uncounted)


def sum_by_model(entries: Iterable[Entry]) -> list[ModelTotals]:
    """Sum up entries by provider and model, the most entries first."""
    sums: dict[tuple[str, str], ModelTotals] = {}
    for entry in entries:
        name = (entry.question.provider, entry.question.model)
        sums[name] = _plus(sums.get(name) or ModelTotals(*name), entry)
    return sorted(sums.values(), key=lambda row: (-row.entries, row.provider, row.model))


def _plus(before: ModelTotals, entry: Entry) -> ModelTotals:
    answers = [take.answer for take in entry.takes]
    asked = len(entry.question.head) + len(entry.question.body)
    usage = [sum(counts) for counts in zip(*(answer.usage for answer in answers), strict=True)] or [0, 0, 0, 0]
    saved = [entry.hits * count / max(len(answers), 1) for count in usage]
    return ModelTotals(
        before.provider,
        before.model,
        entries=before.entries + 1,
        takes=before.takes + len(answers),
        size=before.size + asked + sum(len(chunk.data) for answer in answers for chunk in answer.chunks),
        hits=before.hits + entry.hits,
        input_tokens=before.input_tokens + usage[0],
        output_tokens=before.output_tokens + usage[1],
        seconds=before.seconds + sum(answer.seconds for answer in answers),
        input_saved=before.input_saved + saved[0],
        output_saved=before.output_saved + saved[1],
        cached_saved=before.cached_saved + saved[2],
        written_saved=before.written_saved + saved[3],
        uncounted=before.uncounted + (0 if usage[0] or usage[1] else entry.hits),
    )


@runtime_checkable
class Claims(Protocol):
    """What a storage that processes share can do besides: let one of them ask, and the others wait for it."""

    def claim(self, name: bytes) -> bool:
        """Claim a name for this process; False while another process has it.

        A claim ends with `release`, or with the process, however that ends. It may be had more than once. What
        another process kept while it had the claim is seen afterwards.
        """
        ...

    def release(self, name: bytes) -> None:
        """Give up a claim, as often as it was had."""
        ...


@runtime_checkable
class Remote(Protocol):
    """What a storage on another machine can do besides: say what was changed in it, by whomever."""

    def watch(self, changed: Callable[[Key | None], None]) -> Callable[[], bool]:
        """Have `changed` called, from any thread, with the key of an entry that was changed or removed.

        None in place of a key: any may have been. Return a function that tells whether changes are heard of at
        this moment.
        """
        ...


@runtime_checkable
class Far(Protocol):
    """What a storage can do besides that may be far away, with what was read lately in memory."""

    @property
    def is_far(self) -> bool:
        """Whether looking something up may take long; the rest is of use only if it may."""
        ...

    @property
    def patience(self) -> float:
        """How many seconds a call may be kept waiting for it."""
        ...

    def peek(self, key: Key) -> Sequence[Take] | None:
        """Return what `takes` would, if that is known without asking far away."""
        ...

    def meanwhile(self, key: Key) -> Sequence[Take]:
        """Return what there is of a question while nothing far away can be asked."""
        ...

    def is_claimed(self, name: bytes) -> bool:
        """Tell whether another process has a claim, without standing in its way."""
        ...

    def expect(self, question: Question, take: Take, *, replace: bool) -> None:
        """Hand out a take that is about to be added, until `unexpect`."""
        ...

    def unexpect(self, question: Question, take: Take) -> None: ...


@runtime_checkable
class Patient(Protocol):
    """What a storage can do besides that calls wait for only briefly."""

    def be_patient(self) -> None:
        """Wait long: what is done from now on serves no call."""
        ...


@runtime_checkable
class Texts(Protocol):
    """What a storage says that people read: whether answers are to come without a content coding."""

    @property
    def wants_plain(self) -> bool: ...


@runtime_checkable
class Sealed(Protocol):
    """What a storage says whose questions may be digests, so that none of them can be read."""

    def sealed(self) -> Sequence[str]:
        """Return the names of the files of which only the digests of the questions are known."""
        ...


@runtime_checkable
class Marks(Protocol):
    """What a storage can do besides: remember a moment, so that what is used since then can be told."""

    @property
    def is_marked(self) -> bool:
        """Whether there was such a moment when the storage was last looked into. Cheap; asked at every hit."""
        ...

    def mark(self) -> float | None:
        """Return the moment in Unix seconds, or None when there is none."""
        ...

    def set_mark(self, moment: float | None) -> None:
        """Remember a moment in place of the one before; None forgets it."""
        ...


@runtime_checkable
class Storage(Protocol):
    """Where entries live.

    Every method raises StorageError, with the cause and the cure, when the storage cannot do what is asked.
    """

    @property
    def url(self) -> str:
        """The name under which `open_storage` opens it again."""
        ...

    def takes(self, key: Key) -> Sequence[Take]:
        """Return the takes of a question in the order of recording; none when it is not recorded.

        A damaged take is left out, never returned.
        """
        ...

    def add(self, question: Question, take: Take, *, replace: bool = False) -> bool:
        """Keep a take durably; return whether it was kept.

        It is not kept where one with its seed and slot is already there, unless it is to `replace` that one. With
        it the question's tags are those of the entry.
        """
        ...

    def count_hit(self, key: Key, take: Take, now: float, times: int = 1) -> None:
        """Note that a take has answered, so often until now. Cheap: written later, or lost with the process."""
        ...

    def similar(self, question: Question, limit: int) -> Sequence[Question]:
        """Return recorded questions that could be near this one, the latest first."""
        ...

    def entries(self, where: Filter = Filter()) -> Iterator[Entry]:
        """Yield the entries that match, the latest first."""
        ...

    def remove(self, keys: Iterable[Key]) -> int:
        """Remove entries; return how many there were."""
        ...

    def prune(self, now: float) -> int:
        """Remove the takes whose time to live has passed; return how many there were."""
        ...

    def totals(self) -> Totals:
        """Return what the storage holds; takes no longer for a large one."""
        ...

    def by_model(self) -> Sequence[ModelTotals]:
        """Return what the storage holds by provider and model, the most entries first."""
        ...

    def close(self) -> None:
        """Write what is pending and let go of files and connections; using it again opens it again."""
        ...
