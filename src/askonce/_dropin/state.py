"""What the drop-in answers from: one cache for all its clients, opened with the first of them."""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import Any

from askonce._core.controls import Mode
from askonce._core.domains import EVERY_ROUTE, Domain, Domains
from askonce._engine.cache import Cache
from askonce.bundle import discovery
from askonce.forks import Lock
from askonce.session import open_cache
from askonce.settings import classroom_defaults, read_settings

Place = tuple[str, str, int | None]
"""A scheme, a host and a port."""

_lock = Lock()
_arguments: dict[str, Any] = {}
_cache: Cache | None = None
_places: set[Place] = set()  # that clients ask, and that are answered from the store therefore
_known = Domains()
_has_asked = False  # for a URL of recorded answers, which is done once


def current() -> Cache:
    """Return the cache in force."""
    global _cache
    cache = _cache
    if cache is None:
        with _lock:
            if _cache is None:
                _cache = _open(_arguments)
            cache = _cache
    return cache


def configure(arguments: dict[str, Any]) -> None:
    """Change what is given, for every client there is and will be; what is None stays as it was."""
    global _cache
    with _lock:
        wanted = _arguments | {name: value for name, value in arguments.items() if value is not None}
        cache, before = _open(wanted), _cache
        _arguments.update(wanted)
        if before is not None:
            if before.guard.storage.url == cache.guard.storage.url:
                cache.tickets, cache.meter = before.tickets, before.meter  # whose turn it is does not change
            before.close()
        _cache = cache


def know(place: Place) -> None:
    """Take it that what a client asks at this place is asked of a provider."""
    if place in _places:
        return
    with _lock:
        _places.add(place)
        if _cache is not None:
            _add(_cache, place)


def mode_to_overwrite() -> Mode | None:
    """Return the mode of a call that is to have a new answer; None where no call may be asked."""
    match current().settings.mode:
        case Mode.RECORD | Mode.REFRESH:
            return Mode.REFRESH
        case Mode.OFFLINE:
            return None
        case _:
            return Mode.OFF


def reset() -> None:
    """Forget what was configured, as at the start of the program."""
    global _cache, _has_asked
    with _lock:
        before, _cache, _has_asked = _cache, None, False
        _arguments.clear()
        _places.clear()
        if before is not None:
            before.close()


def reopen() -> None:
    """Look again for bundles: there is one more."""
    if _cache is not None:
        configure({})


def _open(arguments: dict[str, Any]) -> Cache:
    global _has_asked
    defaults = classroom_defaults()
    storage = arguments.get("store")
    settings = read_settings(arguments | {"store": getattr(storage, "url", storage)}, defaults=defaults)
    is_alone = (
        settings.mode in (Mode.REPLAY, Mode.OFFLINE) and not settings.bundles and not _is_there(settings.store)
    )
    ask = discovery.person() if is_alone and not _has_asked else None
    _has_asked = _has_asked or ask is not None
    bundles = discovery.find_bundles(url=settings.cache_url, memory=settings.memory, ask=ask)
    chosen = discovery.chosen_delays(bundles)
    if chosen is not None and not defaults.delays:  # a student's own setting wins
        defaults = defaults._replace(delays=chosen)
    discovery.greet(bundles)
    cache = open_cache(arguments, defaults, bundles)
    for place in _places:
        _add(cache, place)
    return cache


def _is_there(store: str) -> bool:
    return "://" in store or store.startswith("memory:") or Path(store).exists()


def _add(cache: Cache, place: Place) -> None:
    scheme, host, port = place
    if not _known.find(scheme, host, port):
        cache.reader.add_domain(Domain("", host, port, EVERY_ROUTE))


@atexit.register
def _close() -> None:
    if _cache is not None:
        _cache.close()
