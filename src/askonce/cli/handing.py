"""`askonce pack` and `askonce fetch`: a store made to be handed out, and had from a URL."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from askonce._core.transcript import size_text
from askonce.bundle import Packed, materialize
from askonce.bundle.fetch import fetch as fetch_bundle
from askonce.cli import render
from askonce.cli.options import filter_options, json_option, opened, store_option
from askonce.storage import Filter
from askonce.storage.bundle import BundleStorage

_COLUMNS = (
    render.Column("PROVIDER"),
    render.Column("MODEL", flexible=True, style="cyan"),
    render.Column("ENTRIES", right=True),
    render.Column("TAKES", right=True),
    render.Column("SIZE", right=True),
)
_LISTED = 8


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@store_option
@filter_options
@click.option(
    "--as",
    "form",
    type=click.Choice(["file", "module", "package"]),
    help="What to make. By default what PATH ends in: .askonce is a file, .py a module.",
)
@click.option(
    "--used", is_flag=True, help="Only what was used since `askonce used --reset`, with all its answers."
)
@click.option(
    "--final", is_flag=True, help="Reduce questions to their digests: not to be read, nor to be added to."
)
@click.option("--half", is_flag=True, help="Keep embeddings at half precision.")
@click.option(
    "--delays/--no-delays",
    default=None,
    help="Replay recorded delays, or do not, where students say nothing else.",
)
@click.option("--title", default="", metavar="TEXT", help="Shown on first use.")
@click.option("--note", default="", metavar="TEXT", help="Shown under the title.")
@click.option("--name", default="", metavar="NAME", help="The package's name, as it is installed.")
@click.option("--version", default="1.0", show_default=True, metavar="NUMBER", help="The package's version.")
@click.option("--leave-out", is_flag=True, help="Leave out entries with keys, ids, signed URLs or local paths.")
@click.option("--keep", is_flag=True, help="Hand them out, where what was found is harmless.")
@json_option
def pack(
    *,
    path: Path,
    store: str | None,
    where: Filter,
    form: Any,
    used: bool,
    final: bool,
    half: bool,
    delays: bool | None,
    title: str,
    note: str,
    name: str,
    version: str,
    leave_out: bool,
    keep: bool,
    as_json: bool,
) -> None:
    """Make something to hand out of a store.

    PATH is what to write: lesson.askonce, a file that is found in the working directory; lesson.py, to be imported
    instead of openai, with askonce inside; or, with --as package, the folder for a wheel and an sdist. Entries
    that hold what looks like a key, an organization id, a signed URL or a local path are not handed out: nothing
    is made, unless --leave-out or --keep says what to do with them.
    """
    if leave_out and keep:
        raise click.UsageError("--leave-out and --keep exclude each other.")
    if form == "package" and not name:
        raise click.UsageError("A package needs a --name, under which it is installed.")
    began = time.monotonic()
    with opened(store) as storage, _progress(f"Packing {path.name}", "entries", quiet=as_json) as progress:
        made = materialize(
            path,
            storage,
            form=form,
            title=title,
            note=note,
            delays=delays,
            final=final,
            half_embeddings=half,
            used=used,
            where=where,
            on_finding="leave out" if leave_out else "keep" if keep else "refuse",
            name=name,
            version=version,
            progress=progress,
        )
    seconds = time.monotonic() - began
    if as_json:
        click.echo(json.dumps(_value(made), ensure_ascii=False, indent=2))
    else:
        _print_packed(made, seconds)


def _print_packed(made: Packed, seconds: float) -> None:
    rows = [[r.provider, r.model, f"{r.entries:,}", f"{r.takes:,}", size_text(r.size)] for r in made.models]
    render.print_table(_COLUMNS, rows)
    click.echo()
    for path in made.paths:
        click.echo(f"{path}  {size_text(path.stat().st_size)}")
    told = made.manifest
    rate = told.entries / max(seconds, 0.001)
    click.echo(f"Packed {_entries(told.entries)} in {render.time_text(seconds)}, {rate:,.0f} a second.")
    if made.findings:
        kept = "left out" if made.left_out else "handed out all the same"
        click.echo(f"\nThese were {kept}:")
        for finding in made.findings[:_LISTED]:
            click.echo(render.clean(f"  {finding}"))
        if len(made.findings) > _LISTED:
            click.echo(f"  and {len(made.findings) - _LISTED:,} more; --json lists them all.")


def _value(made: Packed) -> dict[str, Any]:
    told = made.manifest._asdict()
    told["models"] = [row._asdict() for row in made.models]
    return {
        "files": [{"path": str(path), "size": path.stat().st_size} for path in made.paths],
        **told,
        "left_out": made.left_out,
        "findings": [{**found._asdict(), "key": found.key.hex()} for found in made.findings],
    }


def _entries(count: int) -> str:
    return render.count_text(count, "entry", "entries")


@click.command()
@click.argument("url", metavar="URL")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder for it. By default the working directory, where it is found.",
)
@click.option("--sha256", default="", metavar="DIGEST", help="What its SHA-256 must be; #sha256=… in the URL too.")
@json_option
def fetch(*, url: str, into: Path | None, sha256: str, as_json: bool) -> None:
    """Fetch a bundle from a URL.

    One that was cut is gone on with. It is kept only when it is whole and, where its SHA-256 is given, the one
    that was meant.
    """
    with _progress("Fetching", "bytes", quiet=as_json) as progress:
        path = fetch_bundle(url, into, sha256=sha256, progress=progress)
    told = BundleStorage(path).manifest
    if as_json:
        value = {"path": str(path), "size": path.stat().st_size, "entries": told.entries, "takes": told.takes}
        click.echo(json.dumps({**value, "title": told.title, "note": told.note}, ensure_ascii=False, indent=2))
        return
    click.echo(f"{path}  {size_text(path.stat().st_size)}, {_entries(told.entries)}")
    for text in filter(None, (told.title, told.note)):
        click.echo(render.clean(text))


@contextmanager
def _progress(title: str, unit: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Show on a terminal how far it is; what is given is told how much is done, and of how much."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if unit == "bytes" else MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    disable = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as progress:
        task = progress.add_task(title, total=None)
        yield lambda count, total: progress.update(task, completed=count, total=total)
