"""Other processes: a local provider to ask, and Python programs whose figures are read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def environment() -> dict[str, str]:
    """Return this one's environment without any setting of askonce; bytecode is kept, as of installed packages."""
    dropped = ("ASKONCE_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


@contextmanager
def provider(*, pace: float = 0.0) -> Iterator[str]:
    """Run the local provider in a process of its own; give its address. `pace` is in seconds between events."""
    command = [sys.executable, "-m", "askonce.testing", "--pace", str(pace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def figures(*arguments: str) -> Any:
    """Run Python with these arguments; return the JSON that its last line is."""
    done = subprocess.run(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment(), check=True
    )
    return json.loads(done.stdout.splitlines()[-1])
