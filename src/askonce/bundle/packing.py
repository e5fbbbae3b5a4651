"""`materialize`: a store, or what was used of it, made into something to hand out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from askonce._core.entry import Entry
from askonce.errors import SettingsError, StorageError
from askonce.session import current
from askonce.settings import read_settings
from askonce.storage import Filter, Marks, Storage, open_storage
from askonce.storage.protocol import ModelTotals

if TYPE_CHECKING:  # what a program that hands out nothing need not load
    from askonce.bundle.scan import Finding
    from askonce.storage.bundle import Manifest

Form = Literal["file", "module", "package"]
OnFinding = Literal["refuse", "leave out", "keep"]
Progress = Callable[[int, int], None]
"""Told how many entries are written, and of how many."""

_SUFFIX = ".askonce"
_FORMS = {_SUFFIX: "file", ".py": "module"}


class Packed(NamedTuple):
    """What was handed out: the files, what is in them, and what was found in entries left out or kept."""

    paths: tuple[Path, ...]
    manifest: Manifest
    findings: Sequence[Finding] = ()
    left_out: int = 0

    @property
    def models(self) -> list[ModelTotals]:
        """What is in it by provider and model."""
        return self.manifest.by_model


def materialize(
    path: str | os.PathLike[str],
    store: str | os.PathLike[str] | Storage | None = None,
    *,
    form: Form | None = None,
    title: str = "",
    note: str = "",
    delays: bool | float | None = None,
    final: bool = False,
    half_embeddings: bool = False,
    used: bool = False,
    where: Filter = Filter(),
    on_finding: OnFinding = "refuse",
    name: str = "",
    version: str = "1.0",
    progress: Progress | None = None,
) -> Packed:
    """Make a bundle of a store, to be handed to others; the store stays as it is.

    Args:
        path: What to write: `lesson.askonce`, `lesson.py`, or for a package the folder of its wheel and sdist.
        store: What to make it of; by default that of the environment, or the project's.
        form: `file`, `module` (one importable .py) or `package`; by default what `path` ends in.
        title: Shown on first use, with the note.
        note: See `title`.
        delays: Whether, or how much faster, recorded delays are replayed; a student's own setting wins.
        final: Reduce the questions to their digests: nothing of them can be read, nothing be added.
        half_embeddings: Keep embeddings at half precision.
        used: Only questions that were asked since `askonce used --reset`, with all their takes.
        where: Only what matches.
        on_finding: What to do where an entry holds what looks like a key, an organization id, a signed URL or a
            local path: `refuse` to make a bundle, `leave out` the entry, or `keep` it.
        name: Of the package, as it is installed.
        version: Of the package.
        progress: Called with how many entries are written, and of how many.

    Raises:
        StorageError: when there is nothing to hand out, or it cannot be read or written.
        UnfitError: when something was found, and it is to `refuse`.
    """
    from askonce.bundle.making import making
    from askonce.storage.bundle import Manifest

    target = Path(path)
    kind = _form(target, form)
    settings = {"delays": delays, "store": store.url if isinstance(store, Storage) else store}
    scale = None if delays is None else read_settings({"delays": delays}, environ={}).delays
    if on_finding not in ("refuse", "leave out", "keep"):
        raise SettingsError(f"on_finding: {on_finding!r} is neither 'refuse', 'leave out' nor 'keep'.")
    storage = store if isinstance(store, Storage) else _opened(read_settings(settings).store)
    try:
        entries = _chosen(storage, where, used=used)
        about = Manifest(time.time(), "", 0, 0, 0, title, note, scale, final, half_embeddings)
        if kind == "package":
            from askonce.bundle.package import check_names, write_package

            check_names(name, version)
            with making(target / f"{name}{_SUFFIX}", storage, entries, about, on_finding, progress) as (
                part,
                made,
            ):
                return made._replace(paths=write_package(target, part, name, version, made.manifest))
        with making(target, storage, entries, about, on_finding, progress) as (part, made):
            if kind == "module":
                from askonce.bundle.module import write_module

                write_module(target, part, made.manifest)
            else:
                part.replace(target)
            return made._replace(paths=(target,))
    finally:
        if storage is not store:
            storage.close()


def _form(target: Path, form: str | None) -> str:
    if form is None:
        form = _FORMS.get(target.suffix)
    if form not in ("file", "module", "package"):
        raise SettingsError(
            f"{target}: say what to make. Name it {target.stem}{_SUFFIX} for a file or {target.stem}.py for a "
            "module, or give form='package' (--as package) and the folder for its files."
        )
    wanted = {"file": _SUFFIX, "module": ".py"}.get(form, target.suffix)
    if target.suffix != wanted:
        raise SettingsError(f"{target}: a {form} has a name that ends in {wanted}, or it would not be found.")
    if form == "module" and not target.stem.isidentifier():
        raise SettingsError(f"{target}: {target.stem!r} cannot be imported. Use letters, digits and _ alone.")
    return form


def _opened(url: str) -> Storage:
    storage = open_storage(url)
    path = getattr(storage, "path", None)
    if isinstance(path, Path) and not path.exists():
        raise StorageError(f"There is no store at {path}. Record something first, or name another store.")
    return storage


def _chosen(storage: Storage, where: Filter, *, used: bool) -> Iterable[Entry]:
    if not used:
        return storage.entries(where)
    cache = current()
    if cache is not None:  # what this process has used may not be written yet
        _ = cache.stats
        cache.guard.open()
    mark = storage.mark() if isinstance(storage, Marks) else None
    if mark is None:
        raise StorageError(
            f"{storage.url} has no mark, so nothing is known of what was used since. Set one with "
            "`askonce used --reset`, run the program, and then pack."
        )
    return storage.entries(where._replace(used=mark))
