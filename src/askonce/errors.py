"""The errors of askonce, by whose fault they are.

AskonceError
├── SettingsError        an argument or an ASKONCE_… variable is not what it may be (also a ValueError)
├── ControlError         one request's own control (header or body field) is malformed (also a ValueError)
├── StorageError         the store could not be opened, read or written
│   ├── NewerStoreError      it was made by a newer askonce
│   └── DamagedStoreError    its content is not what was written
├── FileFormatError      a file to import, or to export to, is not what it has to be (also a ValueError)
├── FetchError           a bundle could not be fetched, or is not the one that was meant
├── UnfitError           what was to be handed out holds what is not for others to see
└── UpstreamEnded        the answer this call was sharing broke off before its end

AskonceWarning is the category of every warning askonce gives.
"""

from __future__ import annotations


class AskonceError(Exception):
    """Base of everything that askonce raises itself."""


class SettingsError(AskonceError, ValueError):
    """Say which setting is wrong, what it was, and what it may be."""


class ControlError(AskonceError, ValueError):
    """Say which control of a request is malformed, what it was, and what it may be."""


class StorageError(AskonceError):
    """Say what the store could not do, why, and what to do about it."""


class NewerStoreError(StorageError):
    """Refuse a store whose layout is newer than this askonce understands."""


class DamagedStoreError(StorageError):
    """Refuse content that is not what was written."""


class FileFormatError(AskonceError, ValueError):
    """Say which file is not what it has to be, where in it, and what to do about it."""


class FetchError(AskonceError):
    """Say what came instead of the bundle, and from where."""


class UnfitError(AskonceError):
    """Say which entries hold what must not be handed out."""


class UpstreamEnded(AskonceError, ConnectionError):
    """Tell a call that shared another call's answer that the answer broke off."""


class AskonceWarning(UserWarning):
    """Category of the warnings that askonce gives, each cause once a process."""
