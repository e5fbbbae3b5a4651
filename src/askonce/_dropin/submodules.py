"""`import askonce.openai.types` and the like: the SDK's own submodules under the drop-in's name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_OURS, _THEIRS = "askonce.openai.", "openai."


class Submodules(MetaPathFinder, Loader):
    """Finds the SDK's submodules; what is imported is the SDK's own module, the very same."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(_OURS):
            return None
        try:
            module = import_module(_THEIRS + name.removeprefix(_OURS))
        except ModuleNotFoundError:
            return None
        return ModuleSpec(name, self, loader_state=(module, module.__spec__))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module: ModuleType = spec.loader_state[0]
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None and spec.loader is self:
            module.__spec__ = spec.loader_state[1]  # which the import has covered with ours


def install() -> None:
    """Have them found; once is enough."""
    if not any(isinstance(finder, Submodules) for finder in sys.meta_path):
        sys.meta_path.append(Submodules())
