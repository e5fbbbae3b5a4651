"""`askonce pack` and `fetch`: what they make, what they say."""

from __future__ import annotations

import json
from pathlib import Path

from askonce.storage.bundle import BundleStorage
from askonce.storage.sqlite import SQLiteStorage
from tests.bundle.server import FileServer
from tests.cli.conftest import CACHE, Run, answer, question


def test_pack(run: Run, recorded: Path) -> None:
    """It says what went in by model and size, what was made, and how fast."""
    done = run("pack", "lesson.askonce", "--store", recorded, "--title", "Lesson 1", "--note", "Hello", "--delays")
    assert 0 == done.exit_code, done.output
    lines = done.stdout.splitlines()
    assert ["PROVIDER", "MODEL", "ENTRIES", "TAKES", "SIZE"] == lines[0].split()
    assert ["openai", "gpt-5-mini", "1", "2"] in [line.split()[:4] for line in lines]
    assert lines[5].startswith("lesson.askonce  ")
    assert "Packed 3 entries in" in lines[6]
    assert lines[6].endswith("a second.")
    told = BundleStorage(Path("lesson.askonce")).manifest
    assert ("Lesson 1", "Hello", 1.0, 4) == (told.title, told.note, told.delays, told.takes)


def test_what_is_packed_is_looked_into_like_a_store(run: Run, recorded: Path) -> None:
    """ls, show and stats read a bundle; rm and prune say that it is finished."""
    run("pack", "lesson.askonce", "--store", recorded)
    assert "3 entries, 4 takes" in run("stats", "--store", "lesson.askonce").stdout
    assert "What is a cache?" in run("ls", "--store", "lesson.askonce").stdout
    assert "Another." in run("show", CACHE.key.hex()[:8], "--store", "lesson.askonce").stdout
    for command in (("rm", "--all", "--yes"), ("prune",)):
        done = run(*command, "--store", "lesson.askonce")
        assert 1 == done.exit_code
        assert "Error: lesson.askonce is a bundle, made to be handed out and not to be changed." in done.stderr


def test_a_final_one_is_listed(run: Run, recorded: Path) -> None:
    """Of a final bundle's entries the answers are shown, and of the questions nothing."""
    run("pack", "lesson.askonce", "--final", "--store", recorded)
    listed = run("ls", "--store", "lesson.askonce").stdout
    assert "gpt-5-mini" in listed
    assert "What is a cache?" not in listed + run("show", CACHE.key.hex()[:8], "--store", "lesson.askonce").stdout


def test_json(run: Run, recorded: Path) -> None:
    """For programs it is JSON: the files, the manifest, the findings."""
    done = run("pack", "lesson.askonce", "--store", recorded, "--model", "gpt", "--half", "--json")
    value = json.loads(done.stdout)
    assert [{"path": "lesson.askonce", "size": Path("lesson.askonce").stat().st_size}] == value["files"]
    assert (1, 2, True, False, None, []) == tuple(
        value[name] for name in ("entries", "takes", "half", "final", "delays", "findings")
    )
    assert ["gpt-5-mini"] == [row["model"] for row in value["models"]]


def test_findings(run: Run, recorded: Path) -> None:
    """What must not be handed out is refused; left out or kept when that is said, and then listed."""
    storage = SQLiteStorage(recorded)
    for number in range(12):
        leak = question(
            {"messages": [{"role": "user", "content": f"look into /home/ann/{number}/a.txt"}]}, "gpt-5"
        )
        storage.add(leak, next(iter(storage.entries())).takes[0]._replace(answer=answer(b'{"choices": []}')))
    storage.close()
    done = run("pack", "lesson.askonce", "--store", recorded)
    assert 1 == done.exit_code
    assert "Error: 12 entries hold what is not for others to see:" in done.stderr
    assert "a local path in the question (/home/ann/" in done.stderr
    assert "and 4 more" in done.stderr
    assert "--leave-out" in done.stderr
    assert not Path("lesson.askonce").exists()
    assert "These were left out:" in (done := run("pack", "a.askonce", "--store", recorded, "--leave-out")).stdout
    assert "and 4 more; --json lists them all." in done.stdout
    assert "handed out all the same" in run("pack", "b.askonce", "--store", recorded, "--keep").stdout
    assert [3, 15] == [BundleStorage(Path(f"{name}.askonce")).totals().entries for name in "ab"]


def test_a_package_and_a_module(run: Run, recorded: Path) -> None:
    """--as package writes a wheel and an sdist, a .py a module."""
    done = run("pack", "dist", "--as", "package", "--name", "lesson", "--version", "2.1", "--store", recorded)
    assert "dist/lesson-2.1-py3-none-any.whl  " in done.stdout
    assert "dist/lesson-2.1.tar.gz  " in done.stdout
    assert 0 == run("pack", "lesson.py", "--store", recorded).exit_code
    assert Path("lesson.py").read_text().startswith("# ruff: noqa\n")


def test_wrong_use(run: Run, recorded: Path) -> None:
    """What does not go together is refused, with what does."""
    for arguments, message in (
        (("lesson",), "say what to make"),
        (("dist", "--as", "package"), "A package needs a --name"),
        (("x.askonce", "--keep", "--leave-out"), "exclude each other"),
        (("x.askonce", "--used"), "has no mark"),
        (("x.askonce", "--model", "none"), "nothing to hand out"),
    ):
        done = run("pack", *arguments, "--store", recorded)
        assert done.exit_code
        assert message in done.stderr


def test_used(run: Run, recorded: Path) -> None:
    """With --used only what was used since the mark is packed."""
    run("used", "--reset", "--store", recorded)
    storage = SQLiteStorage(recorded)
    storage.count_hit(CACHE.key, storage.takes(CACHE.key)[1], 9e9)
    storage.close()
    assert 0 == run("pack", "x.askonce", "--used", "--store", recorded).exit_code
    assert [CACHE] == [entry.question for entry in BundleStorage(Path("x.askonce")).entries()]


def test_fetch(run: Run, recorded: Path) -> None:
    """It says what came, with its title and note, and writes JSON for programs; an error is one line."""
    run("pack", "made.askonce", "--title", "Lesson\x1b[1m", "--note", "Hello", "--store", recorded)
    with FileServer(Path("made.askonce").read_bytes()) as server:
        done = run("fetch", f"{server.url}/lesson.askonce")
        assert 0 == done.exit_code, done.output
        assert "lesson.askonce  " in done.stdout
        assert "3 entries\nLesson␛[1m\nHello\n" in done.stdout
        value = json.loads(
            run("fetch", f"{server.url}/lesson.askonce", "--into", "course", "--json").stdout or "{}"
        )
        assert {} == value, "the folder has to be there"
        Path("course").mkdir()
        value = json.loads(run("fetch", f"{server.url}/lesson.askonce", "--into", "course", "--json").stdout)
        assert (3, 4, "Hello") == (value["entries"], value["takes"], value["note"])
        done = run("fetch", f"{server.url}/lesson.askonce", "--sha256", "0" * 64)
        assert 1 == done.exit_code
        assert "Error: " in done.stderr
        assert "is not the file that was meant" in done.stderr
