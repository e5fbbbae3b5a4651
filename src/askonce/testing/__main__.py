"""Run the local provider in the foreground: `python -m askonce.testing --port 8100`."""

from __future__ import annotations

import argparse
import signal
from threading import Event

from .provider import LocalProvider


def main() -> None:
    """Serve until interrupted; the first line printed is the address."""
    parser = argparse.ArgumentParser(prog="python -m askonce.testing", description=LocalProvider.__doc__)
    parser.add_argument("--port", type=int, default=0, help="any free one by default")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds between the events of a stream")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before the head of each answer")
    options = parser.parse_args()
    ended = Event()
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with LocalProvider(port=options.port, pace=options.pace, latency=options.latency) as provider:
        print(provider.url, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
