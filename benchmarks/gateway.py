"""A hit through the gateway costs at most half of a bare uvicorn application's, and 2.5 times nginx's `return`.

Each server is one worker on one core, and the load generator (`wrk`) is on the other. What is counted is the
server's CPU time for each request; the servers take turns. The gateway checks keys, and has its journal on, unless
its row says otherwise.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks import calls
from benchmarks.figures import Check, Result, Scale, Spread, Table, number, ratios
from benchmarks.processes import ROOT, environment

CONNECTIONS = (1, 64)
KEY_NAME = "benchmark"
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log crit;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; default_type application/json;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port};
    location / {{ default_type {media_type}; {answer} }} }} }}
"""


@dataclass
class Server:
    """One that answers: where, what is sent along, and the processes whose time counts."""

    port: int
    process: subprocess.Popen[bytes]
    headers: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)

    def asked(self, number: int, *, stream: bool) -> bytes:
        """Return the body of a request to it."""
        return json.dumps(
            json.loads(calls.body(number, stream=stream)) | self.fields, separators=(",", ":")
        ).encode()

    def cpu(self) -> float:
        """Return the seconds of CPU that it and its children have used."""
        return sum(_cpu(pid) for pid in _family(self.process.pid))


Start = Callable[[ExitStack, Path, bool], Server]
"""Starts a contestant: in that folder, to answer chat completions or (`stream`) streams."""


# --- The contestants: one more is one function, and one line in `CONTESTANTS` ------------------------------------


def nginx(stack: ExitStack, folder: Path, stream: bool) -> Server:
    """nginx, which is told the answer in its configuration."""
    _, chunks = calls.answer(0, stream=stream)
    port, body = _free_port(), b"".join(chunks)
    kind = "text/event-stream" if stream else "application/json"
    file = folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=folder, port=port, media_type=kind, answer=_returned(body)))
    return _run(stack, port, ["nginx", "-p", str(folder), "-c", str(file)])


def bare(stack: ExitStack, folder: Path, stream: bool) -> Server:
    """Uvicorn with an application that does nothing but answer."""
    port = _free_port()
    command = ["-m", "uvicorn", "--port", str(port), "--http", "httptools", "--loop", "uvloop", "--ws", "none"]
    quiet = ["--no-access-log", "--log-level", "error", "--no-server-header", "--no-date-header"]
    return _run(stack, port, [sys.executable, *command, *quiet, "benchmarks.upstream:app"])


def gateway(*options: str, **fields: Any) -> Start:
    """askonce, whose clients show gateway keys; the provider's key is its own."""

    def start(stack: ExitStack, folder: Path, stream: bool) -> Server:
        upstream = bare(stack, folder, stream)
        (folder / "key").write_text(calls.KEY)
        config = folder / "askonce.toml"
        config.write_text(
            f'[upstreams.openai]\nurl = "http://127.0.0.1:{upstream.port}"\nkey_file = "{folder}/key"\n'
        )
        store = ["--store", str(folder / "cache.db")]
        made = subprocess.run(
            [sys.executable, "-m", "askonce", "keys", "add", KEY_NAME, "--json", *store],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment(), check=True,
        )  # fmt: skip
        port = _free_port()
        command = [
            sys.executable,
            "-m",
            "askonce",
            "serve",
            "--port",
            str(port),
            "--config",
            str(config),
            "--cache",
        ]
        headers = {"authorization": f"Bearer {json.loads(made.stdout)['key']}"}
        return _run(stack, port, [*command, *store, *options], headers, fields)

    return start


CONTESTANTS: dict[str, Start] = {
    "nginx return": nginx,
    "bare uvicorn": bare,
    "askonce": gateway(),
    "askonce, nothing in the journal": gateway(cache_options={"omit_log": True}),
    "askonce, --no-fast-path": gateway("--no-fast-path"),
}
NEEDED = {"nginx return": "nginx"}
"""Commands without which a contestant is left out."""


# --- Measuring -----------------------------------------------------------------------------------------------


def run(scale: Scale) -> Result:
    """Race the servers, and time misses."""
    if shutil.which("wrk") is None:
        raise SystemExit("The benchmark of the gateway wants wrk: apt install wrk")
    tables, checks = [], []
    for stream in (False, True):
        kind = "200-event stream" if stream else "chat completion"
        for connections in CONNECTIONS:
            found = _race(scale, connections, stream=stream)
            name = f"{kind}, {connections} connection{'s' * (connections > 1)}"
            spent = {one: [sample.cpu for sample in samples] for one, samples in found.items()}
            if "askonce" in spent:
                for other, most in (("bare uvicorn", 0.5), ("nginx return", 2.5)):
                    if other in spent:
                        over = Spread.of(ratios(spent["askonce"], spent[other]))
                        checks.append(Check(f"hit, {name}: beside {other}", over, most, "×"))
            tables.append(_table(name, found))
    added = _added(scale)
    checks.append(Check("miss: time added to a direct call", added, 0.5, "ms"))
    return Result("gateway", str(__doc__).partition("\n")[0], checks, tables)


@dataclass(frozen=True)
class Sample:
    """What one turn of one server showed: CPU seconds a request, requests a second, the 99th percentile in ms."""

    cpu: float
    rate: float
    slow: float


def _race(scale: Scale, connections: int, *, stream: bool) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for name, start in CONTESTANTS.items():
            if name in NEEDED and shutil.which(NEEDED[name]) is None:
                print(f"{name} is left out: {NEEDED[name]} is not installed")
                continue
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="askonce-bench-")))
            servers[name] = start(stack, folder, stream)
            _warm(servers[name], stream=stream)
            found[name] = []
        script = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "ask.lua"
        for place in range(scale.of(7, 1) + 1):
            for name, server in servers.items():
                sample = _load(server, script, connections, scale.of(4, 1), stream=stream)
                if place or scale.quick:
                    found[name].append(sample)
    return found


def _load(server: Server, script: Path, connections: int, seconds: int, *, stream: bool) -> Sample:
    """Have wrk ask for so long."""
    given = {"content-type": "application/json", **server.headers}
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in given.items()]
    asked = server.asked(0, stream=stream).decode()
    script.write_text("\n".join(['wrk.method = "POST"', f"wrk.body = [[{asked}]]", *lines]) + "\n")
    url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    before = server.cpu()
    said = subprocess.run([*_pinned(1), *command], stdout=subprocess.PIPE, text=True, check=True).stdout
    time.sleep(0.3)  # a journal is written a moment later
    spent = server.cpu() - before
    assert "Non-2xx" not in said, said
    done = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert done, said
    assert rate, said
    assert slow, said
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}[slow[2]]
    return Sample(spent / int(done[1]), float(rate[1]), float(slow[1]) * unit)


def _table(name: str, found: dict[str, list[Sample]]) -> Table:
    rows = []
    floor = [sample.cpu for sample in found["bare uvicorn"]]
    for one, samples in found.items():
        spent = [sample.cpu for sample in samples]
        rows.append(
            [
                one,
                Spread.of(spent).times(1e6).show(),
                Spread.of(ratios(spent, floor)).show(),
                number(statistics.median(sample.rate for sample in samples), 4),
                number(statistics.median(sample.slow for sample in samples)),
            ]
        )
    return Table(
        f"A hit: {name}",
        ["server", "CPU a request (µs)", "beside bare uvicorn", "requests a second", "99th percentile (ms)"],
        rows,
        "The bare application sends a stream event by event; askonce has it in the pieces in which it came.",
    )


def _added(scale: Scale) -> Spread:
    """Return the milliseconds that a miss takes longer than the same call made directly, by one client library."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="askonce-bench-")))
        ours = gateway()(stack, folder, False)
        direct = bare(stack, folder, False)
        client = stack.enter_context(httpx.Client(trust_env=False))
        ways: dict[str, list[float]] = {"ours": [], "direct": []}
        for n in range(scale.of(600, 20)):
            for name, server in (("ours", ours), ("direct", direct)):
                url, sent = f"http://127.0.0.1:{server.port}/v1/chat/completions", calls.body(n, stream=False)
                start = time.perf_counter()
                answer = client.post(
                    url, content=sent, headers={"content-type": "application/json", **server.headers}
                )
                ways[name].append(time.perf_counter() - start)
                assert answer.status_code == 200, answer.text
                assert answer.headers.get("x-askonce-cache", "miss") == "miss"
    return Spread.of([(one - other) * 1000 for one, other in zip(ways["ours"], ways["direct"], strict=True)])


# --- Processes -----------------------------------------------------------------------------------------------


def _warm(server: Server, *, stream: bool) -> None:
    for _ in range(20):
        asked = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/v1/chat/completions",
            data=server.asked(0, stream=stream),
            headers={"content-type": "application/json", **server.headers},
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            answer.read()


def _run(
    stack: ExitStack,
    port: int,
    command: Sequence[str],
    headers: dict[str, str] | None = None,
    fields: dict[str, Any] | None = None,
) -> Server:
    """Start a server on the first core; wait until it listens."""
    process = stack.enter_context(
        _ended(subprocess.Popen([*_pinned(0), *command], cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL))
    )
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return Server(port, process, headers or {}, fields or {})
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{command[0]} does not listen")


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pinned(core: int) -> list[str]:
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


def _cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def _returned(body: bytes) -> str:
    """Return what has nginx answer with a text, in several variables: a parameter has at the most 4 KiB."""
    text = body.decode()
    assert "$" not in text, "nginx would take it for a variable"
    parts = [text[i : i + 3000].replace("\\", "\\\\").replace("'", "\\'") for i in range(0, len(text), 3000)]
    if len(parts) == 1:
        return f"return 200 '{parts[0]}';"
    names = [f"$p{i}" for i in range(len(parts))]
    return " ".join(f"set {name} '{part}';" for name, part in zip(names, parts, strict=True)) + (
        f' return 200 "{"".join(f"${{{name[1:]}}}" for name in names)}";'
    )


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
