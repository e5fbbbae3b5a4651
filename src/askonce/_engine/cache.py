"""One cache: settings, a storage, what is in flight, what was counted. Knows no HTTP library and no event loop."""

from __future__ import annotations

import hashlib
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from askonce._core.body import CONTROL_FIELDS, Body, canonical_json, read_body
from askonce._core.coding import accepted, coding_of, undo
from askonce._core.controls import CREDENTIAL, CUSTOMER, NONE, Controls, Mode, read_fields, read_headers
from askonce._core.decide import Find, Forward, Imported, Refuse, Replay, Verdict, decide, reader_ttl
from askonce._core.domains import Domain, Domains, Route, is_stateful
from askonce._core.entry import MARK_KEY, Key, Question, Take
from askonce._core.key import identify
from askonce._core.messages import Answer, Head, Headers, Request
from askonce._core.noise import normalized
from askonce._core.refusal import is_keyless, refusal
from askonce._core.rotation import Repeat, choose
from askonce._engine.claim import Claim
from askonce._engine.context import overrides
from askonce._engine.flight import Flight, Flights, Name
from askonce._engine.guard import Guard
from askonce._engine.meter import Meter, Stats
from askonce._engine.tickets import Tickets
from askonce._engine.writer import Job
from askonce.errors import ControlError
from askonce.settings import Settings
from askonce.storage import Storage, open_storage
from askonce.storage.lru import LRU
from askonce.storage.protocol import Texts

if TYPE_CHECKING:
    from askonce._engine.images import Images

_CALLS = 4 << 20  # bytes of requests, again of bodies, and of hits, that are remembered
_TALLY = 64  # hits that may wait to be counted, and for how many seconds
_TALLY_SECONDS = 1.0
_ORIGINS = 1024  # origins of which it is remembered whether they are ours
_CANDIDATES = 400  # recorded questions that a missed one is compared with


Origin = tuple[str, str, str, int | None, str]
"""A request's method, scheme, host, port and target."""


class Match(NamedTuple):
    """A request that is generation, by its method and URL."""

    domain: Domain
    route: Route


class Call(NamedTuple):
    """One request on its way through the cache. `request` still has the controls in its headers."""

    request: Request
    headers: Headers
    body: Body
    match: Match
    question: Question
    controls: Controls

    @property
    def repeats(self) -> bool:
        """Whether a call like it may get another answer, so that it matters how many there were."""
        return self.controls.repeat is not Repeat.SAME

    @property
    def rotates(self) -> bool:
        """Whether answers come round."""
        repeat = self.controls.repeat
        return repeat is Repeat.ROTATE or (repeat is Repeat.ALL and self.controls.seed is None)

    @property
    def series(self) -> tuple[Key, str | None]:
        """What calls have in common that are numbered together."""
        return self.question.key, self.controls.seed

    def name(self, slot: int) -> Name:
        """What calls have in common that one answer serves."""
        return self.question.key, self.controls.seed, slot

    def accepts(self, head: Head) -> bool:
        """Tell whether the caller takes the content coding of this answer."""
        coding = coding_of(head.headers)
        return not coding or not accepted(self.request.headers).isdisjoint({coding, "*"})

    def outgoing(self, codings: frozenset[str] | None = None) -> Request:
        """Return what the provider gets: no controls, and of content codings, if given, these alone."""
        headers = self.headers
        if codings is not None and not accepted(headers) <= codings | {"identity", ""}:
            wanted = ", ".join(sorted(accepted(headers) & codings)) or "identity"
            headers = Headers(
                tuple((n, wanted.encode() if n.lower() == b"accept-encoding" else v) for n, v in headers)
            )
        if headers is self.request.headers and self.body.sent is self.request.body:
            return self.request
        request = self.request._replace(headers=headers)
        return request if self.body.sent is self.request.body else request.with_body(self.body.sent)


class Steady(NamedTuple):
    """A hit whose decision depends on the call and its takes alone: the same until one of them changes.

    `until` is when it is no longer fresh, in Unix seconds; None: never.
    """

    call: Call
    take: Take
    answer: Answer
    until: float | None


class Door(NamedTuple):
    """How calls come in.

    `opt_in`: the cache is off unless a request asks for it. `dialects`: other gateways' controls are understood.
    """

    opt_in: bool = False
    dialects: bool = False


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
        self.door = door
        if storage is None:
            storage = open_storage(settings.store, max_size=settings.max_size, memory=settings.memory)
        bundles = [open_storage(path, memory=settings.memory) for path in settings.bundles]
        if bundles or beneath:
            from askonce.storage.layers import Layers  # few programs need it

            storage = Layers(storage, [*bundles, *beneath])
        self.guard = Guard(storage)
        self._has_imported: bool | None = None
        self._wants_plain = isinstance(storage, Texts) and storage.wants_plain
        self.meter = Meter()
        self.flights = Flights()
        self.tickets = Tickets()
        self._images: Images | None = None  # made when there is a use for it: most caches have none
        self._domains = Domains(settings.domains)
        self._matches: dict[Origin, Match | None] = {}
        # Those whose counting is put off, since it costs more than they do.
        self._recalled: deque[tuple[Steady, float]] = deque()
        self._tallied = time.monotonic()
        self._steady: LRU[bytes, Steady] = LRU(_CALLS)
        self._calls: LRU[Request, Call] = LRU(_CALLS)
        self._bodies: LRU[tuple[str, bytes], Body] = LRU(_CALLS)
        self._fields = CONTROL_FIELDS
        if door.dialects:
            from askonce._core.dialects import FOREIGN_FIELDS

            self._fields = CONTROL_FIELDS | FOREIGN_FIELDS
        self.log = log or _print_line

    def __repr__(self) -> str:
        return f"<askonce {self.settings.mode} {self.guard.storage.url}>"  # without the password in it

    def match(self, *origin: *Origin) -> Match | None:
        """Return what makes a request of this origin ours, or None where it is to be left alone."""
        try:
            found = self._matches[origin]
        except KeyError:
            if len(self._matches) >= _ORIGINS:
                self._matches.clear()
            found = self._matches[origin] = self._find_match(*origin)
        if found is None and self.settings.debug and self.knows(*origin[1:4]):
            method, _, host, _, target = origin
            self._report("passed", f"{method} {host}{_path(target)}", "not generation")
        return found

    def add_domain(self, domain: Domain) -> None:
        """Take in one more host whose generation is answered from here."""
        self._domains.add(domain)
        self._matches.clear()

    def knows(self, scheme: str, host: str, port: int | None) -> bool:
        """Tell whether this is a provider's host."""
        return bool(self._domains.find(scheme, host, port))

    def _find_match(self, method: str, scheme: str, host: str, port: int | None, target: str) -> Match | None:
        for domain in self._domains.find(scheme, host, port):
            route = domain.route(method, _path(target))
            if route is not None:
                return Match(domain, route)
        return None

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
        for steady, now, times in counts.values():
            self._count_hit(steady.call, steady.take, now, times=times)

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
            call = self._read(request, match, override)
        except ControlError as error:
            self.meter.count("refused")
            self._report("refused", f"{request.method} {request.host}{request.path}", str(error))
            return refusal(match.route.dialect, 400, f"askonce: {error}")
        if override is NONE:
            self._calls.put(request, call, 2 * len(request.body) + 4096)
        return call

    def _read(self, request: Request, match: Match, override: Controls) -> Call:
        from_headers, headers = self.read_headers(request.headers)
        body = self._read_body(headers.get(b"content-type") or "", request.body)
        asked = from_headers.over(self._read_fields(body)).over(override)
        controls = asked.over(self.settings.controls)
        if self.door.opt_in and not asked.enabled:
            controls = controls._replace(mode=Mode.OFF)
        if controls.by_credential:
            controls = controls._replace(customer=_credential(request))
        if is_stateful(match.route, body.state, headers.get(b"prefer")):
            controls = controls._replace(mode=Mode.OFF)
        controls = controls._replace(seed=_seed(controls.seed, body.seed), partition=_partition(controls))
        question = identify(
            request._replace(headers=headers), body, match.domain, match.route, controls.partition or ""
        )
        if controls.tags:
            question = question._replace(tags=controls.tags)
        if self._wants_plain and controls.mode is not Mode.OFF:
            headers = _without_coding(headers)
        return Call(request, headers, body, match, question, controls)

    def read_headers(self, headers: Headers) -> tuple[Controls, Headers]:
        """Read the controls in a request's headers; return them and the headers that go to the provider."""
        own, kept = read_headers(headers)
        if not self.door.dialects:
            return own, kept
        from askonce._core.dialects import read_foreign_headers  # programs without a gateway need not load it

        foreign, kept = read_foreign_headers(kept)
        controls = own.over(foreign)
        if "helicone" in controls.dialects and controls.ttl is None:  # whose max-age is for how long to keep
            controls = controls._replace(ttl=controls.max_age)
        return controls, kept

    def _read_fields(self, body: Body) -> Controls:
        if not body.controls or not self.door.dialects:
            return read_fields(body.controls)
        from askonce._core.dialects import read_foreign_fields

        return read_fields(body.controls).over(read_foreign_fields(body.controls))

    def _read_body(self, content_type: str, raw: bytes) -> Body:
        body = self._bodies.get((content_type, raw))
        if body is None:
            body = read_body(content_type, raw, self._fields)
            if self.settings.normalize:
                body = normalized(body, self.settings.normalize)
            self._bodies.put((content_type, raw), body, len(raw) + len(body.canonical) + 256)
        return body

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
        self._count_hit(call, take, time.time(), imported)
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

    def _count_hit(self, call: Call, take: Take, now: float, imported: Key | None = None, times: int = 1) -> None:
        self.meter.count_saved("hits", call.question, take.answer, times)
        if call.controls.mode is Mode.RECORD or self.guard.is_marked:  # else the store is left as it is
            self.guard.count_hit(imported or call.question.key, take, now, times)

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
            given, headers = self.read_headers(request.headers)
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


def fit(call: Call, answer: Answer) -> Answer:
    """Return an answer in a content coding that the caller takes."""
    if call.accepts(answer.head):
        return answer
    head, chunks = undo(answer.head, answer.chunks)
    return answer._replace(head=head, chunks=chunks)


def _seed(named: str | None, asked: str | None) -> str | None:
    """Return what tells a take from the others: the seed in the body, and the name that the caller gave it."""
    if named is None:
        return asked
    name = f"name={canonical_json(named)}"
    return name if asked is None else f"{name},{asked}"


def _partition(controls: Controls) -> str:
    if controls.customer is None:
        return controls.partition or ""
    customer = CUSTOMER + controls.customer
    return f"{controls.partition}/{customer}" if controls.partition else customer


def _without_coding(headers: Headers) -> Headers:
    return Headers((n, b"identity" if n.lower() == b"accept-encoding" else v) for n, v in headers)


def _path(target: str) -> str:
    return target.partition("?")[0].partition("#")[0]


def _credential(request: Request) -> str:
    """Name a partition after whoever asks, without saying who that is."""
    names = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
    credential = "\n".join(request.headers.get(name) or "" for name in names)
    if not credential.strip():
        credential = request.query
    return CREDENTIAL + hashlib.sha256(credential.encode()).hexdigest()[:32]


def _print_line(line: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # no standard error, or a closed one
        sys.stderr.write(f"{line}\n")
