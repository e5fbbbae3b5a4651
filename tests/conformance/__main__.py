"""Call every method of the SDKs and write docs/reference/conformance.md: `python -m tests.conformance`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.conformance.runs import Runs, Tally
from tests.conformance.sdks import sdks
from tests.conformance.server import Server

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"

_INTRODUCTION = """\
# Conformance

Every method of these SDKs, found by walking the resources of their clients, called with arguments that are
made from its signature: what is required alone, each value of each argument by itself, and all there is at
once. A local server answers with what is made from the type that the SDK reads the answer as, in one piece or
as a stream. Each call is made without askonce, recording, and replaying with the server stopped; the results
are compared whole. A *pair* is two calls of a method that differ in one argument alone; it is *merged* if one
of them was given the other's answer.
`make conformance` makes this page.

"""
_LEGEND = """
*failed alike*: the SDK raises at the made answer, and does so with askonce as it does without. *refused*: the
SDK does not send what it was given. *state*: the call begins or continues something that lives at the
provider, such as `background` or a container; it is asked each time. *untouched*: methods that are not
generation; these too are asked each time they are called, and their answers are the same as without askonce.

"""
_ALIKE = """\
Arguments that do not make another request, with some of their values, and so have no pairs there (how long to
wait; how the SDK reads the answer; what a file is called, which is no part of the question):

"""


def main() -> int:
    """Run all, and return how many calls came out wrong."""
    with ProcessPoolExecutor(2) as pool:
        tallies = list(pool.map(tally, range(len(sdks()))))
    PAGE.write_text(page(tallies), encoding="utf-8")
    wrong = [f"{one.name}: {line}" for one in tallies for line in (*one.merged, *one.differing, *one.misjudged)]
    print("\n".join(wrong) or "The same in all runs; no pair is merged.")
    return len(wrong)


def tally(number: int) -> Tally:
    """Run one SDK's client."""
    warnings.simplefilter("ignore")  # of what the SDKs call deprecated or experimental
    server = Server()
    server.start()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # some methods write files
        return asyncio.run(Runs(sdks()[number], server, Path(folder)).run())


def page(tallies: list[Tally]) -> str:
    """Return the page that says what was counted."""
    names = (
        *("methods", "generation", "untouched", "without a request", "calls", "refused", "failed alike", "state"),
        *("pairs", "merged", "differing"),
    )
    lines = [f"| client | {' | '.join(names)} |", "| --- |" + " --: |" * len(names)]
    for one in tallies:
        methods = len(one.generation) + len(one.untouched) + len(one.silent)
        counts = (
            *(methods, len(one.generation), len(one.untouched), len(one.silent), one.calls, one.refused),
            *(len(one.failing), len(one.stateful), one.pairs, len(one.merged), len(one.differing)),
        )
        lines.append(f"| {one.name} | {' | '.join(f'{count:,}' for count in counts)} |")
    text = _INTRODUCTION + "\n".join(lines) + "\n" + _LEGEND
    text += _ALIKE
    text += "".join(f"- {one.name}: {_list(sorted(filter(None, one.alike)))}\n" for one in tallies)
    for one in tallies:
        text += f"\n## {one.name}\n\n**Generation**: {_list(one.generation)}.\n\n"
        text += f"**Untouched**: {_list(one.untouched)}.\n\n"
        text += f"**Without a request** (made by itself, with what is required alone): {_list(one.silent)}.\n"
    return text


def _list(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


if __name__ == "__main__":
    sys.exit(main() > 0)
