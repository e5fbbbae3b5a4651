"""What was recorded elsewhere comes in, and what is recorded here goes out.

`open_source` tells what a file is and `take_in` imports it; `outlet` writes. `read_cassette` reads a cassette for
whoever wants to play it without a store of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from askonce.exchange.finding import Finding, Recorded, Skipped
from askonce.exchange.intake import Fate, Intake, OnConflict, take_in
from askonce.exchange.source import Format, Source, open_source
from askonce.settings import Settings

__all__ = [
    "Fate",
    "Finding",
    "Format",
    "Intake",
    "OnConflict",
    "Recorded",
    "Skipped",
    "Source",
    "open_source",
    "read_cassette",
    "take_in",
]


def read_cassette(path: Path, settings: Settings) -> Iterator[Finding]:
    """Yield what is in a vcrpy cassette: questions with their takes, and what is passed over with the reason.

    Requests are understood as by a cache with these settings (`domains`, `partition`, …).

    Raises:
        FileFormatError: when it is no cassette, with the place of the mistake.
    """
    source = open_source(path, settings)
    if source.format is not Format.CASSETTE:
        from askonce.errors import FileFormatError

        raise FileFormatError(f"{path} is no vcrpy cassette but {source.format}.")
    return source.read()
