"""Gateways that are killed with requests in flight."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from tests.survival.looking import lost
from tests.survival.oracle import Oracle
from tests.survival.toll import Scenario, Toll
from tests.survival.worker import ROOT, Plan, finished


class Gateway:
    """`askonce serve` in front of an oracle, at a port that stays."""

    def __init__(self, oracle: Oracle, store: str, folder: Path, *more: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._arguments = [
            *("serve", "--port", str(self.port), "--store", store, "--cache", "--no-check-credentials"),
            *("--upstream", f"oracle={oracle.url}", "--default", "oracle", *more),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "askonce", *self._arguments],
            cwd=self._folder,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "the gateway did not start"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("the gateway does not listen")

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def serving(oracle: Oracle, store: str, folder: Path, *more: str) -> Iterator[Gateway]:
    """Serve until the block ends."""
    gateway = Gateway(oracle, store, folder, *more)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.kill()


def kill(folder: Path, kills: int, *, stream: bool) -> Toll:
    """Kill a gateway and start it again, over and over, while clients that try again ask through it."""
    store, chance, tolls = folder / "cache.db", random.Random(17), list[Toll]()
    with Oracle() as oracle, serving(oracle, str(store), folder) as gateway:
        count = 150 * kills
        plan = Plan(gateway.url, None, 0, count, threads=8, stream=stream, patient=True)
        asking = Thread(target=lambda: tolls.append(finished(plan)))
        asking.start()
        recovery = 0.0
        for _ in range(kills):
            time.sleep(chance.uniform(0.2, 0.6))
            gateway.kill()
            started = time.monotonic()
            gateway.start()
            recovery = max(recovery, time.monotonic() - started)
        asking.join()
        toll = tolls[0]
        return toll._replace(
            confirmed=toll.right,
            lost=lost(store, oracle.url, range(count), stream=stream),
            recovery=recovery,
        )


SCENARIOS = [
    Scenario(
        f"gateway killed, {'streams' if stream else 'plain answers'}",
        "What a client has read whole is in the store; a client that tries again, as SDKs do, gets its answer",
        "`kill -9` with eight requests in flight, and a new start",
        lambda folder, kills, stream=stream: kill(folder, kills, stream=stream),  # type: ignore[misc]
        2,
        20,
    )
    for stream in (False, True)
]
