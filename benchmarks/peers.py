"""Beside askonce in the same run: cachy, vcrpy and hishel, on stores of growing size.

Every system is a process of its own with its own store, so that no patch meets another; they are asked in turns,
by one harness, through the same bare httpx2 client. `no cache` is the same call to the local provider.
"""

from __future__ import annotations

import json
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.figures import Plot, Result, Scale, Spread, Table, number
from benchmarks.peer import SYSTEMS
from benchmarks.processes import ROOT, environment, provider

PATIENCE = 60.0
"""Seconds that a system gets for one thing before the table says that it takes longer."""

_BUDGET = 12.0  # seconds that all hits, and again all recordings, of one system at one size may take
_SPEAKS = {
    "no cache": "",
    "askonce": "nothing",
    "cachy": "nothing",
    "vcrpy": "the body among what is matched, repeats allowed",
    "hishel": "POST shown to it as GET, with a key of our own: it answers no POST",
}


class TooLongError(Exception):
    """A system that did not answer within PATIENCE."""


class Peer:
    """One system's process."""

    def __init__(self, name: str, count: int, url: str, folder: Path) -> None:
        folder.mkdir()
        command = [sys.executable, "-m", "benchmarks.peer", name, str(count), url, str(folder)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.spent = 0.0

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def hear(self, patience: float = PATIENCE) -> Any:
        """Return the next line; raises TooLongError."""
        start = time.monotonic()
        try:
            line = self._lines.get(timeout=patience)
        except queue.Empty:
            self._process.kill()
            raise TooLongError from None
        self.spent += time.monotonic() - start
        if not line:
            raise RuntimeError("a peer's process ended; what it said is above")
        return json.loads(line)

    def ask(self, do: str, **arguments: Any) -> Any:
        """Send one request and return what it gives; raises TooLongError."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self.hear()


class Standing:
    """What one system showed at one size."""

    def __init__(self) -> None:
        self.opened = ""
        self.hits: list[float] = []
        self.records: list[float] = []
        self.size = ""
        self.gives: dict[str, Any] = {}
        self.first: list[float] = []
        self.last: list[float] = []

    def cell(self, samples: list[float], factor: float) -> str:
        """Return a median as text, or that it took too long."""
        return number(Spread.of(samples).median * factor) if samples else f"> {PATIENCE:.0f} s"


def run(scale: Scale) -> Result:
    """Race all systems at every size."""
    sizes = scale.of([100, 1_000, 10_000, 50_000], [20, 200])
    rows: list[list[str]] = []
    lines: dict[str, list[list[float]]] = {name: [] for name in SYSTEMS}
    small: dict[str, Standing] = {}
    for size in sizes:
        standings = _stand(size, scale, with_streams=size == sizes[0])
        small = small or standings
        ours = standings["askonce"].hits
        for name, standing in standings.items():
            more = ""
            if standing.hits:
                spread = Spread.of(standing.hits)
                more = number(spread.median / Spread.of(ours).median)
                lines[name].append([size, *(value * 1e6 for value in (spread.median, spread.low, spread.high))])
            rows.append(
                [
                    f"{size:,}", name, standing.opened, standing.cell(standing.hits, 1e6), more,
                    standing.cell(standing.records, 1e3), standing.size,
                ]
            )  # fmt: skip
    tables = [
        Table(
            "One hit and one recording, by the size of the store",
            ["entries", "system", "open (s)", "hit (µs)", "× askonce", "record (ms)", "file (MB)"],
            rows,
            "CPU time, medians. A recording is a call to the local provider until its answer is in the file: for "
            "vcrpy that is its save, which otherwise waits for the end of the cassette.",
        ),
        _streams(small),
    ]
    plot = Plot("peers", "One hit, by the size of the store", "entries", "µs of CPU", lines, log=True)
    return Result("peers", str(__doc__).partition("\n")[0], [], tables, [plot])


def _streams(standings: dict[str, Standing]) -> Table:
    bare = Spread.of(standings["no cache"].first).median
    rows: list[list[str]] = []
    for name, standing in standings.items():
        first, last = Spread.of(standing.first).median, Spread.of(standing.last).median
        gives = standing.gives
        cells = ["", "", "", ""]
        if name != "no cache":
            cells = [
                _same(gives),
                "{} of {}".format(*gives["headers"]),
                "{} of {}".format(*gives["chunks"]),
                _SPEAKS[name],
            ]
        rows.append([name, number(first * 1e3), number(first / bare), number(last * 1e3), *cells])
    return Table(
        "A stream that is recorded, and what comes back",
        ["system", "first byte (ms)", "× no cache", "last byte (ms)", "same body", "headers", "chunks", "needs"],
        rows,
        "40 events, 5 ms apart, wall time. `same body`: a hit is equal to the miss, for a chat, a stream, and a "
        "response of the Responses API; fields named are lost or changed. askonce leaves out cookies, rate limits "
        "and the organization on purpose.",
    )


def _same(gives: dict[str, Any]) -> str:
    if not (gives["same"] and gives["stream"]):
        return "no: other bytes"
    lost = gives["fields"]
    return f"no: {len(lost)} fields lost, of them {', '.join(lost[:3])}" if lost else "yes"


def _stand(size: int, scale: Scale, *, with_streams: bool) -> dict[str, Standing]:
    standings = {name: Standing() for name in SYSTEMS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="askonce-peers-")))
        url = stack.enter_context(provider(pace=0.005))
        peers: dict[str, Peer] = {}
        for name, standing in standings.items():
            peer = stack.enter_context(Peer(name, size, url, folder / name))
            try:
                standing.opened = number(peer.hear()["opened"])
                standing.size = f"{peer.ask('size')['bytes'] / 1e6:,.1f}" if name != "no cache" else ""
                peers[name] = peer
            except TooLongError:
                standing.opened = f"> {PATIENCE:.0f}"
        rounds = scale.of(12, 2)
        if with_streams:
            for turn in range(scale.of(8, 2)):
                for name in _shuffled(peers, turn):
                    found = peers[name].ask("first", numbers=[90_000_000 + turn])
                    standings[name].first.append(found["first"])
                    standings[name].last.append(found["last"])
            for name, peer in peers.items():
                standings[name].gives = peer.ask("gives_back", numbers=[91_000_000])
        draw = random.Random(size)
        for do, field, count in (("hits", "hits", scale.of(100, 5)), ("records", "records", scale.of(10, 2))):
            for peer in peers.values():
                peer.spent = 0.0
            for turn in range(rounds + 1):
                fresh = 80_000_000 + 1_000 * turn
                numbers = draw.choices(range(size), k=count) if do == "hits" else [*range(fresh, fresh + count)]
                for name in _shuffled(peers, turn):
                    if peers[name].spent > _BUDGET:
                        continue
                    try:
                        cpu = peers[name].ask(do, numbers=numbers, seconds=0.3)["cpu"]
                    except TooLongError:
                        del peers[name]
                        continue
                    if turn or peers[name].spent > 1.0:  # the first turn warms up, but where it says enough
                        getattr(standings[name], field).append(cpu)
    return standings


def _shuffled(peers: dict[str, Peer], turn: int) -> list[str]:
    names = list(peers)
    random.Random(turn).shuffle(names)
    return names
