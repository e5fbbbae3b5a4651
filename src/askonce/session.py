"""The in-process door: turn the cache on and off, and say what the calls inside a block are to do."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from askonce._core.controls import Controls, Mode
from askonce._core.domains import Domain
from askonce._core.noise import Rule
from askonce._core.rotation import Repeat
from askonce._engine import context
from askonce._engine.cache import Cache
from askonce._engine.meter import Stats
from askonce.forks import Lock
from askonce.settings import Settings, read_duration, read_settings, read_tags
from askonce.storage import Storage

T = TypeVar("T")
ModeName = Literal["record", "replay", "offline", "refresh", "off"]
RepeatName = Literal["same", "rotate", "all", "sequence"]
Store = str | os.PathLike[str] | Storage

_lock = Lock()
_enabled: Cache | None = None  # what `enable` made
_nested: list[Cache] = []  # what `caching` blocks made, the innermost last
_latest: Cache | None = None  # whose counts `stats` gives when nothing is on


def enable(
    store: Store | None = None,
    *,
    mode: ModeName | Mode | None = None,
    domains: str | Iterable[str | Domain] | None = None,
    ttl: float | str | None = None,
    partition: str | None = None,
    delays: bool | float | None = None,
    repeat: RepeatName | Repeat | None = None,
    samples: int | None = None,
    max_size: int | str | None = None,
    memory: int | str | None = None,
    images: str | os.PathLike[str] | None = None,
    bundles: str | Iterable[str | os.PathLike[str]] | None = None,
    debug: bool | None = None,
    normalize: str | Iterable[Rule] | None = None,
) -> Cache:
    """Answer every LLM call of this process once by its provider, and ever after from the store.

    What is not given comes from the environment (`ASKONCE_STORE`, `ASKONCE_MODE`, …), then from the defaults.
    Calling it again replaces all that an earlier call said; one `disable` undoes them all.

    Args:
        store: A file's path, `memory:`, the URL of a server (`redis://…`), or a Storage of your own; by default
            `.askonce/cache.db` in the project's folder.
        mode: `record` (the default), `replay`, `offline`, `refresh` or `off`.
        domains: Hosts that are providers too, beside the known ones: `llm.example.com`, `http://10.0.0.7:8000`.
        ttl: How long an answer is good for: seconds, or `15m`, `12h`, `30d`. By default for ever.
        partition: Whose entries these are; nothing is shared between partitions.
        delays: True replays the recorded rhythm, a number scales it. By default answers come at once.
        repeat: How identical calls are answered. `same` (the default): alike. `rotate`: the recorded answers come
            round. `all`: so they do for a call without a seed, whatever seeds they were recorded with.
            `sequence`: the n-th such call since `enable` has the n-th answer, on this run and every other.
        samples: How many answers to a question are recorded before any is given again; for `rotate` and `same`.
        max_size: What the store keeps at the most: bytes, or `500MB`. What was used longest ago is forgotten.
        memory: What of it is held in memory at the most: bytes, or `32MB` (the default).
        images: The folder where the images of recorded answers appear, which are then recorded with them. Without
            one, an answer with the address of an image is kept as it came, and the address expires.
        bundles: Files made by `askonce pack`, which answer what the store does not; the first counts most.
        debug: Print a line a call to standard error (`ASKONCE_VERBOSE`).
        normalize: Rules by which what differs from run to run is left out of the key, such as `NOTEBOOK_NOISE`
            (in the variable, `notebook`). The request that goes out is untouched. By default none.

    Raises:
        SettingsError: when an argument or an `ASKONCE_…` variable is not one of those allowed.
    """
    cache = _open(
        store=store,
        mode=mode,
        domains=domains,
        ttl=ttl,
        partition=partition,
        delays=delays,
        repeat=repeat,
        samples=samples,
        max_size=max_size,
        memory=memory,
        images=images,
        bundles=bundles,
        debug=debug,
        normalize=normalize,
    )
    put_in_force(cache)
    return cache


def put_in_force(cache: Cache) -> None:
    """Have the calls of this process go through a cache, in place of what was enabled before."""
    global _enabled
    with _lock:
        before, _enabled = _enabled, cache
        _remember(cache)
        _install()  # also again, in case another patcher has put back what it found before us
        if before is not None:
            _uninstall()
            before.close()


def disable() -> None:
    """Turn off what `enable` turned on; the program calls its providers as if askonce were not there."""
    global _enabled
    with _lock:
        before, _enabled = _enabled, None
        if before is not None:
            _uninstall()
            before.close()


@contextmanager
def caching(
    store: Store | None = None,
    *,
    mode: ModeName | Mode | None = None,
    domains: str | Iterable[str | Domain] | None = None,
    ttl: float | str | None = None,
    partition: str | None = None,
    delays: bool | float | None = None,
    repeat: RepeatName | Repeat | None = None,
    samples: int | None = None,
    max_size: int | str | None = None,
    memory: int | str | None = None,
    images: str | os.PathLike[str] | None = None,
    bundles: str | Iterable[str | os.PathLike[str]] | None = None,
    debug: bool | None = None,
    normalize: str | Iterable[Rule] | None = None,
) -> Iterator[Cache]:
    """Cache the calls made while the block runs, by this process's every thread; arguments as for `enable`.

    Blocks nest, also in an enabled program: the innermost is in force, and what was before comes back.
    """
    cache = _open(
        store=store,
        mode=mode,
        domains=domains,
        ttl=ttl,
        partition=partition,
        delays=delays,
        repeat=repeat,
        samples=samples,
        max_size=max_size,
        memory=memory,
        images=images,
        bundles=bundles,
        debug=debug,
        normalize=normalize,
    )
    with using(cache):
        yield cache


@contextmanager
def using(cache: Cache) -> Iterator[None]:
    """Send the calls made while the block runs through a cache, and close it at the end."""
    with _lock:
        _nested.append(cache)
        _remember(cache)
        _install()
    try:
        yield
    finally:
        with _lock:
            _nested.remove(cache)
            _uninstall()
        cache.close()


@contextmanager
def bypass() -> Iterator[None]:
    """Send the calls inside the block to their providers, and touch nothing."""
    token = context.push(Controls(mode=Mode.OFF))
    try:
        yield
    finally:
        context.pop(token)


@contextmanager
def options(
    *,
    mode: ModeName | Mode | None = None,
    ttl: float | str | None = None,
    seed: str | int | None = None,
    partition: str | None = None,
    delays: bool | float | None = None,
    repeat: RepeatName | Repeat | None = None,
    samples: int | None = None,
    tags: Iterable[str] | None = None,
) -> Iterator[None]:
    """Override settings for the calls inside the block, in this thread or task alone.

    `seed` names one of several answers to a question; `tags` are kept with what is recorded, to find it by. What a
    request says itself still wins.
    """
    given = read_settings(
        {
            "store": "memory:",
            "mode": mode,
            "partition": partition,
            "delays": delays,
            "repeat": repeat,
            "samples": samples,
        },
        environ={},
    )
    controls = Controls(
        mode=given.mode if mode is not None else None,
        ttl=read_duration(ttl, "ttl") if ttl is not None else None,
        seed=str(seed) if seed is not None else None,
        partition=given.partition if partition is not None else None,
        delays=given.delays if delays is not None else None,
        repeat=given.repeat if repeat is not None else None,
        samples=given.samples if samples is not None else None,
        tags=read_tags(tags) if tags is not None else (),
    )
    token = context.push(controls)
    try:
        yield
    finally:
        context.pop(token)


def stats() -> Stats:
    """Return what the cache in force has done so far; after `disable`, what the last one did."""
    cache = current() or _latest
    return cache.stats if cache is not None else Stats()


def transport(
    inner: T,
    store: Store | None = None,
    *,
    mode: ModeName | Mode | None = None,
    domains: str | Iterable[str | Domain] | None = None,
    ttl: float | str | None = None,
    partition: str | None = None,
    delays: bool | float | None = None,
    repeat: RepeatName | Repeat | None = None,
    samples: int | None = None,
    max_size: int | str | None = None,
    memory: int | str | None = None,
    images: str | os.PathLike[str] | None = None,
    bundles: str | Iterable[str | os.PathLike[str]] | None = None,
    debug: bool | None = None,
    normalize: str | Iterable[Rule] | None = None,
) -> T:
    """Return a transport for one httpx or httpx2 client that answers from the store and asks through `inner`.

    Nothing is patched: `httpx2.Client(transport=askonce.transport(httpx2.HTTPTransport()))`. `inner` may be sync
    or async; the other arguments are as for `enable`.
    """
    from askonce.intercept.transport import caching_transport

    return caching_transport(
        inner,
        _open(
            store=store,
            mode=mode,
            domains=domains,
            ttl=ttl,
            partition=partition,
            delays=delays,
            repeat=repeat,
            samples=samples,
            max_size=max_size,
            memory=memory,
            images=images,
            bundles=bundles,
            debug=debug,
            normalize=normalize,
        ),
    )


def current() -> Cache | None:
    """Return the cache that a call made now goes through."""
    nested = _nested
    return nested[-1] if nested else _enabled


def _open(**arguments: Any) -> Cache:
    return open_cache(arguments)


def open_cache(
    arguments: dict[str, Any], defaults: Settings | None = None, beneath: Sequence[Storage] = ()
) -> Cache:
    """Return a cache with these settings, its store opened; a Storage may be given in place of its URL.

    What is `beneath` answers what neither the store nor the settings' bundles do.
    """
    storage = arguments.get("store")
    if isinstance(storage, Storage):
        cache = Cache(
            read_settings({**arguments, "store": storage.url}, defaults=defaults), storage, beneath=beneath
        )
    else:
        cache = Cache(read_settings(arguments, defaults=defaults), beneath=beneath)
    cache.guard.open()
    return cache


def _remember(cache: Cache) -> None:
    global _latest
    _latest = cache


def _install() -> None:
    from askonce.intercept import patches

    patches.install(current)


def _uninstall() -> None:
    from askonce.intercept import patches

    patches.uninstall()


@atexit.register
def _close_all() -> None:
    for cache in (*_nested, _enabled):
        if cache is not None:
            cache.close()
