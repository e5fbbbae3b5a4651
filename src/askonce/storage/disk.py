"""What every store on a disk has to do with it: a folder of its own, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path

from askonce.errors import StorageError


def make_folder(folder: Path) -> None:
    """Make the folder of a store; the project's own keeps itself out of git.

    Raises:
        StorageError: when that cannot be done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.name == ".askonce":
            (folder / ".gitignore").write_text("*\n", encoding="ascii")
    except OSError as error:
        raise StorageError(
            f"the folder {folder} cannot be made ({error.strerror or error}). "
            "Name another place with store= or ASKONCE_STORE."
        ) from error


def explain(error: OSError, path: Path) -> StorageError:
    """Return the system's error as one that says what to do."""
    return StorageError(
        f"{path} could not be read or written ({error.strerror or error}). Check its disk and permissions, or "
        "name another file with store= or ASKONCE_STORE."
    )
