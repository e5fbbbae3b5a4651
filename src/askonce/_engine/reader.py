"""Reading requests: which are generation, what they ask, and how they are to be answered."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from askonce._core.body import CONTROL_FIELDS, Body, canonical_json, read_body
from askonce._core.controls import CREDENTIAL, CUSTOMER, Controls, Mode, read_fields, read_headers
from askonce._core.domains import Domain, Domains, is_stateful
from askonce._core.key import identify
from askonce._core.messages import CREDENTIAL_HEADERS, Headers, Request
from askonce._core.noise import normalized
from askonce._engine.call import Call, Match, Origin
from askonce.settings import Settings
from askonce.storage.lru import LRU

_ORIGINS = 1024  # origins of which it is remembered whether they are ours
_BODIES = 4 << 20  # bytes of bodies that are remembered


class Door(NamedTuple):
    """How calls come in.

    `opt_in`: the cache is off unless a request asks for it. `dialects`: other gateways' controls are understood.
    """

    opt_in: bool = False
    dialects: bool = False


class Reader:
    """Read requests as settings and a door have it; `wants_plain`: answers are to come without a coding."""

    def __init__(self, settings: Settings, door: Door, *, wants_plain: bool) -> None:
        self._settings = settings
        self._door = door
        self._wants_plain = wants_plain
        self._domains = Domains(settings.domains)
        self._matches: dict[Origin, Match | None] = {}
        self._bodies: LRU[tuple[str, bytes], Body] = LRU(_BODIES)
        self._fields = CONTROL_FIELDS
        if door.dialects:
            from askonce._core.dialects import FOREIGN_FIELDS

            self._fields = CONTROL_FIELDS | FOREIGN_FIELDS

    def match(self, *origin: *Origin) -> Match | None:
        """Return what makes a request of this origin ours, or None where it is to be left alone."""
        try:
            return self._matches[origin]
        except KeyError:
            if len(self._matches) >= _ORIGINS:
                self._matches.clear()
            found = self._matches[origin] = self._find(*origin)
            return found

    def add_domain(self, domain: Domain) -> None:
        """Take in one more host whose generation is answered from here."""
        self._domains.add(domain)
        self._matches.clear()

    def knows(self, scheme: str, host: str, port: int | None) -> bool:
        """Tell whether this is a provider's host."""
        return bool(self._domains.find(scheme, host, port))

    def _find(self, method: str, scheme: str, host: str, port: int | None, target: str) -> Match | None:
        for domain in self._domains.find(scheme, host, port):
            route = domain.route(method, path_of(target))
            if route is not None:
                return Match(domain, route)
        return None

    def read(self, request: Request, match: Match, override: Controls) -> Call:
        """Return the call that a request is; raises ControlError when its controls are malformed."""
        from_headers, headers = self.read_headers(request.headers)
        body = self._read_body(headers.get(b"content-type") or "", request.body)
        asked = from_headers.over(self._read_fields(body)).over(override)
        controls = asked.over(self._settings.controls)
        if self._door.opt_in and not asked.enabled:
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
        if not self._door.dialects:
            return own, kept
        from askonce._core.dialects import read_foreign_headers  # programs without a gateway need not load it

        foreign, kept = read_foreign_headers(kept)
        controls = own.over(foreign)
        if "helicone" in controls.dialects and controls.ttl is None:  # whose max-age is for how long to keep
            controls = controls._replace(ttl=controls.max_age)
        return controls, kept

    def _read_fields(self, body: Body) -> Controls:
        if not body.controls or not self._door.dialects:
            return read_fields(body.controls)
        from askonce._core.dialects import read_foreign_fields

        return read_fields(body.controls).over(read_foreign_fields(body.controls))

    def _read_body(self, content_type: str, raw: bytes) -> Body:
        body = self._bodies.get((content_type, raw))
        if body is None:
            body = read_body(content_type, raw, self._fields)
            if self._settings.normalize:
                body = normalized(body, self._settings.normalize)
            self._bodies.put((content_type, raw), body, len(raw) + len(body.canonical) + 256)
        return body


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


def path_of(target: str) -> str:
    """Return the path of a request's target."""
    return target.partition("?")[0].partition("#")[0]


def _credential(request: Request) -> str:
    """Name a partition after whoever asks, without saying who that is."""
    credential = "\n".join(request.headers.get(name) or "" for name in CREDENTIAL_HEADERS)
    if not credential.strip():
        credential = request.query
    return CREDENTIAL + hashlib.sha256(credential.encode()).hexdigest()[:32]
