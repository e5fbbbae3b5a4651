"""One cache in a process of its own, told by the lines of its standard input what to do and to measure.

    python -m benchmarks.peer SYSTEM ENTRIES PROVIDER FOLDER

All systems get the same requests from the same bare httpx2 client, and each its best setting for LLM calls. A
store is filled by casting one exchange that the system recorded itself, in its own format. What a line asks for
and what is answered are JSON: `{"do": "hits", "numbers": [1, 2], "seconds": 0.5}` gives `{"cpu": …}`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import httpx2

from benchmarks import calls

_PLAIN = "gpt-5-chunks-200"
_PACED = "gpt-5-chunks-40"
_SLOT = "00000000"
_HEADERS = {
    "authorization": f"Bearer {calls.KEY}",
    "content-type": "application/json",
    "accept": "application/json",
}


class System(Protocol):
    """What all caches are asked for."""

    def fill(self, count: int) -> None:
        """Make a store in which questions 0 to `count` are answered."""
        ...

    def open(self) -> httpx2.Client:
        """Turn the cache on; return the client to call with."""
        ...

    def flush(self) -> None:
        """Make sure that what was recorded is in the file."""
        ...


class Base:
    """No cache at all."""

    def __init__(self, folder: Path, provider: str) -> None:
        self.folder = folder
        self.provider = provider
        self.url = f"{provider}/v1/chat/completions"

    def fill(self, count: int) -> None:
        del count

    def open(self) -> httpx2.Client:
        return httpx2.Client(headers=_HEADERS)

    def flush(self) -> None:
        pass

    def record(self) -> None:
        """Ask question 0."""
        with self.open() as client:
            client.post(self.url, content=_body(0)).raise_for_status()
        self.flush()


class Askonce(Base):
    """As it comes; `domains` names the local provider."""

    def fill(self, count: int) -> None:
        import askonce
        from benchmarks.stores import cast, read_mould

        mould = self.folder / "mould.db"
        with askonce.caching(mould, domains=[self.provider]):
            self.record()
        cast(read_mould(mould), self.folder / "cache.db", count)
        for leftover in self.folder.glob("mould.db*"):
            leftover.unlink()

    def open(self) -> httpx2.Client:
        import askonce

        if not (self.folder / "cache.db").exists():
            return super().open()
        askonce.enable(self.folder / "cache.db", domains=[self.provider])
        return super().open()


class Cachy(Base):
    """As it comes; `doms` names the local provider."""

    def fill(self, count: int) -> None:
        from cachy import core  # type: ignore[import-untyped, unused-ignore]

        core.enable_cachy(cache_dir=self.folder, doms=("127.0.0.1",))
        self.record()
        core.disable_cachy()
        path = self.folder / "cachy.jsonl"
        line = json.loads(path.read_text())
        with httpx2.Client(headers=_HEADERS) as client, path.open("w") as file:
            for number in range(count):
                key = core._key(client.build_request("POST", self.url, content=_body(number)))
                assert number or key == line["key"], "the key is made as recorded"
                file.write(json.dumps(line | {"key": key}) + "\n")

    def open(self) -> httpx2.Client:
        import cachy

        cachy.enable_cachy(cache_dir=self.folder, doms=("127.0.0.1",))
        return super().open()


class Vcrpy(Base):
    """One cassette that is open throughout; the body is matched too, which it is not by default."""

    def __init__(self, folder: Path, provider: str) -> None:
        super().__init__(folder, provider)
        self.path = folder / "cassette.yaml"
        self.cassette: Any = None
        self.context: Any = None

    def fill(self, count: int) -> None:
        self.record()
        self.context.__exit__(None, None, None)
        before, mark, rest = self.path.read_text().partition("interactions:\n")
        one, version, after = rest.rpartition("version:")
        assert one.count(_SLOT) == 1, "the question has one slot for its number"
        left, _, right = one.partition(_SLOT)
        with self.path.open("w") as file:
            file.write(before + mark)
            for number in range(count):
                file.write(f"{left}{number:08}{right}")
            file.write(version + after)

    def open(self) -> httpx2.Client:
        import vcr  # type: ignore[import-untyped, unused-ignore]

        self.context = vcr.use_cassette(
            self.path,
            record_mode="new_episodes",
            allow_playback_repeats=True,
            match_on=["method", "scheme", "host", "port", "path", "query", "body"],
        )
        self.cassette = self.context.__enter__()
        return super().open()

    def flush(self) -> None:
        self.cassette._save()


class Hishel(Base):
    """It never answers a POST, so it is shown a GET whose key we make of the body; the provider gets the POST."""

    def __init__(self, folder: Path, provider: str) -> None:
        super().__init__(folder, provider)
        self.path = folder / "hishel.db"

    def fill(self, count: int) -> None:
        self.record()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            entry = dict(db.execute("SELECT * FROM entries").fetchone())
            chunk = dict(db.execute("SELECT * FROM streams").fetchone())
            assert bytes(entry["cache_key"]) == self.key(_body(0)).encode(), "the key is the one that was given"
            db.execute("BEGIN")
            for number in range(1, count):
                row, key = uuid.uuid4().bytes, self.key(_body(number)).encode()
                for table, values in (
                    ("entries", entry | {"id": row, "cache_key": key}),
                    ("streams", chunk | {"entry_id": row}),
                ):
                    names, places = ", ".join(values), ", ".join("?" * len(values))
                    db.execute(f"INSERT INTO {table}({names}) VALUES ({places})", [*values.values()])
            db.execute("COMMIT")

    def key(self, body: bytes) -> str:
        """Return the key of a question."""
        return hashlib.sha256(self.url.encode() + b"\n" + body).hexdigest()

    def open(self) -> httpx2.Client:
        from hishel import SqliteStorage
        from hishel.httpx2 import CacheTransport

        storage = SqliteStorage(database_path=self.path, max_size=None)
        outward = _Outward(httpx2.HTTPTransport())
        return httpx2.Client(
            headers=_HEADERS, transport=_Inward(CacheTransport(outward, storage=storage), self.key)
        )


class _Inward(httpx2.BaseTransport):
    def __init__(self, inner: httpx2.BaseTransport, key: Callable[[bytes], str]) -> None:
        self._inner = inner
        self._key = key

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.extensions = request.extensions | {"caching": {"key": self._key(request.read())}}
        request.method = "GET"
        return self._inner.handle_request(request)


class _Outward(httpx2.BaseTransport):
    def __init__(self, inner: httpx2.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.method = "POST"
        response = self._inner.handle_request(request)
        request.method = "GET"
        return response


SYSTEMS: dict[str, type[Base]] = {
    "no cache": Base,
    "askonce": Askonce,
    "cachy": Cachy,
    "vcrpy": Vcrpy,
    "hishel": Hishel,
}


def _body(number: int, *, stream: bool = False, model: str = _PLAIN) -> bytes:
    return calls.body(number, stream=stream, model=model)


class Session:
    """What can be asked of a system that is on; each answer is a dict of figures."""

    def __init__(self, system: Base, client: httpx2.Client, count: int) -> None:
        self.system = system
        self.client = client
        self.recorded = client.post(system.url, content=_body(0)).headers["x-request-id"] if count else ""

    def hits(self, numbers: list[int], seconds: float) -> dict[str, float]:
        """Ask recorded questions for at most so many seconds; give the CPU seconds of one."""
        bodies = [_body(number) for number in numbers]
        url, post = self.system.url, self.client.post
        last, done = None, 0
        deadline = time.perf_counter() + seconds
        start = time.thread_time()
        for body in bodies:
            last = post(url, content=body)
            done += 1
            if time.perf_counter() > deadline:
                break
        cpu = (time.thread_time() - start) / done
        assert last is not None
        was_hit = last.headers["x-request-id"] == self.recorded
        assert was_hit is (type(self.system) is not Base), "every call was to be a hit"
        return {"cpu": cpu}

    def records(self, numbers: list[int], seconds: float) -> dict[str, float]:
        """Ask new questions until their answers are in the file; give the CPU seconds of one."""
        done = 0
        deadline = time.perf_counter() + seconds
        start = time.process_time()
        for number in numbers:
            self.client.post(self.system.url, content=_body(number)).raise_for_status()
            self.system.flush()
            done += 1
            if time.perf_counter() > deadline:
                break
        return {"cpu": (time.process_time() - start) / done}

    def first(self, numbers: list[int]) -> dict[str, float]:
        """Stream new answers; give the seconds to the first byte, and to the last."""
        firsts, lasts = [], []
        for number in numbers:
            start = time.perf_counter()
            with self.client.stream(
                "POST", self.system.url, content=_body(number, stream=True, model=_PACED)
            ) as said:
                chunks = said.iter_bytes()
                next(chunks)
                firsts.append(time.perf_counter() - start)
                for _ in chunks:
                    pass
                lasts.append(time.perf_counter() - start)
        return {"first": sum(firsts) / len(firsts), "last": sum(lasts) / len(lasts)}

    def gives_back(self, numbers: list[int]) -> dict[str, Any]:
        """Compare the second answer to a question with the first."""
        number = numbers[0]
        asked, again = (self.client.post(self.system.url, content=_body(number)) for _ in range(2))
        names = [name for name in asked.headers if again.headers.get(name) == asked.headers[name]]
        url = f"{self.system.provider}/v1/responses"
        body = json.dumps({"model": calls.MODEL, "input": f"Question {number:08}", "instructions": "Be brief."})
        whole, second = (self.client.post(url, content=body.encode()).json() for _ in range(2))
        streamed = []
        for _ in range(2):
            with self.client.stream(
                "POST", self.system.url, content=_body(number, stream=True, model=_PACED)
            ) as said:
                streamed.append(list(said.iter_bytes()))
        return {
            "same": asked.content == again.content,
            "headers": [len(names), len(set(asked.headers))],
            "fields": sorted(name for name in whole if second.get(name, ...) != whole[name]),
            "chunks": [len(streamed[1]), len(streamed[0])],
            "stream": b"".join(streamed[0]) == b"".join(streamed[1]),
        }

    def size(self) -> dict[str, int]:
        """Give the bytes of the files."""
        return {"bytes": sum(path.stat().st_size for path in self.system.folder.iterdir())}


def main() -> None:
    """Fill, open, and do what is asked."""
    name, count, provider, folder = sys.argv[1:]
    system = SYSTEMS[name](Path(folder), provider)
    system.fill(int(count))
    start = time.process_time()
    session = Session(system, system.open(), int(count))
    print(json.dumps({"opened": time.process_time() - start}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(getattr(session, asked.pop("do"))(**asked)), flush=True)
    os._exit(0)  # vcrpy would write its cassette once more


if __name__ == "__main__":
    main()
