"""How a module made by `askonce pack` comes to life. Each begins with this: nothing of askonce is there yet."""

from __future__ import annotations

import base64
import io
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def load(name: str, file: str, version: str) -> ModuleType:
    """Make askonce importable, hand it the bundle in this file, and return the module that stands for it."""
    with open(file, "rb") as text:  # noqa: PTH123 (a short way to few imports)
        text.seek(-200, 2)
        found = re.search(rb"# askonce-data code=(\d+)\+(\d+) bundle=(\d+)\+(\d+)\n\Z", text.read())
        if found is None:
            raise ImportError(
                f"{file} is cut or was edited: its last line is gone, which tells where its data is."
            )
        place, size, start, length = map(int, found.groups())
        text.seek(place)
        code = text.read(size)
    if "askonce" not in sys.modules:
        installed = find_spec("askonce")
        if installed is None or _is_older(installed, version):
            sys.meta_path.insert(0, Carried(_unpacked(code, file), file))
    try:
        carried: Any = import_module("askonce.bundle.carried")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "askonce":
            raise
        there = getattr(sys.modules.get("askonce"), "__version__", "another")
        raise ImportError(
            f"{file} needs askonce {version}, and {there} is in use. Update it: pip install --upgrade askonce"
        ) from error
    module: ModuleType = carried.open_carried(name, file, start, start + length)
    return module


def _is_older(installed: ModuleSpec, version: str) -> bool:
    try:
        with open(installed.origin or "", encoding="utf-8") as source:  # noqa: PTH123
            there = re.search(r'^__version__ = "([\d.]+)', source.read(), re.MULTILINE)
    except OSError:
        return False
    return there is not None and _numbers(there[1]) < _numbers(version)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _unpacked(code: bytes, file: str) -> dict[str, bytes]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(code, validate=True)))
        return {name: archive.read(name) for name in archive.namelist()}
    except (ValueError, zipfile.BadZipFile) as error:
        raise ImportError(f"{file} is damaged: its code cannot be read ({error}). Get it again.") from None


class Carried(MetaPathFinder, Loader):
    """Finds and loads the modules whose sources are in a file."""

    def __init__(self, sources: Mapping[str, bytes], file: str) -> None:
        self._sources = sources
        self._file = file

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for place in self._places(name):
            if place in self._sources:
                is_package = place.endswith("/__init__.py")
                spec = ModuleSpec(name, self, origin=f"{self._file}/{place}", is_package=is_package)
                spec.has_location = True
                return spec
        return None

    def exec_module(self, module: ModuleType) -> None:
        source = self.get_source(module.__name__)
        assert module.__spec__ is not None
        code = compile(source, module.__spec__.origin or "", "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 (as any loader does)

    def get_source(self, name: str) -> str:
        """Return a module's source, for tracebacks too."""
        return next(self._sources[place] for place in self._places(name) if place in self._sources).decode()

    def _places(self, name: str) -> tuple[str, str]:
        stem = name.replace(".", "/")
        return f"{stem}/__init__.py", f"{stem}.py"
