"""A file that entries are exported to: a store, HAR, or a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from askonce._core.entry import Entry
from askonce.errors import FileFormatError
from askonce.exchange.har import write_archive
from askonce.exchange.table import write_csv, write_parquet

# A path that ends in .jsonl is a store: what is in it already stays.
_SUFFIXES = {".har": "har", ".csv": "csv", ".parquet": "parquet"}


class Shape(StrEnum):
    """What can be written."""

    JSONL = "jsonl"
    HAR = "har"
    CSV = "csv"
    PARQUET = "parquet"
    STORE = "store"


def shape_of(path: Path) -> Shape:
    """Return what the end of a file's name asks for; a store where it asks for nothing else."""
    return Shape(_SUFFIXES.get(path.suffix.lower(), "store"))


def write_text(entries: Iterable[Entry], file: TextIO, shape: Shape, version: str) -> Iterator[Entry]:
    """Write entries as text; yield each when it is written."""
    if shape is Shape.HAR:
        return write_archive(entries, file, version)
    if shape is Shape.JSONL:
        return _write_lines(entries, file)
    if shape is Shape.CSV:
        return write_csv(entries, file)
    raise FileFormatError(f"{shape} is no text. Name a file to write it to.")


def _write_lines(entries: Iterable[Entry], file: TextIO) -> Iterator[Entry]:
    from askonce.storage.lines import write_line

    for entry in entries:
        lines = [write_line(entry.question, take, beside=False).text.decode() for take in entry.takes]
        file.writelines(f"{line}\n" for line in lines)
        yield entry


def write_file(entries: Iterable[Entry], path: Path, shape: Shape, version: str) -> Iterator[Entry]:
    """Write entries to a file, which is as it was until all are written; yield each when it is."""
    with _in_place_of(path) as new:
        if shape is Shape.PARQUET:
            yield from write_parquet(entries, new)
        else:
            with new.open("w", encoding="utf-8", newline="") as file:
                yield from write_text(entries, file, shape, version)


@contextmanager
def _in_place_of(path: Path) -> Iterator[Path]:
    new = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield new
        new.replace(path)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        new.unlink(missing_ok=True)
