"""Which bundles there are for a program that names none: in its folder, at a URL, in installed packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from askonce.errors import AskonceError
from askonce.notices import warn_once
from askonce.storage import Storage
from askonce.storage.bundle import SUFFIX, BundleStorage

_PROMPT = "No recorded answers were found here. If you were given a URL of them, paste it; else press Enter: "

_greeted: set[str] = set()
_carried: dict[str, Callable[[], BundleStorage]] = {}


def find_bundles(
    folder: Path | None = None,
    *,
    url: str = "",
    memory: int = 32 << 20,
    ask: Callable[[str], str] | None = None,
) -> list[BundleStorage]:
    """Return the bundles that answer, those that count most first; others than whole ones are left out.

    First those imported as modules, then those in `folder` (the working directory), by name; what `url` names
    is fetched into it if it is not there. Then those of installed packages, by name. Where there is none, `ask`
    may be asked for a URL.
    """
    here = folder or Path.cwd()
    if url:
        _fetch(url, here)
    found = [*_in_folder(here), *_installed()]
    if not found and not _carried and ask is not None:
        answer = ask(_PROMPT).strip()
        if answer:
            _fetch(answer, here)
            found = list(_in_folder(here))
    bundles = [*(again() for again in _carried.values()), *(BundleStorage(path, memory=memory) for path in found)]
    return [bundle for bundle in bundles if _is_usable(bundle)]


def carry(bundle: BundleStorage) -> None:
    """Let a bundle that was imported as a module be found, before all others."""
    _carried[bundle.url] = bundle.again


def chosen_delays(bundles: Iterable[Storage]) -> float | None:
    """Return how those who made the bundles want delays replayed, by the first that says so; None if none does."""
    chosen = (one.manifest.delays for one in bundles if isinstance(one, BundleStorage))
    return next((scale for scale in chosen if scale is not None), None)


def greet(bundles: Iterable[Storage]) -> None:
    """Show the titles and notes of bundles on standard error, each once a process."""
    for one in bundles:
        if isinstance(one, BundleStorage) and one.url not in _greeted:
            _greeted.add(one.url)
            told = one.manifest
            text = "\n".join(filter(None, (told.title, told.note)))
            if text:
                _say("".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text))


def _say(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
    except (OSError, ValueError, AttributeError):  # no standard error, or a closed one
        return


def person() -> Callable[[str], str] | None:
    """Return what asks whoever sits at the terminal or in the notebook; None where nobody does."""
    if "ipykernel" in sys.modules or "google.colab" in sys.modules:
        return input
    try:
        is_there = sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):  # no standard input, or a closed one
        return None
    return _at_terminal if is_there else None


def _at_terminal(prompt: str) -> str:
    try:
        return input(prompt)
    except (EOFError, KeyboardInterrupt):
        return ""


def _in_folder(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())
    except OSError:  # a working directory that is gone, or not ours to look into
        return


def _installed() -> Iterator[Path]:
    """Yield the bundles of installed packages, without running any code of these."""
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    from askonce.bundle.package import GROUP

    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            spec = find_spec(point.module) if "." not in point.module else None
        except (ImportError, ValueError):
            spec = None
        for folder in (spec and spec.submodule_search_locations) or ():
            yield from _in_folder(Path(folder))


def _fetch(url: str, folder: Path) -> None:
    from askonce.bundle.fetch import fetch, name_of

    try:
        if not (folder / name_of(url)).exists():
            fetch(url, folder, shown=True)
    except AskonceError as error:
        warn_once(f"{error} Recorded answers are looked for elsewhere.")


def _is_usable(bundle: BundleStorage) -> bool:
    try:
        _ = bundle.manifest
    except AskonceError as error:
        warn_once(f"{error} It is left out.", cause=f"left out: {bundle.url}")
        return False
    return True
