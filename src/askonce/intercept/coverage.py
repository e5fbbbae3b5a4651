"""Which SDKs send calls where nothing of ours is, and a warning that says so.

Those that ride on what is caught need no word here, whenever they load it.
"""

from __future__ import annotations

import sys

from askonce.intercept import aiohttp
from askonce.notices import warn_once

CAUGHT = frozenset({"aiohttp", "httpx", "httpx2"})
"""Ways of travelling on which calls are seen."""

_ALWAYS = {"dspy": "lm15", "google.generativeai": "grpc", "xai_sdk": "grpc"}
"""How an SDK's calls travel."""

WATCHED = frozenset({*_ALWAYS, "aiohttp"})
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
    if _is_loaded("aiohttp", loaded) and not aiohttp.is_supported(sys.modules["aiohttp"]):
        version = getattr(sys.modules["aiohttp"], "__version__", "")
        warn_once(
            f"calls over aiohttp {version} are not intercepted: they go to the provider and are not recorded. "
            "Install aiohttp 3.12.7 or later.",
            cause="not intercepted: aiohttp",
        )


def _is_loaded(name: str, loaded: str) -> bool:
    """Tell whether a module is there for good: while it is being loaded, its import may still fail."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return module is not None and (name == loaded or not getattr(spec, "_initializing", False))
