"""Finding out what was asked costs microseconds, and next to nothing when the same bytes were asked before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

from askonce import Cache
from askonce._core.body import read_body
from askonce._core.key import identify
from askonce._core.messages import Headers, Request
from askonce.settings import read_settings
from benchmarks import calls
from benchmarks.figures import Result, Scale, Spread, Table, number
from benchmarks.race import Timed, cpu, race

_SIZES = {"0.8 KB": 800, "19 KB": 19_000, "1,000 KB": 1_000_000}
_ORIGIN = ("POST", "https", "api.openai.com", 443, "/v1/chat/completions")
_HEADERS = Headers(
    (
        (b"host", b"api.openai.com"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"connection", b"keep-alive"),
        (b"authorization", b"Bearer sk-benchmark"),
        (b"accept", b"application/json"),
        (b"content-type", b"application/json"),
        (b"user-agent", b"OpenAI/Python 3.54.0"),
        *(
            (f"x-stainless-{name}".encode(), b"value")
            for name in ("lang", "os", "arch", "runtime", "async", "retry")
        ),
    )
)


def run(scale: Scale) -> Result:
    """Race the ways of telling two requests apart."""
    rows = []
    for name, size in _SIZES.items():
        batch = max(1, scale.of(4_000_000, 100_000) // (size + 4_000))
        found = race(_contest(_body(size)), [range(batch)] * (scale.of(30, 3) + 1))
        rows.append([name, *(number(Spread.of(found[way]).median * 1e6) for way in found)])
    table = Table(
        "From a request to its key (µs)",
        ["body", "SHA-256 of the bytes", "json sorted, SHA-256", "askonce, first time", "askonce, seen before"],
        rows,
        "CPU time, medians. `json sorted` is the standard library's and the least that an order-blind key needs. "
        "A body above half a megabyte is not remembered.",
    )
    return Result("keys", str(__doc__).partition("\n")[0], [], [table])


def _body(size: int) -> bytes:
    messages: list[dict[str, str]] = []
    length = 0
    while length < size:
        content = f"Message {len(messages)}: what is “naïve” said of, and since when? {'Tell me more. ' * 24}"
        messages.append({"role": "user" if len(messages) % 2 == 0 else "assistant", "content": content})
        length += len(content)
    asked = {"model": calls.MODEL, "temperature": 0.2, "messages": messages}
    if length > 1.4 * size:
        messages[0]["content"] = messages[0]["content"][:size]
    return json.dumps(asked, separators=(",", ":"), ensure_ascii=False).encode()


def _contest(body: bytes) -> dict[str, Timed]:
    cache = Cache(read_settings({"store": "memory:keys"}))
    found = cache.match(*_ORIGIN)
    assert found is not None, "the request is one of those that are cached"
    match = found

    def request(raw: bytes) -> Request:
        return Request(*_ORIGIN, _HEADERS, raw)

    def sort(raw: bytes) -> bytes:
        value = json.loads(raw)
        return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).digest()

    def first_time(raw: bytes) -> object:
        return identify(request(raw), read_body("application/json", raw), match.domain, match.route, "")

    def seen_before(raw: bytes) -> object:
        return cache.begin(request(raw), match)

    ways = (lambda raw: hashlib.sha256(raw).digest(), sort, first_time, seen_before)
    return {str(place): _timed(way, body) for place, way in enumerate(ways)}


def _timed(way: Callable[[bytes], object], body: bytes) -> Timed:
    """Time a way by CPU, on bytes that are a new object each time, as those of a client are."""

    def timed(numbers: Sequence[int]) -> float:
        bodies = [bytes(bytearray(body)) for _ in numbers]

        def run(_: Sequence[int]) -> None:
            for raw in bodies:
                way(raw)

        return cpu(run)(numbers)

    return timed
