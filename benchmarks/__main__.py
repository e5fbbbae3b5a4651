"""Measure, and write what was found: `python -m benchmarks [--quick] [--only NAME] [--out FOLDER]`."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import time
from dataclasses import replace
from pathlib import Path

from benchmarks import report
from benchmarks.figures import Scale
from benchmarks.stores import WORK


def main() -> None:
    """Run the benchmarks one after another."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything works")
    parser.add_argument(
        "--only", metavar="NAME", action="append", choices=report.ORDER, help="only this benchmark"
    )
    parser.add_argument("--out", type=Path, help="where to write; quick results go beside the stores by default")
    options = parser.parse_args()
    out = options.out or (WORK / "quick" if options.quick else Path(__file__).parent / "results")
    for name in [name for name in os.environ if name.startswith("ASKONCE_")]:
        del os.environ[name]
    results = []
    for name in options.only or report.ORDER:
        print(f"{name} …", flush=True)
        start = time.monotonic()
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        result = importlib.import_module(f"benchmarks.{name}").run(Scale(options.quick))
        result = replace(result, seconds=time.monotonic() - start, machine=_machine(load, quick=options.quick))
        results.append(result)
        report.write([result], out)
        for table in (*result.tables, *([report.targets(result.checks)] if result.checks else [])):
            print(f"\n{report.show(table)}")
        print(f"\n{name}: {result.seconds:.0f} s\n", flush=True)
    checks = [check for result in results for check in result.checks]
    print(f"{sum(check.met for check in checks)} of {len(checks)} targets met; written to {out}")


def _machine(load: float, *, quick: bool) -> str:
    size = "a quick run, which shows nothing but that it works; " if quick else ""
    return (
        f"{size}{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"load {load:.1f} at the start, {platform.python_implementation()} {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
