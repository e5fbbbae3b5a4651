"""`import askonce` adds at most 20 ms to a program that imports an SDK, and `enable()` at most 20 ms.

Each figure is from fresh processes. The import is measured inside a process that has imported openai, where
nothing else moves; beside it stands the whole program with and without the import, in turns. `enable()` is the
first one of its process, so that what it imports counts, on a store with nothing in it and on a large one.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from benchmarks import stores
from benchmarks.figures import Check, Result, Scale, Spread, Table, number
from benchmarks.hits import MILLION, STREAMS
from benchmarks.processes import figures

TARGET = 20.0

_BARE = """
import json, time
import openai
print(json.dumps({"program": time.process_time()}))
"""
_IMPORT = """
import json, time
import openai
cpu, wall = time.process_time(), time.perf_counter()
import askonce
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print(json.dumps({"import": cpu, "import wall": wall, "program": time.process_time()}))
"""
_ENABLE = """
import json, sys, time
import openai, askonce
cpu, wall = time.process_time(), time.perf_counter()
askonce.enable(sys.argv[1])
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print(json.dumps({"enable": cpu, "enable wall": wall}))
"""


def run(scale: Scale) -> Result:
    """Start processes in turns."""
    big = stores.make(plain=scale.of(MILLION, 5_000) - scale.of(STREAMS, 200), streams=scale.of(STREAMS, 200))
    large = f"{big.entries:,} entries"
    found: dict[str, list[dict[str, float]]] = {"bare": [], "import": [], "no store yet": [], large: []}
    names = list(found)
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        programs = {
            "bare": [_BARE],
            "import": [_IMPORT],
            "no store yet": [_ENABLE, str(Path(folder) / "new" / "cache.db")],
            large: [_ENABLE, str(big.path)],
        }
        for turn in range(scale.of(15, 2) + 1):
            draw.shuffle(names)
            for name in names:
                figure = figures("-c", *programs[name])
                if turn:  # the first ones compile what they import
                    found[name].append(figure)

    def spread(name: str, what: str) -> Spread:
        return Spread.of([figure[what] * 1e3 for figure in found[name]])

    checks = [
        Check("import askonce, after openai (CPU)", spread("import", "import"), TARGET, "ms"),
        Check("enable(), no store yet (wall)", spread("no store yet", "enable wall"), TARGET, "ms"),
        Check(f"enable(), {large} (wall)", spread(large, "enable wall"), TARGET, "ms"),
    ]
    rows = [
        ["import askonce", spread("import", "import").show(), spread("import", "import wall").show()],
        ["enable(), no store yet", *(spread("no store yet", what).show() for what in ("enable", "enable wall"))],
        [f"enable(), {large}", *(spread(large, what).show() for what in ("enable", "enable wall"))],
    ]
    bare, ours = spread("bare", "program"), spread("import", "program")
    note = (
        f"The whole program, `import openai` alone: {number(bare.median)} ms of CPU; with `import askonce`: "
        f"{number(ours.median)} ms."
    )
    table = Table("Starting, in a program that imports openai", ["", "CPU (ms)", "wall (ms)"], rows, note)
    return Result("start", str(__doc__).partition("\n")[0], checks, [table])
