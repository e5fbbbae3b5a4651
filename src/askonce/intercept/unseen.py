"""What is seen but cannot be caught: gRPC channels and websockets to a provider, which a warning names once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from askonce.intercept.serving import CurrentCache, Place
from askonce.notices import warn_once


def places(module: ModuleType, current: CurrentCache) -> Iterator[Place]:
    """Yield what is to be patched: what opens a channel or a connection, and is given its address first."""
    if module.__name__.startswith("grpc"):
        yield Place(module, "secure_channel", partial(_wrap, "gRPC", current))
    elif isinstance(module.__dict__.get("connect"), type):  # the async one
        yield Place(module.__dict__["connect"], "__init__", partial(_wrap_init, current))
    else:
        yield Place(module, "connect", partial(_wrap, "a websocket", current))


def _wrap(way: str, current: CurrentCache, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def opening(address: Any, *given: Any, **options: Any) -> Any:
        _look(way, current, address)
        return original(address, *given, **options)

    return opening


def _wrap_init(current: CurrentCache, original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def __init__(self: Any, address: Any, *given: Any, **options: Any) -> None:  # noqa: N807
        _look("a websocket", current, address)
        original(self, address, *given, **options)

    return __init__


def _look(way: str, current: CurrentCache, address: Any) -> None:
    """Warn of calls to a provider; whatever else is called is nobody's business."""
    cache = current()
    if cache is None or not isinstance(address, str):
        return
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        host, port = parts.hostname or parts.path.lstrip("/").partition(":")[0], parts.port  # `dns:///host:443`
    except ValueError:
        return
    if cache.reader.knows("http" if parts.scheme == "ws" else "https", host, port):
        warn_once(
            f"{host} is called over {way}, which is not intercepted: these calls go to the provider and are not "
            "recorded.",
            cause=f"not intercepted: {way} to {host}",
        )
