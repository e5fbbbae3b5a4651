"""A small LLM provider on the loopback interface, for tests and for trying things out."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from . import routes
from .connection import Connection, Hangup
from .exchange import Received, Shelf
from .faults import AnyFault, Gzip, spoil


class LocalProvider:
    """Answer the SDKs of OpenAI, Anthropic, Gemini, Bedrock, Mistral, Cohere, Groq, Ollama, Replicate over HTTP.

    No answer is given twice: its number is in its text, its id and its request id. `pace` is in seconds between
    the events of a stream, `latency` in seconds before the head of an answer; both may be changed at any time.
    With `gzip`, answers are compressed for those who accept it. Port 0 takes any free one and keeps it over
    `stop` and `start`.
    """

    def __init__(self, *, port: int = 0, pace: float = 0.0, latency: float = 0.0, gzip: bool = False) -> None:
        self.port = port
        self.pace = pace
        self.latency = latency
        self.gzip = gzip
        self.received: list[Received] = []
        self._faults: list[tuple[AnyFault, str]] = []
        self._numbers = count(1)
        self._shelf = Shelf()
        self._lock = Lock()
        self._stopping = Event()
        self._listener: socket.socket | None = None
        self._serving: dict[Connection, Thread] = {}
        self._accepting: Thread | None = None

    @property
    def url(self) -> str:
        """The address without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Listen and answer in threads of its own."""
        if self._listener is None:
            self._stopping.clear()
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
            self.port = self._listener.getsockname()[1]
            self._accepting = _thread(self._accept, self._listener)
            self._accepting.start()
        return self

    def stop(self) -> None:
        """Close the door and all open connections, in the middle of a stream too."""
        if self._listener is None:
            return
        self._stopping.set()
        # Closing a listener does not wake its accept() everywhere; a visitor does.
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._listener.close()
        self._listener = None
        if self._accepting is not None:
            self._accepting.join(timeout=5)
        with self._lock:
            serving = list(self._serving.items())
        for connection, thread in serving:
            connection.hang_up()
            thread.join(timeout=5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def count(self, path_contains: str = "") -> int:
        """Count the requests received."""
        return sum(path_contains in one.path for one in list(self.received))

    def clear(self) -> None:
        """Forget the requests received and the faults not yet met; the numbering goes on."""
        with self._lock:
            self.received.clear()
            self._faults.clear()

    def fail_next(self, fault: AnyFault, path_contains: str = "") -> None:
        """Let the next request whose path contains this meet a fault; call again to queue more."""
        with self._lock:
            self._faults.append((fault, path_contains))

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, self._pause)
            with self._lock:
                if self._stopping.is_set():
                    connection.close()
                    return
                self._serving[connection] = thread = _thread(self._serve, connection)
                thread.start()

    def _serve(self, connection: Connection) -> None:
        # A client that leaves, and a provider that stops, end the socket's life anywhere below.
        try:
            with suppress(Hangup, OSError):
                while self._exchange(connection):
                    pass
        finally:
            connection.close()
            with self._lock:
                self._serving.pop(connection, None)

    def _exchange(self, connection: Connection) -> bool:
        """Answer one request; tell whether another may follow."""
        received = connection.read()
        with self._lock:
            self.received.append(received)
            number = next(self._numbers)
            fault = self._take_fault(received.path)
        ask, wire, refusal = routes.read(received, number, self.url, self._shelf)
        answer = spoil(refusal or routes.answer(ask, wire), fault, wire)
        self._pause(self.latency)
        zipped = (self.gzip or isinstance(fault, Gzip)) and "gzip" in ask.headers.get("accept-encoding", "")
        connection.write(answer, wire.headers(ask), zipped, lambda: self.pace, fault)
        return ask.headers.get("connection", "").lower() != "close"

    def _take_fault(self, path: str) -> AnyFault | None:
        for index, (fault, path_contains) in enumerate(self._faults):
            if path_contains in path:
                del self._faults[index]
                return fault
        return None

    def _pause(self, seconds: float) -> None:
        if seconds > 0 and self._stopping.wait(seconds):
            raise Hangup


def _thread(work: Callable[..., None], *args: object) -> Thread:
    return Thread(target=work, args=args, daemon=True, name="askonce local provider")
