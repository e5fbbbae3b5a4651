"""`askonce stats`, `rm` and `prune`: what it holds, what it saved, and what may go."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import click

from askonce import prices
from askonce._core.transcript import size_text
from askonce.cli import render
from askonce.cli.options import duration, filter_options, json_option, key_prefix, opened, store_option
from askonce.storage import Filter, Storage, Totals
from askonce.storage.protocol import ModelTotals, sum_by_model

_COLUMNS = (
    render.Column("PROVIDER"),
    render.Column("MODEL", flexible=True, style="cyan"),
    render.Column("ENTRIES", right=True),
    render.Column("TAKES", right=True, rank=1),
    render.Column("SIZE", right=True, rank=2),
    render.Column("TOKENS", right=True, rank=4),
    render.Column("TOOK", right=True, rank=3),
    render.Column("HITS", right=True),
    render.Column("SAVED", right=True, rank=5),
)


@click.command()
@store_option
@filter_options
@json_option
def stats(*, store: str | None, where: Filter, as_json: bool) -> None:
    """Count what is recorded, and what it has saved.

    With a filter, time and tokens saved are left out: they are counted for the store as a whole. Money is an
    estimate by the answers that are still recorded; it needs `pip install 'askonce[prices]'`.
    """
    with opened(store) as storage:
        is_whole = where == Filter()
        models = storage.by_model() if is_whole else sum_by_model(storage.entries(where))
        totals = storage.totals() if is_whole else _sum(models)
    money = prices.estimate(row.spared for row in models)
    if as_json:
        value = {
            "store": storage.url,
            **totals._asdict(),
            "money_saved": None if money is None else money._asdict(),
        }
        value["models"] = [_model_value(row) for row in models]
        if not is_whole:
            del value["seconds_saved"], value["tokens_saved"]
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
        return
    entries = render.count_text(totals.entries, "entry", "entries")
    facts = [
        ("store", storage.url),
        ("holds", f"{entries}, {render.count_text(totals.takes, 'take')}, {size_text(totals.size)}"),
        ("answered", render.count_text(totals.hits, "call") + " from the store"),
    ]
    if is_whole:
        tokens = render.count_text(totals.tokens_saved, "token")
        facts.append(("saved", f"{render.time_text(totals.seconds_saved)} of waiting, {tokens}"))
    facts.append(("money", f"{money} saved" if money else f"not known: {prices.EXTRA}"))
    render.print_facts(facts)
    if models:
        click.echo()
        render.print_table(_COLUMNS, [_row(row) for row in models], least=48)


def _sum(models: Sequence[ModelTotals]) -> Totals:
    return Totals(
        sum(row.entries for row in models),
        sum(row.takes for row in models),
        sum(row.size for row in models),
        sum(row.hits for row in models),
    )


def _row(row: ModelTotals) -> list[str]:
    return [
        row.provider,
        row.model,
        f"{row.entries:,}",
        f"{row.takes:,}",
        size_text(row.size),
        f"{row.input_tokens + row.output_tokens:,}",
        render.time_text(row.seconds),
        f"{row.hits:,}",
        _saved(row),
    ]


def _saved(row: ModelTotals) -> str:
    money = prices.estimate([row.spared]) if row.hits else None
    if money is None:
        return ""
    if money.unpriced or not row.spared.calls:
        return "?"
    return ("≥ " if money.uncounted else "") + prices.dollars_text(money.dollars)


def _model_value(row: ModelTotals) -> dict[str, Any]:
    money = prices.estimate([row.spared])
    is_known = money is not None and not money.unpriced
    rounded = {name: round(value) if name.endswith("_saved") else value for name, value in row._asdict().items()}
    return {**rounded, "dollars_saved": round(money.dollars, 6) if money is not None and is_known else None}


@click.command()
@click.argument("keys", metavar="[KEY]...", nargs=-1, type=key_prefix)
@store_option
@filter_options
@click.option("--all", "everything", is_flag=True, help="Allow that everything goes.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
def rm(
    *, store: str | None, keys: tuple[str, ...], where: Filter, everything: bool, yes: bool, as_json: bool
) -> None:
    """Remove entries, by the beginnings of their keys or by filters.

    With both, an entry goes when its key is named and the filters match it.
    """
    if not keys and where == Filter() and not everything:
        raise click.UsageError("Name a KEY or a filter, or say --all to remove everything.")
    with opened(store) as storage:
        chosen = _choose(storage, keys, where)
        if chosen and not keys and not everything and len(chosen) == storage.totals().entries:
            raise click.ClickException(f"That is all of {storage.url}. Add --all if it is meant.")
        removed = 0
        if chosen and (yes or _confirm(f"Remove {_entries(len(chosen))} from {storage.url}?")):
            removed = storage.remove(chosen)
    if as_json:
        click.echo(json.dumps({"removed": removed, "keys": [key.hex() for key in chosen]}, indent=2))
    else:
        click.echo(f"Removed {_entries(removed)}." if chosen else "Nothing that is recorded matches.")


def _choose(storage: Storage, keys: tuple[str, ...], where: Filter) -> list[bytes]:
    if not keys:
        return [entry.question.key for entry in storage.entries(where)]
    chosen = {}
    for prefix in keys:
        found = list(islice(storage.entries(Filter(key=prefix)), 2))
        if len(found) != 1:
            trouble = "several keys begin" if found else "no key begins"
            raise click.ClickException(f"{trouble.capitalize()} with {prefix}. Nothing was removed.")
        if where.matches(found[0]):
            chosen[found[0].question.key] = True
    return list(chosen)


def _confirm(question: str) -> bool:
    return click.confirm(question, abort=True, err=True)


def _entries(count: int) -> str:
    return render.count_text(count, "entry", "entries")


@click.command()
@store_option
@filter_options
@click.option(
    "--older-than",
    type=duration,
    metavar="DURATION",
    help="Remove entries last recorded longer ago too: 30d, 12h.",
)
@json_option
def prune(*, store: str | None, where: Filter, older_than: float | None, as_json: bool) -> None:
    """Remove the takes whose time to live has passed.

    The filters choose among what --older-than removes; what has expired always goes.
    """
    if where != Filter() and older_than is None:
        raise click.UsageError("The filters choose among what --older-than removes; give that too.")
    now = time.time()
    with opened(store) as storage:
        expired = storage.prune(now)
        old = 0
        if older_than is not None:
            limit = now - older_than
            found = storage.entries(where)
            old = storage.remove([entry.question.key for entry in found if entry.recorded < limit])
    if as_json:
        click.echo(json.dumps({"expired_takes": expired, "old_entries": old}))
    else:
        also = "" if older_than is None else f" and {render.count_text(old, 'old entry', 'old entries')}"
        click.echo(f"Removed {render.count_text(expired, 'expired take')}{also}.")
