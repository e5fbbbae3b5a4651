"""What `askonce doctor` looks at. Each check yields what it found, and changes nothing but by opening a store."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import NamedTuple

from askonce._core.controls import Mode
from askonce._core.transcript import size_text
from askonce.cli import render
from askonce.errors import AskonceError, AskonceWarning
from askonce.intercept import sdks
from askonce.intercept.coverage import CAUGHT, CURES
from askonce.settings import Settings, network_variables
from askonce.storage import Storage, open_storage

GOOD, NOTE, WARNING, BROKEN = "good", "note", "warning", "broken"

_SYNCED = (
    "dropbox",
    "onedrive",
    "google drive",
    "googledrive",
    "mobile documents",
    "icloud",
    "nextcloud",
    "pcloud",
)
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.rclone",
    "9p",
    "afs",
    "ceph",
    "lustre",
    "glusterfs",
)
_ELSEWHERE = "Name a local file with store= or ASKONCE_STORE."
_BIG_LOG = 64 << 20


class Finding(NamedTuple):
    """One thing found. `level` is one of good, note, warning, broken; `cure` says what to do about it."""

    level: str
    text: str
    cure: str = ""


# --- The store ----------------------------------------------------------------------------------------------


def check_store(settings: Settings) -> Iterator[Finding]:
    """Look at the store: that it opens, is whole, can be written, and lies in a good place."""
    if settings.store.startswith("memory:"):
        yield Finding(NOTE, f"{settings.store} lives in the process that records, and goes with it")
        return
    try:
        storage = open_storage(settings.store)
    except AskonceError as error:
        yield Finding(BROKEN, str(error))
        return
    path = getattr(storage, "path", None)
    if not isinstance(path, Path):
        yield from _check_content(storage)
        return
    path = path.absolute()
    if path.exists():
        yield from _check_content(storage)
        if path.suffix != ".jsonl":
            yield from _check_sqlite(path)
    else:
        folder = next(folder for folder in path.parents if folder.exists())
        yield Finding(NOTE, f"nothing is recorded yet; {path} is made by the first recording")
        if not os.access(folder, os.W_OK):
            yield Finding(BROKEN, f"{folder} cannot be written", f"Change its permissions. {_ELSEWHERE}")
    yield from _check_place(path)


def _check_content(storage: Storage) -> Iterator[Finding]:
    """Open the store and read all of it."""
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            totals = storage.totals()
            whole = takes = 0
            for entry in storage.entries():
                whole += 1
                takes += len(entry.takes)
    except AskonceError as error:
        yield Finding(BROKEN, str(error))
        return
    finally:
        storage.close()
    held = f"{render.count_text(totals.entries, 'entry', 'entries')}, {render.count_text(totals.takes, 'take')}"
    yield Finding(GOOD, f"{storage.url} opens, and holds {held}, {size_text(totals.size)}")
    remarks = [one.message for one in said if isinstance(one.message, AskonceWarning)]
    lost, damaged = max(totals.entries - whole, 0), max(totals.takes - takes, 0)
    if damaged or lost:
        entries = render.count_text(lost, "entry", "entries")
        yield Finding(
            BROKEN,
            f"{render.count_text(damaged, 'take')} of them damaged, and {entries} with nothing whole",
            "They are left out and asked for again, which mends them. If there are many, look to the disk.",
        )
    elif remarks:
        for remark in remarks:  # what a text store says of its lines
            text, _, cure = str(remark).removeprefix("askonce: ").partition(". ")
            yield Finding(WARNING, text, cure)
    elif totals.entries:
        yield Finding(GOOD, "every answer is what was recorded")


def _check_sqlite(path: Path) -> Iterator[Finding]:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2)) as db:
            found = [str(row[0]) for row in db.execute("PRAGMA quick_check(3)")]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        found = [str(error)]
    if found == ["ok"]:
        yield Finding(GOOD, "SQLite finds the file whole")
    else:
        cure = (
            "Move the file away: a new one is begun. `sqlite3 OLD .recover | sqlite3 NEW` saves what can be saved."
        )
        yield Finding(BROKEN, f"SQLite finds damage: {'; '.join(found)}", cure)
    yield from _check_writing(path)
    log = path.with_name(f"{path.name}-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > _BIG_LOG:
        cure = "A program that reads all the time keeps it from being written back. Restart it."
        yield Finding(WARNING, f"{log.name} has grown to {size_text(size)}", cure)


def _check_writing(path: Path) -> Iterator[Finding]:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=1, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            yield Finding(WARNING, "another program is writing and does not end", "Close what holds the store.")
        else:
            cure = (
                "Change the permissions of the file and of its folder. Until then it answers, and keeps nothing."
            )
            yield Finding(BROKEN, f"it cannot be written ({error})", cure)
    except sqlite3.Error:
        return  # told already: it is no store
    else:
        yield Finding(GOOD, "it can be written")


def _check_place(path: Path) -> Iterator[Finding]:
    synced = next((part for part in path.parts[:-1] if part.lower().startswith(_SYNCED)), None)
    if synced is not None:
        text = f"it lies in a folder that is synchronised ({synced}), which tears files that are being written"
        yield Finding(WARNING, text, _ELSEWHERE)
    kind = file_system(path)
    if kind.startswith(_NETWORK):
        text = f"it lies on a network file system ({kind}), where SQLite cannot lock reliably"
        yield Finding(WARNING, text, f"{_ELSEWHERE} Each machine may have its own.")
    if path.suffix != ".jsonl" and is_in_git(path):
        text = "it lies in a git repository and is not ignored: `git add` would take prompts and answers along"
        yield Finding(
            WARNING, text, f"Add {path.name}* to .gitignore, or keep it in .askonce/, which ignores itself."
        )


def file_system(path: PurePath, mounts: Path = Path("/proc/mounts")) -> str:
    """Return the kind of file system that a path is on; empty where that cannot be told."""
    if str(path).startswith("\\\\"):
        return "smb"
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    places = {fields[1].replace("\\040", " "): fields[2] for fields in lines if len(fields) > 2}
    return next((places[str(folder)] for folder in (path, *path.parents) if str(folder) in places), "")


def is_in_git(path: Path) -> bool:
    """Tell whether git would add this file."""
    git = shutil.which("git")
    folder = next(folder for folder in path.parents if folder.exists())
    if git is None or not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return False
    done = subprocess.run(  # noqa: S603 -- nothing of it comes from elsewhere
        [git, "-C", str(folder), "check-ignore", "--quiet", str(path)], capture_output=True, check=False
    )
    return done.returncode == 1  # 0 is ignored; more is trouble of git's own


# --- The rest -----------------------------------------------------------------------------------------------


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Say which settings keep answers from being recorded."""
    match settings.mode:
        case Mode.OFF:
            yield Finding(NOTE, "mode off: nothing is recorded, and nothing answered from the store")
        case Mode.OFFLINE:
            yield Finding(NOTE, "mode offline: what is not recorded is refused")
        case Mode.REPLAY:
            yield Finding(NOTE, "mode replay: what is not recorded is asked, and not kept")
        case Mode.REFRESH:
            yield Finding(NOTE, "mode refresh: every call is asked again")
        case Mode.RECORD:
            pass
    if settings.ttl == 0:
        yield Finding(WARNING, "ttl 0: no answer is ever good enough", "Leave ttl out, or write 12h or 30d.")


def version_of(distribution: str) -> str | None:
    """Return the version that is installed, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def can_import(module: str) -> bool:
    """Tell whether a module is installed, without importing it (its package may have to be)."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def check_patches() -> Iterator[Finding]:
    """Say what `enable()` patches of what is installed."""
    found = []
    for way, seam in sdks.SEAMS.items():
        if way not in CAUGHT or not can_import(seam):
            continue
        name = f"{seam} {version_of(seam) or ''}".strip()
        is_supported, cure = CURES.get(seam, (None, ""))
        if is_supported is not None and not is_supported(import_module(seam)):
            yield Finding(WARNING, f"{name} is not one that can be patched: its calls are not seen", cure)
        else:
            found.append(name)
    if found:
        yield Finding(GOOD, f"enable() patches {', '.join(found)}")
    else:
        text = f"nothing is installed that enable() patches ({', '.join(sorted(CAUGHT))})"
        yield Finding(WARNING, text, "Run doctor in the environment of your program: python -m askonce doctor")


def check_sdks(
    version: Callable[[str], str | None] = version_of, is_installed: Callable[[str], bool] = can_import
) -> Iterator[Finding]:
    """Say of each SDK that is installed whether its calls are seen."""
    there = [(sdk, found) for sdk in sdks.SDKS if (found := version(sdk.distribution)) is not None]
    if not there:
        yield Finding(NOTE, "no SDK that askonce knows is installed here")
    for sdk, found in there:
        name = f"{sdk.distribution} {found}"
        if sdk.over:
            yield Finding(GOOD, f"{name}: calls through {sdk.over}")
            continue
        way, other = sdk.ways(found, is_installed)
        if {way, other} <= CAUGHT:
            yield Finding(GOOD, f"{name}: {_over(way, other)}")
        elif way in CAUGHT or other in CAUGHT:
            half, missed = ("async", other) if way in CAUGHT else ("sync", way)
            yield Finding(
                WARNING, f"{name}: its {half} calls travel over {missed} and are not seen", _cure(missed)
            )
        else:
            yield Finding(WARNING, f"{name}: its calls travel over {way} and are not seen", _cure(way))
        if sdk.beside is not None:
            part, over = sdk.beside
            yield Finding(NOTE, f"{sdk.distribution}'s {part} calls go over {over}: {sdks.NEVER[over]}")


def _over(way: str, other: str) -> str:
    return f"sync and async over {way}" if way == other else f"sync over {way}, async over {other}"


def _cure(way: str) -> str:
    text = sdks.NEVER.get(way, "these calls go to the provider; use the other kind, or another SDK")
    return f"{text[0].upper()}{text[1:]}."


def check_extras() -> Iterator[Finding]:
    """Say which extras are installed, by what the installed askonce declares."""
    try:
        declared = metadata.requires("askonce") or []
    except metadata.PackageNotFoundError:
        return
    needed: dict[str, list[str]] = {}
    for requirement in declared:
        what, _, condition = requirement.partition(";")
        _, marked, extra = condition.partition("extra ==")
        if marked:
            name = "".join(c if c.isalnum() or c in "-_." else " " for c in what).split()[0]
            needed.setdefault(extra.strip(" '\""), []).append(name)
    for extra, names in sorted(needed.items()):
        missing = [name for name in names if version_of(name) is None]
        if missing:
            yield Finding(NOTE, f"{extra} is not installed", f"pip install 'askonce[{extra}]'")
        else:
            yield Finding(GOOD, f"{extra}: {', '.join(f'{name} {version_of(name)}' for name in names)}")


def check_network() -> Iterator[Finding]:
    """Say what the environment says of proxies and certificates."""
    for name, value in network_variables().items():
        if name.upper().endswith("_PROXY"):
            yield Finding(NOTE, f"{name}={value}: answers are the same with and without")
        elif not Path(value).exists():
            yield Finding(BROKEN, f"{name}={value}: there is no such file", f"Unset {name}, or mend its path.")
        else:
            yield Finding(NOTE, f"{name}={value}")


def environment() -> str:
    """Return which Python this is."""
    return f"Python {'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}"
