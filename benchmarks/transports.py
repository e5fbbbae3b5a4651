"""A hit over aiohttp, requests or urllib3 costs at most 5 % more than the same call served from loopback.

The server is another process, which reads a request and writes a prepared answer, as little as a server can do.
What is compared is the CPU time of the calling thread, in which the server's own is not; the time on the clock,
in which it is, stands beside it. The client is the library's own session or pool, made once; each call reads the
whole answer, a stream chunk by chunk.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import aiohttp
import requests
import urllib3

import askonce
from benchmarks import calls, stores
from benchmarks.figures import Check, Result, Scale, Spread, Table, number, ratios
from benchmarks.processes import ROOT, environment
from benchmarks.race import Run, Timed, cpu, race, wall

TARGET = 1.05
_HEADERS = {"authorization": f"Bearer {calls.KEY}", "content-type": "application/json"}
Ask = Callable[[str, bytes], int]
"""Asks an address with a body, reads the answer, and returns how many bytes it had."""


def run(scale: Scale) -> Result:
    """Race every library, plain and streamed, with questions that are new to this process and with known ones."""
    checks: list[Check] = []
    rows: list[list[str]] = []
    for stream in (False, True):
        count, batch = scale.of((20, 10) if stream else (20, 100), (2, 5))
        needed = (count + 1) * batch
        store = stores.make(plain=0 if stream else 2 * needed, streams=2 * needed if stream else 0)
        with serving(stream=stream) as url:
            for library, opened in CLIENTS.items():
                for pattern in ("once", "cycled"):
                    found = {}
                    for number_of_race, clock in enumerate((cpu, wall)):
                        first = number_of_race * needed
                        numbers = [first + i if pattern == "once" else i % 20 for i in range(needed)]
                        with opened() as ask:
                            found[clock.__name__] = _race(clock, ask, url, numbers, batch, store, stream=stream)
                    name = f"{library}, {'stream' if stream else 'plain'}, {pattern}"
                    over = Spread.of(ratios(found["cpu"]["askonce"], found["cpu"]["loopback"]))
                    checks.append(Check(f"hit over {name}: CPU, of loopback's", over, TARGET, "×"))
                    rows.append(_row(name, found, over))
    table = Table(
        "One hit, beside the same call of the same library served from loopback",
        [
            "call", "loopback (µs CPU)", "askonce (µs CPU)", "ratio", "loopback (µs wall)", "askonce (µs wall)",
            "ratio on the wall",
        ],
        rows,
        "Medians. CPU is the calling thread's; the server runs in another process. `once`: each question for the "
        "first time in this process; `cycled`: twenty of them in turn.",
    )  # fmt: skip
    return Result("transports", str(__doc__).partition("\n")[0], checks, [table], [])


def _row(name: str, found: dict[str, dict[str, list[float]]], over: Spread) -> list[str]:
    medians = [
        number(Spread.of(found[clock][contestant]).median * 1e6)
        for clock in ("cpu", "wall")
        for contestant in ("loopback", "askonce")
    ]
    on_the_wall = Spread.of(ratios(found["wall"]["askonce"], found["wall"]["loopback"]))
    return [name, *medians[:2], over.show(), *medians[2:], on_the_wall.show()]


def _race(
    clock: Callable[[Run], Timed],
    ask: Ask,
    url: str,
    numbers: list[int],
    batch: int,
    store: stores.Made,
    *,
    stream: bool,
) -> dict[str, list[float]]:
    bodies = {n: calls.body(n, stream=stream) for n in set(numbers)}

    def asks(url: str) -> Run:
        def ask_all(numbers: Sequence[int]) -> None:
            for n in numbers:
                ask(url, bodies[n])

        return ask_all

    askonce.enable(store.path)
    try:
        found = race(
            {"loopback": clock(asks(url)), "askonce": clock(asks(calls.URL))},
            [numbers[i : i + batch] for i in range(0, len(numbers), batch)],
        )
        assert askonce.stats().hits == len(numbers), f"every call was to be a hit: {askonce.stats()}"
        assert ask(url, bodies[numbers[0]]) == ask(calls.URL, bodies[numbers[0]]), "both give as much"
    finally:
        askonce.disable()
    return found


# --- Clients ----------------------------------------------------------------------------------------------------


@contextmanager
def _requests() -> Iterator[Ask]:
    with requests.Session() as session:

        def ask(url: str, body: bytes) -> int:
            with session.post(url, data=body, headers=_HEADERS, stream=True) as answer:
                return sum(len(piece) for piece in answer.iter_content(None))

        yield ask


@contextmanager
def _urllib3() -> Iterator[Ask]:
    with urllib3.PoolManager() as pools:

        def ask(url: str, body: bytes) -> int:
            answer = pools.request("POST", url, body=body, headers=_HEADERS, preload_content=False)
            size = sum(len(piece) for piece in answer.stream())
            answer.release_conn()
            return size

        yield ask


@contextmanager
def _aiohttp() -> Iterator[Ask]:
    with asyncio.Runner() as runner, ExitStack() as stack:

        async def make() -> aiohttp.ClientSession:
            return aiohttp.ClientSession(headers=_HEADERS)

        async def read(url: str, body: bytes) -> int:
            async with session.post(url, data=body) as answer:
                return sum([len(piece) async for piece, _ in answer.content.iter_chunks()])

        session = runner.run(make())
        stack.callback(lambda: runner.run(session.close()))
        yield lambda url, body: runner.run(read(url, body))


CLIENTS: dict[str, Callable[[], Any]] = {"aiohttp": _aiohttp, "requests": _requests, "urllib3": _urllib3}


# --- The server -------------------------------------------------------------------------------------------------


@contextmanager
def serving(*, stream: bool) -> Iterator[str]:
    """Run the server in a process of its own; give the address to post to."""
    command = [sys.executable, "-m", "benchmarks.transports", *(["stream"] if stream else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def serve(*, stream: bool) -> None:
    """Answer one connection after another with the same bytes, whatever is asked."""
    headers, chunks = calls.answer(0, stream=stream)
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in headers) + b"\r\n"
    framed = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks] if stream else chunks
    answer = b"".join((head, *framed, b"0\r\n\r\n" if stream else b""))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as file:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while file.readline():
                    length = 0
                    while (line := file.readline()) not in (b"\r\n", b""):
                        if line.lower().startswith(b"content-length:"):
                            length = int(line[15:])
                    file.read(length)
                    connection.sendall(answer)


if __name__ == "__main__":
    serve(stream="stream" in sys.argv)
