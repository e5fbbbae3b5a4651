"""Call every method of the SDKs and write docs/reference/conformance.md: `python -m tests.conformance`."""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import version
from pathlib import Path

from tests.conformance.runs import SDKS, Report, measured

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"

_INTRODUCTION = """\
# Conformance

Every method of the SDKs' clients, found by walking what hangs from them, is called with arguments generated from
its types: what is required alone; each argument added or changed alone; all together; plain and as a stream. A
server answers with values generated from the types that the method returns, which hold a digest of the request.
Each call is made without askonce, while recording, and replayed with a server that is down.

- *Generation* are the methods whose answers were kept; *others* were called twice, and the server was asked twice.
- *Pairs* are of calls to one method whose requests differ; *merged* are those that shared an answer: none may.
- *Differing* are results that were not the same in all three runs, field by field, type and request id included.
- *State* are calls of generation that leave something behind (`background=True`, say) and are asked each time.

`make conformance` makes this page. With the async clients a method is called with what is required, plain and as a
stream.

"""


def main() -> int:
    warnings.simplefilter("ignore")  # some methods say that they are old, or new
    reports = []
    for sdk in SDKS:
        for is_async in (False, True):
            reports.append(measured(sdk, is_async=is_async, thorough=not is_async))
            print(_row(reports[-1]), flush=True)
            for trouble in (*reports[-1].merged, *reports[-1].differing):
                print(f"  {trouble}")
    PAGE.write_text(page(reports), encoding="utf-8")
    return sum(len(report.merged) + len(report.differing) for report in reports)


def page(reports: list[Report]) -> str:
    """Return the page that says what was counted."""
    names = (
        "SDK",
        "client",
        "generation",
        "others",
        "calls",
        "pairs",
        "merged",
        "differing",
        "state",
        "refused by the SDK",
    )
    lines = [f"| {' | '.join(names)} |", "| --- | --- |" + " --: |" * (len(names) - 2), *map(_row, reports)]
    lines += ["", "## Generation", ""]
    for report in reports:
        if report.how == "sync":
            shown = ", ".join(f"`{name}`" for name in report.generation)
            lines.append(f"- {report.sdk}: {shown}")
    return _INTRODUCTION + "\n".join(lines) + "\n"


def _row(report: Report) -> str:
    counts = (
        len(report.generation), len(report.others), report.calls, report.pairs, len(report.merged),
        len(report.differing), report.state, report.refused,
    )  # fmt: skip
    return f"| {report.sdk} {version(report.sdk)} | {report.how} | {' | '.join(f'{n:,}' for n in counts)} |"


if __name__ == "__main__":
    sys.exit(main())
