"""Run a piece of a program in a process of its own, where nothing has been imported yet."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(program: str, *arguments: Any, path: Path | None = None, check: bool = True) -> str:
    """Return what a program prints; `path` goes before all others on its import path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASKONCE_")}
    environment["PYTHONPATH"] = os.pathsep.join(
        map(str, [*([path] if path else []), ROOT, os.environ.get("PYTHONPATH", "")])
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + (done.stderr if not check else "")
