"""Record with another cache, or replay with askonce, in a process of its own; print what each call returned.

    python -m tests.exchange.record URL HOW=PATH [HOW=PATH …]

HOW is cachy (PATH is its folder), yaml or json (a cassette), askonce (a store) or compat (cachy's folder).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tests.sdks.calls import CALLS, load

SDKS = ("openai", "anthropic", "gemini", "mistral")
# A call of each kind, streamed and not; cassettes in JSON can hold text alone.
TEXT = (
    "*.chat.plain.sync",
    "*.chat.stream.sync",
    "*.messages.*m.sync",
    "*.tools.stream.sync",
    "*.generate.*m.sync",
)
ALL = (*TEXT, "*.messages.plain.sync", "*.embeddings.*.sync", "*.images.url.sync", "*.transcriptions.text.sync")


def main() -> None:
    """Run the calls as the arguments say."""
    url, *ways = sys.argv[1:]
    load(SDKS)
    results = {}
    for way in ways:
        how, _, path = way.partition("=")
        results[way] = run(url, around(how, url, Path(path)), TEXT if "json" in way else ALL)
    json.dump(results, sys.stdout)


def run(url: str, around: AbstractContextManager[Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Make the calls inside this block."""
    with around:
        return {
            name: call(url) for name, call in CALLS.items() if any(fnmatch(name, pattern) for pattern in names)
        }


@contextmanager
def around(how: str, url: str, path: Path) -> Iterator[None]:
    """Turn on what is to record or to replay."""
    if how == "cachy":
        from cachy import cachy

        with cachy(cache_dir=path, doms=("127.0.0.1",)):
            yield
    elif how == "compat":
        from askonce.compat import cachy as compat

        with compat.cachy(cache_dir=path, doms=("127.0.0.1",)):
            yield
    elif how == "askonce":
        import askonce

        with askonce.caching(path, mode="offline", domains=[url]):
            yield
    else:
        import vcr

        recorder = vcr.VCR(
            serializer="json" if how == "json" else "yaml", decode_compressed_response=how != "yaml"
        )
        with recorder.use_cassette(path, record_mode="all"):
            yield


if __name__ == "__main__":
    main()
