"""What `import askonce` does to a program: almost nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import askonce


def modules_after(*statements: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after these statements, and had not before."""
    program = f"import json, sys; before = set(sys.modules); {'; '.join(statements)}; "
    program += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, check=True, text=True
    )
    return set(json.loads(done.stdout))


def foreign(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"askonce"}


@pytest.mark.parametrize(
    "statements",
    [
        ("import askonce",),
        ("import askonce", "askonce.enable('memory:')", "askonce.disable()"),
        ("import askonce.testing",),
    ],
    ids=len,
)
def test_nothing_foreign_is_imported(statements: tuple[str, ...]) -> None:
    """Nothing but the standard library and askonce itself is imported: no HTTP library, no command line's."""
    assert set() == foreign(modules_after(*statements))


def test_import_is_lean() -> None:
    """What a program does not need is not loaded: transcripts, the command line, the local provider."""
    loaded = {name for name in modules_after("import askonce") if name.startswith("askonce.")}
    assert set() == {name for name in loaded if name.startswith(("askonce.cli", "askonce.testing"))}
    assert "askonce._core.transcript" not in loaded
    assert set() == {name for name in loaded if name.startswith(("askonce._core.cachy", "askonce.exchange"))}
    seldom = ("askonce.bundle", "askonce.storage.sqlite", "askonce.storage.layers", "askonce.storage.misses")
    assert set() == {name for name in loaded if name.startswith(seldom)}


def test_all_is_sorted() -> None:
    """`__all__` is in order, and each name in it is there."""
    assert sorted(askonce.__all__) == askonce.__all__
    assert [] == [name for name in askonce.__all__ if not hasattr(askonce, name)]


def test_all_is_complete() -> None:
    """What `__init__` exports on purpose (`import x as x`) is in `__all__`, and nothing else is."""
    text = (Path(askonce.__file__)).read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines()]
    exported = {line.rpartition(" as ")[2] for line in lines if line.startswith("from askonce") and " as " in line}
    assert exported == set(askonce.__all__)


def test_typed() -> None:
    """The package tells type checkers that it has types."""
    assert Path(askonce.__file__).with_name("py.typed").exists()
