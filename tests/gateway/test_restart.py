"""Gateways that end: gently, with streams open, and at once; and what their stores and journals say afterwards."""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
from contextlib import closing

import httpx
import pytest

from askonce.testing import LocalProvider
from tests.gateway.conftest import Serve
from tests.gateway.served import CHAT, KEY, Served, chat, until


class Reader(threading.Thread):
    """A client that reads a stream; `text` is what it has, `error` what broke it."""

    def __init__(self, gateway: Served, content: str) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.text = b""
        self.error: Exception | None = None
        self._gateway, self._content = gateway, content
        self.start()

    def run(self) -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        body = chat(self._content, stream=True)
        try:
            with httpx.stream(
                "POST", self._gateway.url + CHAT, json=body, headers=headers, timeout=30, trust_env=False
            ) as answer:
                for chunk in answer.iter_raw():
                    self.text += chunk
                    self.begun.set()
        except httpx.HTTPError as error:
            self.error = error
        self.begun.set()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_streams_in_flight_end(serve: Serve, provider: LocalProvider, workers: str) -> None:
    """A gateway that is told to stop takes no new connections, ends its streams, and keeps what came."""
    provider.pace = 0.1
    gateway = serve("--workers", workers)
    readers = [Reader(gateway, f"question {n}") for n in range(4)]
    assert all(reader.begun.wait(20) for reader in readers)
    assert gateway.stop() in (0, -signal.SIGTERM)
    for reader in readers:
        reader.join(20)
    assert [None] * 4 == [reader.error for reader in readers]
    assert all(reader.text.endswith(b"data: [DONE]\n\n") for reader in readers)
    with pytest.raises(OSError, match="refused"):
        gateway.connect()
    gateway.start()
    provider.pace = 0.0
    again = [gateway.post(chat(f"question {n}", stream=True)) for n in range(4)]
    assert [reader.text for reader in readers] == [answer.content for answer in again]
    assert {"hit"} == {answer.headers["x-askonce-cache"] for answer in again}
    until(lambda: len(gateway.get("/askonce/api/calls").json()["calls"]) == 8)


def test_the_second_signal_ends_it_at_once(serve: Serve, provider: LocalProvider) -> None:
    """Who does not want to wait says so twice; the streams are broken, and nothing of them is kept."""
    provider.pace = 3.0
    gateway = serve()
    reader = Reader(gateway, "a long one")
    assert reader.begun.wait(20)
    gateway.signal(signal.SIGINT)
    until(lambda: not gateway.is_up())
    gateway.signal(signal.SIGINT)
    gateway.wait()
    reader.join(20)
    assert reader.error is not None
    provider.pace = 0.0
    gateway.start()
    assert "miss" == gateway.post(chat("a long one", stream=True)).headers["x-askonce-cache"]


def test_killed_while_it_writes(serve: Serve, provider: LocalProvider) -> None:
    """After `kill -9` what clients had read whole is answered; store and journal are whole, and gone on with."""
    gateway = serve()
    said: dict[int, str] = {}
    for life in range(3):
        stop = threading.Event()

        def ask(first: int, stop: threading.Event = stop) -> None:
            number = first
            while not stop.is_set():
                try:
                    said[number] = gateway.post(chat(f"question {number}")).text
                except httpx.HTTPError:
                    return
                number += 1

        threads = [threading.Thread(target=ask, args=(life * 1000 + 100 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        until(lambda life=life: len(said) > 20 * (life + 1))
        gateway.kill()
        stop.set()
        for thread in threads:
            thread.join(20)
        gateway.start()
    again = {number: gateway.post(chat(f"question {number}")) for number in said}
    assert said == {number: answer.text for number, answer in again.items()}
    assert {"hit"} == {answer.headers["x-askonce-cache"] for answer in again.values()}
    for path in (gateway.store, gateway.store.with_name("journal.db")):
        with closing(sqlite3.connect(path)) as db:
            assert [("ok",)] == db.execute("PRAGMA integrity_check").fetchall()


@pytest.mark.parametrize("name", ["cache.db", "journal.db"])
def test_a_file_that_another_holds(serve: Serve, provider: LocalProvider, name: str) -> None:
    """A store or a journal that another program has locked costs no call; when it is free it is used again."""
    gateway = serve("--no-check-credentials")
    gateway.post(chat("before"))
    until(lambda: len(gateway.get("/askonce/api/calls").json()["calls"]) == 1)
    with closing(sqlite3.connect(gateway.store.with_name(name), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        answers = [gateway.post(chat(f"question {n}")) for n in range(4)]
        assert {200} == {answer.status_code for answer in answers}
        assert "hit" == gateway.post(chat("before")).headers["x-askonce-cache"]
        other.execute("ROLLBACK")
    until(lambda: gateway.get("/askonce/health/ready").status_code == 200)
    until(lambda: "hit" == [gateway.post(chat("after")).headers["x-askonce-cache"] for _ in range(2)][1])


def test_no_room(serve: Serve, provider: LocalProvider) -> None:
    """Where nothing more can be written, calls go on; health and log say what is wrong."""
    gateway = serve("--no-check-credentials", ulimit="ulimit -f 600")  # blocks of 512 bytes
    answers = [gateway.post(chat(f"question {n} {random.Random(n).randbytes(10_000).hex()}")) for n in range(80)]
    assert {200} == {answer.status_code for answer in answers}
    assert 80 == provider.count("/chat/completions")
    assert "store" in gateway.get("/askonce/health").json()["trouble"]  # and the journal, sooner or later
    assert "Until then answers are not recorded" in gateway.log
