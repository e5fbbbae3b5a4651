"""One cache: settings, a storage, what is in flight, what was counted. Knows no HTTP library and no event loop."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from askonce._core.controls import NONE, Mode
from askonce._core.decide import Find, Forward, Imported, Refuse, Replay, Verdict, decide, reader_ttl
from askonce._core.entry import MARK_KEY, Key, Question, Take
from askonce._core.messages import Answer, Request
from askonce._core.refusal import is_keyless, refusal
from askonce._core.rotation import Repeat, choose
from askonce._engine.call import Call, Match, Origin, Steady, fit
from askonce._engine.claim import Claim
from askonce._engine.context import overrides
from askonce._engine.flight import Flight, Flights
from askonce._engine.guard import Guard
from askonce._engine.meter import Meter, Stats
from askonce._engine.reader import Door, Reader, path_of
from askonce._engine.tickets import Tickets
from askonce._engine.writer import Job
from askonce.errors import ControlError
from askonce.settings import Settings
from askonce.storage import Storage, open_storage
from askonce.storage.lru import LRU
from askonce.storage.protocol import Texts

if TYPE_CHECKING:
    from askonce._engine.images import Images

_CALLS = 4 << 20  # bytes of requests, and again of hits, that are remembered
_TALLY = 512  # hits that may wait to be counted, and for how many seconds
_TALLY_SECONDS = 1.0
_CANDIDATES = 400  # recorded questions that a missed one is compared with


class Cache:
    """Answer calls from a storage, and keep what providers answer."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage | None = None,
        log: Callable[[str], None] | None = None,
        beneath: Sequence[Storage] = (),
        door: Door = Door(),  # noqa: B008 (immutable)
    ) -> None:
        self.settings = settings
        if storage is None:
            storage = open_storage(settings.store, max_size=settings.max_size, memory=settings.memory)
        bundles = [open_storage(path, memory=settings.memory) for path in settings.bundles]
        if bundles or beneath:
            from askonce.storage.layers import Layers  # few programs need it

            storage = Layers(storage, [*bundles, *beneath])
        self.guard = Guard(storage)
        self._has_imported: bool | None = None
        self.reader = Reader(settings, door, wants_plain=isinstance(storage, Texts) and storage.wants_plain)
        self.meter = Meter()
        self.flights = Flights()
        self.tickets = Tickets()
        self._images: Images | None = None  # made when there is a use for it: most caches have none
        # Those whose counting is put off, since it costs more than they do.
        self._recalled: deque[tuple[Steady, float]] = deque()
        self._tallied = time.monotonic()
        self._steady: LRU[bytes, Steady] = LRU(_CALLS)
        self._calls: LRU[Request, Call] = LRU(_CALLS)
        self.log = log or _print_line

    def __repr__(self) -> str:
        return f"<askonce {self.settings.mode} {self.guard.storage.url}>"  # without the password in it

    def match(self, *origin: *Origin) -> Match | None:
        """Return what makes a request of this origin ours, or None where it is to be left alone."""
        found = self.reader.match(*origin)
        if found is None and self.settings.debug and self.reader.knows(*origin[1:4]):
            method, _, host, _, target = origin
            self._report("passed", f"{method} {host}{path_of(target)}", "not generation")
        return found

    def steady(self, request: Request) -> Steady | None:
        """Return the hit that the same request, byte for byte, was before; whether it still is, is not said."""
        steady = self._steady.get(request.body)
        if steady is None or overrides() is not NONE or steady.call.request != request:
            return None
        return steady

    def recall(self, request: Request) -> Steady | None:
        """Return the hit that the same request was before, if nothing has changed since, and count it.

        This is the path of nearly every hit in a loop.
        """
        steady = self.steady(request)
        return steady if steady is not None and self.confirm(steady) else None

    def confirm(self, steady: Steady) -> bool:
        """Tell whether a hit is one still, and count it if so."""
        call, take, _, until = steady
        now = time.time()
        if until is not None and now >= until:
            return False
        if choose(self.guard.at_once(call.question.key) or (), call.controls.seed) is not take:
            return False
        self._recalled.append((steady, now))
        if len(self._recalled) >= _TALLY or time.monotonic() - self._tallied > _TALLY_SECONDS:
            self._tally()
        return True

    def _tally(self) -> None:
        """Count the hits that were recalled, those alike together."""
        self._tallied = time.monotonic()
        counts: dict[int, tuple[Steady, float, int]] = {}
        with suppress(IndexError):
            while True:
                steady, now = self._recalled.popleft()
                counts[id(steady)] = steady, now, counts.get(id(steady), (steady, now, 0))[2] + 1
        hits = [
            hit
            for steady, now, times in counts.values()
            for hit in self._counted(steady.call, steady.take, now, times=times)
        ]
        self.guard.count_hits(hits)

    @property
    def stats(self) -> Stats:
        """What this cache has done so far."""
        self._tally()
        self.guard.flush()
        return self.meter.stats

    def begin(self, request: Request, match: Match) -> Call | Answer:
        """Read a request; return the call that it is, or an error answer when its controls are malformed."""
        override = overrides()
        if override is NONE:
            known = self._calls.get(request)
            if known is not None:
                return known
        try:
            call = self.reader.read(request, match, override)
        except ControlError as error:
            self.meter.count("refused")
            self._report("refused", f"{request.method} {request.host}{request.path}", str(error))
            return refusal(match.route.dialect, 400, f"askonce: {error}")
        if override is NONE:
            self._calls.put(request, call, 2 * len(request.body) + 4096)
        return call

    @property
    def images(self) -> Images:
        """The images of the answers."""
        if self._images is None:
            from askonce._engine.images import Images  # which imports urllib.request

            self._images = Images(self.settings.images)
        return self._images

    def _is_pictured(self, call: Call) -> bool:
        return self.settings.images != "" and call.question.kind == "image"

    def is_fetching(self, call: Call) -> bool:
        """Tell whether an answer to this question is there, and only its images are still to come."""
        return self._images is not None and self._images.is_fetching(call.question.key)

    def turn(self, call: Call) -> int:
        """Return the how-manieth call like it this is in this run, where they are told apart."""
        if call.controls.repeat is Repeat.SEQUENCE and call.controls.mode is not Mode.OFF:
            return self.tickets.draw(call.series)
        return 0

    def settle(self, call: Call, turn: int) -> Verdict:
        """Decide on a call with what the storage holds."""
        return self._settle(call, turn, self.guard.takes, self.guard.similar, self._imported(call))

    def settle_at_once(self, call: Call, turn: int) -> Verdict | None:
        """Do the same; None where looking it up could take long."""
        if not self.guard.is_far:
            return self.settle(call, turn)
        if self._has_imported is None:
            return None

        def find(key: Key) -> Sequence[Take]:
            takes = self.guard.at_once(key)
            if takes is None:
                raise _FarAwayError
            return takes

        try:
            return self._settle(call, turn, find, _search_far_away, self._imported(call))
        except _FarAwayError:
            return None

    def settle_without(self, call: Call, turn: int) -> Verdict:
        """Decide on a call as if nothing was recorded, since the storage has been waited for long enough."""
        return self._settle(call, turn, lambda _: (), lambda *_: (), None)

    def _settle(
        self,
        call: Call,
        turn: int,
        find: Callable[[Key], Sequence[Take]],
        search: Callable[[Question, int], Sequence[Question]],
        imported: Imported | None,
    ) -> Verdict:
        if not call.rotates:
            return self._decide(call, turn, find, search, imported)
        turn = self.tickets.draw(call.series)
        verdict = None
        try:
            verdict = self._decide(call, turn, find, search, imported)
        finally:
            if not isinstance(verdict, Replay):
                self.tickets.give_back(call.series, turn)
        return verdict

    def _decide(
        self,
        call: Call,
        turn: int,
        find: Callable[[Key], Sequence[Take]],
        search: Callable[[Question, int], Sequence[Question]],
        imported: Imported | None,
    ) -> Verdict:
        steps = decide(call.question, call.controls, time.time(), turn, imported)
        sealed: Sequence[str] = ()
        try:
            need = next(steps)
            while True:
                if isinstance(need, Find):
                    need = steps.send(find(need.key))
                else:
                    sealed = self.guard.sealed()
                    need = steps.send(search(need.question, _CANDIDATES))
        except StopIteration as stop:
            verdict: Verdict = stop.value
            if sealed and isinstance(verdict, Refuse):
                names = " and ".join(sealed)
                return Refuse(
                    f"{verdict.message}\nQuestions in {names} are only digests: none can be named as near."
                )
            return verdict

    def _imported(self, call: Call) -> Imported | None:
        """Return what looks for imported answers to a call; None where the store has none or a take is named."""
        has_imported = self._has_imported
        if has_imported is None:
            has_imported = bool(self.guard.takes(MARK_KEY))
            if has_imported or self.guard.is_well:
                self._has_imported = has_imported
        if not has_imported or call.controls.seed != call.body.seed:
            return None
        from askonce._core.cachy import CachyLookup  # few stores need it

        return CachyLookup(call.request, call.body.sent, call.question)

    def replay(self, call: Call, take: Take, imported: Key | None = None) -> Answer:
        """Return a recorded answer as this caller can read it, and count the hit (`imported`: under that key)."""
        self.guard.count_hits(self._counted(call, take, time.time(), imported))
        answer = fit(call, take.answer)
        if self.settings.debug:
            self._report("hit", call, f"recorded {take.age(time.time()):,.0f} s ago, saved {answer.seconds:.2f} s")
        if self._is_pictured(call):
            return self.images.show(answer)  # each time: a file may be gone
        is_plain = not self.settings.debug and imported is None and overrides() is NONE
        is_plain = is_plain and (call.controls.samples or 1) == 1  # else one that is gone would be asked for again
        if is_plain and not call.controls.delays and not call.repeats:
            until = take.fresh_until(reader_ttl(call.controls))
            size = take.footprint + len(call.request.body)
            self._steady.put(call.request.body, Steady(call, take, answer, until), size)
        return answer

    def _counted(
        self, call: Call, take: Take, now: float, imported: Key | None = None, times: int = 1
    ) -> Sequence[tuple[Key, Take, float, int]]:
        """Count hits here, and return what is to be counted in the store."""
        self.meter.count_saved("hits", call.question, take.answer, times)
        if call.controls.mode is Mode.RECORD or self.guard.is_marked:  # else the store is left as it is
            return [(imported or call.question.key, take, now, times)]
        return ()

    def refuse(self, call: Call, verdict: Refuse) -> Answer:
        """Return the error answer for what may not be asked."""
        self.meter.count("refused")
        self._report("refused", call, "offline, and not recorded")
        self._remember_miss(call, "offline, and not recorded")
        return refusal(call.match.route.dialect, 404, verdict.message)

    def asked(self, call: Call, verdict: Forward) -> None:
        """Note that a call goes to the provider, or would if its client had a key."""
        if is_keyless(call.headers):
            self.meter.count("refused")
            self._report("refused", call, f"{verdict.why}, and there is no API key to ask it with")
            self._remember_miss(call, f"{verdict.why}, and there is no API key to ask it with")
            return
        off = call.controls.mode is Mode.OFF
        self.meter.count("bypassed" if off else "misses")
        if not verdict.keep:
            self._report("passed" if off else "asked", call, verdict.why)
            if not off:
                self._remember_miss(call, f"{verdict.why}, and in mode replay nothing is kept")

    def keep(self, call: Call, verdict: Forward, slot: int, answer: Answer | str) -> Job | None:
        """Keep a complete answer; a string says why there is none. Return what is still to be done for it."""
        if isinstance(answer, Answer) and self._is_pictured(call):
            self.images.keep(call.question.key, answer, partial(self._keep, call, verdict, slot))
            return None
        return self._keep(call, verdict, slot, answer)

    def _keep(self, call: Call, verdict: Forward, slot: int, answer: Answer | str) -> Job | None:
        if isinstance(answer, str):
            if is_keyless(call.headers):  # nobody was asked, and `asked` has said so
                return None
            self._report("asked", call, f"{verdict.why}; not kept: {answer}")
            self._remember_miss(call, f"{verdict.why}; the answer was not kept: {answer}")
            return None
        take = Take(answer, time.time(), call.controls.seed, call.controls.ttl, slot)

        def note(kept: bool) -> None:
            if kept:
                self.meter.count("recorded")
                self._report("recorded", call, f"{verdict.why}; took {answer.seconds:.2f} s")
            else:
                self._report("asked", call, f"{verdict.why}; not kept: the store did not take it")

        return self.guard.keep(call.question, take, note, replace=verdict.replace)

    def _remember_miss(self, call: Call, why: str) -> None:
        """Note what neither the store answers nor will answer, for `askonce why`."""
        from askonce.storage.misses import Miss, remember  # where all is recorded, nothing needs it

        remember(self.guard.storage, Miss(call.question, call.controls.seed, why, time.time()))

    def pick_slot(self, call: Call, verdict: Forward) -> int:
        """Return a slot that nobody, in this process or another, is about to fill, if there is one."""
        if len(verdict.slots) > 1:
            for slot in verdict.slots:
                if not self.flights.has(call.name(slot)) and self.claim(call, slot).is_free():
                    return slot
        return verdict.slots[-1]

    def claim(self, call: Call, slot: int) -> Claim:
        """Return the claim that a process must have to ask for this."""
        return Claim(self.guard, call.name(slot))

    def take_place(self, call: Call, turn: int, flight: Flight) -> None:
        """See to it that a turn of which nothing comes is taken by the next call: by an SDK's retry, say."""
        if call.controls.repeat is not Repeat.SEQUENCE:
            return

        def give_back(over: Flight) -> None:
            if not isinstance(over.outcome, Answer):
                self.tickets.give_back(call.series, turn)

        flight.afterwards(give_back)

    def let_pass(self, request: Request, match: Match, why: str) -> Request | Answer:
        """Return what the provider gets of a request that is not looked at, or an error if none may be asked."""
        origin = f"{request.method} {request.host}{request.path}"
        try:
            given, headers = self.reader.read_headers(request.headers)
        except ControlError as error:
            self.meter.count("refused")
            self._report("refused", origin, str(error))
            return refusal(match.route.dialect, 400, f"askonce: {error}")
        if given.over(overrides()).over(self.settings.controls).mode is Mode.OFFLINE:
            self.meter.count("refused")
            self._report("refused", origin, f"offline, and {why}")
            return refusal(
                match.route.dialect, 404, f"askonce is offline and this request cannot be answered: {why}"
            )
        self.meter.count("bypassed")
        self._report("passed", origin, why)
        return request._replace(headers=headers)

    def shared(self, call: Call, answer: Answer | str) -> None:
        """Note that a call was answered together with an identical one; a string says why that is not kept."""
        if isinstance(answer, Answer):
            self.meter.count_saved("shared", call.question, answer)
            self._report("shared", call, "answered with an identical call in flight")
        else:
            self.meter.count("shared")
            self._report("shared", call, f"with an identical call in flight; not kept: {answer}")

    def close(self) -> None:
        """Write what is pending and close the storage."""
        if self._images is not None:
            self._images.settle()
        self._tally()
        self.guard.close()

    def _report(self, outcome: str, call: Call | str, why: str) -> None:
        if self.settings.debug:
            if isinstance(call, Call):
                model = f" {call.question.model}" if call.question.model else ""
                call = f"{call.request.method} {call.request.host}{call.request.path}{model}"
            self.log(f"askonce {outcome:<8} {call}: {why}")


class _FarAwayError(Exception):
    """What is looked for is not in memory."""


def _search_far_away(question: Question, limit: int) -> Sequence[Question]:
    raise _FarAwayError


def _print_line(line: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # no standard error, or a closed one
        sys.stderr.write(f"{line}\n")
