"""`askonce used`: what was asked or recorded since a mark."""

from __future__ import annotations

import json
import time

import click

from askonce.cli import render
from askonce.cli.listing import print_list, summary
from askonce.cli.options import json_option, opened, store_option
from askonce.storage import Filter, Marks, Storage


@click.command()
@store_option
@click.option("--reset", is_flag=True, help="Set the mark: begin to count anew.")
@click.option("--clear", is_flag=True, help="Remove the mark.")
@json_option
def used(*, store: str | None, reset: bool, clear: bool, as_json: bool) -> None:
    """List what was asked or recorded since a mark.

    Set the mark with --reset, run the program, and see what it used. A question counts as a whole, with all its
    takes. While there is a mark, answers in the mode replay are noted too; that mode leaves a store without one
    as it is.
    """
    if reset and clear:
        raise click.UsageError("--reset sets the mark and --clear removes it; give one of them.")
    with opened(store) as storage:
        marks = _marks(storage)
        if reset or clear:
            moment = time.time() if reset else None
            marks.set_mark(moment)
            _say_set(moment, as_json=as_json)
            return
        mark = marks.mark()
        if mark is None:
            raise click.ClickException(
                "There is no mark, so nothing is known of what was used since. `askonce used --reset` sets one."
            )
        entries = list(storage.entries(Filter(used=mark)))
        count = storage.totals().entries
    if as_json:
        value = {"mark": mark, "entries": [summary(entry) for entry in entries]}
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
        return
    if entries:
        print_list(entries)
    all_entries = render.count_text(count, "entry was", "entries were")
    click.echo(
        f"{len(entries):,} of {all_entries} used since the mark, {render.age_text(time.time() - mark)} ago.",
        err=True,
    )


def _marks(storage: Storage) -> Marks:
    if not isinstance(storage, Marks):
        raise click.ClickException(f"{storage.url} is of a kind that keeps no mark. SQLite stores do.")
    return storage


def _say_set(moment: float | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"mark": moment}))
    elif moment is None:
        click.echo("The mark is removed.")
    else:
        click.echo("From now on it is noted what is used. Run the program, then `askonce used`.")
