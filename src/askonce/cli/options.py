"""The options that commands have in common, and the store that they open."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from askonce._core.controls import parse_duration
from askonce.storage import Filter, Storage, open_patiently

_Command = TypeVar("_Command", bound=Callable[..., Any])
_HEX = re.compile(r"[0-9a-f]{1,64}")


def moment(text: str) -> float:
    """Return the Unix seconds that a date, a date and time, or a length of time (ago) stands for."""
    ago = parse_duration(text)
    if ago is not None:
        return time.time() - ago
    try:
        return datetime.fromisoformat(text).timestamp()  # without an offset: local time
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"{text!r} is no time. Write 2026-11-20, 2026-11-20T14:30, or 90m, 12h, 3d for ago."
        ) from None


def duration(text: str) -> float:
    """Return the seconds that a length of time stands for."""
    seconds = parse_duration(text)
    if seconds is None:
        raise click.BadParameter(f"{text!r} is no duration. Write seconds (3600), or 90m, 12h, 30d, 2w.")
    return seconds


def key_prefix(text: str) -> str:
    """Return the beginning of a key, in lower case."""
    if not _HEX.fullmatch(text.lower()):
        raise click.BadParameter(f"{text!r} is no key. `askonce ls` lists them; the first digits are enough.")
    return text.lower()


def store_option(command: _Command) -> _Command:
    """Add `--store`."""
    return click.option(
        "--store",
        metavar="PATH",
        envvar="ASKONCE_STORE",
        show_envvar=True,
        help="The store: a file or a URL. By default .askonce/cache.db in the nearest project folder.",
    )(command)


def config_option(command: _Command) -> _Command:
    """Add `--config`."""
    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    return click.option("--config", type=kind, help="The gateway's settings, in TOML.")(command)


def json_option(command: _Command) -> _Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")(command)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filters; the command gets them as one `where`."""

    @functools.wraps(command)
    def with_filter(
        *args: Any,
        provider: str | None,
        model: str | None,
        partition: str | None,
        since: float | None,
        until: float | None,
        text: str | None,
        tag: str | None,
        **others: Any,
    ) -> Any:
        where = Filter(provider, model, partition, text or None, since, until, tag=tag)
        return command(*args, where=where, **others)

    for option in reversed(
        (
            click.option("--provider", metavar="NAME", help="Only this provider: openai, anthropic, …"),
            click.option("--model", metavar="TEXT", help="Only models with this in their name."),
            click.option("--partition", metavar="NAME", help="Only this customer's or tenant's entries."),
            click.option(
                "--since", type=moment, metavar="TIME", help="Only recorded since: 2026-11-20, or 3d for ago."
            ),
            click.option(
                "--until", type=moment, metavar="TIME", help="Only recorded before; written like --since."
            ),
            click.option("--tag", metavar="NAME", help="Only with this tag."),
            click.option("--text", metavar="TEXT", help="Only with this in the question or an answer."),
        )
    ):
        with_filter = option(with_filter)
    return with_filter


@contextmanager
def opened(store: str | None) -> Iterator[Storage]:
    """Open the store that `--store` names, or the project's; say so where nothing is recorded yet."""
    from askonce.settings import default_store

    storage = open_patiently(store or default_store())
    path = getattr(storage, "path", None)
    if storage.url.startswith("memory:"):
        raise click.ClickException(f"{storage.url} lives in the process that records. Name a file with --store.")
    if isinstance(path, Path) and not path.exists():
        raise click.ClickException(
            f"Nothing is recorded yet at {path}. To record, put `import askonce; askonce.enable()` at the top "
            "of a program; to look elsewhere, use --store."
        )
    try:
        yield storage
    finally:
        storage.close()
