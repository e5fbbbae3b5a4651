"""`askonce import` and `askonce export`: what was recorded elsewhere comes in, and what is recorded goes out."""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from askonce._core.entry import MARK_KEY
from askonce.cli import render
from askonce.cli.options import filter_options, json_option, opened, store_option
from askonce.errors import AskonceError
from askonce.exchange import Fate, Format, Intake, OnConflict, Source, open_source, take_in
from askonce.settings import Settings, default_store, read_settings
from askonce.storage import Filter, Storage, open_patiently

_COLUMNS = (
    ("IMPORTED", Fate.IMPORTED),
    ("REPLACED", Fate.REPLACED),
    ("ALREADY THERE", Fate.THERE),
    ("KEPT AS IT WAS", Fate.KEPT),
)
_LISTED = 12


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--into",
    metavar="PATH",
    envvar="ASKONCE_STORE",
    show_envvar=True,
    help="The store to import into. By default .askonce/cache.db in the nearest project folder.",
)
@click.option(
    "--on-conflict",
    type=click.Choice([one.value for one in OnConflict]),
    default=OnConflict.KEEP.value,
    show_default=True,
    help="What to do where another answer is recorded: keep it, replace it, or fail before anything is imported.",
)
@click.option(
    "--domains", metavar="HOSTS", help="Hosts that are providers too, with commas between, as for enable()."
)
@click.option("--partition", metavar="NAME", help="Whose entries they become. A store's keep their own.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and change nothing.")
@json_option
def import_(
    *,
    files: tuple[Path, ...],
    into: str | None,
    on_conflict: str,
    domains: str | None,
    partition: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import what was recorded elsewhere.

    FILE may be another store of askonce's, a cachy.jsonl, an openai.cache (also openai_cache_temp.bin), a cassette
    of vcrpy (YAML or JSON) or a HAR file; its content tells. Complete answers to LLM calls are kept, all else is
    passed over with the reason. Of a file with a mistake in it nothing is imported; the others are.
    """
    settings = read_settings({"store": into, "domains": domains, "partition": partition})
    storage = _target(into)
    try:
        done, failed = _import_all(files, storage, settings, OnConflict(on_conflict), dry_run, as_json)
    finally:
        storage.close()
    if as_json:
        value = {"store": storage.url, "dry_run": dry_run, "files": [_intake_value(one) for one in done]}
        value["failed"] = [{"file": path, "error": message} for path, message in failed]
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        _print_intakes(done, storage.url, dry_run)
        for _, message in failed:
            click.echo(f"Error: {message}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


def _target(store: str | None) -> Storage:
    storage = open_patiently(store or default_store())
    if storage.url.startswith("memory:"):
        raise click.ClickException(f"{storage.url} would be gone at once. Name a file with --into.")
    return storage


def _import_all(
    files: tuple[Path, ...],
    storage: Storage,
    settings: Settings,
    on_conflict: OnConflict,
    dry_run: bool,
    as_json: bool,
) -> tuple[list[Intake], list[tuple[str, str]]]:
    done, failed = [], []
    with progress(quiet=as_json) as follow:
        for path in files:
            try:
                if path.resolve() == Path(storage.url).resolve():
                    raise click.ClickException(f"{path} is the store to import into.")
                source = open_source(path, settings)
                note = follow(f"Importing {path.name}")
                done.append(take_in(source, storage, on_conflict=on_conflict, dry_run=dry_run, note=note))
            except (AskonceError, OSError) as error:
                failed.append((str(path), str(error)))
    return done, failed


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str], Callable[[int], None]]]:
    """Show on a terminal how far it is; what is given takes the name of a step and returns what counts it."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"))
    disable = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as bar:

        def follow(title: str) -> Callable[[int], None]:
            task = bar.add_task(title, total=None)
            return lambda count: bar.update(task, completed=count)

        yield follow


def _print_intakes(done: list[Intake], url: str, dry_run: bool) -> None:
    totals: Counter[tuple[str, str, Fate]] = Counter()
    for intake in done:
        totals.update(intake.fates)
    for intake in done:
        counts = [(intake.count(fate), title.lower()) for title, fate in _COLUMNS]
        told = ", ".join(
            f"{count:,} {title}" for count, title in [*counts, (len(intake.skipped), "skipped")] if count
        )
        click.echo(f"{intake.path}: {intake.format}, {told or 'empty'}")
    if totals:
        _print_totals(totals)
    _print_skipped(done)
    _print_conflicts(done)
    if any(intake.format is Format.CACHY for intake in done) and totals and not dry_run:
        click.echo("\nAnswers from cachy are found by its own keys until they are recorded anew.")
    changed = sum(intake.count(Fate.IMPORTED, Fate.REPLACED) for intake in done)
    if done:
        verb = "Would import" if dry_run else "Imported"
        click.echo(f"\n{verb} {render.count_text(changed, 'answer')} into {url}.")


def _print_totals(totals: Counter[tuple[str, str, Fate]]) -> None:
    shown = [(title, fate) for title, fate in _COLUMNS if any(key[2] is fate for key in totals)]
    columns = [
        render.Column("PROVIDER"),
        render.Column("MODEL", flexible=True, style="cyan"),
        *(render.Column(title, right=True) for title, _ in shown),
    ]
    models = sorted({key[:2] for key in totals})
    click.echo()
    render.print_table(
        columns, [[*model, *(f"{totals[*model, fate]:,}" for _, fate in shown)] for model in models]
    )


def _print_skipped(done: list[Intake]) -> None:
    """Print why things were passed over, each reason with the first that it was given for."""
    first: dict[str, tuple[str, str]] = {}
    counts: Counter[str] = Counter()
    for intake in done:
        for one in intake.skipped:
            counts[one.reason] += 1
            first.setdefault(one.reason, (one.what, f"{Path(intake.path).name}, {one.place}"))
    if not counts:
        return
    columns = (
        render.Column("SKIPPED", right=True),
        render.Column("BECAUSE"),
        render.Column("FIRST OF THEM", flexible=True),
        render.Column("IN", rank=1),
    )
    click.echo()
    rows = [[f"{count:,}", reason, *first[reason]] for reason, count in counts.most_common(_LISTED)]
    render.print_table(columns, rows)
    if counts["not generation"] and not any(intake.fates for intake in done):
        click.echo("\nIs one of these hosts a provider's? Name it with --domains.")
    if len(counts) > _LISTED:
        click.echo(f"and {len(counts) - _LISTED} more reasons; --json lists them all.")


def _print_conflicts(done: list[Intake]) -> None:
    places = [f"{Path(intake.path).name}, {place}" for intake in done for place in intake.conflicts]
    if places:
        more = f" and {len(places) - 3:,} more" if len(places) > 3 else ""
        count = render.count_text(len(places), "question")
        had = "has" if len(places) == 1 else "have"
        click.echo(
            f"\n{count} {had} another answer in the store ({'; '.join(places[:3])}{more}). See --on-conflict."
        )


def _intake_value(intake: Intake) -> dict[str, Any]:
    models = [
        {"provider": provider, "model": model, "fate": fate.name.lower(), "answers": count}
        for (provider, model, fate), count in sorted(intake.fates.items())
    ]
    return {
        "file": intake.path,
        "format": intake.format,
        **{fate.name.lower(): intake.count(fate) for fate in Fate},
        "skipped": [one._asdict() for one in intake.skipped],
        "conflicts": intake.conflicts,
        "models": models,
    }


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@store_option
@filter_options
@click.option(
    "--format",
    "shape",
    type=click.Choice(["jsonl", "har", "csv", "parquet", "store"]),
    help="What to write. By default what FILE's name ends in (.har, .csv, .parquet), or else a store.",
)
@click.option("--force", is_flag=True, help="Write over a FILE that is there. A store is added to in any case.")
def export(*, file: Path | None, store: str | None, where: Filter, shape: str | None, force: bool) -> None:
    """Export to another store (JSONL, SQLite), HAR or a table.

    A store, such as answers.jsonl, and a HAR file can be imported again without loss. A table of conversations
    (CSV, Parquet) has a row an answer. Without FILE, or with `-`, JSONL, HAR or CSV goes to standard output.
    """
    from askonce import __version__
    from askonce.exchange.outlet import Shape, shape_of, write_file, write_text
    from askonce.exchange.source import findings_in, oldest_first

    path = None if file is None or str(file) == "-" else file
    wanted = Shape(shape or (shape_of(path) if path else Shape.JSONL))
    if path is not None and wanted is not Shape.STORE and path.exists() and not force:
        raise click.ClickException(f"{path} is there already. Add --force to write over it.")
    with opened(store) as storage, progress(quiet=path is None) as follow:
        entries = oldest_first(storage, where)
        if path is None:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(
                    encoding="utf-8", newline="\n"
                )  # it is a file's content, whatever the terminal
            for _ in write_text(entries, sys.stdout, wanted, __version__):
                pass
            return
        note = follow(f"Exporting to {path.name}")
        count = 0
        if wanted is Shape.STORE:
            target = open_patiently(path)
            source = Source(Path(storage.url), Format.STORE, partial(findings_in, storage, where), False)
            try:
                count = take_in(source, target, on_conflict=OnConflict.REPLACE, note=note).count(*Fate)
            finally:
                target.close()
        else:
            for entry in write_file(entries, path, wanted, __version__):
                count += len(entry.takes) if entry.question.key != MARK_KEY else 0
                note(count)
    click.echo(f"Exported {render.count_text(count, 'answer')} to {path}.")
