"""A classroom: virtual environments that are fresh, folders that are empty, and what a lesson does in them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

ROOT = Path(__file__).parents[2]
LESSON = ROOT / "examples" / "classroom"


class Output(NamedTuple):
    """What a lesson says and leaves: as a script, as a notebook, and in files."""

    script: str
    notebook: str
    files: dict[str, bytes]


class Environment:
    """A fresh virtual environment with these distributions and what they need, and with nothing else.

    They are linked from where the tests run, so that no index is asked.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        venv.create(folder, with_pip=False)
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        (site,) = (folder / "lib").glob("python*/site-packages")
        for name in sorted(set().union(*map(_needed, names))):
            for part in {file.parts[0] for file in distribution(name).files or () if ".." not in file.parts}:
                source = Path(str(distribution(name).locate_file(part)))
                if source.exists() and not (site / part).exists():
                    (site / part).symlink_to(source)

    def run(self, command: str, *arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs in a folder, without a key and without settings."""
        return subprocess.run(
            [self.bin / command, *arguments],
            cwd=folder,
            env=_clean() | environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def install(self, *arguments: str) -> None:
        """Install wheels, with nothing but what is at hand."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install", "-q", "--no-index"]
        subprocess.run([*pip, *arguments], check=True, capture_output=True)

    def lesson(self, folder: Path, openai: str = "askonce.openai", **environ: str) -> Output:
        """Do the lesson as a script and as a notebook, and return what comes of it."""
        text = (LESSON / "lesson.py").read_text(encoding="utf-8")
        (folder / "lesson.py").write_text(text.replace("askonce.openai", openai), encoding="utf-8")
        done = self.run("python", "lesson.py", folder=folder, **environ)
        assert 0 == done.returncode, done.stderr
        return Output(done.stdout, self._notebook(folder, openai, environ), files(folder))

    def _notebook(self, folder: Path, openai: str, environ: dict[str, str]) -> str:
        text = (LESSON / "lesson.ipynb").read_text(encoding="utf-8")
        (folder / "lesson.ipynb").write_text(text.replace("askonce.openai", openai), encoding="utf-8")
        program = [sys.executable, Path(__file__).with_name("notebook.py"), "lesson.ipynb", self.bin / "python"]
        done = subprocess.run(
            program, cwd=folder, env=_clean() | environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert 0 == done.returncode, done.stderr
        return done.stdout


def files(folder: Path) -> dict[str, bytes]:
    """Return what a lesson has left in a folder: its pictures and sounds."""
    return {path.name: path.read_bytes() for kind in ("images/*", "*.mp3") for path in folder.glob(kind)}


def code_of(notebook: Path) -> str:
    """Return the code of a notebook, with its texts as comments."""
    cells: list[Any] = nbformat.read(notebook, as_version=4).cells
    return "\n\n".join(c.source if c.cell_type == "code" else f"# {c.source}" for c in cells)


def _clean() -> dict[str, str]:
    own = ("ASKONCE_", "OPENAI_", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


@cache
def _needed(name: str) -> frozenset[str]:
    """Return a distribution's name and those of all that it needs."""
    found, open_ = set[str](), {name}
    while open_:
        one = open_.pop()
        try:
            requires = distribution(one).requires or []
        except PackageNotFoundError:
            continue  # for another system, or another Python
        found.add(one)
        names = (re.split(r"[^\w.-]", line)[0] for line in requires if "extra ==" not in line)
        open_.update({needed.lower() for needed in names} - found)
    return frozenset(found)
