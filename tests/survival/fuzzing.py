"""Input that nobody has thought of, from hypothesis: keys, tapes, text stores, bundles, HTTP."""

from __future__ import annotations

import json
import re
import socket
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as some

from askonce._core.body import read_body
from askonce._core.messages import Answer, Head, Headers
from askonce._core.tape import Tape
from askonce.errors import AskonceError
from askonce.storage import open_storage
from tests.survival.gateways import serving
from tests.survival.oracle import PATH, Oracle, answer, question
from tests.survival.toll import Scenario, Toll

_BRIEF = 0.05  # seconds for which more is waited for, of one who may himself be waiting

_JSON: some.SearchStrategy[Any] = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def _run(examples: int, check: Callable[..., bool], *strategies: some.SearchStrategy[Any]) -> Toll:
    """Try so many examples; one for which the check does not hold is a wrong answer, one that raises a failure."""
    counts = {"right": 0, "wrong": 0, "failed": 0}

    @seed(1)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(some.tuples(*strategies))
    def each(example: tuple[Any, ...]) -> None:
        try:
            outcome = "right" if check(*example) else "wrong"
        except Exception as error:
            outcome = f"failed: {error!r}"
        counts[outcome.partition(":")[0]] += 1
        if outcome != "right":
            sys.stderr.write(f"{example!r}: {outcome}\n")

    each()
    return Toll(calls=sum(counts.values()), **counts)


def keys(_: Path, examples: int) -> Toll:
    """Two bodies have one canonical form if, and only if, they have one value; spelling does not matter."""

    def holds(one: Any, other: Any) -> bool:
        def canonical(value: Any, **spelling: Any) -> bytes:
            body = read_body("application/json", json.dumps({"value": value}, **spelling).encode(), frozenset())
            return body.canonical

        loose = canonical(one, indent=3, ensure_ascii=False) if _is_text(one) else canonical(one, indent=3)
        same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
        return canonical(one) == loose and (canonical(one) == canonical(other)) is same

    near = _JSON.flatmap(lambda value: some.tuples(some.just(value), some.just(value) | _JSON | _changed(value)))
    return _run(examples, lambda pair: holds(*pair), near)


def _is_text(value: Any) -> bool:
    """Tell whether a value can be written in UTF-8: a lone surrogate cannot."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _changed(value: Any) -> some.SearchStrategy[Any]:
    """Return a value as one that looks like it: a number as text, 1 as 1.0, true as 1."""
    return some.sampled_from([str(value), [value], {"": value}, float(value) if isinstance(value, bool) else None])


def tapes(_: Path, examples: int) -> Toll:
    """However the bytes of a stream arrive, the same is kept; and of a part of them nothing."""
    whole = answer(40, stream=True)
    head = Head(200, Headers(((b"content-type", b"text/event-stream"),)))

    def holds(places: list[int], end: int) -> bool:
        cuts = sorted({0, *(place % len(whole) for place in places), len(whole)})
        tape = Tape(head, 0.0)
        for start, stop in pairwise(cuts):
            tape.feed(whole[start:stop], 0.0)
        kept = tape.finish()
        part = Tape(head, 0.0)
        part.feed(whole[: end % (len(whole) - len(b"[DONE]\n\n"))], 0.0)
        return isinstance(kept, Answer) and kept.body == whole and isinstance(part.finish(), str)

    return _run(examples, holds, some.lists(some.integers(0, 10**9), max_size=30), some.integers(0, 10**9))


def files(name: str, folder: Path, examples: int) -> Toll:
    """A file of anything at all is opened, or refused with a sentence."""
    path = folder / name
    starts = (b"", b'{"askonce":1}\n', b'{"key":"', b"SQLite format 3\x00", b"PK\x03\x04", b"\x1f\x8b\x08")

    def holds(start: bytes, rest: bytes) -> bool:
        path.write_bytes(start + rest)
        storage = open_storage(path)
        try:
            with warnings.catch_warnings(action="ignore"):
                return all(entry.takes is not None for entry in storage.entries())
        except AskonceError as error:
            return bool(str(error))
        finally:
            storage.close()

    return _run(examples, holds, some.sampled_from(starts), some.binary(max_size=300))


def requests(folder: Path, examples: int) -> Toll:
    """A gateway answers whatever comes over a connection, or closes it; what it then answers is right."""
    plain = [json.dumps(question(number)).encode() for number in range(4)]
    heads = [
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-x\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
        for body in plain
    ]
    whole = [head.encode() + body for head, body in zip(heads, plain, strict=True)]
    noise = some.tuples(some.integers(0, 10**6), some.integers(0, 2), some.binary(max_size=3))

    def damaged(number: int, changes: list[tuple[int, int, bytes]]) -> bytes:
        text = whole[number]
        for place, length, new in changes:
            at = place % (len(text) + 1)
            text = text[:at] + new + text[at + length :]
        return text

    with Oracle() as oracle, serving(oracle, str(folder / "cache.db"), folder) as gateway:

        def said(parts: list[bytes], seconds: float) -> bytes:
            """Return what is answered, until nothing has come for so long."""
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=seconds) as sock:
                got = b""
                with suppress(TimeoutError, ConnectionError):  # it waits for more, or has heard enough
                    for part in parts:
                        sock.sendall(part)
                    while not _is_whole(got) and (chunk := sock.recv(1 << 16)):
                        got += chunk
                return got

        def holds(number: int, changes: list[tuple[int, int, bytes]], cut: int) -> bool:
            sent = damaged(number, changes)
            at = cut % len(sent)
            got = said([sent[:at], sent[at:]], _BRIEF)
            if got.startswith(b"HTTP/1.1 200 "):  # of one, or of the first of several
                # The oracle answers the number that it reads in the body, as Python does: `1_0` is ten.
                numbers = re.findall(rb"\d+", sent.partition(b"\r\n\r\n")[2].replace(b"_", b""))
                asked = {int(digits[:6]) for digits in numbers}
                body = got.partition(b"\r\n\r\n")[2]
                if _is_whole(got) and not any(body.startswith(answer(each)) for each in asked):
                    return False
            elif got and not re.match(rb"HTTP/1\.1 [1-5]\d\d ", got):
                return False
            return answer(number) == said([whole[number]], 20).partition(b"\r\n\r\n")[2]

        return _run(examples, holds, some.integers(0, 3), some.lists(noise, max_size=3), some.integers(0, 10**6))


def _is_whole(got: bytes) -> bool:
    """Tell whether a response with a length has all come."""
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return length is not None and len(body) >= int(length[1])


SCENARIOS = [
    Scenario(
        "keys of JSON bodies",
        "Two questions share a key only if they are one",
        "pairs of generated bodies: equal, alike, and unlike, in several spellings",
        keys,
        300,
        20_000,
    ),
    Scenario(
        "tapes",
        "However a stream arrives it is kept whole; half of it is not kept",
        "one stream in generated pieces, and cut off anywhere",
        tapes,
        100,
        5_000,
    ),
    *(
        Scenario(
            f"files of anything, {what}",
            "A file is read, or refused with a sentence",
            "generated bytes behind the beginnings of several formats",
            lambda folder, examples, name=name: files(name, folder, examples),  # type: ignore[misc]
            100,
            5_000,
        )
        for what, name in (("text store", "any.jsonl"), ("SQLite", "any.db"), ("bundle", "any.askonce"))
    ),
    Scenario(
        "bytes of anything at a gateway",
        "A connection is answered, or closed; the next one is answered rightly",
        "requests with generated bytes put in, left out, and cut anywhere",
        requests,
        100,
        5_000,
    ),
]
