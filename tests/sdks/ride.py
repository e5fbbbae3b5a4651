"""Make the calls of some SDKs, each with a store of its own; write what each returned and what it rode on.

`python -m tests.sdks.ride URL FOLDER MODE SDK...` writes FOLDER/MODE.json (some SDKs print what they like). A call
that raises is reported as {"error": traceback}.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import importlib.util
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import askonce
from tests.network import refuse

from .calls import load

FORMS = ("plain", "stream", "tools", "bytes", "signed")
"""What is asked of each; test_replay.py asks some of them for more."""
TRANSPORTS = (
    ("httpcore", "ConnectionPool", "handle_request", "httpx"),
    ("httpcore", "AsyncConnectionPool", "handle_async_request", "httpx"),
    ("httpcore2", "ConnectionPool", "handle_request", "httpx2"),
    ("httpcore2", "AsyncConnectionPool", "handle_async_request", "httpx2"),
    ("aiohttp", "ClientSession", "_request", "aiohttp"),
    ("urllib3", "HTTPConnectionPool", "urlopen", "urllib3"),
    ("dspy._vendor.lm15.transports", "StdlibTransport", "stream", "lm15"),
    ("dspy._vendor.lm15.transports", "StdlibAsyncTransport", "_do_stream", "lm15"),
)


def watch(ridden: set[str]) -> None:
    """Note in a set which transports are ridden on, of those that are loaded."""
    for module, owner, method, name in TRANSPORTS:
        if sys.modules.get(module) is None:
            continue
        cls = getattr(sys.modules[module], owner)
        setattr(cls, method, _noting(getattr(cls, method), name, ridden))


def _noting(original: Callable[..., Any], name: str, ridden: set[str]) -> Callable[..., Any]:
    @functools.wraps(original)
    def noted(*given: Any, **named: Any) -> Any:
        ridden.add(name)
        return original(*given, **named)

    return noted


def main() -> None:
    """Make the calls."""
    parser = argparse.ArgumentParser(prog="python -m tests.sdks.ride", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path, help="where the stores are, and the results")
    parser.add_argument("mode")
    parser.add_argument("sdk", nargs="+")
    parser.add_argument("--without", action="append", default=[], help="a module that is not to be found")
    options = parser.parse_args()
    sys.addaudithook(refuse)
    for name in options.without:
        sys.modules[name] = None  # type: ignore[assignment]
    askonce.enable(store=options.folder / "first.db", mode=options.mode, domains=[options.url])
    calls = {name: call for name, call in load(options.sdk).items() if name.split(".")[2] in FORMS}
    ridden: set[str] = set()
    for module in ("httpcore", "httpcore2", "aiohttp", "urllib3"):  # some are loaded by the first call alone
        if module not in options.without and importlib.util.find_spec(module):
            importlib.import_module(module)
    watch(ridden)
    results: dict[str, Any] = {}
    with asyncio.Runner() as runner:  # of one loop, since some keep a client from one call to the next
        for name, call in calls.items():
            askonce.enable(store=options.folder / f"{name}.db", mode=options.mode, domains=[options.url])
            ridden.clear()
            try:
                results[name] = {"result": call(options.url, runner.run)}
            except Exception:
                results[name] = {"error": traceback.format_exc()}
            results[name] |= {"stats": askonce.stats()._asdict(), "ridden": sorted(ridden)}
    text = json.dumps(results, ensure_ascii=False, indent=1)
    (options.folder / f"{options.mode}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
