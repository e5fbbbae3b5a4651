"""What a run of tests has used of its recordings, gathered from all workers, and what is left over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from askonce._core.transcript import asked, gist
from askonce.errors import AskonceError
from askonce.storage.jsonl import JSONLStorage, Name
from askonce.suite.layout import orphans, usual_files

_LISTED = 10
_WIDTH = 70


class Use(NamedTuple):
    """What one test has used. `total` is how many tests of its `module` are to run; not all if it is `partial`."""

    module: str
    file: str
    is_usual: bool
    total: int
    is_partial: bool
    used: list[tuple[str, str | None, int]]
    recorded: int


class _Module:
    """What is known of a module's tests."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.is_partial = False
        self.total = 0
        self.used: dict[Path, set[Name]] = {}
        self.recorded: dict[Path, int] = {}

    @property
    def is_complete(self) -> bool:
        """Whether all its tests have run and passed: only then is it known what no test uses."""
        return not self.is_partial and len(self.passed) == self.total


class Ledger:
    """Gathers reports; at the end removes what is left over, if that is wanted, and says what there was to say."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[Path, _Module] = {}

    def add(self, test: str, phase: str, outcome: str, value: dict[str, Any]) -> None:
        """Note the end of a phase of a test."""
        use = Use(**value)
        module = self._modules.setdefault(Path(use.module), _Module())
        module.total = use.total
        module.is_partial = (
            module.is_partial or use.is_partial or not use.is_usual or outcome in ("failed", "skipped")
        )
        if phase == "teardown":
            module.passed.add(test)
            file = Path(use.file)
            names = {(bytes.fromhex(key), seed, slot) for key, seed, slot in use.used}
            module.used[file] = module.used.get(file, set()) | names
            module.recorded[file] = module.recorded.get(file, 0) + use.recorded

    def finish(self, *, prune: bool) -> list[str]:
        """Sort what was recorded, find what is left over, and return what to tell."""
        lines = []
        for path, count in self._recorded().items():
            storage = JSONLStorage(path, timeless=True)
            storage.tidy()
            storage.close()
            lines.append(f"recorded {_answers(count)} in {self._shown(path)}")
        left: dict[Path, list[Name]] = {}
        for module, state in self._modules.items():
            if state.is_complete:
                left.update(self._left_over(module, state))
                left.update((path, names) for path in orphans(module) if (names := _names(path)))
        for path, names in left.items():
            lines += self._remove(path, names) if prune else self._list(path, names)
        if left and not prune:
            lines.append("Remove what no test uses with --askonce-prune.")
        return lines

    def _recorded(self) -> dict[Path, int]:
        return {
            path: count for state in self._modules.values() for path, count in state.recorded.items() if count > 0
        }

    def _left_over(self, module: Path, state: _Module) -> Iterator[tuple[Path, list[Name]]]:
        for path in usual_files(module):
            names = [name for name in _names(path) if name not in state.used.get(path, ())]
            if names:
                yield path, names

    def _list(self, path: Path, names: list[Name]) -> Iterator[str]:
        verb = "was" if len(names) == 1 else "were"
        yield f"{_answers(len(names))} in {self._shown(path)} {verb} used by no test:"
        storage = JSONLStorage(path, timeless=True)
        keys = dict.fromkeys(key for key, _, _ in names)
        questions = {
            entry.question.key: entry.question for entry in storage.entries() if entry.question.key in keys
        }
        for key in list(keys)[:_LISTED]:
            if key in questions:
                said = gist(asked(questions[key]))
                said = said if len(said) <= _WIDTH else f"{said[:_WIDTH]}…"
                yield f"  {key.hex()[:12]}  {questions[key].model}  {json.dumps(said, ensure_ascii=False)}"
        if len(keys) > _LISTED:
            yield f"  and {len(keys) - _LISTED} more"
        storage.close()

    def _remove(self, path: Path, names: list[Name]) -> Iterator[str]:
        storage = JSONLStorage(path, timeless=True)
        try:
            storage.discard(names)
            is_empty = not storage.totals().takes
            storage.tidy()
            storage.close()
            if is_empty and not path.stat().st_size:
                path.unlink()
                with suppress(OSError):
                    path.parent.rmdir()  # fails, as it should, where something is left
        except (AskonceError, OSError) as error:
            yield f"{self._shown(path)} could not be pruned: {error}"
        else:
            yield f"removed {_answers(len(names))} from {self._shown(path)}"

    def _shown(self, path: Path) -> str:
        with suppress(ValueError):
            return str(path.relative_to(self._root))
        return str(path)


def _answers(count: int) -> str:
    return f"{count:,} answer" + ("" if count == 1 else "s")


def _names(path: Path) -> list[Name]:
    """Return the takes in a text store."""
    storage = JSONLStorage(path, timeless=True)
    try:
        return storage.names()
    except AskonceError:
        return []
    finally:
        storage.close()
