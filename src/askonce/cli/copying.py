"""`askonce copy`: entries go from one store into another, whatever keeps them."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from askonce.cli import render
from askonce.cli.exchanging import progress
from askonce.cli.options import filter_options, json_option
from askonce.errors import SettingsError
from askonce.exchange import Fate, OnConflict
from askonce.exchange.copying import Copied
from askonce.storage import Filter, Storage, open_patiently

_STOPPED = 130  # as shells have it of what Ctrl-C ended


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@filter_options
@click.option(
    "--on-conflict",
    type=click.Choice([OnConflict.KEEP.value, OnConflict.REPLACE.value]),
    default=OnConflict.KEEP.value,
    show_default=True,
    help="What to do where TO has another answer: keep that, or replace it.",
)
@json_option
def copy(*, source: str, target: str, where: Filter, on_conflict: str, as_json: bool) -> None:
    """Copy entries from one store to another.

    FROM and TO are files (SQLite, JSONL; FROM may be a bundle) or URLs. What is in TO already is passed over, so
    that after Ctrl-C, or a failure, the same command goes on. In the end every answer is read from TO again and
    compared.
    """
    from askonce.exchange.copying import copy as copy_entries
    from askonce.exchange.copying import refuse_missing

    with _open("FROM", source) as one, _open("TO", target) as other, _stopping() as is_stopped:
        if one.url == other.url or _file(one) == _file(other) is not None:
            raise click.ClickException(f"{one.url} is FROM and TO. Name another store.")
        if (path := _file(one)) is not None and not path.exists():
            raise click.ClickException(f"There is no store at {path}. FROM is the store that is copied.")
        with progress(quiet=as_json) as follow:
            copied = copy_entries(
                one,
                other,
                where,
                on_conflict=OnConflict(on_conflict),
                copying=follow("Copying"),
                verifying=follow("Verifying"),
                is_stopped=is_stopped,
            )
        if as_json:
            click.echo(json.dumps(_value(copied, one, other), ensure_ascii=False, indent=2))
        else:
            _print(copied, other)
        refuse_missing(copied, other)
    if copied.is_stopped:
        raise click.exceptions.Exit(_STOPPED)


@contextmanager
def _open(name: str, url: str) -> Iterator[Storage]:
    try:
        storage = open_patiently(url)
    except SettingsError as error:
        raise click.ClickException(f"{name}: {error}") from error
    if storage.url.startswith("memory:"):
        raise click.ClickException(
            f"{name}: {storage.url} lives in the process that records. Name a file or a URL."
        )
    try:
        yield storage
    finally:
        storage.close()


def _file(storage: Storage) -> Path | None:
    path = getattr(storage, "path", None)
    return path.resolve() if isinstance(path, Path) else None


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Take the first Ctrl-C as the wish to stop after the entry at hand; the second ends the process as ever."""
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(signal.SIGINT, before)

    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not in the main thread, where nobody presses keys
        yield lambda: False
        return
    try:
        yield lambda: stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _print(copied: Copied, target: Storage) -> None:
    count = copied.fates
    told = [
        f"{count[fate]:,} {title}"
        for fate, title in (
            (Fate.REPLACED, "replaced"),
            (Fate.THERE, "already there"),
            (Fate.KEPT, "kept as it was"),
        )
        if count[fate]
    ]
    answers = render.count_text(count[Fate.IMPORTED], "answer")
    click.echo(f"Copied {answers} to {target.url}{' (' if told else ''}{', '.join(told)}{')' if told else ''}.")
    if copied.conflicts:
        questions = render.count_text(len(copied.conflicts), "question")
        click.echo(f"TO has another answer to {questions}. See --on-conflict.")
    if copied.damaged:
        click.echo(f"{render.count_text(copied.damaged, 'damaged answer')} of FROM left out.")
    if copied.is_stopped:
        click.echo("Stopped. The same command goes on.")
    elif not copied.missing:
        click.echo(f"Verified {render.count_text(copied.verified, 'answer')}.")


def _value(copied: Copied, source: Storage, target: Storage) -> dict[str, object]:
    return {
        "from": source.url,
        "to": target.url,
        "entries": copied.entries,
        **{fate.name.lower(): copied.fates[fate] for fate in Fate},
        "hits": copied.hits,
        "damaged": copied.damaged,
        "conflicts": [key.hex() for key in copied.conflicts],
        "verified": copied.verified,
        "missing": copied.missing,
        "stopped": copied.is_stopped,
    }
