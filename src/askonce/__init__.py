"""The cache for LLM API calls: ask once, and ever after the answer comes from a store.

    import askonce
    askonce.enable()

From then on every SDK in the process is cached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from askonce._core.controls import Mode as Mode
from askonce._core.domains import Domain as Domain
from askonce._core.entry import Entry as Entry
from askonce._core.entry import Question as Question
from askonce._core.entry import Take as Take
from askonce._core.noise import NOTEBOOK_NOISE as NOTEBOOK_NOISE
from askonce._core.noise import Rule as Rule
from askonce._core.rotation import Repeat as Repeat
from askonce._engine.cache import Cache as Cache
from askonce._engine.meter import Stats as Stats
from askonce.errors import AskonceError as AskonceError
from askonce.errors import AskonceWarning as AskonceWarning
from askonce.errors import ControlError as ControlError
from askonce.errors import DamagedStoreError as DamagedStoreError
from askonce.errors import FetchError as FetchError
from askonce.errors import FileFormatError as FileFormatError
from askonce.errors import NewerStoreError as NewerStoreError
from askonce.errors import SettingsError as SettingsError
from askonce.errors import StorageError as StorageError
from askonce.errors import UnfitError as UnfitError
from askonce.session import bypass as bypass
from askonce.session import caching as caching
from askonce.session import disable as disable
from askonce.session import enable as enable
from askonce.session import options as options
from askonce.session import stats as stats
from askonce.session import transport as transport
from askonce.storage import Filter as Filter
from askonce.storage import Storage as Storage
from askonce.storage import Totals as Totals
from askonce.storage import open_storage as open_storage

__all__ = [  # noqa: RUF022 -- as `sorted` has it
    "AskonceError",
    "AskonceWarning",
    "Cache",
    "ControlError",
    "DamagedStoreError",
    "Domain",
    "Entry",
    "FetchError",
    "FileFormatError",
    "Filter",
    "Mode",
    "NOTEBOOK_NOISE",
    "NewerStoreError",
    "Packed",
    "Question",
    "Repeat",
    "Rule",
    "SettingsError",
    "Stats",
    "Storage",
    "StorageError",
    "Take",
    "Totals",
    "UnfitError",
    "bypass",
    "caching",
    "disable",
    "enable",
    "materialize",
    "open_storage",
    "options",
    "stats",
    "transport",
]
__version__ = "0.1.0"


if TYPE_CHECKING:
    from askonce.bundle import Packed as Packed
    from askonce.bundle import materialize as materialize


def __getattr__(name: str) -> Any:
    """Load what is seldom needed when it is."""
    if name in ("Packed", "materialize"):
        from askonce import bundle

        return getattr(bundle, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """Do what `%load_ext askonce` does in a notebook."""
    from askonce import notebook

    notebook.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Do what `%unload_ext askonce` does."""
    from askonce import notebook

    notebook.unload(shell)
