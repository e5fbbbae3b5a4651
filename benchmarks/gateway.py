"""A hit through the gateway costs at most half of a bare uvicorn application's, and 2.5 times nginx's `return`.

Each server is one worker on one core, and the load generator (`wrk`) is on the other. What is counted is the
server's CPU time for each request; the servers take turns. The gateway checks keys, and has its journal on, unless
its row says otherwise.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from askonce.gateway.keys import Keys
from benchmarks import calls
from benchmarks.figures import Check, Plot, Result, Scale, Spread, Table, number, ratios
from benchmarks.gateways import PEERS, lacking
from benchmarks.serving import Server, bare, free_port, launched, pinned

CONNECTIONS = (1, 64)
_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log crit;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; default_type application/json;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port};
    location / {{ default_type {media_type}; {answer} }} }} }}
"""


Start = Callable[[ExitStack, Path, bool], Server]
"""Starts a contestant: in that folder, to answer chat completions or (`stream`) streams."""


# --- The contestants: one more is one function, and one line in `CONTESTANTS` ------------------------------------


def nginx(stack: ExitStack, folder: Path, stream: bool) -> Server:
    """nginx, which is told the answer in its configuration."""
    _, chunks = calls.answer(0, stream=stream)
    port, body = free_port(), b"".join(chunks)
    kind = "text/event-stream" if stream else "application/json"
    file = folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=folder, port=port, media_type=kind, answer=_returned(body)))
    return launched(stack, port, ["nginx", "-p", str(folder), "-c", str(file)])


def gateway(*options: str, store: str | None = None, **fields: Any) -> Start:
    """askonce, whose clients show gateway keys; the provider's key is its own. The store is a file by itself."""

    def start(stack: ExitStack, folder: Path, stream: bool) -> Server:
        upstream = bare(stack, folder, stream)
        (folder / "key").write_text(calls.KEY)
        key = Keys(folder / "keys.json").add("benchmark", admin=False)
        config = folder / "askonce.toml"
        config.write_text(
            f'store = "{store or folder / "cache.db"}"\nkeys = "{folder}/keys.json"\n'
            f'journal = "{folder}/journal.db"\ncache_enabled = true\n'
            f'[upstreams.openai]\nurl = "http://127.0.0.1:{upstream.port}"\nkey_file = "{folder}/key"\n'
        )
        port = free_port()
        command = [sys.executable, "-m", "askonce", "serve", "--port", str(port), "--config", str(config)]
        headers = {"authorization": f"Bearer {key}"}
        return launched(stack, port, [*command, *options], headers=headers, fields=fields, upstream=upstream)

    return start


CONTESTANTS: dict[str, Start] = {
    "nginx return": nginx,
    "bare uvicorn": bare,
    "askonce": gateway(),
    "askonce, nothing in the journal": gateway(cache_options={"omit_log": True}),
    "askonce, --no-fast-path": gateway("--no-fast-path"),
    **PEERS,
}
LIMITS = (
    ("bare uvicorn", 0.5), ("nginx return", 2.5), ("TensorZero, Redis", 1 / 8), ("Portkey, memory", 1 / 60),
    ("LiteLLM, memory", 1 / 400),
)  # fmt: skip
"""What a hit may cost at the most, of what it costs there."""


# --- Measuring -----------------------------------------------------------------------------------------------


def run(scale: Scale) -> Result:
    """Race the servers, and time misses."""
    if shutil.which("wrk") is None:
        raise SystemExit("The benchmark of the gateway wants wrk: apt install wrk")
    tables, checks, plots = [], [], []
    for stream in (False, True):
        kind = "200-event stream" if stream else "chat completion"
        for connections in CONNECTIONS:
            found = _race(scale, connections, stream=stream)
            name = f"{kind}, {connections} connection{'s' * (connections > 1)}"
            spent = {one: [sample.cpu for sample in samples] for one, samples in found.items()}
            if "askonce" in spent:
                for other, most in LIMITS:
                    if other in spent:
                        over = Spread.of(ratios(spent["askonce"], spent[other]))
                        checks.append(Check(f"hit, {name}: beside {other}", over, most, "×"))
            tables.append(_table(name, found))
            if connections > 1 and not stream:
                plots.append(_plot({one: Spread.of(spent[one]).times(1e6) for one in spent}))
    added = _added(scale)
    checks.append(Check("miss: time added to a direct call", added, 0.5, "ms"))
    return Result("gateway", str(__doc__).partition("\n")[0], checks, tables, plots)


@dataclass(frozen=True)
class Sample:
    """What one turn of one server showed: CPU seconds a request, requests a second, the 99th percentile in ms."""

    requests: int
    cpu: float
    rate: float
    slow: float


def _race(scale: Scale, connections: int, *, stream: bool) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for name, start in CONTESTANTS.items():
            if name in PEERS and connections == 1:
                continue  # what they need for a hit is no less with one
            if (need := lacking(name)) is not None:
                print(f"{name} is left out: there is no {need}")
                continue
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="askonce-bench-")))
            server = start(stack, folder, stream)
            if (trouble := _warm(server, stream=stream)) is not None:
                print(f"{name} is left out: {trouble}")
                server.end()
                continue
            servers[name], found[name] = server, []
        script = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "ask.lua"
        for place in range(scale.of(2, 1) + 1):
            for name, server in servers.items():
                sample = load(server, script, connections, scale.of(2, 1), stream=stream, questions=1)
                if place or scale.quick:
                    found[name].append(sample)
    return found


def load(server: Server, script: Path, connections: int, seconds: int, *, stream: bool, questions: int) -> Sample:
    """Have wrk ask so many questions in turn, for so long."""
    given = {"content-type": "application/json", **server.headers}
    lines = [f'wrk.headers["{name}"] = [[{value}]]' for name, value in given.items()]
    mould = server.asked(0, stream=stream).decode()
    assert mould.count("00000000") == 1, "the number of the question"
    asked = ['wrk.method = "POST"', f"wrk.body = [[{mould}]]"]
    if questions > 1:
        asked += [
            "local mould, n, asked = wrk.body, 0, {}",
            "function request()",
            f"  n = (n + 1) % {questions}",
            "  if not asked[n] then",
            '    local body = mould:gsub("00000000", string.format("%08d", n))',
            "    asked[n] = wrk.format(nil, nil, nil, body)",
            "  end",
            "  return asked[n]",
            "end",
        ]
    script.write_text("\n".join([*lines, *asked]) + "\n")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), server.url]
    before = server.cpu()
    said = subprocess.run([*pinned(1), *command], stdout=subprocess.PIPE, text=True, check=True).stdout
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
    requests = max(1, int(done[1]))  # one that is on its way, of a server that answers none in time
    return Sample(requests, spent / requests, float(rate[1]), float(slow[1]) * unit)


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


def _plot(spent: dict[str, Spread]) -> Plot:
    """Return a plot of the microseconds that servers spend on a hit, the least first."""
    names = sorted(spent, key=lambda name: spent[name].median)
    lines: dict[str, list[list[float]]] = {"askonce": [], "others": []}
    for place, name in enumerate(names):
        line = lines["askonce" if name.startswith("askonce") else "others"]
        line.append([float(place), spent[name].median, spent[name].low, spent[name].high])
    title = "A cached chat completion through a gateway, 64 connections"
    return Plot("gateway", title, "", "µs of CPU a request", lines, log=True, marks=names)


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
                url, sent = server.url, calls.body(n, stream=False)
                start = time.perf_counter()
                answer = client.post(
                    url, content=sent, headers={"content-type": "application/json", **server.headers}
                )
                ways[name].append(time.perf_counter() - start)
                assert answer.status_code == 200, answer.text
                assert answer.headers.get("x-askonce-cache", "miss") == "miss"
    return Spread.of([(one - other) * 1000 for one, other in zip(ways["ours"], ways["direct"], strict=True)])


# --- Once, before the race ---------------------------------------------------------------------------------


def _warm(server: Server, *, stream: bool) -> str | None:
    """Ask a few times, then take the upstream away; say what becomes of it if it no longer answers."""

    def ask() -> None:
        answer = httpx.post(
            server.url,
            content=server.asked(0, stream=stream),
            headers={"content-type": "application/json", **server.headers},
            timeout=20,
            trust_env=False,
        )
        if answer.status_code != 200 or b"Answer 0" not in answer.content:
            raise OSError(f"{answer.status_code} {answer.text[:80]!r}")

    try:
        for _ in range(20):
            ask()
            time.sleep(0.05)  # some keep an answer a moment after they have given it
        if server.upstream is not None:
            server.upstream.end()
        for _ in range(3):
            ask()
    except (OSError, httpx.HTTPError) as error:
        return f"no hit ({error})"
    return None


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
