"""How things look: tables that fit, conversations. Colours only where a terminal takes them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from askonce._core import wording
from askonce._core.transcript import Turn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

age_text, count_text, time_text = wording.age_text, wording.count_text, wording.time_text

_GAP = 2
_ROLE_STYLES = {"user": "cyan", "assistant": "green", "tool": "magenta", "system": "yellow"}
# What drives a terminal must not come out of a recorded answer: control characters become their pictures.
_PICTURES = {
    **{code: 0x2400 + code for code in range(32) if code not in (9, 10)},
    13: None,
    127: 0x2421,
    **dict.fromkeys(range(128, 160), 0xFFFD),
    **dict.fromkeys((0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069), None),
}


def clean(text: str) -> str:
    """Return text that a terminal shows and does not obey."""
    return text.translate(_PICTURES)


def screen() -> Console:
    """Return where output goes: as wide as the terminal, or as COLUMNS says, or 80."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, legacy_windows=False)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    One with a `rank` is shown where there is room, the highest first; a `flexible` one takes what is left.
    """

    title: str
    right: bool = False
    rank: int = 0
    flexible: bool = False
    style: str = ""


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], least: int = 26) -> None:
    """Print rows under titles, with as many columns as fit beside `least` cells of the flexible one."""
    console = screen()
    cleaned = [[" ".join(clean(cell).split()) for cell in row] for row in rows]
    widths = [_width([column.title, *(row[i] for row in cleaned)]) for i, column in enumerate(columns)]
    flexible = next((i for i, column in enumerate(columns) if column.flexible), None)

    shown = [i for i, column in enumerate(columns) if not column.rank]
    room = console.width - sum(widths[i] for i in shown if i != flexible) - _GAP * (len(shown) - 1)
    wanted = 0 if flexible is None else min(least, widths[flexible])
    ranked = [i for i, column in enumerate(columns) if column.rank]
    for i in sorted(ranked, key=lambda i: -columns[i].rank):
        if room - widths[i] - _GAP >= wanted:
            room -= widths[i] + _GAP
            shown.append(i)
    shown.sort()
    if flexible is not None:
        widths[flexible] = max(8, min(widths[flexible], room))
    _print_row(console, [(columns[i].title, widths[i], columns[i].right, "dim") for i in shown])
    for row in cleaned:
        _print_row(console, [(row[i], widths[i], columns[i].right, columns[i].style) for i in shown])


def _width(cells: Iterable[str]) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, cells), default=0)


def _print_row(console: Console, cells: Sequence[tuple[str, int, bool, str]]) -> None:
    from rich.cells import cell_len
    from rich.text import Text

    line = Text()
    for text, width, right, style in cells:
        shown = clip(text, width)
        padding = " " * (width - cell_len(shown))
        line.append(padding if right else "")
        line.append(shown, style)
        line.append(("" if right else padding) + " " * _GAP)
    line.rstrip()
    console.print(line, soft_wrap=True)


def clip(text: str, width: int) -> str:
    """Cut text to a width, between words where that loses little."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    cut = set_cell_size(text, width - 1).rstrip()
    at_word = cut[: cut.rfind(" ")] if " " in cut else ""
    return f"{at_word if len(at_word) > len(cut) * 0.7 else cut}…"


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values, the values under each other and wrapped where they begin."""
    from rich.text import Text

    console = screen()
    shown = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in shown), default=0) + _GAP
    for name, value in shown:
        lines = Text(clean(value), overflow="fold").wrap(console, max(20, console.width - width))
        for i, line in enumerate(lines):
            head = Text((name if i == 0 else "").ljust(width), style="dim")
            head.append_text(Text(line.plain.rstrip(), style="default not dim"))
            console.print(head, soft_wrap=True)


def print_turns(turns: Iterable[Turn]) -> None:
    """Print a conversation: each role on its line, what it said under it."""
    from rich.text import Text

    console = screen()
    for turn in turns:
        role = turn.role or "answer"
        title = f"{role}, choice {turn.choice}" if turn.choice else role
        console.print()
        console.print(Text(title, style=f"bold {_ROLE_STYLES.get(role, 'blue')}"))
        if turn.thinking:
            _print_indented(console, Text(clean(turn.thinking), style="dim italic"))
            if turn.text:
                console.print()
        if turn.text:
            _print_indented(console, Text(clean(turn.text)))
        for call in turn.calls:
            _print_indented(console, Text(f"→ {clean(call)}", style="magenta"))
        for note in turn.notes:
            _print_indented(console, Text(f"[{clean(note)}]", style="dim"))


def _print_indented(console: Console, text: Text) -> None:
    text.overflow = "fold"
    text.expand_tabs(4)
    for line in text.wrap(console, max(20, console.width - 2)):
        line.rstrip()
        line.pad_left(2 if line.plain else 0)
        console.print(line, soft_wrap=True)
