"""Beside askonce under the same library: requests-cache, cachy, cassetter, litellm's caches, LangChain's, DSPy's.

Each library under each cache is a process of its own. A cache above the HTTP client answers before the library
has done its work, and so is quicker where it gives back less: the table says what.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import Plot, Result, Scale, Spread, Table, number
from benchmarks.processes import ROOT, environment

_ON_PURPOSE = re.compile("cookie|organization|ratelimit|retry-after", re.IGNORECASE)
_PATIENCE = 120.0  # seconds for one library under one cache
_HERE = sys.executable
_ENVS = ROOT / ".envs"


class Field(NamedTuple):
    """A library, the Python that it is installed for, and the caches that are made for it."""

    library: str
    python: str
    caches: tuple[str, ...]


FIELDS = (
    Field("requests", _HERE, ("requests-cache",)),
    Field("openai, httpx", _HERE, ("cachy", "cassetter")),
    Field("litellm", str(_ENVS / "openai2/bin/python"), ("memory", "disk")),
    Field("LangChain", str(_ENVS / "openai3/bin/python"), ("SQLite",)),
    Field("DSPy", str(_ENVS / "openai2/bin/python"), ("memory", "disk")),
)


def run(scale: Scale) -> Result:
    """Measure every library under every cache."""
    entries = scale.of(500, 20)
    rows: list[list[str]] = []
    lines: dict[str, list[list[float]]] = {
        "without a cache": [],
        "askonce": [],
        "the library's own, or for it": [],
    }
    marks: list[str] = []
    left_out: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for field in FIELDS:
            ours: Spread | None = None
            for cache in ("none", "askonce", "askonce, text", *field.caches):
                found = _measure(field, cache, entries, Path(folder) / f"{len(rows) + len(left_out)}")
                if isinstance(found, str):
                    left_out.append(f"{field.library} with {cache} ({found})")
                    continue
                hit = Spread.of(found["again"]).times(1e6)
                ours = hit if cache == "askonce" else ours
                rows.append(_row(field.library, cache, found, hit, ours))
                line = "without a cache" if cache == "none" else "askonce" if cache.startswith("askonce") else ""
                points = lines[line or "the library's own, or for it"]
                points.append([float(len(marks)), hit.median, hit.low, hit.high])
                marks.append(field.library if cache == "none" else f"{field.library}: {cache}")
    note = (
        f"{entries} answers in the store, each asked once, then again; CPU time of the calling thread. `lacks`: "
        "what a hit does not give back of the recorded answer, as the library shows it; cookies, rate limits and "
        "the organization, which askonce leaves out on purpose, are not counted."
    )
    if left_out:
        note += f" Left out: {'; '.join(left_out)}."
    table = Table(
        "A hit under other in-process caches, through the same library",
        ["library", "cache", "first hit (µs)", "hit again (µs)", "× askonce", "lacks", "a stream"],
        rows,
        note,
    )
    title = "A call that was made before, by library and cache"
    plot = Plot("rivals", title, "", "µs of CPU", lines, log=True, marks=marks)
    return Result("rivals", str(__doc__).partition("\n")[0], [], [table], [plot])


def _measure(field: Field, cache: str, entries: int, folder: Path) -> dict[str, Any] | str:
    """Return what a process found; a string says why there is nothing."""
    if not Path(field.python).exists():
        return f"no {Path(field.python).parent.parent.name}: `make sdks` makes it"
    command = [field.python, "-m", "benchmarks.rival", field.library, cache, str(entries), str(folder)]
    env = environment() | {"PYTHONPATH": f"{ROOT / 'src'}"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"longer than {_PATIENCE:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no word"])[-1][:120]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found if found["hits"] else "it asked again"


def _row(library: str, cache: str, found: dict[str, Any], hit: Spread, ours: Spread | None) -> list[str]:
    lacks = [path for path in found["lacks"] if not (cache.startswith("askonce") and _ON_PURPOSE.search(path))]
    shown = ", ".join(lacks[:4]) + (f" and {len(lacks) - 4} more" if len(lacks) > 4 else "")
    once = number(Spread.of(found["once"]).median * 1e6)
    if cache == "none":
        return [library, "none: asked", once, number(hit.median), "", "", ""]
    times = "" if ours is None or cache == "askonce" else number(hit.median / ours.median)
    return [library, cache, once, number(hit.median), times or "1.00", shown or "nothing", found["streams"]]
