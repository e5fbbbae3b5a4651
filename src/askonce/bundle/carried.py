"""What a module made by `askonce pack` becomes when it is imported: the drop-in, with one more bundle."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from askonce._dropin import state
from askonce.bundle import discovery
from askonce.storage.blocks import Base64Source
from askonce.storage.bundle import BundleStorage


def open_carried(name: str, file: str, start: int, end: int) -> ModuleType:
    """Let the bundle between two places of a file answer, and return the module that stands for the file."""
    path = Path(file).resolve()
    bundle = BundleStorage(path, source=Base64Source(path, start, end))
    _ = bundle.manifest  # a damaged one is told of now
    module = import_module("askonce.openai")
    discovery.carry(bundle)
    state.reopen()
    return module
