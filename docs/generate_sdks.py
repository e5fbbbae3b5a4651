"""Write docs/reference/sdks.md from what tests/sdks/cells.py measures."""

from __future__ import annotations

import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.sdks.cells import Cell, measure, missing
from tests.sdks.rows import ROWS, Row

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "sdks.md"

_INTRODUCTION = """\
# SDKs

Which calls askonce catches. Each cell is measured: the SDK's calls are recorded through askonce against a local
provider, and repeated in another process with the provider stopped; they must then return the same, field by field,
from the store alone. A cell names the library that the calls ride on, as seen by spies on all of them. The version is
the least one that the tests run with.
"""

_UNCAUGHT = """\
## Not caught

| what | why |
| --- | --- |
| xai-sdk; google-generativeai (end of life); google-cloud-aiplatform's own client | gRPC; askonce warns when a channel to a provider is opened |
| openai's realtime, google-genai's live | websockets; askonce warns when one to a provider is opened |
| replicate's `stream`, and predictions that are polled for | a prediction's stream and its polls are state, and go to the provider |
"""


def sdks_page(cells: list[Cell]) -> str:
    """Return the page that says what was measured."""
    return "\n".join([_INTRODUCTION, *_table(cells), "", _UNCAUGHT])


def _table(cells: list[Cell]) -> Iterator[str]:
    yield "| SDK | from version | sync | async |"
    yield "| --- | --- | --- | --- |"
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    for row in ROWS:
        halves = {cell.mode: _cell(cell) for cell in cells if cell.row == row}
        version = _least(row, groups[row.place.environment])
        yield f"| {row.title} | {version} | {halves.get('sync', '–')} | {halves.get('async', '–')} |"


def _cell(cell: Cell) -> str:
    if cell.faults:
        return f"**not caught** ({cell.transport})"
    return cell.transport if cell.streams else f"{cell.transport}; no streams"


def _least(row: Row, group: list[Any]) -> str:
    for requirement in group:
        found = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?>=([\d.]+).*", requirement)
        if found and found[1] == row.distribution:
            return found[2]
    raise LookupError(f"{row.distribution} is not in the group {row.place.environment} with a least version")


def main() -> None:
    """Write the page, where the environments are."""
    if missing():
        sys.stdout.write(
            f"left {PAGE.relative_to(ROOT)} as it is: `make sdks` makes the environments that it needs\n"
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        page = sdks_page(measure(Path(folder)))
    PAGE.write_text(page, encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
