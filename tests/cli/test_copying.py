"""`askonce copy`."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from askonce._core.entry import Question, Take
from askonce.cli import main
from askonce.storage import open_storage
from askonce.storage.jsonl import JSONLStorage
from tests.cli.conftest import Run
from tests.servers import Link


def test_copy(run: Run, recorded: Path, tmp_path: Path) -> None:
    """It says what was copied and verified; again, that all is there."""
    target = tmp_path / "copy.jsonl"
    first = run("copy", recorded, target)
    assert (0, "") == (first.exit_code, first.stderr)
    assert f"Copied 4 answers to {target}.\nVerified 4 answers.\n" == first.stdout
    again = run("copy", recorded, target)
    assert f"Copied 0 answers to {target} (4 already there).\nVerified 4 answers.\n" == again.stdout


@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_far_away(run: Run, recorded: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str) -> None:
    """A server that is too slow for calls is not for a copy, which begins its tables where there are none."""
    server = request.getfixturevalue(f"{kind}_server")
    link = Link(server.port)
    link.delay = 0.06
    place = "?schema=far" if kind == "postgres" else "?prefix=far:"
    far = server.url().partition("?")[0].replace(f":{server.port}/", f":{link.port}/") + place
    assert f"Copied 4 answers to {far}.\nVerified 4 answers.\n" == run("copy", recorded, far).stdout
    back = tmp_path / "back.db"
    assert f"Copied 4 answers to {back}.\nVerified 4 answers.\n" == run("copy", far, back).stdout
    link.close()


def test_json(run: Run, recorded: Path, tmp_path: Path) -> None:
    """For programs it counts, and filters as `export` does."""
    value = json.loads(run("copy", recorded, tmp_path / "copy.db", "--provider", "anthropic", "--json").stdout)
    assert (1, 1, 1, []) == (value["entries"], value["imported"], value["verified"], value["missing"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.db", "copy.db"), "There is no store at "),
        (("memory:", "copy.db"), "FROM: memory: lives in the process that records."),
        (("cache.db", "memory:"), "TO: memory: lives in the process that records."),
        (("cache.db", "ftp://x"), "TO: store: 'ftp://x' names no storage."),
        (("cache.db", "./cache.db"), "is FROM and TO. Name another store."),
    ],
)
def test_refused(
    run: Run, recorded: Path, arguments: tuple[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be copied is refused with the reason, and nothing is made."""
    monkeypatch.chdir(recorded.parent)
    (recorded.parent / "cache.db").exists() or recorded.rename(recorded.parent / "cache.db")
    result = run("copy", *arguments)
    assert 1 == result.exit_code
    assert message in result.stderr
    assert not (recorded.parent / "copy.db").exists()


def test_interrupted(run: Run, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C stops it after the entry at hand; the same command goes on."""
    target = tmp_path / "copy.jsonl"
    add = JSONLStorage.add

    def interrupt(self: JSONLStorage, question: Question, take: Take, *, replace: bool = False) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return add(self, question, take, replace=replace)

    with monkeypatch.context() as patch:
        patch.setattr(JSONLStorage, "add", interrupt)
        stopped = run("copy", recorded, target)
    assert (130, f"Copied 1 answer to {target}.\nStopped. The same command goes on.\n") == (
        *(stopped.exit_code, stopped.stdout),
    )
    assert (
        f"Copied 3 answers to {target} (1 already there).\nVerified 4 answers.\n"
        == run("copy", recorded, target).stdout
    )
    storage = open_storage(target)
    assert 4 == storage.totals().takes
    storage.close()
    assert "copy" in main.commands
