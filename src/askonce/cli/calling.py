"""`askonce calls`: what the Logs page shows, at the terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from askonce.cli import render
from askonce.cli.options import config_option, json_option, moment, store_option

_COLUMNS = (
    render.Column("ID", right=True), render.Column("AGE", right=True), render.Column("OUTCOME"),
    render.Column("STATUS", right=True), render.Column("CUSTOMER"), render.Column("MODEL"),
    render.Column("TOKENS", right=True), render.Column("TIME", right=True),
    render.Column("QUESTION", flexible=True),
)  # fmt: skip
_OUTCOMES = ("hit", "shared", "miss", "bypass", "refused", "error")
_LOOK_SECONDS = 0.5
_PAGE = 1000


@click.command()
@click.argument("number", type=click.IntRange(1), required=False)
@click.option("--outcome", type=click.Choice(_OUTCOMES), help="Only those that were answered so.")
@click.option("--customer", metavar="NAME", help="Only this customer's.")
@click.option("--provider", metavar="NAME", help="Only this provider's: openai, anthropic, …")
@click.option("--model", metavar="TEXT", help="Only models with this in their name.")
@click.option("--status", type=int, metavar="CODE", help="Only with this status.")
@click.option("--since", type=moment, metavar="TIME", help="Only since: 2026-11-20, or 3d for ago.")
@click.option("--until", type=moment, metavar="TIME", help="Only before; written like --since.")
@click.option("--text", metavar="TEXT", help="Only with this in question, customer or model.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The latest so many.")
@click.option("--follow", "-f", is_flag=True, help="Go on with new calls as they come, until Ctrl-C.")
@click.option("--summary", is_flag=True, help="What these calls come to since --since, in place of a list.")
@click.option("--series", is_flag=True, help="The same hour by hour, the last 24 unless --since says otherwise.")
@store_option
@config_option
@json_option
def calls(
    *,
    number: int | None,
    limit: int,
    follow: bool,
    summary: bool,
    series: bool,
    store: str | None,
    config: Path | None,
    as_json: bool,
    **filters: Any,
) -> None:
    """List a gateway's calls, or show one by its NUMBER.

    They are in its journal: a file beside the store, or the PostgreSQL that is the store. What a question was
    answered is in the store: `askonce show`.
    """
    from askonce.gateway import reports
    from askonce.gateway.journal import Journal
    from askonce.gateway.ledger import CallFilter
    from askonce.gateway.settings import read_gateway_settings

    allowed = {"since", "until"} if series else {"since"}
    ignored = [name for name, value in filters.items() if value is not None and name not in allowed]
    if (summary or series) and ignored:
        raise click.UsageError(
            f"Sums are kept of all calls: with --summary or --series there is no --{ignored[0]}."
        )
    place = read_gateway_settings(config, store=store, with_keys=False).journal
    journal = Journal(place, keep=float("inf"), most=1 << 62)
    if not journal.ledger.exists():
        raise click.ClickException(f"There is no journal at {journal.ledger.place}. `askonce serve` makes one.")
    try:
        if number is not None:
            _show(journal.line(number), number, as_json=as_json)
        elif summary:
            _print_facts(reports.summarize(journal.hours(filters["since"] or 0.0))._asdict(), as_json=as_json)
        elif series:
            now = time.time()
            points = reports.series(journal, filters["since"] or now - 86_400, filters["until"] or now, 1000)
            _print_series([point._asdict() for point in points], as_json=as_json)
        else:
            lines = journal.lines(CallFilter(**filters), limit=limit)
            _print([line._asdict() for line in reversed(lines)], as_json=as_json)
            if follow:
                _follow(_new(journal, CallFilter(**filters), lines[0].id if lines else 0), as_json=as_json)
    finally:
        journal.close()


def _new(journal: Any, where: Any, last: int) -> Iterator[dict[str, Any]]:
    while True:
        fresh, before = [], None
        while page := journal.lines(where, after=last, before=before, limit=_PAGE):
            fresh += page
            before = page[-1].id
        for line in reversed(fresh):
            last = line.id
            yield line._asdict()
        time.sleep(_LOOK_SECONDS)


def _follow(lines: Iterator[dict[str, Any]], *, as_json: bool) -> None:
    try:
        for line in lines:
            if as_json:
                click.echo(json.dumps(line))
            else:
                click.echo("  ".join(cell for cell in _cells(line, time.time()) if cell))
    except KeyboardInterrupt:
        return


def _print(lines: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for line in lines:
            click.echo(json.dumps(line))
    elif lines:
        now = time.time()
        render.print_table(_COLUMNS, [_cells(line, now) for line in lines])
    else:
        click.echo("There are no such calls.", err=True)


def _cells(line: dict[str, Any], now: float) -> list[str]:
    tokens = line["input_tokens"] + line["output_tokens"]
    return [
        str(line["id"]),
        render.age_text(now - line["at"]),
        line["outcome"],
        str(line["status"] or ""),
        line["customer"],
        line["model"] or line["path"],
        f"{tokens:,}" if tokens else "",
        f"{1000 * line['seconds']:,.1f} ms",
        line["gist"],
    ]


def _show(line: Any, number: int, *, as_json: bool) -> None:
    if line is None:
        raise click.ClickException(f"There is no call {number} in the journal.")
    _print_facts(line._asdict(), as_json=as_json)


def _print_facts(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
        return
    render.print_facts([(name.replace("_", " "), _fact(name, value)) for name, value in facts.items()])


def _fact(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "at":
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    if name in ("saved", "cost", "spent"):
        return f"${value:,.4f}"
    if name == "hit_share":
        return f"{value:.1%}"
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _print_series(points: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(points))
        return
    columns = [render.Column("HOUR")] + [
        render.Column(name, right=True) for name in ("HITS", "MISSES", "SAVED", "SECONDS SAVED")
    ]
    rows = [
        [
            time.strftime("%Y-%m-%d %H:%M", time.localtime(point["at"])),
            f"{point['hits']:,}",
            f"{point['misses']:,}",
            f"${point['saved']:,.4f}",
            f"{point['saved_seconds']:,.1f}",
        ]
        for point in points
    ]
    render.print_table(columns, rows)
