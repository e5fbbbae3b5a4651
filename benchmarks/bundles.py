"""A bundle costs a program at most 1.2 times the import of openai, first hit included, and at most 20 MB.

A store is packed, and a program in the folder of the bundle imports the drop-in and asks one recorded question;
beside it stand one that imports openai and does nothing, and one that asks it over a transport in memory: what
the SDK itself loads with its first call is in both. Each figure is from fresh processes, in turns.
"""

from __future__ import annotations

import random
import shutil
import time

import askonce
from benchmarks import processes, stores
from benchmarks.figures import Check, Result, Scale, Spread, Table, number
from benchmarks.hits import MILLION

TIMES, MEGABYTES = 1.2, 20.0
_MANY = 50_000
_END = """
with open("/proc/self/status") as status:  # what `resource` tells is also of the process that began this one
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time(), "peak": peak / 1024}))
"""
_BARE = f"""
import json, time
start = time.perf_counter()
import openai
{_END}
"""
_FIRST = f"""
import json, sys, time
start = time.perf_counter()
import openai, httpx2
sys.path.insert(0, sys.argv[2])
from benchmarks import calls
body = b"".join(calls.answer(0, stream=False)[1])
reply = lambda request: httpx2.Response(200, headers={{"content-type": "application/json"}}, content=body)
client = openai.OpenAI(api_key="sk-x", http_client=httpx2.Client(transport=httpx2.MockTransport(reply)))
calls.ask(client, int(sys.argv[3]), stream=False)
{_END}
"""
_HIT = f"""
import json, os, sys, time
os.chdir(sys.argv[1])
sys.path.insert(0, os.getcwd())
start = time.perf_counter()
import MODULE as openai
client = openai.OpenAI()
sys.path.insert(0, sys.argv[2])
from benchmarks import calls
calls.ask(client, int(sys.argv[3]), stream=False)
assert openai.stats().hits == 1, openai.stats()
{_END}
"""


def run(scale: Scale) -> Result:
    """Pack stores of two sizes, and start programs in turns."""
    many, million = scale.of(_MANY, 500), scale.of(MILLION, 2_000)
    draw = random.Random(1)
    programs: dict[str, list[str]] = {"import openai": [_BARE], "openai, first call": [_FIRST, ""]}
    packing = []
    for count in (many // 4, many // 2, many, million):
        store = stores.make(plain=count, streams=0)
        folder = stores.WORK / f"bundle-{count}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        begun = time.process_time()
        made = askonce.materialize(folder / "lesson.askonce", store.path)
        seconds = time.process_time() - begun
        size = made.paths[0].stat().st_size
        packing.append(
            [
                f"{count:,}",
                f"{count / seconds:,.0f}",
                f"{size / 1e6:,.1f}",
                f"{store.path.stat().st_size / 1e6:,.1f}",
            ]
        )
        if count < many:
            continue
        programs[f"file of {count:,}"] = [_HIT.replace("MODULE", "askonce.openai"), str(folder)]
        if count == many:
            module = stores.WORK / f"module-{count}"
            shutil.rmtree(module, ignore_errors=True)
            module.mkdir()
            askonce.materialize(module / "lesson.py", store.path)
            programs[f"module of {count:,}"] = [_HIT.replace("MODULE", "lesson"), str(module)]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    names = list(found)
    for turn in range(scale.of(15, 2) + 1):
        draw.shuffle(names)
        for name in names:
            program, *folders = programs[name]
            more = [*folders, str(processes.ROOT), str(draw.randrange(many))] if folders else []
            figure = processes.figures("-c", program, *more)
            if turn:  # the first ones compile what they import
                found[name].append(figure)
    return _result(found, packing)


def _result(found: dict[str, list[dict[str, float]]], packing: list[list[str]]) -> Result:
    def spread(name: str, what: str) -> Spread:
        return Spread.of([figure[what] for figure in found[name]])

    bare = "import openai"
    base, floor = spread(bare, "cpu").median, spread(bare, "peak").median
    checks, rows = [], []
    for name, figures in found.items():
        times = Spread.of([figure["cpu"] / base for figure in figures])
        more = Spread.of([figure["peak"] - floor for figure in figures])
        rows.append([name, times.show(), number(spread(name, "seconds").median * 1e3), more.show()])
        if name.startswith("file"):
            checks.append(
                Check(f"{name}: import and first hit, against importing openai (CPU)", times, TIMES, "times")
            )
            checks.append(Check(f"{name}: peak memory above importing openai", more, MEGABYTES, "MB"))
    tables = [
        Table(
            "Import and first hit", ["", "CPU, of importing openai's", "wall (ms)", "more memory (MB)"], rows, ""
        ),
        Table("Packing", ["entries", "entries a second of CPU", "bundle (MB)", "store (MB)"], packing, ""),
    ]
    return Result("bundles", str(__doc__).partition("\n")[0], checks, tables)
