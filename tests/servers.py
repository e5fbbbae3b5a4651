"""Databases that the tests start themselves: on free ports, in temporary folders; what a server left is gone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis

REDIS = ("redis-server", *filter(shutil.which, ("valkey-server",)))
"""Programs that are tested; the second where it is installed."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """A Redis or Valkey on a port of this machine, without a file."""

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        self.options = options
        self.socket = folder / "socket"
        self._given = (program, folder)
        self._process: subprocess.Popen[bytes] | None = None
        for _ in range(5):  # another may take the port before it does
            self.port = free_port()
            if self.start():
                return
        raise AssertionError(f"{program} does not start")

    def start(self) -> bool:
        """Start it, empty, and wait until it answers; tell whether it does."""
        program, folder = self._given
        command = [
            *(program, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)),
            *("--save", "", "--dir", str(folder), "--loglevel", "warning", *self.options),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:  # whose port it is, nobody could say
                probe.settimeout(5)
                probe.connect(str(self.socket))
                probe.sendall(b"PING\r\n")
                if probe.recv(64)[:1] in (b"+", b"-"):
                    return True
            time.sleep(0.01)
        return False

    def url(self, **query: object) -> str:
        """Return the URL under which it is a store; calls wait for it as long as a busy machine may need."""
        query = {"timeout": 20} | query
        return f"redis://127.0.0.1:{self.port}/0?" + "&".join(f"{name}={value}" for name, value in query.items())

    def pause(self) -> None:
        """Have it answer nothing, as a machine does that hangs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def resume_if_paused(self) -> None:
        """Have it answer again, if it is there."""
        if self._process is not None:
            self.resume()

    def kill(self) -> None:
        """End it, without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def find_redis(name: str = "redis-server") -> str:
    """Return the program of that name, or skip the test."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    return program


@contextmanager
def started_redis(*options: str, name: str = "redis-server") -> Iterator[RedisServer]:
    """Start a server for one test, which may do with it what it likes."""
    program = find_redis(name)
    with tempfile.TemporaryDirectory(dir="/tmp" if os.path.isdir("/tmp") else None) as folder:  # noqa: PTH112
        server = RedisServer(program, Path(folder), *options)
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def redis_servers() -> Iterator[dict[str, RedisServer]]:
    """Return the servers that tests share, each started when it is first asked for."""
    with tempfile.TemporaryDirectory() as folder:
        servers = _Servers(Path(folder))
        yield servers
        for server in servers.values():
            server.kill()


class _Servers(dict[str, RedisServer]):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __missing__(self, name: str) -> RedisServer:
        program, folder = find_redis(name), self._folder / name
        folder.mkdir()
        self[name] = RedisServer(program, folder)
        return self[name]


@pytest.fixture
def redis_server(redis_servers: dict[str, RedisServer]) -> RedisServer:
    """Return a running Redis, which other tests use as well: a prefix keeps what is theirs apart."""
    return redis_servers["redis-server"]


@contextmanager
def started_cluster() -> Iterator[list[RedisServer]]:
    """Start three servers that share what is kept among them."""
    program = find_redis()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        servers: list[RedisServer] = []
        for number in range(3):
            (folder / str(number)).mkdir()
            options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--appendonly", "no")
            servers.append(RedisServer(program, folder / str(number), *options))
            stack.callback(servers[-1].kill)
        bounds = [0, 5461, 10923, 16384]
        clients = [stack.enter_context(redis.Redis(port=server.port)) for server in servers]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server, options in ((one, one.options) for one in servers[1:]):
            bus = options[options.index("--cluster-port") + 1]
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        deadline = time.monotonic() + 20
        while not all(b"cluster_state:ok" in _info(one) and b"known_nodes:3" in _info(one) for one in clients):
            assert time.monotonic() < deadline, "the cluster does not come together"
            time.sleep(0.05)
        yield servers


def _info(client: redis.Redis) -> bytes:
    info: bytes = client.connection_pool.get_encoder().encode(str(client.execute_command("CLUSTER INFO")))
    return info.replace(b"': '", b":")


@contextmanager
def started_sentinel(server: RedisServer) -> Iterator[int]:
    """Start a sentinel that knows a server as `askonce`; yield its port."""
    program = find_redis()
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        plan = Path(name) / "sentinel.conf"
        plan.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {name}\nsentinel monitor askonce 127.0.0.1 {server.port} 1\n"
        )
        process = subprocess.Popen([program, str(plan), "--sentinel"], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=5):
                        break
                except OSError:
                    assert time.monotonic() < deadline, "the sentinel does not answer"
                    time.sleep(0.01)
            yield port
        finally:
            process.kill()
            process.wait()


class PostgresServer:
    """A PostgreSQL on a port of this machine, run by an ordinary user; durable only if it is to be."""

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        self._programs = _postgres_programs()
        self._as_user: list[str] = []
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # whom it refuses
            setpriv = shutil.which("setpriv")
            if setpriv is None:
                pytest.skip("PostgreSQL refuses root, and there is no setpriv")
            import pwd  # which Windows lacks

            user = pwd.getpwnam("nobody")
            self._as_user = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            folder.chmod(0o755)
            os.chown(folder, user.pw_uid, user.pw_gid)
        self._data = folder / "data"
        options = [*("--auth", "trust", "--username", "askonce", "--encoding", "UTF8", "--locale", "C")]
        subprocess.run(
            [*self._as_user, self._programs / "initdb", "--no-sync", *options, "--pgdata", self._data],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        settings = {"fsync": "on" if is_durable else "off", "max_connections": 200, "shared_buffers": "32MB"}
        self._command = [
            *(*self._as_user, str(self._programs / "postgres"), "-D", str(self._data), "-k", str(folder)),
            *("-h", "127.0.0.1"),
            *[part for name, value in settings.items() for part in ("-c", f"{name}={value}")],
        ]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        for _ in range(5):  # another may take the port before it does
            self.port = free_port()
            if self.start():
                return
        raise AssertionError("PostgreSQL does not start")

    def start(self) -> bool:
        """Start it, with what it holds, and wait until it answers; tell whether it does."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [*self._command, "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
        )
        deadline = time.monotonic() + 20
        # By its socket: whose port it is, nobody could say.
        probe = [self._programs / "pg_isready", "-h", str(self._folder), "-p", str(self.port)]
        while subprocess.run(probe, capture_output=True, check=False).returncode:
            if self._process.poll() is not None:
                return False
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.02)
        return True

    def url(self, *, password: str = "", **query: object) -> str:
        """Return the URL under which it is a store; calls wait for it as long as a busy machine may need."""
        query = {"timeout": 20} | query
        user = f"askonce:{password}" if password else "askonce"
        told = "&".join(f"{name}={value}" for name, value in query.items())
        return f"postgresql://{user}@127.0.0.1:{self.port}/postgres?{told}"

    @property
    def pid(self) -> int:
        """The process whose children are all of it."""
        assert self._process is not None
        return self._process.pid

    def _signal(self, number: int) -> None:
        """Signal it, and each of its children, of which there is one for each connection."""
        listed = ["ps", "-o", "pid=", "--ppid", str(self.pid)]
        children = subprocess.run(listed, capture_output=True, text=True, check=False).stdout.split()
        for process in (self.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def pause(self) -> None:
        """Have it answer nothing, as a machine does that hangs."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it answer again."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End all of it, without a word."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            time.sleep(0.1)  # until the system has taken away what the children had


def _postgres_programs() -> Path:
    """Return the folder of the programs, or skip the test."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        pytest.skip("PostgreSQL is not installed")
    return folders[-1]


@contextmanager
def started_postgres(*, is_durable: bool = False) -> Iterator[PostgresServer]:
    """Start a server for one test, which may do with it what it likes."""
    with tempfile.TemporaryDirectory(dir="/tmp" if os.path.isdir("/tmp") else None) as folder:  # noqa: PTH112
        server = PostgresServer(Path(folder), is_durable=is_durable)
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Return a running PostgreSQL, which other tests use as well: a schema keeps what is theirs apart."""
    with started_postgres() as server:
        yield server


class Link:
    """A way to a server that the test can cut, or make slow: what comes in goes on `delay` seconds later."""

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.is_cut = False
        self._target = port
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += (near, far)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                if self.delay:
                    time.sleep(self.delay)
                while self.is_cut:  # silent, as where a cable is out
                    time.sleep(0.01)
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections, and take no more."""
        self.is_cut = False
        for end in (self._listener, *self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
