"""`askonce copy` of a store takes as long an entry at a million entries as at a few; every answer is verified."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import askonce
from askonce.exchange.copying import copy
from benchmarks import stores
from benchmarks.figures import Check, Plot, Result, Scale, Spread, Table, number

LINEAR = 1.5


def run(scale: Scale) -> Result:
    """Copy three stores, then each once more, when all is there already."""
    rows: list[list[str]] = []
    line: list[list[float]] = []
    for entries in scale.of((10_000, 100_000, 1_000_000), (100, 1_000)):
        first, again = _copy(stores.make(plain=entries, streams=0))
        each = [1e6 * seconds / entries for seconds in (first, again)]
        rows.append([f"{entries:,}", number(first), *map(number, each)])
        line.append([entries, each[0], each[0], each[0]])
    grown = Spread.of([line[-1][1] / line[0][1]])
    checks = [Check("Copying: time for an entry, in the largest store to that in the smallest", grown, LINEAR)]
    table = Table(
        "Copying from SQLite to SQLite: plain answers of 1.5 KB",
        ["entries", "CPU (s)", "an entry (µs)", "an entry that is there (µs)"],
        rows,
        "CPU time of the process, verification included.",
    )
    plot = Plot("copying", "Copying an entry", "entries", "µs of CPU", {"askonce": line}, log=True)
    return Result("copying", str(__doc__), checks, [table], [plot])


def _copy(made: stores.Made) -> tuple[float, float]:
    folder = Path(tempfile.mkdtemp(dir=stores.WORK))
    spent = []
    try:
        for _ in range(2):
            source, target = askonce.open_storage(made.path), askonce.open_storage(folder / "copy.db")
            start = time.process_time()
            copied = copy(source, target)
            spent.append(time.process_time() - start)
            assert made.entries == copied.verified == target.totals().entries, "every answer has arrived"
            source.close()
            target.close()
    finally:
        shutil.rmtree(folder)
    return spent[0], spent[1]
