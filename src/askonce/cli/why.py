"""`askonce why`: why a request was not answered from the store."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click

from askonce._core.entry import CACHY, Question
from askonce._core.messages import Headers, Request
from askonce._core.nearest import Difference, around_difference, differences, neighbours
from askonce._core.transcript import asked as conversation
from askonce._core.transcript import gist
from askonce.cli import render
from askonce.cli.listing import KEY_DIGITS, find_entry, iso
from askonce.cli.options import json_option, opened, store_option
from askonce.storage import Storage

_CANDIDATES = 2000
_KEY = re.compile(r"[0-9a-fA-F]{4,64}")
_LISTED = 12  # differences that are shown of one neighbour


class _Asked(NamedTuple):
    """What is to be explained; `note` says where it comes from, `is_entry` that it is an entry itself."""

    question: Question
    note: str
    is_entry: bool = False
    seed: str | None = None
    missed: dict[str, Any] | None = None


@click.command()
@click.argument("request", metavar="[REQUEST|LAST]", default="LAST")
@store_option
@click.option("--url", metavar="URL", help="Where the request goes; by default where the nearest one went.")
@click.option(
    "--header",
    "-H",
    "headers",
    metavar="'NAME: VALUE'",
    multiple=True,
    help="A header of the request; by default those of the nearest one.",
)
@click.option("--partition", metavar="NAME", help="The customer or tenant who asks.")
@click.option(
    "--nearest",
    "count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="So many entries to compare with.",
)
@json_option
def why(
    *,
    request: str,
    store: str | None,
    url: str | None,
    headers: tuple[str, ...],
    partition: str | None,
    count: int,
    as_json: bool,
) -> None:
    """Say why a request was missed: the nearest entry, and what differs.

    LAST, which is the default, is the last call that was missed or recorded. REQUEST is a file with a request's
    JSON body, or - for standard input, or the beginning of an entry's key, which is compared with its neighbours.
    """
    with opened(store) as storage:
        if request.upper() == "LAST" and not Path(request).is_file():
            asked = _last(storage)
        elif request != "-" and not Path(request).is_file() and _KEY.fullmatch(request):
            entry = find_entry(storage, request.lower())
            asked = _Asked(entry.question, f"recorded {_ago(entry.recorded)}", is_entry=True)
        else:
            asked = _read(storage, request, url, headers, partition)
        takes = storage.takes(asked.question.key)
        near = neighbours(asked.question, _others(storage, asked.question), count)
        verdict = _verdict(asked, takes)
    if as_json:
        click.echo(json.dumps(_value(asked, bool(takes), verdict, near), ensure_ascii=False, indent=2))
    else:
        _print(asked, bool(takes), verdict, near)


# --- What is asked ------------------------------------------------------------------------------------------


def _last(storage: Storage) -> _Asked:
    from askonce.storage.misses import recall

    miss = recall(storage)
    latest = next(iter(storage.entries()), None)
    if miss is not None and (latest is None or miss.at >= latest.recorded):
        missed = {"at": iso(miss.at), "why": miss.why}
        return _Asked(miss.question, f"missed {_ago(miss.at)}: {miss.why}", seed=miss.seed, missed=missed)
    if latest is None:
        raise click.ClickException(f"Nothing was missed and nothing is recorded in {storage.url}.")
    return _Asked(latest.question, f"missed and recorded {_ago(latest.recorded)}", is_entry=True)


def _read(storage: Storage, source: str, url: str | None, headers: Sequence[str], partition: str | None) -> _Asked:
    raw = _read_source(source)
    fields = [("content-type", "application/json"), *map(_header, headers)]
    if url is not None:
        question = _question(raw, url, fields, partition)
        if not headers:
            question = _with_headers_of(storage, question)
    else:
        question = _as_if_near(storage, raw, fields, partition)
    return _Asked(question, f"read from {'standard input' if source == '-' else source}")


def _read_source(source: str) -> bytes:
    if source == "-":
        raw = sys.stdin.buffer.read()
    else:
        try:
            raw = Path(source).read_bytes()
        except OSError as error:
            raise click.BadParameter(
                f"{source!r} is no file that can be read ({error.strerror}), no beginning of a key, and not LAST.",
                param_hint="REQUEST",
            ) from None
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{source} is no JSON ({error}). Give the body of a request.") from None
    if not isinstance(value, dict):
        raise click.ClickException(f"{source} is JSON, but no object. Give the body of a request.")
    return raw


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isascii():
        raise click.BadParameter(f"{text!r} is no header. Write 'name: value'.", param_hint="--header")
    return name.strip(), value.strip()


def _question(raw: bytes, url: str, fields: Sequence[tuple[str, str]], partition: str | None) -> Question:
    """Return the question that a program's request would be, with the settings of the environment."""
    from askonce._core.messages import Answer
    from askonce._engine.cache import Cache
    from askonce.settings import read_settings

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.BadParameter(f"{url!r} is no URL. Write https://host/path.", param_hint="--url")
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    cache = Cache(read_settings({"store": "memory:", "partition": partition}))
    match = cache.match("POST", parts.scheme, parts.hostname, port, target)
    if match is None:
        raise click.ClickException(
            f"POST {url} is not generation at a provider that askonce knows, so it goes past the cache. "
            "Name your own hosts with domains= or ASKONCE_DOMAINS."
        )
    pairs = Headers((name.encode(), value.encode()) for name, value in fields)
    call = cache.begin(Request("POST", parts.scheme, parts.hostname, port, target, pairs, raw), match)
    if isinstance(call, Answer):
        raise click.ClickException(f"The request is refused: {json.loads(call.body)}")
    return call.question


def _as_if_near(
    storage: Storage, raw: bytes, fields: Sequence[tuple[str, str]], partition: str | None
) -> Question:
    """Return the question that a body would be, were it sent like the entry that is nearest."""
    body = _question(raw, "https://api.openai.com/v1/chat/completions", fields, partition)
    found = _similar(storage, body._replace(head=_changed(body.head, url="")))
    if not found:
        raise click.ClickException(f"Nothing is recorded in {storage.url} that it could be compared with.")
    near = neighbours(body, found, 1)[0]
    then = json.loads(near.head)
    head = _changed(body.head, url=then["url"], headers=then["headers"])
    return _keyed(body._replace(head=head, provider=near.provider, kind=near.kind, model=body.model or near.model))


def _with_headers_of(storage: Storage, question: Question) -> Question:
    same = [one for one in storage.similar(question, _CANDIDATES) if one.url == question.url]
    if not same:
        return question
    head = json.loads(neighbours(question, same, 1)[0].head)
    return _keyed(question._replace(head=_changed(question.head, headers=head["headers"])))


def _changed(head: bytes, **changes: Any) -> bytes:
    from askonce._core.body import canonical_json

    return canonical_json(json.loads(head) | changes).encode()


def _keyed(question: Question) -> Question:
    from askonce._core.key import question_key

    return question._replace(key=question_key(question.head, hashlib.sha256(question.body).digest()))


def _similar(storage: Storage, question: Question) -> list[Question]:
    """Return recorded questions that may be near; one imported from cachy says nothing to compare with."""
    return [one for one in storage.similar(question, _CANDIDATES) if one.provider != CACHY]


def _others(storage: Storage, question: Question) -> list[Question]:
    """Return the entries to compare with: those of this model and URL, or if it is the only one, farther ones."""
    elsewhere = _changed(question.head, url="")
    for probe in (question, question._replace(model=""), question._replace(head=elsewhere)):
        found = [one for one in _similar(storage, probe) if one.key != question.key]
        if found:
            return found
    return []


# --- What is said -------------------------------------------------------------------------------------------


def _verdict(asked: _Asked, takes: Sequence[Any]) -> str:
    if not takes:
        return "" if asked.is_entry else "It is not recorded."
    now = time.time()
    if asked.seed is not None and all(take.seed != asked.seed for take in takes):
        seeds = ", ".join(sorted({take.seed or "none" for take in takes}))
        return f"It is recorded, but not with seed {asked.seed.removeprefix('name=')}; there is {seeds}."
    if not any(take.fresh(now, None) for take in takes):
        return "It is recorded, but its time to live has passed, so it is asked again."
    return "" if asked.is_entry else "It is recorded by now, and would be answered from the store."


def _ago(at: float) -> str:
    return f"{render.age_text(time.time() - at)} ago"


def _value(asked: _Asked, is_recorded: bool, verdict: str, near: Sequence[Question]) -> dict[str, Any]:
    question = asked.question
    return {
        "key": question.key.hex(),
        "url": question.url,
        "provider": question.provider,
        "model": question.model,
        "recorded": is_recorded,
        "missed": asked.missed,
        "verdict": verdict,
        "nearest": [
            {
                "key": one.key.hex(),
                "question": gist(conversation(one)),
                "differences": [difference._asdict() for difference in differences(question, one)],
            }
            for one in near
        ],
    }


def _print(asked: _Asked, is_recorded: bool, verdict: str, near: Sequence[Question]) -> None:
    question = asked.question
    render.print_facts(
        (
            ("request", " ".join(filter(None, (question.url, question.model)))),
            ("question", gist(conversation(question))),
            ("", asked.note),
            ("key", question.key.hex()[:KEY_DIGITS]),
            ("", verdict),
        )
    )
    if not near:
        click.echo(f"\nNothing {'else ' if is_recorded else ''}like it is recorded.")
    for one in near:
        found = differences(question, one)
        click.echo()
        render.print_facts([("nearest", f"{one.key.hex()[:KEY_DIGITS]}  {gist(conversation(one))}")])
        for difference in found[:_LISTED]:
            _print_difference(difference)
        if len(found) > _LISTED:
            click.echo(f"\n  and {len(found) - _LISTED} more; --json lists them all")


def _print_difference(difference: Difference) -> None:
    from rich.text import Text

    console = render.screen()
    console.print(Text.assemble("\n  ", (render.clean(difference.path), "bold")), soft_wrap=True)
    texts = [None if text is None else render.clean(text) for text in (difference.asked, difference.recorded)]
    room = max(20, console.width - 16)
    now, then = texts
    if now is not None and then is not None:
        now, then = around_difference(now, then, room)
        alike = _alike(now, then)
    else:
        alike = []
    for name, text, style, side in (("now", now, "green", 0), ("recorded", then, "red", 1)):
        line = Text(f"    {name:<10}", style="dim")
        if text is None:
            line.append("nothing", "italic not dim")
        else:
            shown = Text(text if len(text) <= room + 2 else f"{text[:room]}…", style=f"bold {style} not dim")
            for block in alike:
                shown.stylize("not bold default", block[side], block[side] + block.size)
            line.append_text(shown)
        console.print(line, soft_wrap=True)


def _alike(one: str, other: str) -> list[difflib.Match]:
    """Return where two texts are alike; a few letters here and there are not worth telling apart."""
    blocks = difflib.SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return [block for block in blocks if block.size > 2]
