"""Writes a store's entries into a bundle, looks at each for what must not be handed out, and counts them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from askonce._core.entry import Entry
from askonce.bundle.packing import OnFinding, Packed, Progress
from askonce.bundle.scan import Finding, scan
from askonce.bundle.writer import Writer
from askonce.errors import StorageError, UnfitError
from askonce.storage import Storage
from askonce.storage.bundle import BundleStorage, Manifest
from askonce.storage.protocol import sum_by_model

_SHOWN = 8


@contextmanager
def making(
    target: Path,
    storage: Storage,
    entries: Iterable[Entry],
    about: Manifest,
    on_finding: OnFinding,
    progress: Progress | None,
) -> Iterator[tuple[Path, Packed]]:
    """Write a bundle beside `target`, which is gone after the block, unless it was moved."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            made = _write(file, storage, entries, about, on_finding, progress)
        yield part, made
    except OSError as error:
        raise StorageError(f"{target} cannot be written ({error}).") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _write(
    file: IO[bytes],
    storage: Storage,
    entries: Iterable[Entry],
    about: Manifest,
    on_finding: OnFinding,
    progress: Progress | None,
) -> Packed:
    from askonce import __version__

    if isinstance(storage, BundleStorage) and storage.manifest.final:
        about = about._replace(final=True)  # of its questions there are the digests alone
    writer = Writer(file, final=about.final, half=about.half)
    findings: list[Finding] = []
    left_out = 0
    total = storage.totals().entries

    def written() -> Iterator[Entry]:
        nonlocal left_out
        for number, entry in enumerate(entries, 1):
            found = scan(entry)
            findings.extend(found)
            if found and on_finding != "keep":
                left_out += 1
            else:
                writer.write(entry)
                yield entry
            if progress and (number % 64 == 0 or number == total):
                progress(number, total)

    models = sum_by_model(written())
    if findings and on_finding == "refuse":
        raise UnfitError(_refusal(findings, left_out))
    if not models:
        raise StorageError(
            f"There is nothing to hand out in {storage.url}: no entry is recorded that was asked for."
        )
    manifest = about._replace(
        by=f"askonce {__version__}",
        entries=sum(row.entries for row in models),
        takes=sum(row.takes for row in models),
        size=sum(row.size for row in models),
        models=[row._replace(hits=0)._asdict() for row in models],
    )
    writer.finish(manifest)
    return Packed((), manifest, findings, left_out)


def _refusal(findings: Sequence[Finding], entries: int) -> str:
    lines = [f"  {finding}" for finding in findings[:_SHOWN]]
    if len(findings) > _SHOWN:
        lines.append(f"  and {len(findings) - _SHOWN:,} more")
    return "\n".join(
        (
            f"{entries:,} {'entry holds' if entries == 1 else 'entries hold'} what is not for others to see:",
            *lines,
            "Look at one with `askonce show KEY`. Then remove it from the store, or pack again with such entries",
            "left out (--leave-out) or, where what was found is harmless, handed out (--keep).",
        )
    )
