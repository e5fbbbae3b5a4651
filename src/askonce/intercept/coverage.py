"""Which SDKs send calls where nothing of ours is, and a warning that says so.

Those that ride on what is caught need no word here, whenever they load it.
"""

from __future__ import annotations

import sys

from askonce.intercept import aiohttp, urllib3
from askonce.notices import warn_once

CAUGHT = frozenset({"aiohttp", "httpx", "httpx2", "urllib3"})
"""Ways of travelling on which calls are seen."""

_ALWAYS = {"dspy": "lm15", "google.generativeai": "grpc", "xai_sdk": "grpc"}
"""How an SDK's calls travel."""

WATCHED = frozenset({*_ALWAYS, "aiohttp", "urllib3"})
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
    for name, seam, cure in (
        ("aiohttp", aiohttp, "Install aiohttp 3.12.7 or later."),
        ("urllib3", urllib3, "Install urllib3 1.26 or 2 (urllib3-future overwrites it)."),
    ):
        if _is_loaded(name, loaded) and not seam.is_supported(sys.modules[name]):
            version = getattr(sys.modules[name], "__version__", "")
            warn_once(
                f"calls over {name} {version} are not intercepted: they go to the provider and are not recorded. "
                f"{cure}",
                cause=f"not intercepted: {name}",
            )


def _is_loaded(name: str, loaded: str) -> bool:
    """Tell whether a module is there for good: while it is being loaded, its import may still fail."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return module is not None and (name == loaded or not getattr(spec, "_initializing", False))
