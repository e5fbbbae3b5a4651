"""Every SDK and the libraries above them, sync and async, are caught on whatever they ride; the page says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs.generate_sdks import sdks_page

from tests.scan import contents, findings
from tests.sdks.cells import Cell, measure, missing
from tests.sdks.rows import ROWS, Row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "sdks.md"

pytestmark = pytest.mark.skipif(
    bool(missing()), reason=f".envs/ has no {', '.join(missing())}: `make sdks` makes it"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the stores are."""
    return tmp_path_factory.mktemp("cells")


@pytest.fixture(scope="module")
def cells(folder: Path) -> list[Cell]:
    """Return all cells, measured."""
    return measure(folder)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_call_is_caught(cells: list[Cell], row: Row) -> None:
    """Recorded through the cache, each call returns the same offline, in another process, from the store alone."""
    ours = [cell for cell in cells if cell.row == row]
    assert ours
    assert [] == [fault for cell in ours for fault in cell.faults]


def test_every_call_rides_on_one_transport(cells: list[Cell]) -> None:
    """The spies have seen each half of an SDK ride, and on one library alone."""
    assert {} == {str(cell): cell.transport for cell in cells if not cell.transport or "," in cell.transport}
    assert {"httpx", "httpx2", "aiohttp", "urllib3", "lm15"} == {cell.transport for cell in cells}


@pytest.mark.usefixtures("cells")
def test_no_secret_is_kept(folder: Path) -> None:
    """No credential of any SDK, nor a signature of Amazon's, is in any of the stores."""
    stores = list(folder.rglob("*.db"))
    assert len(stores) > 200
    assert [] == [secret for store in stores for secret in findings(store)]
    assert [] == [store for store in stores if b"AWS4-HMAC-SHA256" in b"".join(contents(store))]


def test_the_page_is_current(cells: list[Cell]) -> None:
    """docs/reference/sdks.md is what was measured; `make docs` writes it."""
    assert sdks_page(cells) == PAGE.read_text(encoding="utf-8")
