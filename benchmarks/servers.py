"""Servers that benchmarks measure against, each on this machine and empty."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.serving import seconds_of


class Redis:
    """A running Redis."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self._process = process

    def url(self, **query: object) -> str:
        """Return its URL as a store."""
        return f"redis://127.0.0.1:{self.port}?" + "&".join(f"{name}={value}" for name, value in query.items())

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""
        return seconds_of(self._process.pid)

    def pause(self) -> None:
        """Have it answer nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it answer again."""
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def redis() -> Iterator[Redis]:
    """Start a Redis without a file."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    assert program is not None, "this benchmark needs redis-server"
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [program, "--port", str(port), "--save", "", "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ) as process:
            try:
                for _ in range(500):
                    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                        break
                    time.sleep(0.01)
                yield Redis(port, process)
            finally:
                process.kill()
