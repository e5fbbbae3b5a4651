"""The command `askonce`. Importing it imports click alone; each command imports what it needs when it runs."""

from __future__ import annotations

import io
import sys
import warnings
from typing import Any, TextIO

import click

from askonce import __version__
from askonce.cli import (
    calling,
    copying,
    demo,
    doctor,
    exchanging,
    handing,
    keeping,
    listing,
    serving,
    tidying,
    using,
    why,
)
from askonce.errors import AskonceError, AskonceWarning

__all__ = ["main"]


class _Group(click.Group):
    """Lists its commands in the order in which they are met, and reports our errors in a line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal without an ellipsis is no reason to fail
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except AskonceError as error:
                raise click.ClickException(str(error)) from error


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print what a person is to know, without the place in our code that says it."""
    if issubclass(category, AskonceWarning):
        click.echo(f"Warning: {str(message).removeprefix('askonce: ')}", err=True)
    else:
        click.echo(warnings.formatwarning(message, category, filename, lineno, line), err=True, nl=False)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Look into what askonce has recorded, and look after it.

    askonce answers every LLM API call once: the first time the provider answers and the answer is kept, ever
    after it comes from the store. `askonce demo` shows it at work.
    """


for _command in (
    demo.demo,
    listing.ls,
    listing.show,
    why.why,
    keeping.stats,
    using.used,
    handing.pack,
    handing.fetch,
    keeping.rm,
    keeping.prune,
    tidying.tidy,
    exchanging.import_,
    exchanging.export,
    copying.copy,
    doctor.doctor,
    serving.serve,
    calling.calls,
    serving.keys,
):
    main.add_command(_command)
