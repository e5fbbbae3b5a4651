"""Make all calls in a process of its own and print one JSON object: `python -m tests.sdks.run URL`.

A call that raises is reported as {"error": repr}.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .calls import SDKS, load


def main() -> None:
    """Run the catalogue against the provider at the given address."""
    parser = argparse.ArgumentParser(prog="python -m tests.sdks.run", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--only", choices=SDKS, action="append", help="again for another; all by default")
    parser.add_argument("--enable", nargs=2, metavar=("STORE", "MODE"), help="enable askonce before the first SDK")
    options = parser.parse_args()
    if options.enable:
        import askonce

        store, mode = options.enable
        askonce.enable(store=store, mode=mode, domains=[options.url])
    results: dict[str, Any] = {}
    for name, call in load(options.only).items():
        try:
            results[name] = call(options.url)
        except Exception as error:
            results[name] = {"error": repr(error)}
    json.dump(results, sys.stdout, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    main()
