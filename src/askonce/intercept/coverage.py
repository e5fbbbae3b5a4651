"""Which SDKs send calls where nothing of ours is, and a warning that says so.

Those that ride on what is caught need no word here, whenever they load it.
"""

from __future__ import annotations

import sys

from askonce.notices import warn_once

CAUGHT = frozenset({"httpx", "httpx2"})
"""Ways of travelling on which calls are seen."""

_ALWAYS = {"dspy": "lm15", "google.generativeai": "grpc", "xai_sdk": "grpc"}
"""How an SDK's calls travel."""

_ASYNC_IF_LOADED = {
    "cohere": "httpx_aiohttp",
    "fireworks.client": "aiohttp",
    "google.genai": "aiohttp",
    "litellm": "aiohttp",
}
"""How an SDK's async calls travel when that is installed."""

WATCHED = frozenset({*_ALWAYS, *_ASYNC_IF_LOADED, *_ASYNC_IF_LOADED.values()})
"""The modules whose loading may be the occasion for a warning."""


def look(loaded: str = "") -> None:
    """Warn once of each SDK that is loaded and not intercepted; `loaded` is what was loaded just now."""
    for sdk, way in _ALWAYS.items():
        if way not in CAUGHT and _is_loaded(sdk, loaded):
            warn_once(
                f"{sdk} is loaded, but its calls travel over {way}, which is not intercepted: they go to the "
                "provider and are not recorded.",
                cause=f"not intercepted: {sdk}",
            )
    for sdk, way in _ASYNC_IF_LOADED.items():
        if way not in CAUGHT and _is_loaded(sdk, loaded) and way in sys.modules:
            warn_once(
                f"{sdk} sends its async calls over {way} when that is installed, which is not intercepted: they "
                "go to the provider and are not recorded. Its sync calls are.",
                cause=f"not intercepted: {sdk} async",
            )


def _is_loaded(name: str, loaded: str) -> bool:
    """Tell whether a module is there for good: while it is being loaded, its import may still fail."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return module is not None and (name == loaded or not getattr(spec, "_initializing", False))
