"""`askonce import` and `askonce export`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from askonce.storage import open_storage
from tests.cli.conftest import Run
from tests.exchange.building import (
    cachy_line,
    completion,
    entries_of,
    exchange,
    interaction,
    write_cassette,
    write_har,
    write_lines,
)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Return a file of each kind."""
    models = interaction(method="GET", uri="https://api.openai.com/v1/models")
    return [
        write_cassette(tmp_path / "chat.yaml", [interaction(), models, models, interaction(status={"code": 500})]),
        write_har(tmp_path / "browser.har", [exchange(answer=json.dumps(completion("another")))]),
        write_lines(tmp_path / "cachy.jsonl", [cachy_line()]),
    ]


def test_import(run: Run, files: list[Path], store: Path, tmp_path: Path) -> None:
    """A line a file, a table by model, what was passed over and why, conflicts, and the sum."""
    result = run("import", *files, "--into", store)
    assert (0, "") == (result.exit_code, result.stderr)
    expected = f"""\
{tmp_path}/chat.yaml: vcrpy cassette, 1 imported, 3 skipped
{tmp_path}/browser.har: HAR, 1 kept as it was
{tmp_path}/cachy.jsonl: cachy's file, 1 imported

PROVIDER  MODEL             IMPORTED  KEPT AS IT WAS
cachy     gpt-5-2025-08-07         1               0
openai    gpt-5                    1               1

SKIPPED  BECAUSE         FIRST OF THEM                                    IN
      2  not generation  GET https://api.openai.com/v1/models             chat.yaml, entry 2
      1  status 500      POST https://api.openai.com/v1/chat/completions  chat.yaml, entry 4

1 question has another answer in the store (browser.har, entry 1). See --on-conflict.

Answers from cachy are found by its own keys until they are recorded anew.

Imported 2 answers into {store}.
"""
    assert expected == result.stdout


def test_import_json(run: Run, files: list[Path], store: Path) -> None:
    """For programs everything is listed, every skipped entry too."""
    value = json.loads(run("import", *files, "--into", store, "--json").stdout)
    assert {"store", "dry_run", "files", "failed"} == value.keys()
    cassette, har, cachy = value["files"]
    assert ("vcrpy cassette", 1, 3) == (cassette["format"], cassette["imported"], len(cassette["skipped"]))
    assert {"place": "entry 2", "what": "GET https://api.openai.com/v1/models", "reason": "not generation"} == (
        cassette["skipped"][0]
    )
    assert (1, ["entry 1"]) == (har["kept"], har["conflicts"])
    assert [{"provider": "cachy", "model": "gpt-5-2025-08-07", "fate": "imported", "answers": 1}] == cachy[
        "models"
    ]


def test_import_dry_run(run: Run, files: list[Path], store: Path) -> None:
    """A dry run says what would happen."""
    result = run("import", *files, "--into", store, "--dry-run")
    assert result.stdout.endswith(f"Would import 3 answers into {store}.\n")
    assert not store.exists()


def test_a_hint_for_an_unknown_provider(run: Run, store: Path, tmp_path: Path) -> None:
    """Where nothing in a file is a known provider's, it is said how to name one."""
    path = write_cassette(tmp_path / "a.yaml", [interaction(uri="https://llm.example.com/v1/chat/completions")])
    assert "Name it with --domains" in run("import", path, "--into", store).stdout
    result = run("import", path, "--into", store, "--domains", "https://llm.example.com")
    assert "1 imported" in result.stdout


def test_a_bad_file_does_not_stop_the_others(run: Run, files: list[Path], store: Path, tmp_path: Path) -> None:
    """The good files are imported, the bad one is told, and the command fails."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("interactions: 7\n")
    result = run("import", bad, files[0], "--into", store)
    assert 1 == result.exit_code
    assert f"Error: {bad}: interactions is 7 where a list belongs. Mend" in result.stderr
    assert 1 == len(entries_of(store))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "Missing argument"),
        (("x.yaml", "--into", "memory:"), 1, "would be gone at once. Name a file with --into."),
        (("x.yaml", "--on-conflict", "panic"), 2, "'keep', 'replace', 'fail'"),
        (("x.yaml", "--domains", "a b"), 1, "is not a host"),
        (("cache.db", "--into", "cache.db"), 1, "is the store to import into"),
    ],
)
def test_import_refuses(run: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    """Mistakes in the arguments are told before anything happens."""
    result = run("import", *arguments)
    assert (code, True) == (result.exit_code, said in result.stderr)


def test_import_without_yaml(run: Run, files: list[Path], store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyYAML the error names what to install."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "pip install 'askonce[import]'" in run("import", files[0], "--into", store).stderr


@pytest.mark.parametrize("name", ["copy.db", "copy.har", "copy.jsonl"])
def test_export_and_import_lose_nothing(
    run: Run, files: list[Path], store: Path, tmp_path: Path, name: str
) -> None:
    """A store and a HAR file give back what was exported, in its order; what is from cachy too."""
    for file in files:
        os.utime(file, (1.8e9, 1.8e9))  # a text store keeps whole milliseconds of when it was recorded
    run("import", *files, "--into", store)
    result = run("export", tmp_path / name, "--store", store)
    assert (0, f"Exported 2 answers to {tmp_path / name}.\n") == (result.exit_code, result.stdout)
    assert 0 == run("import", tmp_path / name, "--into", tmp_path / "back.db").exit_code
    assert entries_of(store) == entries_of(tmp_path / "back.db")


def test_export_to_standard_output(run: Run, recorded: Path) -> None:
    """Without a file lines are written for the next program, or HAR or CSV as is asked for; filters choose."""
    some = ("--store", recorded, "--provider", "anthropic")
    assert ["anthropic"] == [json.loads(line)["provider"] for line in run("export", *some).stdout.splitlines()]
    entries = json.loads(run("export", *some, "--format", "har").stdout)["log"]["entries"]
    assert ["anthropic"] == [entry["_askonce"]["provider"] for entry in entries]
    assert 5 == len(run("export", "-", "--format", "csv", "--store", recorded).stdout.splitlines())


@pytest.mark.parametrize("name", ["table.csv", "table.parquet", "table.har"])
def test_export_does_not_write_over_a_file(run: Run, recorded: Path, tmp_path: Path, name: str) -> None:
    """A file that is there stays, unless it is said that it may go."""
    path = tmp_path / name
    path.write_text("mine")
    result = run("export", path, "--store", recorded)
    assert (1, True) == (result.exit_code, "Add --force" in result.stderr)
    assert "mine" == path.read_text()
    assert 0 == run("export", path, "--store", recorded, "--force").exit_code
    assert path.stat().st_size > 100
    assert [] == [one for one in tmp_path.iterdir() if one.suffix == ".part"]


def test_export_into_a_store_that_is_there(run: Run, recorded: Path, tmp_path: Path) -> None:
    """Another store is added to: what was in it stays."""
    run("import", write_cassette(tmp_path / "a.yaml", [interaction()]), "--into", tmp_path / "other.db")
    run("export", tmp_path / "other.db", "--store", recorded)
    storage = open_storage(tmp_path / "other.db")
    assert 4 == storage.totals().entries
    storage.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere/table.csv",), "cannot be written"),
        (("--format", "parquet"), "is no text. Name a file"),
        (("--format", "store"), "is no text. Name a file"),
    ],
)
def test_export_refuses(run: Run, recorded: Path, arguments: tuple[str, ...], said: str) -> None:
    """What cannot be written is told."""
    result = run("export", *arguments, "--store", recorded)
    assert (1, True) == (result.exit_code, said in result.stderr)
