"""`askonce ls` and `askonce show`: what is recorded."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from askonce import prices
from askonce._core.coding import plain_body
from askonce._core.entry import Entry, Take
from askonce._core.messages import Answer
from askonce._core.transcript import answered, asked, gist, parameters, size_text
from askonce.cli import render
from askonce.cli.options import filter_options, json_option, key_prefix, opened, store_option
from askonce.storage import Filter, Storage

KEY_DIGITS = 12
_COUNTED = 1000  # entries that are looked through beyond the limit to say how many more match

_COLUMNS = (
    render.Column("KEY"),
    render.Column("AGE", right=True, style="dim"),
    render.Column("PARTITION", rank=7),
    render.Column("PROVIDER", rank=4),
    render.Column("KIND", rank=3),
    render.Column("MODEL", style="cyan"),
    render.Column("TAKES", right=True, rank=1),
    render.Column("HITS", right=True, rank=6),
    render.Column("SIZE", right=True, rank=2),
    render.Column("TOKENS", right=True, rank=5),
    render.Column("COST", right=True, rank=1),
    render.Column("QUESTION", flexible=True),
)


@click.command()
@store_option
@filter_options
@click.option(
    "--limit", type=click.IntRange(min=0), default=30, show_default=True, help="At most so many; 0 is all."
)
@json_option
def ls(*, store: str | None, where: Filter, limit: int, as_json: bool) -> None:
    """List what is recorded, the newest first."""
    with opened(store) as storage:
        found = storage.entries(where)
        entries = list(islice(found, limit or None))
        more = _count_more(storage, where, len(entries), found) if limit and len(entries) == limit else ""
    if as_json:
        click.echo(json.dumps([summary(entry) for entry in entries], ensure_ascii=False, indent=2))
    elif entries:
        print_list(entries)
    elif where == Filter():
        click.echo(f"Nothing is recorded in {storage.url}.", err=True)
    else:
        click.echo("Nothing that is recorded matches.", err=True)
    if more:
        click.echo(f"{more} more; --limit 0 lists them all.", err=True)


def _count_more(storage: Storage, where: Filter, shown: int, rest: Any) -> str:
    if where == Filter():
        count = storage.totals().entries - shown
        return f"{count:,}" if count > 0 else ""
    count = sum(1 for _ in islice(rest, _COUNTED))
    return f"At least {count:,}" if count == _COUNTED else f"{count:,}" if count else ""


def print_list(entries: list[Entry]) -> None:
    """Print a line an entry."""
    now = time.time()
    rows = [_row(entry, now) for entry in entries]
    optional = ("PARTITION", "COST")
    kept = [i for i, column in enumerate(_COLUMNS) if column.title not in optional or any(row[i] for row in rows)]
    render.print_table([_COLUMNS[i] for i in kept], [[row[i] for i in kept] for row in rows])


def _row(entry: Entry, now: float) -> list[str]:
    question = entry.question
    tokens = entry.takes[-1].answer.usage.tokens
    return [
        question.key.hex()[:KEY_DIGITS],
        render.age_text(now - entry.recorded),
        question.partition,
        question.provider,
        question.kind,
        question.model,
        str(len(entry.takes)),
        f"{entry.hits:,}",
        size_text(_size(entry)),
        f"{tokens:,}" if tokens else "",
        "" if (dollars := _dollars(entry)) is None else prices.dollars_text(dollars),
        gist(asked(question)),
    ]


def _dollars(entry: Entry, position: int = -1) -> float | None:
    """Return what a take cost, as an estimate."""
    take, question = entry.takes[position], entry.question
    return prices.price(question.provider, question.model, take.answer.usage, take.recorded)


def _size(entry: Entry) -> int:
    return len(entry.question.body) + sum(len(c.data) for take in entry.takes for c in take.answer.chunks)


def summary(entry: Entry) -> dict[str, Any]:
    """Return what a line says, for JSON."""
    usage = entry.takes[-1].answer.usage
    return {
        **_about(entry),
        "recorded": iso(entry.recorded),
        "takes": len(entry.takes),
        "size": _size(entry),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "dollars": _dollars(entry),
        "question": gist(asked(entry.question)),
    }


def _about(entry: Entry) -> dict[str, Any]:
    question = entry.question
    return {
        "key": question.key.hex(),
        "provider": question.provider,
        "kind": question.kind,
        "model": question.model,
        "partition": question.partition,
        "tags": question.tags,
        "url": question.url,
        "hits": entry.hits,
    }


@click.command()
@click.argument("key", type=key_prefix)
@store_option
@click.option("--take", "number", type=click.IntRange(min=1), help="This take; by default the latest.")
@click.option("--raw", is_flag=True, help="Write the answer's body and nothing else.")
@click.option("--headers", is_flag=True, help="Show the headers of request and answer too.")
@json_option
def show(*, store: str | None, key: str, number: int | None, raw: bool, headers: bool, as_json: bool) -> None:
    """Show one recorded question and its answer.

    KEY is the beginning of a key, as `askonce ls` shows it.
    """
    with opened(store) as storage:
        entry = find_entry(storage, key)
    if number is not None and number > len(entry.takes):
        takes = render.count_text(len(entry.takes), "take")
        raise click.ClickException(
            f"{entry.question.key.hex()[:KEY_DIGITS]} has {takes}, so there is no take {number}."
        )
    position = (number or len(entry.takes)) - 1
    if raw:
        _write_raw(entry, position)
    elif as_json:
        value = _about(entry) | {"parameters": dict(parameters(entry.question))}
        value["question"] = [turn._asdict() for turn in asked(entry.question)]
        value["takes"] = [
            _take_value(take, n, headers=headers) | {"dollars": _dollars(entry, n - 1)}
            for n, take in enumerate(entry.takes, 1)
            if number in (None, n)
        ]
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        _print_entry(entry, position, headers)


def find_entry(storage: Storage, prefix: str) -> Entry:
    """Return the one entry whose key begins so.

    Raises:
        click.ClickException: when there is none, or more than one.
    """
    found = list(islice(storage.entries(Filter(key=prefix)), 9))
    if not found:
        raise click.ClickException(f"No key begins with {prefix} in {storage.url}. `askonce ls` lists the keys.")
    if len(found) > 1:
        digits = max(KEY_DIGITS, len(prefix) + 4)
        lines = [f"{e.question.key.hex()[:digits]}  {render.clip(gist(asked(e.question)), 50)}" for e in found[:8]]
        lines += ["…"] if len(found) > 8 else []
        raise click.ClickException(f"{prefix} begins several keys; give more digits:\n  " + "\n  ".join(lines))
    return found[0]


def _print_entry(entry: Entry, position: int, headers: bool) -> None:
    question, take = entry.question, entry.takes[position]
    answer = take.answer
    now = time.time()
    recorded = datetime.fromtimestamp(take.recorded, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    render.print_facts(
        (
            ("key", question.key.hex()),
            ("asked", " · ".join(filter(None, (question.provider, question.kind, question.model)))),
            ("url", question.url),
            ("with", ", ".join(f"{name} {render.clip(value, 100)}" for name, value in parameters(question))),
            ("partition", question.partition),
            ("tags", ", ".join(question.tags)),
            ("recorded", f"{recorded}, {render.age_text(now - take.recorded)} ago{_which(entry, position)}"),
            ("seed", take.seed or ""),
            ("took", _timing(answer)),
            ("tokens", _tokens(answer)),
            ("cost", _cost(entry, position)),
            ("ttl", _expiry(take, now)),
            ("answered", render.count_text(entry.hits, "call") + " from the store"),
        )
    )
    if headers:
        _print_headers(entry, answer)
    render.print_turns((*asked(question), *answered(answer)))


def _which(entry: Entry, position: int) -> str:
    return f", take {position + 1} of {len(entry.takes)}" if len(entry.takes) > 1 else ""


def _timing(answer: Answer) -> str:
    size = size_text(sum(len(chunk.data) for chunk in answer.chunks))
    if len(answer.chunks) < 2:
        return f"{render.time_text(answer.seconds)} for {size}"
    first = render.time_text(answer.chunks[0].at)
    return (
        f"{render.time_text(answer.seconds)} for {size} in {len(answer.chunks):,} chunks, the first after {first}"
    )


def _tokens(answer: Answer) -> str:
    usage = answer.usage
    if not usage.tokens:
        return ""
    cached = f" ({usage.cached_tokens:,} from the provider's cache)" if usage.cached_tokens else ""
    return f"{usage.input_tokens:,} in{cached}, {usage.output_tokens:,} out"


def _cost(entry: Entry, position: int) -> str:
    dollars = _dollars(entry, position)
    if dollars is not None:
        return prices.about_text(dollars)
    if not entry.takes[position].answer.usage.tokens:
        return "not known: the answer does not count its tokens"
    return "not known: the model has no price" if prices.is_installed() else f"not known: {prices.EXTRA}"


def _expiry(take: Take, now: float) -> str:
    if take.ttl is None:
        return ""
    left = take.recorded + take.ttl - now
    state = f"{render.time_text(left)} left" if left > 0 else f"past for {render.time_text(-left)}"
    return f"{render.time_text(take.ttl)}, {state}"


def _print_headers(entry: Entry, answer: Answer) -> None:
    asked_with = json.loads(entry.question.head)["headers"]
    click.echo("\nheaders of the request (those that identify it)")
    render.print_facts((f"  {name}", value) for name, value in asked_with)
    head = answer.head
    click.echo(f"\nheaders of the answer, status {head.status}")
    render.print_facts((f"  {n.decode('latin-1')}", v.decode("latin-1")) for n, v in head.headers)


def _take_value(take: Take, number: int, *, headers: bool) -> dict[str, Any]:
    answer = take.answer
    value: dict[str, Any] = {
        "take": number,
        "seed": take.seed,
        "slot": take.slot,
        "recorded": iso(take.recorded),
        "ttl": take.ttl,
        "status": answer.head.status,
        "seconds": round(answer.seconds, 6),
        "first_chunk_seconds": round(answer.chunks[0].at if answer.chunks else answer.head_at, 6),
        "chunks": len(answer.chunks),
        "size": sum(len(chunk.data) for chunk in answer.chunks),
        "input_tokens": answer.usage.input_tokens,
        "output_tokens": answer.usage.output_tokens,
        "answer": [turn._asdict() for turn in answered(answer)],
    }
    if headers:
        value["headers"] = [[n.decode("latin-1"), v.decode("latin-1")] for n, v in answer.head.headers]
    return value


def iso(seconds: float) -> str:
    """Write a time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _write_raw(entry: Entry, position: int) -> None:
    """Write the body without its content coding; never anything but text to a terminal."""
    answer = entry.takes[position].answer
    body = plain_body(answer)
    if sys.stdout.isatty():
        try:
            click.echo(render.clean(body.decode("utf-8")))
        except UnicodeDecodeError:
            kind = answer.head.headers.get(b"content-type") or "unknown content"
            key = entry.question.key.hex()[:KEY_DIGITS]
            raise click.ClickException(
                f"This is {size_text(len(body))} of {kind}, and no text for a terminal. Write it to a file: "
                f"askonce show {key} --raw > answer.bin"
            ) from None
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
