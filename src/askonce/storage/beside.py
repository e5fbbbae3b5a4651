"""Large binary content of a text store: files in a folder beside it, named after what is in them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from askonce.errors import DamagedStoreError
from askonce.storage.disk import explain

_EXTENSIONS = {
    "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif", "audio/mpeg": "mp3",
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/ogg": "ogg", "audio/flac": "flac", "audio/aac": "aac",
    "video/mp4": "mp4", "application/pdf": "pdf",
}  # fmt: skip
_NAME = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{1,8}")
_NAMED = re.compile(rb'"file":"([0-9a-f]{64}\.[a-z0-9]{1,8})"')


def name_of(content: bytes, media_type: str) -> str:
    """Return the name of the file with this content."""
    return f"{hashlib.sha256(content).hexdigest()}.{_EXTENSIONS.get(media_type, 'bin')}"


class Beside:
    """The files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            DamagedStoreError: when there is none, or `name` would lead elsewhere.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DamagedStoreError(f"{name!r} is no name of a file beside a store")
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise DamagedStoreError(
                f"{self.folder / name}, which belongs to it, cannot be read ({error.strerror or error})"
            ) from error

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Write files, each whole or not at all; raises StorageError when that cannot be done."""
        for name, content in files.items():
            path = self.folder / name
            try:
                if path.exists() and path.stat().st_size == len(content):
                    continue
                self.folder.mkdir(exist_ok=True)
                fresh = path.with_name(f".{name}.{os.getpid()}.new")
                fresh.write_bytes(content)
                fresh.replace(path)
            except OSError as error:
                raise explain(error, path) from error

    def sweep(self, lines: Iterable[bytes]) -> None:
        """Remove the files that no line names; on a disk that cannot be changed they stay."""
        if not self.folder.is_dir():
            return
        named = {name.decode() for line in lines for name in _NAMED.findall(line)}
        with suppress(OSError):
            for path in self.folder.iterdir():
                if path.name not in named and _NAME.fullmatch(path.name):
                    path.unlink()
            self.folder.rmdir()  # fails, as it should, where one is left
