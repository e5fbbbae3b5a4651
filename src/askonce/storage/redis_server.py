"""Connections to a Redis: those that calls wait for, which are given up soon, and those that have time.

What calls wait for goes over connections of redis-py that are used directly, which takes a third of the time that
its client does. Both are made when they are first needed, and never carried across a fork.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from askonce.errors import SettingsError, StorageError
from askonce.forks import renew_in_children
from askonce.storage.redis_address import Address

PATIENCE = 5.0  # seconds, for what no call waits for
_HURRY = 1.0  # the same, when all is being closed
_MOST = 64  # connections that calls use at once

Command = tuple[Any, ...]
Script = tuple[str, Sequence[Any], Sequence[Any]]
"""A script's text, its keys and its arguments."""


class Server:
    """Have a Redis do things. Every method raises StorageError with the cause and the cure."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.redis: Any = _redis_py(address)
        self._shas: dict[str, str] = {}
        self._patience = PATIENCE
        self._is_numeric = all(map(_is_numeric, address.hosts))
        self.renew()
        renew_in_children(self)

    def renew(self) -> None:
        """Begin without connections, in a forked child too: those there are stay the parent's."""
        self._clients: dict[float, Any] = {}
        self._idle: deque[Any] = deque()
        self._opened = self._waiting = 0
        self._changed = threading.Condition()
        self._lock = threading.Lock()

    # --- What calls wait for ------------------------------------------------------------------------------

    def ask(self, *command: Any) -> Any:
        """Return the answer to one command, or give up after the time that a call may be kept waiting."""
        try:
            if self.address.kind == "cluster":
                return self._client(self._quick).execute_command(*command)
            try:
                return self._ask(command)
            except self.redis.ConnectionError:  # closed by the server while it was idle, perhaps with all others
                self._let_go()
                return self._ask(command)
        except self._faults as error:
            raise self._explain(error) from error

    @property
    def _quick(self) -> float:
        """Half of what a call may wait: connecting, and then an answer, or two answers in a row."""
        return self.address.timeout / 2

    def _ask(self, command: Command) -> Any:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._wait_for_one()
        try:
            connection.send_command(*command, check_health=False)
            answer = connection.read_response()
        except self.redis.ResponseError:
            self._give_back(connection)
            raise
        except BaseException:  # what comes now would be taken for the answer to the next command
            connection.disconnect()
            self._forget_one()
            raise
        self._give_back(connection)
        return answer

    def _give_back(self, connection: Any) -> None:
        self._idle.append(connection)
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def _wait_for_one(self) -> Any:
        """Return a new connection, or where there are as many as may be, one that is given back."""
        with self._changed:
            self._waiting += 1  # before looking, so that who gives back now sees that somebody waits
            try:
                while not self._idle and self._opened >= _MOST:
                    if not self._changed.wait(self._quick):
                        raise self.redis.TimeoutError(f"all {_MOST} connections are in use")
                if self._idle:
                    return self._idle.pop()
                self._opened += 1
            finally:
                self._waiting -= 1
        try:
            return self._connect() if self._is_numeric else self._connect_by_name()
        except BaseException:
            self._forget_one()
            raise

    def _connect(self) -> Any:
        pool = self._client(self._quick).connection_pool
        connection = pool.connection_class(**pool.connection_kwargs)
        connection.connect()
        return connection

    def _connect_by_name(self) -> Any:
        """Connect in another thread, since looking up a name knows no time-out; what comes late is closed."""
        made: list[Any] = []
        is_made, lock = threading.Event(), threading.Lock()

        def connect() -> None:
            try:
                outcome: Any = self._connect()
            except Exception as error:
                outcome = error
            with lock:
                made.append(outcome)
                is_late = len(made) > 1
            is_made.set()
            if is_late and not isinstance(outcome, Exception):
                outcome.disconnect()

        try:
            threading.Thread(target=connect, name="askonce-connect", daemon=True).start()
        except RuntimeError:  # no more threads
            connect()
        if not is_made.wait(self.address.timeout):
            with lock:
                if not made:
                    waited = f"no connection in {1000 * self.address.timeout:.0f} ms"
                    made.append(self.redis.TimeoutError(waited))
        if isinstance(made[0], Exception):
            raise made[0]
        return made[0]

    def _forget_one(self) -> None:
        with self._changed:
            self._opened -= 1
            self._changed.notify()

    def _let_go(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().disconnect()
                self._forget_one()

    # --- What has time ------------------------------------------------------------------------------------

    def do(self, *commands: Command) -> list[Any]:
        """Return the answers to commands, which are sent together."""
        try:
            pipeline = self._client(self._patience).pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = pipeline.execute()
        except self._faults as error:
            raise self._explain(error) from error
        return answers

    def run(self, *scripts: Script) -> list[Any]:
        """Return what scripts return, which are sent together."""
        try:
            client = self._client(self._patience)
            if self.address.kind == "cluster":  # where a pipeline takes no scripts
                return [self._run_one(client.execute_command, script) for script in scripts]
            pipeline = client.pipeline(transaction=False)
            for text, keys, arguments in scripts:
                pipeline.execute_command("EVALSHA", self._sha(text), len(keys), *keys, *arguments)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            for at, answer in enumerate(answers):
                if isinstance(answer, self.redis.exceptions.NoScriptError):
                    answers[at] = self._run_one(client.execute_command, scripts[at])
                elif isinstance(answer, Exception):
                    raise answer
        except self._faults as error:
            raise self._explain(error) from error
        return answers

    def ask_script(self, text: str, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """Return what a script returns that a call waits for."""
        try:
            return self.ask("EVALSHA", self._sha(text), len(keys), *keys, *arguments)
        except StorageError as error:
            if not isinstance(error.__cause__, self.redis.exceptions.NoScriptError):
                raise
            return self.ask("EVAL", text, len(keys), *keys, *arguments)

    def _run_one(self, execute: Callable[..., Any], script: Script) -> Any:
        text, keys, arguments = script
        try:
            return execute("EVALSHA", self._sha(text), len(keys), *keys, *arguments)
        except self.redis.exceptions.NoScriptError:
            return execute("EVAL", text, len(keys), *keys, *arguments)

    def _sha(self, text: str) -> str:
        sha = self._shas.get(text)
        if sha is None:
            import hashlib

            sha = self._shas[text] = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 (the name that Redis gives it)
        return sha

    # --- Connecting ---------------------------------------------------------------------------------------

    @property
    def _faults(self) -> tuple[type[Exception], ...]:
        return (self.redis.RedisError, self.redis.exceptions.RedisClusterException, OSError)

    def _client(self, patience: float) -> Any:
        client = self._clients.get(patience)
        if client is None:
            with self._lock:
                client = self._clients.get(patience)
                if client is None:
                    client = self._clients[patience] = self._make_client(patience)
        return client

    def _make_client(self, patience: float) -> Any:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        redis, address = self.redis, self.address
        options = {
            "socket_timeout": patience,
            "socket_connect_timeout": patience,
            "retry": Retry(NoBackoff(), int(patience == PATIENCE)),
            "protocol": 2,
            **address.connection,
        }
        if address.kind == "cluster":
            nodes = [redis.cluster.ClusterNode(*host) for host in address.hosts]
            return redis.RedisCluster(startup_nodes=nodes, **options)
        if address.kind == "sentinel":
            told = {name: value for name, value in options.items() if name.startswith(("socket_", "ssl"))}
            sentinel = redis.sentinel.Sentinel(address.hosts, sentinel_kwargs=told, **options)
            return sentinel.master_for(address.service)
        if "path" in options:
            options["unix_socket_path"] = options.pop("path")
        else:
            options["host"], options["port"] = address.hosts[0]
        return redis.Redis(**options)

    def listen(self, patience: float) -> Any:
        """Return a connection on which the server can speak up (RESP3), to be closed by whoever has it."""
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        pool = self._client(PATIENCE).connection_pool
        options = pool.connection_kwargs | {
            "protocol": 3,
            "socket_timeout": patience,
            "socket_connect_timeout": patience,
            "retry": Retry(NoBackoff(), 0),
        }
        connection = pool.connection_class(**options)
        connection.connect()
        return connection

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Close what is open, after what is done inside, which has less time than otherwise."""
        self._patience = _HURRY
        try:
            yield
        finally:
            self._patience = PATIENCE
            self._close()

    def _close(self) -> None:
        self._let_go()
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()
            with suppress(AttributeError):  # a cluster's has none
                client.connection_pool.disconnect()

    def _explain(self, error: Exception) -> StorageError:
        return explain(self.redis, error, self.address.url)


def _is_numeric(host: tuple[str, int]) -> bool:
    """Tell whether no name has to be looked up, but for that of this machine."""
    try:
        ipaddress.ip_address(host[0])
    except ValueError:
        return host[0] == "localhost"
    return True


def explain(redis: Any, error: Exception, url: str) -> StorageError:
    """Return Redis's error as one that says what to do; the one place where they are translated."""
    where, said = f"the store at {url}", f"({str(error).rstrip('.') or type(error).__name__})"
    match error:
        case redis.AuthenticationError() | redis.exceptions.NoPermissionError():
            cure = f"lets nobody in with this name and password {said}. Put them in its URL: redis://user:password@host."
        case redis.exceptions.OutOfMemoryError():
            cure = f"is full {said}. Give it more memory, or have it forget: maxmemory-policy allkeys-lru."
        case redis.ReadOnlyError():
            cure = f"is a replica, which keeps nothing {said}. Name its master, or its sentinels."
        case redis.TimeoutError() | TimeoutError():
            cure = f"does not answer in time {said}. Check it and the network; ?timeout= sets the time."
        case redis.ConnectionError() if "CERTIFICATE" in said:
            cure = (
                f"shows a certificate that is not trusted {said}. ?ssl_ca_certs= names the file of who signed it."
            )
        case redis.ConnectionError() | OSError():
            cure = f"cannot be reached {said}. Start it, or name another with store= or ASKONCE_STORE."
        case _:
            cure = f"could not do what it was asked {said}. Look into its log."
    return StorageError(f"{where} {cure}")


def _redis_py(address: Address) -> Any:
    try:
        import redis
        import redis.cluster
        import redis.sentinel
    except ImportError:
        raise SettingsError(f"store: {address.url} needs redis-py. Run: pip install 'askonce[redis]'") from None
    return redis
