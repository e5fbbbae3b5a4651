"""The table's cells: an SDK's sync or async calls, recorded in one process and replayed offline in another."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from askonce.testing import LocalProvider

from .rows import PLACES, ROWS, Place, Row

ROOT = Path(__file__).parents[2]


class Cell(NamedTuple):
    """One half of an SDK, `sync` or `async`, and its calls: what each was when recorded and when replayed."""

    row: Row
    mode: str
    recorded: dict[str, Any]
    replayed: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.row}-{self.mode}"

    @property
    def transport(self) -> str:
        """What the calls rode on."""
        return ", ".join(sorted({name for one in self.recorded.values() for name in one["ridden"]}))

    @property
    def streams(self) -> bool:
        """Whether a stream is among the calls."""
        return any("stream" in name.split(".") for name in self.recorded)

    @property
    def faults(self) -> list[str]:
        """Say of each call why it was not caught, if it was not."""
        found = ((name, self._fault(one, self.replayed[name])) for name, one in self.recorded.items())
        return [f"{name}: {fault}" for name, fault in found if fault]

    def _fault(self, recorded: dict[str, Any], replayed: dict[str, Any]) -> str:
        for when, one in (("recording", recorded), ("replaying", replayed)):
            if "result" not in one:
                return f"failed {when}: {one['error']}"
        asked, answered = recorded["stats"], replayed["stats"]
        if asked["misses"] < 1 or asked["hits"]:
            return f"was not asked of the provider through the cache: {asked}"
        missed = answered["misses"] + answered["refused"] + answered["bypassed"]
        if missed or answered["hits"] < 1:
            return f"was not answered from the store alone: {answered}"
        if _told_to_all(recorded["result"]) != replayed["result"]:
            return f"differs: {recorded['result']} and, replayed, {replayed['result']}"
        return ""


def _told_to_all(result: Any) -> Any:
    """Drop rate limits: they are told to whoever asked, and are not kept."""
    if isinstance(result, dict):
        return {name: _told_to_all(one) for name, one in result.items() if "ratelimit" not in name}
    return [_told_to_all(one) for one in result] if isinstance(result, list) else result


def missing() -> list[str]:
    """Return the environments that are not there."""
    return sorted({place.environment for place in PLACES if not place.is_made})


def measure(folder: Path) -> list[Cell]:
    """Record and replay all cells, with stores and results below a folder."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        found = dict(
            zip(PLACES, pool.map(lambda place: _measure(place, folder / str(place)), PLACES), strict=True)
        )
    cells = []
    for row in ROWS:
        recorded, replayed = found[row.place]
        for mode in ("sync", "async"):
            names = [name for name in recorded if name.startswith(f"{row.sdk}.") and name.endswith(f".{mode}")]
            if names:
                cells.append(Cell(row, mode, {n: recorded[n] for n in names}, {n: replayed[n] for n in names}))
    return cells


def _measure(place: Place, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    folder.mkdir(parents=True)
    with LocalProvider() as provider:
        recorded = _ride(place, provider.url, folder, "record")
    return recorded, _ride(place, provider.url, folder, "offline")


def _ride(place: Place, url: str, folder: Path, mode: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASKONCE_")}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "HOME": str(folder)}
    sdks = [row.sdk for row in ROWS if row.place == place]
    without = [word for name in place.without for word in ("--without", name)]
    done = subprocess.run(
        [place.python, "-m", "tests.sdks.ride", url, folder, mode, *sdks, *without],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=300,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    results: dict[str, Any] = json.loads((folder / f"{mode}.json").read_text(encoding="utf-8"))
    return results
