"""A text store opens 50,000 answers in a second; then a hit is as in SQLite, and adding takes as long as ever."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path

import askonce
from benchmarks import stores
from benchmarks.figures import Check, Plot, Result, Scale, Spread, Table, number, ratios
from benchmarks.race import Timed, cpu, race, wall

OPEN, HIT, APPEND = 1.0, 1.1, 1.2
"""Targets: seconds to open the largest; a hit over SQLite's, adding to the largest over adding to the smallest."""


def run(scale: Scale) -> Result:
    """Race text stores of growing size, and SQLite stores with the same answers; what is added is taken out."""
    made = [stores.make(plain=count, streams=0) for count in scale.of((100, 5_000, 50_000), (50, 500))]
    texts = {one.entries: _text(one) for one in made}
    contestants: dict[str, Timed] = {}
    for one in made:
        keys = stores.keys(
            random.Random(one.entries).sample(range(one.plain), min(one.plain, scale.of(5_000, 50)))
        )
        for name, path in (("text", texts[one.entries]), ("SQLite", one.path)):
            contestants[f"{name} {one.entries} file"] = _look_up(path, keys, memory=0)
            contestants[f"{name} {one.entries} memory"] = _look_up(path, keys[:50], memory=32 << 20)
    found = race(contestants, [range(scale.of(200, 20))] * (scale.of(40, 3) + 1))
    adding = {
        f"{name} {one.entries}": _add(path)
        for one in made
        for name, path in (("text", texts[one.entries]), ("SQLite", one.path))
    }
    found |= race(adding, [range(scale.of(50, 5))] * (scale.of(20, 2) + 1))
    opened = {one.entries: Spread.of([_open(texts[one.entries]) for _ in range(scale.of(10, 2))]) for one in made}

    rows, lines = [], {"askonce, text": [], "SQLite": []}
    for one in made:
        for name in ("text", "SQLite"):
            spreads = [
                Spread.of(found[f"{name} {one.entries} {way}".strip()]).times(1e6)
                for way in ("memory", "file", "")
            ]
            shown = number(opened[one.entries].median * 1e3) if name == "text" else ""
            rows.append([f"{one.entries:,}", name, shown, *(number(spread.median) for spread in spreads)])
            label = "askonce, text" if name == "text" else name
            lines[label].append([one.entries, spreads[1].median, spreads[1].low, spreads[1].high])
    small, large = made[0].entries, made[-1].entries
    checks = [
        Check(f"text store: open {large:,} answers (wall)", opened[large], OPEN, "s"),
        Check(
            "text store: a hit over SQLite's, from memory",
            Spread.of(ratios(found[f"text {large} memory"], found[f"SQLite {large} memory"])),
            HIT,
            "×",
        ),
        Check(
            f"text store: add to {large:,} over {small:,}",
            Spread.of(ratios(found[f"text {large}"], found[f"text {small}"])),
            APPEND,
            "×",
        ),
    ]
    table = Table(
        "The text store beside SQLite: one plain answer of 1.5 KB (µs)",
        ["entries", "store", "open (ms, wall)", "read from memory", "read from the file", "add (wall)"],
        rows,
        "CPU time but where it says wall, medians. Opening reads the beginnings of all lines; SQLite reads none. "
        "An answer from the file is read back from its JSON and its seal checked.",
    )
    plot = Plot("texts", "One look-up in the file", "entries", "µs of CPU", lines, log=True)
    return Result("texts", str(__doc__), checks, [table], [plot])


def _text(made: stores.Made) -> Path:
    """Return a text store with the same answers, from an earlier run if there is one."""
    path = made.path.with_suffix(".jsonl")
    if not path.exists():
        fresh = path.with_name(f"new-{path.name}")
        fresh.unlink(missing_ok=True)
        source, target = askonce.open_storage(made.path), askonce.open_storage(fresh)
        for entry in source.entries():
            target.add(entry.question, entry.takes[0])
        source.close()
        target.close()
        fresh.rename(path)
    stores.warm(path)
    return path


def _open(path: Path) -> float:
    start = time.perf_counter()
    storage = askonce.open_storage(path)
    assert storage.totals().entries
    seconds = time.perf_counter() - start
    storage.close()
    return seconds


def _look_up(path: Path, keys: list[bytes], *, memory: int) -> Timed:
    storage = askonce.open_storage(path, memory=memory)
    draw = random.Random(7)
    for key in keys if memory else ():
        storage.takes(key)

    def look_up(numbers: Sequence[int]) -> None:
        for key in draw.choices(keys, k=len(numbers)):
            assert storage.takes(key), "every key is of an entry"

    return cpu(look_up)


def _add(path: Path) -> Timed:
    storage = askonce.open_storage(path)
    question = next(iter(storage.entries())).question
    take = storage.takes(question.key)[0]

    def timed(numbers: Sequence[int]) -> float:
        fresh = [question._replace(key=random.Random(n).randbytes(32)) for n in numbers]

        def add(_: Sequence[int]) -> None:
            for one in fresh:
                storage.add(one, take)

        seconds = wall(add)(numbers)
        assert storage.remove([one.key for one in fresh]) == len(fresh), "every one was added"
        storage.close()
        return seconds

    return timed
