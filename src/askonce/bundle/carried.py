"""What a module made by `askonce pack` becomes when it is imported."""

from __future__ import annotations

from pathlib import Path

from askonce.storage.blocks import Base64Source
from askonce.storage.bundle import BundleStorage


def carried_bundle(file: str, start: int, end: int) -> BundleStorage:
    """Return the bundle that is in a Python file, between two places."""
    path = Path(file)
    bundle = BundleStorage(path, source=Base64Source(path, start, end))
    _ = bundle.manifest  # a damaged one is told of now
    return bundle
