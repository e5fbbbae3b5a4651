"""`askonce tidy`, and the other commands on a text store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from askonce.storage import open_storage
from tests.cli.conftest import CACHE, CAPITAL, Run


@pytest.fixture
def text(recorded: Path, tmp_path: Path) -> Path:
    """Return a text store with what `recorded` holds."""
    path = tmp_path / "answers.jsonl"
    source, target = open_storage(recorded), open_storage(path)
    for entry in source.entries():
        for take in entry.takes:
            target.add(entry.question, take)
    source.close()
    target.close()
    return path


def test_looking(run: Run, text: Path) -> None:
    """A text store is listed, shown and counted like any other."""
    listed = run("ls", "--store", text).stdout.splitlines()
    assert ["What is a cache?", "Capital of France?", "Hello there"] == [
        line.partition("  ")[2].split("  ")[-1] for line in listed[1:]
    ]
    assert "keeps" in run("show", CACHE.key.hex()[:8], "--take", "1", "--store", text).stdout
    raw = run("show", CAPITAL.key.hex(), "--raw", "--store", text).stdout
    assert "Paris." == json.loads(raw)["content"][0]["text"]
    assert "3 entries, 4 takes" in run("stats", "--store", text).stdout


def test_removing(run: Run, text: Path) -> None:
    """What is removed or has expired leaves no line behind."""
    assert "Removed 1 expired take." in run("prune", "--store", text).stdout
    assert "Removed 1 entry." in run("rm", CACHE.key.hex()[:8], "--yes", "--store", text).stdout
    assert 1 == len(text.read_text().splitlines())


def test_tidy(run: Run, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tidying says what it did, and does it once; the store is an argument or ASKONCE_STORE."""
    text.write_text(text.read_text().replace("\n", "\n=======\n", 1))
    result = run("tidy", text)
    assert (0, f"{text} holds 4 takes, sorted now; took out 1 conflict marker.\n") == (
        result.exit_code,
        result.stdout,
    )
    monkeypatch.setenv("ASKONCE_STORE", str(text))
    assert f"{text} holds 4 takes, and is tidy.\n" == run("tidy").stdout


def test_flaws(run: Run, text: Path) -> None:
    """Lines that cannot be used are listed, and the exit code says that there are some, until they go."""
    text.write_text(text.read_text().replace("Paris", "Lyon") + "nonsense\n")
    result = run("tidy", text)
    number = next(n for n, line in enumerate(text.read_text().splitlines(), 1) if "Lyon" in line)
    assert 4 == number  # at the end, before the other one
    assert (1, f"{text} holds 3 takes, sorted now.") == (result.exit_code, result.stdout.splitlines()[0])
    assert result.stdout.endswith(
        "2 lines cannot be used, and stand at the end now. Mend them, or take them out with --drop.\n"
    )
    assert "it was changed after it was recorded" in result.stdout
    accepted = run("tidy", text, "--accept", "--json")
    assert (1, 1, [{"line": 5, "why": "it is no recorded answer"}]) == (
        accepted.exit_code, json.loads(accepted.stdout)["accepted"], json.loads(accepted.stdout)["flaws"]
    )  # fmt: skip
    dropped = run("tidy", text, "--drop")
    assert (0, True) == (dropped.exit_code, "Took out 1 line that cannot be used." in dropped.stdout)
    assert "Lyon" in run("show", CAPITAL.key.hex(), "--raw", "--store", text).stdout


def test_not_a_text_store(run: Run, recorded: Path) -> None:
    """Another store needs no tidying, and is told so."""
    result = run("tidy", recorded)
    assert (1, True) == (result.exit_code, "is no text store, and looks after itself" in result.stderr)
