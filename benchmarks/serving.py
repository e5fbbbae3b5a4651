"""Servers that are measured: started on the first core, asked over HTTP, and how much CPU each has used."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import calls
from benchmarks.processes import ROOT
from benchmarks.processes import environment as clean

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PATIENCE = 90.0  # seconds that a server may take to listen


@dataclass
class Server:
    """One that answers: where, what is sent along, the processes whose time counts, and whom it asks itself."""

    port: int
    process: subprocess.Popen[str]
    headers: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    upstream: Server | None = None
    path: str = "/v1/chat/completions"

    def asked(self, number: int, *, stream: bool) -> bytes:
        """Return the body of a request to it."""
        return json.dumps(
            json.loads(calls.body(number, stream=stream)) | self.fields, separators=(",", ":")
        ).encode()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    def end(self) -> None:
        """Have it stop."""
        self.process.terminate()
        self.process.wait()

    def cpu(self) -> float:
        """Return the seconds of CPU that it and its children have used."""
        return seconds_of_all(self.process.pid)


def bare(stack: ExitStack, folder: Path, stream: bool) -> Server:
    """Uvicorn with an application that does nothing but answer."""
    port = free_port()
    command = ["-m", "uvicorn", "--port", str(port), "--http", "httptools", "--loop", "uvloop", "--ws", "none"]
    quiet = ["--no-access-log", "--log-level", "error", "--no-server-header", "--no-date-header"]
    return launched(stack, port, [sys.executable, *command, *quiet, "benchmarks.upstream:app"])


def launched(
    stack: ExitStack,
    port: int | None,
    command: Sequence[str],
    *,
    headers: dict[str, str] | None = None,
    fields: dict[str, Any] | None = None,
    upstream: Server | None = None,
    environment: dict[str, str] | None = None,
) -> Server:
    """Start a server on the first core; wait until it listens. Without a port, its first line is its URL."""
    env = clean() | (environment or {})
    out = subprocess.PIPE if port is None else subprocess.DEVNULL
    started = subprocess.Popen(
        [*pinned(0), *command], cwd=ROOT, env=env, stdout=out, stderr=subprocess.DEVNULL, text=True
    )
    process = stack.enter_context(_ended(started))
    if port is None:
        assert process.stdout is not None
        while port is None and select.select([process.stdout], [], [], _PATIENCE)[0]:
            port = urlsplit(process.stdout.readline().strip()).port
    until = time.monotonic() + _PATIENCE
    while port is not None and time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return Server(port, process, headers or {}, fields or {}, upstream)
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{command[0]} does not listen")


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def pinned(core: int) -> list[str]:
    """Return what keeps a command on one core."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)])]


def _family(pid: int) -> Iterator[int]:
    """Yield a process and those that it has started, by /proc."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    yield from found


def seconds_of_all(pid: int) -> float:
    """Return the seconds of CPU that a process and its children have used."""
    return sum(seconds_of(one) for one in _family(pid))


def seconds_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
