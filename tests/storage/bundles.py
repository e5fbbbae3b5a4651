"""Bundles without meaning, cheap to make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from askonce._core.entry import Entry
from askonce.bundle.writer import Writer
from askonce.storage.bundle import BundleStorage, Manifest
from askonce.storage.protocol import sum_by_model


def bundle(
    path: Path, entries: Sequence[Entry], *, final: bool = False, half: bool = False, **told: Any
) -> BundleStorage:
    """Write entries, the latest first, to a bundle and open it."""
    models = sum_by_model(entries)
    with path.open("wb") as file:
        writer = Writer(file, final=final, half=half)
        for entry in entries:
            writer.write(entry)
        takes = sum(row.takes for row in models)
        manifest = Manifest(
            1.0,
            "tests",
            len(entries),
            takes,
            sum(row.size for row in models),
            models=[row._asdict() for row in models],
        )
        writer.finish(manifest._replace(final=final, half=half, **told))
    return BundleStorage(path)
