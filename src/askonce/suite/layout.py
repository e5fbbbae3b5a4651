"""Where the recordings of a test are, and how a test asks for them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from askonce.errors import SettingsError

FOLDER = "recordings"
_OPTIONS = ("cassette", "delays", "domains", "partition", "path", "per", "redact", "repeat")
_ODD = re.compile(r"[^\w.\[\]-]+")
_LONGEST = 80


class Place(NamedTuple):
    """The file that a test's answers are in. `is_usual` when no test said where it is."""

    path: Path
    is_usual: bool


def read_options(marks: Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]], per: str) -> dict[str, Any]:
    """Return what the marks on a test and around it say, the nearest first; `per` is what none of them says.

    Raises:
        SettingsError: when one says what cannot be said.
    """
    options: dict[str, Any] = {}
    for arguments, named in marks:
        if arguments:
            raise SettingsError(f"@pytest.mark.askonce takes names only, not {arguments[0]!r}.")
        for name, value in named.items():
            if name not in _OPTIONS:
                raise SettingsError(
                    f"@pytest.mark.askonce({name}=…): there is no such option. There are {', '.join(_OPTIONS)}."
                )
            options.setdefault(name, value)
    options.setdefault("per", per)
    if options["per"] not in ("module", "test"):
        raise SettingsError(f"per: {options['per']!r} is neither 'module' nor 'test'.")
    return options


def place_of(module: Path, test: str, options: Mapping[str, Any]) -> Place:
    """Return where the recordings of a test are; `test` is its name within its module."""
    if "path" in options:
        return Place(module.parent / str(options["path"]), False)
    folder = module.parent / FOLDER
    if options["per"] == "module":
        return Place(folder / f"{module.stem}.jsonl", True)
    return Place(folder / module.stem / f"{_file_name(test)}.jsonl", True)


def _file_name(test: str) -> str:
    """Return the name of a test as that of a file; one that has to be changed gets a digest, to stay its own."""
    name = _ODD.sub("-", test).strip("-.")[:_LONGEST]
    return name if name == test else f"{name}-{hashlib.sha256(test.encode()).hexdigest()[:6]}"


def usual_files(module: Path) -> list[Path]:
    """Return the recordings of a module that are where recordings usually are."""
    folder = module.parent / FOLDER
    return [*sorted(folder.glob(f"{module.stem}.jsonl")), *sorted((folder / module.stem).glob("*.jsonl"))]


def orphans(module: Path) -> list[Path]:
    """Return the recordings beside those of a module whose own module is no longer there."""
    folder = module.parent / FOLDER
    files = [*folder.glob("*.jsonl"), *folder.glob("*/*.jsonl")]
    return sorted(
        path
        for path in files
        if not (module.parent / f"{path.stem if path.parent == folder else path.parent.name}.py").exists()
    )


def cassette_files(module: Path, test: str, options: Mapping[str, Any]) -> Path | None:
    """Return the cassette of a test: the one it names, or one where vcrpy's plugins for pytest put theirs."""
    if "cassette" in options:
        return module.parent / str(options["cassette"])
    folder = module.parent / "cassettes"
    if not folder.is_dir():
        return None
    names = dict.fromkeys((test.replace("::", "."), test.rpartition("::")[2]))
    for suffix in (".yaml", ".yml"):
        for path in (
            *(folder / module.stem / f"{name}{suffix}" for name in names),
            *(folder / f"{name}{suffix}" for name in names),
            folder / f"{module.stem}{suffix}",
        ):
            if path.is_file():
                return path
    return None
