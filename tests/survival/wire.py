"""A wire between two programs that can be slow, cut, or dead: a TCP proxy on the loopback interface."""

from __future__ import annotations

import random
import socket
import struct
import time
from contextlib import suppress
from threading import Lock, Thread
from typing import Self


class Wire:
    """Pass on bytes to a port. What is set holds from the next piece on.

    `pause` is in seconds before each piece; `cut_after` bytes of answers a connection is reset; a `dead` wire
    takes connections and passes nothing on, as behind a firewall that drops packets.
    """

    def __init__(self, port: int) -> None:
        self.pause = 0.0
        self.cut_after: range | None = None
        self.dead = False
        self.cuts = 0
        self._target = port
        self._chance = random.Random(13)
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *trouble: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.sever()

    def sever(self) -> None:
        """Reset all connections that are open."""
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            _reset(end)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    _reset(near)
                    continue
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._open |= {near, far}
                left = None if self.cut_after is None else self._chance.choice(self.cut_after)
                Thread(target=self._pass_on, args=(near, far, None), daemon=True).start()
                Thread(target=self._pass_on, args=(far, near, left), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, left: int | None) -> None:
        with suppress(OSError):
            while data := source.recv(2048):
                time.sleep(self.pause)
                while self.dead:
                    time.sleep(0.01)
                if left is not None and self.cut_after is not None:
                    data, left = data[:left], left - len(data[:left])
                sink.sendall(data)
                if left == 0 and self.cut_after is not None:
                    self.cuts += 1
                    break
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        for end in (source, sink):
            _reset(end)
        with self._lock:
            self._open -= {source, sink}


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    end.close()
