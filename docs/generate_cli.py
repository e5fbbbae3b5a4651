"""The reference page of the command line, made from the commands themselves; `docs/generate.py` writes it."""

from __future__ import annotations

import click

from askonce.cli import main

_WIDTH = 90
_OPENING = """\
# The command line

`askonce` looks into what is recorded and looks after it; `python -m askonce` is the same. Times are written
`2026-11-20`, `2026-11-20T14:30`, or `90m`, `12h`, `3d` for ago. Keys may be shortened to their first digits.
`--json` is for programs: its field names stay. Output has colours on a terminal only, and none with `NO_COLOR`.
"""


def cli_page() -> str:
    """Return the page on the command line."""
    parent = click.Context(main, info_name="askonce", **main.context_settings)
    sections = [_OPENING, _help(main, parent)]
    for name, command in main.commands.items():
        sections.append(f"## `askonce {name}`\n")
        context = click.Context(command, info_name=name, parent=parent)
        sections.append(_help(command, context))
        for inner, one in command.commands.items() if isinstance(command, click.Group) else ():
            sections.append(f"### `askonce {name} {inner}`\n")
            sections.append(_help(one, click.Context(one, info_name=inner, parent=context)))
    return "\n".join(sections)


def _help(command: click.Command, context: click.Context) -> str:
    context.terminal_width = _WIDTH
    return f"```text\n{command.get_help(context)}\n```\n"
