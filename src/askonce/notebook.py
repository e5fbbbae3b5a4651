"""Notebooks: `%load_ext askonce` enables the cache, adds `%askonce`, and shows statistics and entries as HTML.

All that is recorded is somebody else's text: every piece of it is escaped, and nothing is loaded from anywhere.
The colours are the page's own, lighter or darker, so that they can be read on white and on black.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any

from askonce import prices, session
from askonce._core.controls import Mode
from askonce._core.entry import Entry
from askonce._core.messages import Usage
from askonce._core.transcript import Turn, answered, asked, gist, parameters, size_text
from askonce._core.wording import count_text, time_text
from askonce._engine.cache import Cache
from askonce._engine.meter import Stats

_LONGEST = 20_000  # characters of a text that are shown; a browser should not choke on a book
_LINE = "rgba(127,127,127,.35)"
_BOX = f"border:1px solid {_LINE};border-radius:6px;padding:.6em .9em;max-width:60em;line-height:1.45"
_PLAIN = "border:0;color:inherit;font:inherit"  # a table inherits neither where a page has no doctype
_CELL = f"padding:.1em 1.2em .1em 0;text-align:left;vertical-align:top;background:none;{_PLAIN}"
_FAINT = "opacity:.65"
_TEXT = "white-space:pre-wrap;overflow-wrap:anywhere;margin:.1em 0 0 0"
_EDGES = {"user": "#2f81c7", "assistant": "#3fa45b", "tool": "#a259c4", "system": "#b98a1d"}

_enabled_here = False


# --- The extension ------------------------------------------------------------------------------------------


def load(shell: Any) -> None:
    """Enable the cache unless it is, and teach the shell to show our values."""
    global _enabled_here
    if session.current() is None:
        session.enable()
        _enabled_here = True
    shell.register_magic_function(_magic, "line", "askonce")
    for kind, show, plain in ((Stats, stats_html, str), (Entry, entry_html, entry_text)):
        shell.display_formatter.formatters["text/html"].for_type(kind, show)
        shell.display_formatter.formatters["text/plain"].for_type(
            kind, lambda value, printer, _cycle, plain=plain: printer.text(plain(value))
        )
    sys.stdout.write(f"{_state()}\n")


def unload(shell: Any) -> None:
    """Take back what `load` did; a cache that the program enabled itself stays."""
    global _enabled_here
    if _enabled_here:
        session.disable()
        _enabled_here = False
    shell.magics_manager.magics["line"].pop("askonce", None)
    for kind in (Stats, Entry):
        for name in ("text/html", "text/plain"):
            shell.display_formatter.formatters[name].pop(kind, None)


def _magic(line: str) -> Stats | None:
    """`%askonce` shows what the cache has done; `%askonce MODE` changes its mode for the cells that follow."""
    wanted = line.strip().lower()
    if not wanted:
        return session.stats()
    if wanted not in list(Mode):
        sys.stderr.write(f"%askonce {line.strip()}: there is no such mode. There are {', '.join(Mode)}.\n")
        return None
    _change_mode(Mode(wanted))
    sys.stdout.write(f"{_state()}\n")
    return None


def _change_mode(mode: Mode) -> None:
    before = session.current()
    if before is None:
        session.enable(mode=mode)
        return
    # The storage has the bundles beneath it already.
    settings = before.settings._asdict() | {"mode": mode, "store": before.guard.storage, "bundles": ()}
    after = session.open_cache(settings)
    after.meter = before.meter  # to a notebook it is one cache
    session.put_in_force(after)


def _state() -> str:
    cache: Cache | None = session.current()
    return (
        "askonce is off"
        if cache is None
        else f"askonce: mode {cache.settings.mode}, store {cache.guard.storage.url}"
    )


# --- Statistics ---------------------------------------------------------------------------------------------


def stats_html(stats: Stats) -> str:
    """Return statistics as HTML."""
    calls = stats.hits + stats.shared + stats.misses + stats.refused + stats.bypassed
    title = f"{stats.hits + stats.shared:,} of {count_text(calls, 'call')} answered without asking"
    facts = [
        ("from the store", f"{stats.hits:,}"),
        ("shared in flight", f"{stats.shared:,}" if stats.shared else ""),
        ("asked", f"{stats.misses:,}, {stats.recorded:,} of them recorded"),
        ("refused offline", f"{stats.refused:,}" if stats.refused else ""),
        ("past the cache", f"{stats.bypassed:,}" if stats.bypassed else ""),
    ]
    if stats.hits or stats.shared:
        saved = f"{time_text(stats.seconds_saved)} of waiting, {count_text(stats.tokens_saved, 'token')}"
        money = stats.money_saved
        facts += [
            ("saved", saved),
            ("money saved", f"not known: {prices.EXTRA}" if money is None else str(money)),
        ]
    return _box(title, facts, "")


# --- Entries ------------------------------------------------------------------------------------------------


def entry_text(entry: Entry) -> str:
    """Return an entry as a line."""
    question = entry.question
    what = " ".join(filter(None, (question.provider, question.kind, question.model)))
    return f"<Entry {question.key.hex()[:12]} {what}: {gist(asked(question))}>"


def entry_html(entry: Entry) -> str:
    """Return an entry as HTML: what is known of it, then the conversation with the latest answer."""
    question = entry.question
    title = " · ".join(filter(None, (question.provider, question.kind, question.model)))
    facts = [
        ("key", question.key.hex()[:12]),
        ("with", ", ".join(f"{name} {_clip(value, 100)}" for name, value in parameters(question))),
        ("partition", question.partition),
    ]
    turns = list(asked(question))
    if entry.takes:
        take = entry.takes[-1]
        answer = take.answer
        when = datetime.fromtimestamp(take.recorded, UTC).strftime("%Y-%m-%d %H:%M UTC")
        if len(entry.takes) > 1:
            when += f", the latest of {len(entry.takes)} takes"
        facts += [
            ("recorded", when),
            ("took", f"{time_text(answer.seconds)} for {size_text(answer.size)}"),
            ("tokens", _tokens(answer.usage)),
            ("cost", _cost(entry)),
        ]
        turns += answered(answer)
    facts.append(("answered", f"{count_text(entry.hits, 'call')} from the store"))
    return _box(title, facts, "".join(map(_turn, turns)))


def _tokens(usage: Usage) -> str:
    return f"{usage.input_tokens:,} in, {usage.output_tokens:,} out" if usage.tokens else ""


def _cost(entry: Entry) -> str:
    take, question = entry.takes[-1], entry.question
    dollars = prices.price(question.provider, question.model, take.answer.usage, take.recorded)
    return "" if dollars is None else prices.about_text(dollars)


def _turn(turn: Turn) -> str:
    role = turn.role or "answer"
    edge = _EDGES.get(role, "rgba(127,127,127,.6)")
    title = f"{role}, choice {turn.choice}" if turn.choice else role
    lines = [f'<div style="{_FAINT};font-size:.85em">{escape(title)}</div>']
    if turn.thinking:
        thinking = f'<div dir="auto" style="{_TEXT};font-style:italic">{escape(_clip(turn.thinking))}</div>'
        lines.append(f'<details style="{_FAINT}"><summary>thinking</summary>{thinking}</details>')
    if turn.text:
        lines.append(f'<div dir="auto" style="{_TEXT}">{escape(_clip(turn.text))}</div>')
    for call in turn.calls:
        lines.append(f'<div style="{_TEXT};font-family:monospace">→ {escape(_clip(call))}</div>')
    for note in turn.notes:
        lines.append(f'<div style="{_FAINT}">[{escape(_clip(note))}]</div>')
    return f'<div style="border-left:3px solid {edge};padding-left:.7em;margin-top:.7em">{"".join(lines)}</div>'


# --- Both ---------------------------------------------------------------------------------------------------


def _box(title: str, facts: Iterable[tuple[str, str]], rest: str) -> str:
    rows = "".join(
        f'<tr style="background:none"><th style="{_CELL};{_FAINT};white-space:nowrap">'
        f'{escape(name)}</th><td style="{_CELL};overflow-wrap:anywhere">{escape(value)}</td></tr>'
        for name, value in facts
        if value
    )
    table = f'<table style="border-collapse:collapse;margin:.3em 0 0 0;{_PLAIN}">{rows}</table>'
    return f'<div style="{_BOX}"><div style="font-weight:600">{escape(title)}</div>{table}{rest}</div>'


def _clip(text: str, most: int = _LONGEST) -> str:
    if len(text) <= most:
        return text
    left = len(text) - most
    return f"{text[:most]}…" if most < _LONGEST else f"{text[:most]}…\n({left:,} more characters)"
