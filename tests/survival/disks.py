"""Disks that are full, and then are not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.survival.looking import lost, seconds_until_kept
from tests.survival.oracle import Oracle
from tests.survival.toll import Scenario, Toll
from tests.survival.worker import Plan, read, started


def lacks_mounts() -> str | None:
    if os.name == "posix" and os.geteuid() == 0 and _can_mount():
        return None
    return "root, who may mount a small file system"


def _can_mount() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of that size."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(name: str, folder: Path, calls: int) -> Toll:
    """Record more than fits; make room; see that recording goes on, and that what fitted is there."""
    with Oracle() as oracle, small_disk(folder / "disk", "1m") as disk:
        store = disk / name
        with started(Plan(oracle.url, str(store), 0, calls, threads=4)) as process:
            toll, numbers, is_done = read(process.stdout)
        assert is_done
        # What fitted cannot be known from outside: each answer that the store still gives must be right.
        held = [number for number in numbers if not lost(store, oracle.url, [number])]
        assert 0 < len(held) < calls, f"{len(held)} of {calls} fitted"
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        recovery = seconds_until_kept(store, oracle.url, calls)
        return toll._replace(confirmed=len(held), lost=lost(store, oracle.url, held), recovery=recovery)


SCENARIOS = [
    Scenario(
        f"disk full, {what}",
        "Calls go on without being recorded; what was recorded answers; recording goes on when there is room",
        "a file system of 1 MB, and 24 KB an answer",
        lambda folder, calls, name=name: fill(name, folder, calls),  # type: ignore[misc]
        160,
        1000,
        lacks_mounts,
    )
    for what, name in (("SQLite", "cache.db"), ("text store", "cache.jsonl"))
]
