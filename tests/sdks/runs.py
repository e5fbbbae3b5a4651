"""The catalogue run in processes of their own: without us, recording, and replayed with the provider stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from askonce.testing import LocalProvider, Received

ROOT = Path(__file__).parents[2]
LEGACY = ROOT / ".legacy" / "openai2"
SDKS = ("openai", "azure", "anthropic", "gemini", "mistral", "cohere", "groq", "ollama")
Results = dict[str, Any]


def catalogue(url: str, *arguments: str, path: Path | None = None) -> Results:
    """Make the calls in a process of their own; return what each returned."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASKONCE_")}
    environment["PYTHONPATH"] = os.pathsep.join(
        map(str, [*([path] if path else []), ROOT, os.environ.get("PYTHONPATH", "")])
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.sdks.run", url, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=300,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    results: Results = json.loads(done.stdout)
    return results


@dataclass(frozen=True, slots=True)
class Runs:
    """What the catalogue returned: without us, recording, and replayed offline with the provider stopped."""

    bare: Results
    recorded: Results
    replayed: Results
    received: tuple[Received, ...]
    version: str
    store: Path


def make_runs(generation: str, folder: Path) -> Runs:
    """Make the three runs of a generation of SDKs, the current ones or openai 2.x, with a store in this folder."""
    path, only = None, [word for sdk in SDKS for word in ("--only", sdk)]
    if generation == "openai2":
        if not (LEGACY / "openai").is_dir():
            pytest.skip(f"{LEGACY} is missing: `make test` makes it")
        path, only = LEGACY, ["--only", "openai", "--only", "azure"]
    program = "import openai; print(openai.__version__, openai.DefaultHttpxClient.__mro__[1].__module__)"
    version = subprocess.check_output(
        [sys.executable, "-c", program], text=True, env={**os.environ, "PYTHONPATH": str(path or "")}
    )
    store = folder / f"{generation}.db"
    with LocalProvider() as provider:
        bare = catalogue(provider.url, *only, path=path)
        provider.clear()
        recorded = catalogue(provider.url, *only, "--enable", str(store), "record", path=path)
        received = tuple(provider.received)
    replayed = catalogue(provider.url, *only, "--enable", str(store), "offline", path=path)
    return Runs(bare, recorded, replayed, received, version, store)
