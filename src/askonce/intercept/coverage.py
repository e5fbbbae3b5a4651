"""Which libraries' calls are caught, and a warning where one of them is there in a form that is not."""

from __future__ import annotations

import sys

from askonce.intercept import aiohttp, urllib3
from askonce.notices import warn_once

CAUGHT = frozenset({"aiohttp", "httpx", "httpx2", "lm15", "urllib3"})
"""Ways of travelling on which calls are seen; what goes by others is warned of when it does (`unseen`)."""

CURES = {
    "aiohttp": (aiohttp.is_supported, "Install aiohttp 3.12.7 or later."),
    "urllib3": (urllib3.is_supported, "Install urllib3 1.26 or 2 (urllib3-future overwrites it)."),
}
"""By the name of a library: what tells whether its version is caught, and what to do where it is not."""


def look(loaded: str = "") -> None:
    """Warn once of each library that is loaded and not intercepted; `loaded` is what was loaded just now."""
    for name, (is_supported, cure) in CURES.items():
        if _is_loaded(name, loaded) and not is_supported(sys.modules[name]):
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
