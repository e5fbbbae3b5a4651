"""Beside cached_openai itself, in one environment: what it costs to load a cache, to hit it, to come back to it.

Both have the same answers, in the form in which each is handed out: `openai.cache` and `lesson.askonce`. Each
figure is from fresh processes, in turns.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import askonce
from benchmarks import stores
from benchmarks.figures import Plot, Result, Scale, Spread, Table, number
from benchmarks.processes import ROOT, environment

PYTHON = ROOT / ".envs" / "original" / "bin" / "python"
_HITS = 200
_MAKE = """
import json, pickle, sys, time
from openai.types.chat import ChatCompletion
from benchmarks import calls

cache = {}
for number in range(int(sys.argv[1])):
    arguments = calls.arguments(number, stream=False)
    key = json.dumps({"stem": ["chat", "completions", "create"], "kwargs": arguments}, sort_keys=True)
    out = ChatCompletion.model_validate(json.loads(b"".join(calls.answer(number, stream=False)[1])))
    cache[key] = [{"out": out, "time_saved": time.time(), "run_time": 1.0}]
with open("openai.cache", "wb") as file:
    pickle.dump((False, cache), file)
print(json.dumps({}))
"""
_HIT = """
import json, os, random, sys, time

name, count, hits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
import openai as _
from benchmarks import calls
now = time.process_time
start = now()
openai = __import__(name, fromlist=["OpenAI"])
client = openai.OpenAI(api_key="sk-x")
loaded = now() - start
draw, costs = random.Random(1), []
for number in [0, *(draw.randrange(count) for _ in range(hits))]:
    start = time.thread_time()
    said = client.chat.completions.create(**calls.arguments(number, stream=False)).choices[0].message.content
    costs.append(time.thread_time() - start)
    assert f"Answer {number:08}" in said
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
print(json.dumps({"load": loaded, "first": costs[0], "hit": sorted(costs[1:])[hits // 2], "peak": peak}))
"""
_KINDS = {"cached_openai": "cached_openai", "askonce": "askonce.openai"}


def run(scale: Scale) -> Result:
    """Measure both at each size."""
    claim = str(__doc__).partition("\n")[0]
    if not PYTHON.exists():
        table = Table(
            "Beside cached_openai", [], [], "Not measured: there is no .envs/original; `make bench` makes it."
        )
        return Result("original", claim, [], [table])
    rows: list[list[str]] = []
    plotted: dict[str, list[list[float]]] = {kind: [] for kind in _KINDS}
    for count in scale.of((10, 1_000, 10_000, 50_000), (10, 100)):
        found = _measure(count, rounds=scale.of(9, 2))
        for what, label, factor in (
            ("load", "import, after openai's (ms)", 1e3),
            ("dev", "import in dev mode, after a new answer (ms)", 1e3),
            ("first", "first hit (µs)", 1e6),
            ("hit", "hit (µs)", 1e6),
            ("peak", "peak memory (MB)", 1.0),
        ):
            theirs, ours = (Spread.of([one[what] * factor for one in found[kind]]) for kind in _KINDS)
            each = [one[what] / other[what] for one, other in zip(*(found[k] for k in _KINDS), strict=True)]
            rows.append([f"{count:,}", label, theirs.show(), ours.show(), number(Spread.of(each).median)])
            if what == "load":
                for kind, spread in zip(_KINDS, (theirs, ours), strict=True):
                    plotted[kind].append([float(count), spread.median, spread.low, spread.high])
    note = (
        f"CPU time. A hit is the median of {_HITS} in a process, at questions drawn at random; memory is the "
        "process's highest, openai included. `×` is what cached_openai costs for each that askonce costs."
    )
    table = Table("Beside cached_openai 0.0.32", ["entries", "", "cached_openai", "askonce", "×"], rows, note)
    plot = Plot(
        "original", "What importing costs, by the size of the cache", "entries", "ms of CPU", plotted, log=True
    )
    return Result("original", claim, [], [table], [plot])


def _measure(count: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    folder = stores.WORK / f"original-{count}"
    shutil.rmtree(folder, ignore_errors=True)
    places = {kind: folder / kind for kind in _KINDS}
    for place in places.values():
        place.mkdir(parents=True)
    store = stores.make(plain=count, streams=0).path
    askonce.materialize(places["askonce"] / "lesson.askonce", store)
    _python(places["cached_openai"], _MAKE, str(count))
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in _KINDS}
    for turn in range(rounds + 1):
        for kind in random.sample(list(_KINDS), len(_KINDS)):
            figure = _python(places[kind], _HIT, _KINDS[kind], str(count), str(_HITS))
            figure["dev"] = _come_back(kind, places[kind], store, count)
            if turn:  # the first ones compile what they import
                found[kind].append(figure)
    return found


def _come_back(kind: str, place: Path, store: Path, count: int) -> float:
    """Return what an import costs in dev mode, when the program that ran before has recorded one answer more."""
    work = place / "dev"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    if kind == "askonce":
        shutil.copy(store, work / "cache.db")  # where the answer is already: recording is durable at once
        settings = {"ASKONCE_MODE": "record", "ASKONCE_STORE": str(work / "cache.db")}
    else:
        shutil.copy(place / "openai.cache", work)
        settings = {"CACHED_OPENAI_DEV_MODE": "1"}
        _python(work, _LEFT_BEHIND)
    return float(_python(work, _HIT, _KINDS[kind], str(count), "1", **settings)["load"])


_LEFT_BEHIND = """
import json, pickle, struct
with open("openai.cache", "rb") as file:
    _, cache = pickle.load(file)
entry = pickle.dumps(["one more", next(iter(cache.values()))])
with open("openai_cache_temp.bin", "wb") as file:
    file.write(struct.pack("I", len(entry)) + entry)
print(json.dumps({}))
"""


def _python(folder: Path, program: str, *arguments: str, **settings: str) -> dict[str, float]:
    """Run a program in a folder, in the environment that has both; return the JSON that its last line is."""
    env = environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"} | settings
    command = [str(PYTHON), "-W", "ignore", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-800:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
