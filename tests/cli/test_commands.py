"""What holds for every command."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from docs.generate_cli import cli_page

from askonce.cli import main
from tests.cli.conftest import CACHE, SPEECH, Run

ROOT = Path(__file__).parents[2]
READING = [["ls"], ["show", "abc"], ["stats"], ["rm", "abc"], ["prune"]]


def program(*arguments: str | Path, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run askonce in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "askonce", *map(str, arguments)],
        capture_output=True,
        env=os.environ | more,
        check=False,
    )


def test_reference_is_current() -> None:
    """docs/reference/cli.md is what the commands say of themselves; `make docs` writes it."""
    assert cli_page() == (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", main.commands)
def test_help(run: Run, name: str) -> None:
    """Every command and every option says what it does, and --help shows it."""
    command = main.commands[name]
    assert command.help
    assert [] == [p.name for p in command.params if p.param_type_name == "option" and not getattr(p, "help", "")]
    assert command.help.splitlines()[0] in run(name, "--help").stdout
    assert command.help.splitlines()[0] in run("-h").stdout


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["", "json"])
def test_missing_store(run: Run, tmp_path: Path, arguments: list[str], more: tuple[str, ...]) -> None:
    """Where nothing is recorded yet, one line says so and how to begin; no file is made."""
    store = tmp_path / "none.db"
    result = run(*arguments, "--store", store, *more)
    assert (1, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith(f"Error: Nothing is recorded yet at {store}. To record, put")
    assert result.stderr.count("\n") == 1
    assert not store.exists()


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
@pytest.mark.parametrize(
    ("how", "message"), [("damage", "is damaged or no database"), ("newer", "a newer askonce")]
)
def test_unreadable_store(run: Run, recorded: Path, arguments: list[str], how: str, message: str) -> None:
    """A store that cannot be read is named with the cause and the cure, in a line."""
    if how == "damage":
        recorded.write_bytes(b"not a database, whatever its name says" * 100)
    else:
        db = sqlite3.connect(recorded)
        db.execute("PRAGMA user_version = 1000")
        db.close()
    result = run(*arguments, "--store", recorded)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("store", ["memory:", "memory:x"])
def test_memory_store(run: Run, store: str) -> None:
    """A store in another process's memory cannot be looked into, and is not mistaken for an empty one."""
    assert "lives in the process that records" in run("ls", "--store", store).stderr


@pytest.mark.parametrize(
    "arguments",
    [["ls", "--since", "yesterday"], ["prune", "--older-than", "long"], ["ls", "--store", "redis://x"]],
)
def test_bad_values(run: Run, arguments: list[str]) -> None:
    """A value that is not understood is named, with what can be written."""
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert arguments[-1] in result.stderr


def test_default_store(run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --store it is the one of ASKONCE_STORE, and without that the project's."""
    monkeypatch.setenv("ASKONCE_STORE", str(recorded))
    assert "What is a cache?" in run("ls").stdout
    monkeypatch.delenv("ASKONCE_STORE")
    assert str(Path(".askonce", "cache.db")) in run("ls").stderr


def test_as_a_program(recorded: Path) -> None:
    """`python -m askonce` is the command; what is piped has no colours and no trailing space."""
    done = program("ls", "--store", recorded, COLUMNS="80")
    assert (0, b"") == (done.returncode, done.stderr)
    assert b"\x1b" not in done.stdout
    assert [line.rstrip() for line in done.stdout.splitlines()] == done.stdout.splitlines()
    assert b"What is a cache?" in done.stdout


def test_plain_ascii_output(recorded: Path) -> None:
    """A terminal that cannot write an ellipsis or an emoji gets question marks, not a traceback."""
    done = program("ls", "--store", recorded, COLUMNS="60", PYTHONIOENCODING="ascii")
    assert (0, b"") == (done.returncode, done.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="no shell pipes, no pseudo-terminals")
def test_broken_pipe(recorded: Path) -> None:
    """`| head` ends a long output without a word."""
    command = (
        f"{sys.executable} -m askonce show {SPEECH.key.hex()} --raw --store {recorded} | head -c 1 >/dev/null"
    )
    both = f"{command}; {sys.executable} -m askonce ls --json --store {recorded} | true"
    done = subprocess.run(["sh", "-c", both], capture_output=True, check=False)
    assert done.stderr == b""


@pytest.mark.skipif(sys.platform == "win32", reason="no shell pipes, no pseudo-terminals")
@pytest.mark.parametrize(
    ("key", "more", "code", "expected"),
    [
        (SPEECH.key.hex(), ["--raw"], 1, "no text for a terminal. Write it to a file: askonce show"),
        (CACHE.key.hex(), ["--raw"], 0, "data: {"),
        (CACHE.key.hex(), [], 0, "\x1b[1;32massistant\x1b[0m"),
    ],
    ids=["sound", "text", "colours"],
)
def test_on_a_terminal(recorded: Path, key: str, more: list[str], code: int, expected: str) -> None:
    """A terminal gets colours and text, and no binary content."""
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "askonce", "show", key, "--store", str(recorded), *more]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "300"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert (code, True) == (process.wait(), expected in shown.decode())


def test_a_warning_is_a_line(tmp_path: Path) -> None:
    """A warning says what it says, and not where in our code."""
    (tmp_path / "recordings.jsonl").write_text("<<<<<<< HEAD\n", encoding="utf-8")
    done = program("ls", "--store", tmp_path / "recordings.jsonl")
    (line, *_) = done.stderr.decode().splitlines()
    assert line.startswith(f"Warning: {tmp_path}/recordings.jsonl has conflict markers of git.")
