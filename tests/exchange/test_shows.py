"""What pycachy and vcrpy recorded of real SDKs is answered from the store, with the provider stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from askonce.testing import LocalProvider
from tests.cli.conftest import Run
from tests.exchange.building import import_file
from tests.sdks.runs import ROOT

FILES = {"cachy": "cachy.jsonl", "yaml": "coded.yaml", "json": "text.json"}
Results = dict[str, Any]


def process(url: str, *ways: str, **environment: str) -> list[Results]:
    """Run the recording program; return what the calls returned, for each way."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.exchange.record", url, *ways],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return list(json.loads(done.stdout).values())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Results], list[Results], Results]:
    """Record with each program, from a provider that compresses; import, stop the provider, and replay.

    Return the folder, what was recorded, what was replayed, and what cachy's names in askonce returned.
    """
    folder = tmp_path_factory.mktemp("recorded")
    with LocalProvider(gzip=True) as provider:
        url = provider.url
        paths = [folder if how == "cachy" else folder / name for how, name in FILES.items()]
        recorded = process(url, *(f"{how}={path}" for how, path in zip(FILES, paths, strict=True)))
    stores = [folder / f"{how}.db" for how in FILES]
    for name, store in zip(FILES.values(), stores, strict=True):
        assert [] == import_file(folder / name, store, url).skipped
    *replayed, compat = process(
        url, *(f"askonce={store}" for store in stores), f"compat={folder}", ASKONCE_MODE="offline"
    )
    line = (folder / "cachy.jsonl").read_text(encoding="utf-8").partition("\n")[0]
    (folder / "key").write_text(json.loads(line)["key"])
    (folder / "cachy.jsonl").unlink()  # cachy keeps cookies and accounts, which the tests look for everywhere
    return folder, recorded, replayed, compat


@pytest.mark.parametrize("how", FILES)
def test_what_others_recorded_is_hit(runs: tuple[Path, list[Results], list[Results], Results], how: str) -> None:
    """Every call returns from the imported store what it returned when the other program recorded it."""
    _, recorded, replayed, _ = runs
    index = list(FILES).index(how)
    assert len(recorded[index]) >= (8 if how == "json" else 16)
    assert recorded[index] == replayed[index]


def test_one_word_changed(runs: tuple[Path, list[Results], list[Results], Results]) -> None:
    """With cachy's own names from askonce, an existing file answers every call."""
    folder, recorded, _, compat = runs
    assert recorded[0] == compat
    assert (folder / ".askonce" / "cache.db").exists()


def test_imported_from_cachy_is_said(runs: tuple[Path, list[Results], list[Results], Results], run: Run) -> None:
    """The listing says of such an entry that it is imported, and it is found by cachy's own key."""
    folder, *_ = runs
    key = (folder / "key").read_text()
    assert "imported from cachy" in run("ls", "--store", folder / "cachy.db").stdout
    assert f"cachy:{key}" in run("show", key, "--store", folder / "cachy.db").stdout
