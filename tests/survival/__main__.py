"""Live through the worst days in full and write docs/explanation/survival.md: `python -m tests.survival [NAME …]`.

With names only those scenarios that contain one are run, and nothing is written.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.survival.scenarios import SCENARIOS
from tests.survival.toll import Scenario, Toll

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "survival.md"

_INTRODUCTION = """\
# What it does on the worst day

Each row is a promise, and what was done to break it. The provider of these runs gives answers that follow from the
question, so that each of the calls can be judged: answered *rightly*, answered *wrongly*, or *failed because of
us*, that is, when it would not have failed without a cache. An entry is *confirmed* when its caller has read the
answer whole (where a disk is full: when the store has given it again). *Recovery* is the time from the end of the
trouble to the first new answer that was kept; where there is none, there was nothing to recover from.

`make survival` makes this page; the tests run the same scenarios in small. What a row needs and a machine lacks is
said in its place.

"""


def main(names: list[str]) -> int:
    rows: list[tuple[Scenario, Toll | str]] = []
    for scenario in SCENARIOS:
        if names and not any(name.lower() in scenario.name.lower() for name in names):
            continue
        lacking = scenario.lacks()
        if lacking:
            rows.append((scenario, lacking))
            print(f"{scenario.name}: needs {lacking}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            toll = scenario.run(Path(folder), scenario.full)
        rows.append((scenario, toll))
        print(f"{scenario.name}: {toll}", flush=True)
    if not names:
        PAGE.write_text(page(rows), encoding="utf-8")
    return sum(isinstance(toll, Toll) and not toll.is_clean for _, toll in rows)


def page(rows: list[tuple[Scenario, Toll | str]]) -> str:
    """Return the page that says what was counted."""
    return _INTRODUCTION + "\n".join(_table(rows)) + "\n"


def _table(rows: list[tuple[Scenario, Toll | str]]) -> list[str]:
    names = "times", "calls", "rightly", "wrongly", "failed", "confirmed", "lost", "recovery"
    lines = [f"| | promise | done to it | {' | '.join(names)} |", "| --- | --- | --- |" + " --: |" * len(names)]
    for scenario, toll in rows:
        start = f"| {scenario.name} | {scenario.promise} | {scenario.injected} |"
        if isinstance(toll, str):
            lines.append(f"{start} not run: needs {toll} |" + " |" * (len(names) - 1))
            continue
        recovery = "–" if toll.recovery is None else f"{toll.recovery:.2f} s"
        counts = " | ".join(f"{count:,}" for count in (scenario.full, *toll[:6]))
        lines.append(f"{start} {counts} | {recovery} |")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
