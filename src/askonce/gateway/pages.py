"""The Logs page, and what opens from it: rendered here, readable without JavaScript, all of it escaped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from askonce._core.coding import plain_body
from askonce._core.entry import Entry
from askonce._core.transcript import answered, asked, parameters, size_text
from askonce.gateway import charts, reports
from askonce.gateway.api import DAY, ApiError, find_entry, read_filter, read_purge, read_whole
from askonce.gateway.journal import Journal
from askonce.gateway.ledger import OUTCOMES
from askonce.gateway.lines import Line
from askonce.gateway.purging import purge
from askonce.gateway.visits import Reply, Visit, redirect, seal
from askonce.prices import dollars_text
from askonce.storage import Storage

_ROWS = 50
_MOST_SHOWN = 200_000  # characters of a raw body
_SPANS = {"24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}


class Pages:
    """Show the journal and the store."""

    def __init__(self, journal: Journal, storage: Storage) -> None:
        self._journal = journal
        self._storage = storage

    @cached_property
    def _templates(self) -> Any:
        import jinja2

        made = jinja2.Environment(
            loader=jinja2.PackageLoader("askonce.gateway"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.filters |= {
            "dollars": lambda value: "" if value is None else dollars_text(value),
            "seconds": seconds_text,
            "size": size_text,
            "count": lambda value: f"{value:,}",
            "when": lambda at: time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)),
            "clock": lambda at: time.strftime("%H:%M:%S", time.localtime(at)),
            "ago": ago_text,
        }
        return made

    def _render(self, visit: Visit, name: str, status: int = 200, **values: Any) -> Reply:
        text = self._templates.get_template(name).render(
            root=visit.root, seal=seal(visit), has_key=bool(visit.cookie), now=time.time(), **values
        )
        return Reply(status, text.encode())

    def show(self, visit: Visit, name: str, troubles: Callable[[], Sequence[str]]) -> Reply:
        """Show the page of that name."""
        match name.split("/"):
            case [""]:
                return self._logs(visit, troubles)
            case ["rows"]:
                return self._rows(visit)
            case ["calls", number] if number.isdecimal() and len(number) < 18:
                line = self._journal.line(int(number))
                if line is not None:
                    entry = find_entry(self._storage, line.key)
                    return self._render(visit, "call.html", **self._opened(line, entry))
            case ["entries", key]:
                entry = find_entry(self._storage, key)
                if entry is not None:
                    return self._render(visit, "call.html", **self._opened(None, entry))
        return self.trouble(visit, 404, "There is no such page, or what it showed is gone.")

    def trouble(self, visit: Visit, status: int, message: str) -> Reply:
        """Say what is wrong."""
        return self._render(visit, "trouble.html", status, message=message)

    def login(self, visit: Visit, message: str) -> Reply:
        """Ask for an admin key."""
        return self._render(visit, "login.html", 401, message=message)

    def change(self, visit: Visit, name: str, form: dict[str, str]) -> Reply:
        """Do what a form asks for, and show the page again."""
        if name != "purge":
            return self.trouble(visit, 404, "There is no such form.")
        removed = purge(self._storage, read_purge(form))
        return redirect(visit, f"/askonce/?purged={removed}")

    # --- The list -----------------------------------------------------------------------------------------

    def _logs(self, visit: Visit, troubles: Callable[[], Sequence[str]]) -> Reply:
        query = visit.query
        where = read_filter(query)
        before = read_whole(query, "before")
        span = query.get("span", "24h")
        if span not in _SPANS:
            raise ApiError(f"span: {span!r} is none of {', '.join(_SPANS)}.")
        now = time.time()
        since = now - _SPANS[span]
        lines = self._journal.lines(where, before=before, limit=_ROWS)
        points = reports.series(self._journal, since, now, 26)
        kept = {name: value for name, value in query.items() if name not in ("before", "purged") and value}
        return self._render(
            visit,
            "logs.html",
            lines=lines,
            where=where,
            query=kept,
            outcomes=OUTCOMES,
            providers=self._journal.names("provider"),
            customers=self._journal.names("customer"),
            models=self._journal.names("model"),
            summary=reports.summarize(row for row in self._journal.hours(since) if row.hour >= since - 3600),
            span=span,
            spans=[(name, urlencode({**kept, "span": name})) for name in _SPANS],
            older=urlencode({**kept, "before": lines[-1].id}) if len(lines) == _ROWS else "",
            newest="" if before is None else urlencode(kept),
            latest=lines[0].id if lines and before is None else 0,
            is_live=before is None,
            purged=query.get("purged", "") if query.get("purged", "").isdecimal() else "",
            is_filtered=any(value not in (None, "") for value in where),
            charts=charts.draw(points, span),
            address=f"{visit.scheme}://{visit.headers.get(b'host') or 'localhost'}{visit.root}/v1",
            is_blind=self._journal.is_blind,
            troubles=troubles(),
        )

    def _rows(self, visit: Visit) -> Reply:
        """Return the rows that have come since one, for a page that is open."""
        after = read_whole(visit.query, "after") or 0
        lines = self._journal.lines(read_filter(visit.query), after=after, limit=_ROWS)
        return self._render(visit, "rows.html", lines=lines)

    # --- One of them --------------------------------------------------------------------------------------

    def _opened(self, line: Line | None, entry: Entry | None) -> dict[str, Any]:
        values: dict[str, Any] = {"line": line, "entry": entry, "take": None}
        if entry is not None:
            take = entry.takes[-1]
            body = plain_body(take.answer).decode("utf-8", "replace")
            values |= {
                "take": take,
                "answer": take.answer,
                "turns": [*asked(entry.question), *answered(take.answer)],
                "parameters": parameters(entry.question),
                "asked_raw": _pretty(entry.question.body.decode("utf-8", "replace")),
                "answered_raw": _pretty(body),
                "headers": [(n.decode("latin-1"), v.decode("latin-1")) for n, v in take.answer.head.headers],
                "curl": as_curl(entry),
                "key": entry.question.key.hex(),
                "expires": take.fresh_until(None),
            }
        return values


def _pretty(text: str) -> str:
    try:
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        pass
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}\n… {len(text) - _MOST_SHOWN:,} more"


def as_curl(entry: Entry) -> str:
    """Return a shell command that asks the same of the provider; the key is for the reader to fill in."""
    question = entry.question
    body = question.body.decode("utf-8", "replace").replace("'", "'\\''")
    url = question.url.replace("'", "%27")
    credential = {"anthropic": "x-api-key: $API_KEY", "gemini": "x-goog-api-key: $API_KEY"}.get(
        question.provider, "authorization: Bearer $API_KEY"
    )
    lines = [f"curl '{url}'", f'-H "{credential}"', "-H 'content-type: application/json'"]
    if question.provider == "anthropic":
        lines.append("-H 'anthropic-version: 2023-06-01'")
    return " \\\n  ".join([*lines, f"--data-raw '{body}'"])


def seconds_text(seconds: float | None) -> str:
    """Write a length of time in one unit."""
    if seconds is None:
        return ""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    if seconds >= 0.9995:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.00995 else f"{seconds * 1000:.1f} ms"


def ago_text(seconds: float) -> str:
    """Write how long ago something was."""
    return f"{seconds_text(max(seconds, 0.0))} ago"
