"""`askonce doctor`: each thing that can be wrong is found, named and given a cure; what is well is said to be."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from askonce.cli import checks
from askonce.cli.checks import BROKEN, GOOD, NOTE, WARNING
from askonce.intercept import coverage, sdks
from askonce.settings import network_variables, read_settings, sources
from tests.cli.conftest import Run
from tests.servers import RedisServer
from tests.storage.test_sqlite import in_child


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without certificates of one's own."""
    for name in os.environ:
        if name.endswith(("_CERT_FILE", "_CERT_DIR", "_CA_BUNDLE")):
            monkeypatch.delenv(name)


def examined(run: Run, *arguments: str | Path) -> dict[str, Any]:
    """Run it, and return its JSON."""
    result = run("doctor", "--json", *arguments)
    value: dict[str, Any] = json.loads(result.stdout)
    assert (result.exit_code == 0) is value["ok"]
    return value


def told(value: dict[str, Any], level: str, area: str = "store") -> str:
    """Return the findings of a level in an area, each with its cure."""
    found = [one for one in value["findings"] if (one["area"], one["level"]) == (area, level)]
    return "\n".join(f"{one['text']} → {one['cure']}" for one in found)


def test_all_is_well(run: Run, recorded: Path) -> None:
    """A healthy store is said to be one, with all settings and every SDK, and the status is 0."""
    result = run("doctor", "--store", recorded)
    assert (0, "") == (result.exit_code, result.stderr)
    assert f"  ✓ {recorded} opens, and holds 3 entries, 4 takes, " in result.stdout
    for line in ("every answer is what was recorded", "SQLite finds the file whole", "it can be written"):
        assert f"  ✓ {line}\n" in result.stdout
    assert "  ✓ enable() patches aiohttp " in result.stdout
    assert "  ✓ openai 3" in result.stdout
    assert "✗" not in result.stdout
    assert result.stdout.endswith(("\nAll is well.\n", "\nNothing is broken; 1 warning.\n"))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_width(run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """It is read on a narrow screen too: findings are folded under themselves."""
    monkeypatch.setenv("COLUMNS", str(width))
    lines = run("doctor", "--store", recorded).stdout.splitlines()[1:]  # the first is the interpreter's path
    assert [] == [line for line in lines if len(line) > width and "  " not in line.strip()]
    assert all(line == line.rstrip() for line in lines)


def test_settings_and_their_origins(run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is shown with its value and where it comes from: an option, a variable or a default."""
    monkeypatch.setenv("ASKONCE_MODE", "offline")
    monkeypatch.setenv("ASKONCE_DOMAINS", "llm.test, http://10.0.0.7:8000")
    monkeypatch.setenv("ASKONCE_NORMALIZE", "notebook")
    monkeypatch.setenv("ASKONCE_STORE", "elsewhere.db")
    rows = {row["name"]: (row["value"], row["from"]) for row in examined(run, "--store", recorded)["settings"]}
    assert (str(recorded), "argument") == rows["store"]
    assert ("offline", "ASKONCE_MODE") == rows["mode"]
    assert ("llm.test, 10.0.0.7", "ASKONCE_DOMAINS") == rows["domains"]
    assert ("none", "default") == rows["partition"]
    assert ("32 MB", "default") == rows["memory"]
    assert rows["normalize"][0].startswith("cell file, ")
    value = examined(run)
    assert "ASKONCE_STORE" in [row["from"] for row in value["settings"]]
    assert "what is not recorded is refused" in told(value, NOTE, "settings")
    assert {"store": "argument", "mode": "ASKONCE_MODE"} == {
        name: where
        for name, where in sources({"store": "x"}, {"ASKONCE_MODE": "off"}).items()
        if where != "default"
    }


def test_settings_that_are_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is not understood is broken, and the rest is looked at all the same."""
    monkeypatch.setenv("ASKONCE_MODUS", "off")
    value = examined(run)
    assert "ASKONCE_MODUS: there is no such variable" in told(value, BROKEN, "settings")
    assert told(value, GOOD, "sdks")


@pytest.mark.parametrize(
    ("mode", "said"), [("off", "nothing is recorded"), ("replay", "not kept"), ("refresh", "asked again")]
)
def test_modes(run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch, mode: str, said: str) -> None:
    """A mode that explains why something is asked again is noted."""
    monkeypatch.setenv("ASKONCE_MODE", mode)
    monkeypatch.setenv("ASKONCE_TTL", "0")
    value = examined(run, "--store", recorded)
    assert said in told(value, NOTE, "settings")
    assert "no answer is ever good enough" in told(value, WARNING, "settings")


# --- The store --------------------------------------------------------------------------------------------------


def test_no_store_yet(run: Run, tmp_path: Path) -> None:
    """A store that is not there is no fault, and is not made."""
    value = examined(run, "--store", tmp_path / "deep" / "none.db")
    assert value["ok"]
    assert "nothing is recorded yet" in told(value, NOTE)
    assert [] == list(tmp_path.iterdir())
    assert "lives in the process that records" in told(examined(run, "--store", "memory:"), NOTE)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("no database", "is damaged or no database"),
        ("newer", "was made by a newer askonce"),
        ("foreign", "but not a store of askonce"),
        ("folder", "is a folder"),
        ("scheme", "names no storage"),
    ],
)
def test_a_store_that_does_not_open(run: Run, recorded: Path, how: str, said: str) -> None:
    """What keeps the store from being opened is broken, with what to do about it."""
    store: str | Path = recorded
    match how:
        case "no database":
            recorded.write_bytes(b"not a database, whatever its name says" * 100)
        case "newer" | "foreign":
            with closing(sqlite3.connect(recorded)) as db:
                db.execute("PRAGMA user_version = 1000" if how == "newer" else "PRAGMA application_id = 7")
        case "folder":
            store = recorded.parent
        case "scheme":
            store = "nonsense://x"
    assert said in told(examined(run, "--store", store), BROKEN)


def test_a_store_on_a_server(run: Run, redis_server: RedisServer) -> None:
    """A server is looked at like a file; its password is shown nowhere."""
    value = examined(run, "--store", redis_server.url(prefix="doctor:"))
    assert "opens, and holds 0 entries" in told(value, GOOD)
    value = examined(run, "--store", f"redis://ada:sk-test-SECRET-pw@127.0.0.1:{redis_server.port}/0?timeout=20")
    assert "lets nobody in" in told(value, BROKEN)
    assert "SECRET" not in json.dumps(value)


def test_damaged_answers(run: Run, recorded: Path) -> None:
    """Answers that are not what was recorded are counted, without a warning beside the output proper."""
    with closing(sqlite3.connect(recorded)) as db:
        db.execute("UPDATE takes SET digest = zeroblob(32) WHERE id IN (1, 3)")
        db.commit()
    result = run("doctor", "--store", recorded)
    assert (1, "") == (result.exit_code, result.stderr)
    assert "✗ 2 takes of them damaged, and 1 entry with nothing whole" in result.stdout
    assert "1 thing is broken" in result.stdout


def test_a_text_store(run: Run, recorded: Path, tmp_path: Path) -> None:
    """A text store may lie in git; lines of it that cannot be used are told, each with its cure."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    text = tmp_path / "recordings.jsonl"
    run("export", text, "--store", recorded)
    value = examined(run, "--store", text)
    assert told(value, WARNING) == ""
    assert "every answer is what was recorded" in told(value, GOOD)
    with text.open("a", encoding="utf-8") as file:
        file.write("<<<<<<< HEAD\n{nonsense\n")
    value = examined(run, "--store", text)
    assert value["ok"]
    assert "has conflict markers of git → " in told(value, WARNING)
    assert "line 6: is no JSON" in told(value, WARNING)


def test_a_damaged_file(run: Run, recorded: Path) -> None:
    """Damage that SQLite finds in its own pages is told in its words."""
    with closing(sqlite3.connect(recorded)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA writable_schema = ON")
        db.execute("DELETE FROM sqlite_schema WHERE name = 'takes_that_expire'")
        db.commit()
    assert "SQLite finds damage" in told(examined(run, "--store", recorded), BROKEN)


def test_a_store_that_is_held(run: Run, recorded: Path) -> None:
    """A program that does not end its writing is a warning."""
    with closing(sqlite3.connect(recorded, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        assert "another program is writing" in told(examined(run, "--store", recorded), WARNING)


@pytest.mark.skipif(sys.platform == "win32", reason="no forks, no modes of files")
def test_a_store_that_cannot_be_written(recorded: Path) -> None:
    """A read-only store is broken, and so is a place where none can be made."""
    folder = Path(tempfile.mkdtemp())
    try:
        shutil.copy(recorded, folder / "cache.db")
        (folder / "cache.db").chmod(0o444)
        folder.chmod(0o555)
        for name, said in (("cache.db", "it cannot be written"), ("none.db", f"{folder} cannot be written")):
            settings = read_settings({"store": str(folder / name)}, {})
            shown = in_child(lambda settings=settings: list(checks.check_store(settings)))
            assert f"level='broken', text='{said}" in shown
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_long_log(run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write-ahead log that is never written back is a warning."""
    monkeypatch.setattr(checks, "_BIG_LOG", 100)
    with closing(sqlite3.connect(recorded)) as db:
        db.execute("UPDATE takes SET seconds = 1")
        db.commit()
        assert "cache.db-wal has grown to" in told(examined(run, "--store", recorded), WARNING)


def test_a_synchronised_folder(run: Run, tmp_path: Path) -> None:
    """A folder that is copied behind one's back is no place for a store."""
    store = tmp_path / "Dropbox (Team)" / "project" / "cache.db"
    assert "synchronised (Dropbox (Team))" in told(examined(run, "--store", store), WARNING)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/data/x y/c.db", "nfs4"), ("/data/c.db", "ext4"), ("/c.db", "overlay")],
)
def test_file_systems(tmp_path: Path, path: str, kind: str) -> None:
    """The file system of a path is that of the mount that is nearest above it."""
    mounts = tmp_path / "mounts"
    mounts.write_text("overlay / overlay rw\n/dev/a /data ext4 rw\nh:/x /data/x\\040y nfs4 rw\n", encoding="utf-8")
    assert kind == checks.file_system(Path(path), mounts)
    assert checks.file_system(Path(path), tmp_path / "none") == ""
    assert checks.file_system(Path("\\\\host\\share\\c.db"), mounts) == "smb"


def test_a_network_file_system(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that several machines reach is a warning."""
    monkeypatch.setattr(checks, "file_system", lambda _: "nfs4")
    assert "network file system (nfs4)" in told(examined(run, "--store", store), WARNING)


def test_a_git_repository(run: Run, tmp_path: Path) -> None:
    """A store that git would add is a warning; one that is ignored, or meant for git, is none."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert "is not ignored" in told(examined(run, "--store", tmp_path / "cache.db"), WARNING)
    assert checks.is_in_git(tmp_path / "a" / "b.db")
    (tmp_path / ".gitignore").write_text("*.db\n", encoding="ascii")
    assert told(examined(run, "--store", tmp_path / "cache.db"), WARNING) == ""
    assert not checks.is_in_git(Path("/nowhere/c.db"))


# --- The SDKs ---------------------------------------------------------------------------------------------------


def levels(monkeypatch: pytest.MonkeyPatch, caught: set[str], **versions: str) -> list[tuple[str, str]]:
    """Return what is said when these SDKs are installed and these ways are seen."""
    monkeypatch.setattr(checks, "CAUGHT", frozenset(caught))
    found = checks.check_sdks(lambda name: versions.get(name.replace("-", "_")), lambda name: name == "aiohttp")
    return [(one.level, one.text) for one in found]


def test_sdks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK is well when all its calls are seen, a warning when some are not, whatever its version rides on."""
    seen = {"httpx", "httpx2"}
    assert [(GOOD, "anthropic 0.9: sync and async over httpx")] == levels(monkeypatch, seen, anthropic="0.9")
    assert [(GOOD, "anthropic 2.1: sync and async over httpx2")] == levels(monkeypatch, seen, anthropic="2.1")
    assert [(GOOD, "langchain-openai 1.7: calls through openai")] == levels(
        monkeypatch, seen, langchain_openai="1.7"
    )
    half = levels(monkeypatch, seen, google_genai="3.4")
    assert (WARNING, "google-genai 3.4: its async calls travel over aiohttp and are not seen") == half[0]
    assert (NOTE, "google-genai's live calls go over websockets") == (half[1][0], half[1][1].partition(":")[0])
    whole = levels(monkeypatch, {*seen, "aiohttp"}, google_genai="3.4")
    assert (GOOD, "google-genai 3.4: sync over httpx2, async over aiohttp") == whole[0]
    assert [(WARNING, "xai-sdk 1.2: its calls travel over grpc and are not seen")] == levels(
        monkeypatch, seen, xai_sdk="1.2"
    )
    assert [(NOTE, "no SDK that askonce knows is installed here")] == levels(monkeypatch, seen)


def test_one_table() -> None:
    """Every way in the table is one that a seam catches or that none ever will."""
    ways = {way for sdk in sdks.SDKS for way in (sdk.way, sdk.asynchronous, (sdk.before or (0, ""))[1]) if way}
    assert ways <= sdks.SEAMS.keys() | sdks.NEVER.keys()
    assert sdks.SEAMS.keys() >= coverage.CAUGHT
    assert sdks.SEAMS.keys() - coverage.CAUGHT == set()
    assert all(bool(sdk.way) != bool(sdk.over) for sdk in sdks.SDKS)


def test_nothing_to_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is installed that is patched, this is likely not the program's environment."""
    monkeypatch.setattr(checks, "can_import", lambda _: False)
    (found,) = checks.check_patches()
    assert (WARNING, True) == (found.level, "python -m askonce doctor" in found.cure)


def test_a_version_that_cannot_be_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library in a version without the seam is named, with the version that has it."""
    monkeypatch.setitem(checks.CURES, "aiohttp", (lambda _: False, "Install aiohttp 3.12.7 or later."))
    bad, good = checks.check_patches()
    assert (WARNING, "Install aiohttp 3.12.7 or later.") == (bad.level, bad.cure)
    assert "aiohttp" not in good.text


def test_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each extra that the package declares is installed, or said how to get."""
    declared = ["click>=8", 'genai-prices>=0.2; extra == "prices"', "none-such[x]>=1 ; extra == 'other'"]
    monkeypatch.setattr(checks.metadata, "requires", lambda _: declared)
    other, prices = checks.check_extras()
    assert (NOTE, "other is not installed", "pip install 'askonce[other]'") == other
    assert (GOOD, True) == (prices.level, prices.text.startswith("prices: genai-prices "))


# --- The network ------------------------------------------------------------------------------------------------


def test_network(run: Run, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and certificates are noted, a file that is not there is broken, and no password is shown."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:SECRET@proxy.test:80")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert {"HTTPS_PROXY": "http://…@proxy.test:80", "SSL_CERT_DIR": str(tmp_path)} == network_variables()
    assert "proxy.test" in told(examined(run, "--store", recorded), NOTE, "network")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    result = run("doctor", "--store", recorded)
    assert "there is no such file" in result.stdout
    assert "SECRET" not in result.stdout
    assert result.exit_code == 1
