"""The JSON API under /askonce/api/: calls, entries, purging, savings; described by its own OpenAPI document."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import islice
from typing import Any

from askonce._core.entry import Entry
from askonce._core.transcript import answered, asked, gist, parameters
from askonce.gateway import reports
from askonce.gateway.journal import Journal
from askonce.gateway.ledger import OUTCOMES, CallFilter
from askonce.gateway.purging import Purge, purge
from askonce.gateway.visits import Reply, Visit, reply_json
from askonce.storage import Filter, Storage

_MOST = 1000
_KEY = re.compile(r"[0-9a-f]{64}")
DAY = 86400.0


class ApiError(ValueError):
    """A parameter that is not what it may be."""


def read_number(query: dict[str, str], name: str) -> float | None:
    """Return a parameter that is a number, or None where it is not given."""
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e15:
        raise ApiError(f"{name}: {text!r} is not a number from 0 on.")
    return value


def read_whole(query: dict[str, str], name: str) -> int | None:
    """Return a parameter that is a whole number, or None where it is not given."""
    value = read_number(query, name)
    return None if value is None else int(value)


def read_filter(query: dict[str, str]) -> CallFilter:
    """Return the filter that a query describes."""
    outcome = query.get("outcome") or None
    if outcome is not None and outcome not in OUTCOMES:
        raise ApiError(f"outcome: {outcome!r} is none of {', '.join(OUTCOMES)}.")
    names = ("customer", "provider", "model", "text")
    return CallFilter(
        outcome=outcome,
        status=read_whole(query, "status"),
        since=read_number(query, "since"),
        until=read_number(query, "until"),
        **{name: query.get(name) or None for name in names},
    )


class Api:
    """Answer the API's requests. To be called in a thread: it reads files."""

    def __init__(self, journal: Journal, storage: Storage) -> None:
        self._journal = journal
        self._storage = storage

    def answer(self, visit: Visit, path: str) -> Reply:
        """Answer one request; `path` is what follows /askonce/api/."""
        name, _, rest = path.partition("/")
        made = _ROUTES.get((visit.method, name, bool(rest)))
        if made is None:
            return reply_json(
                {"error": f"There is no {visit.method} {visit.path}. See /askonce/api/openapi.json."}, 404
            )
        try:
            reply = made(self, visit.query, rest)
        except ApiError as error:
            return reply_json({"error": str(error)}, 400)
        if name in _OF_THE_JOURNAL and self._journal.is_blind:
            return reply_json({"error": f"The journal cannot be read: {self._journal.trouble}"}, 503)
        return reply

    def calls(self, query: dict[str, str], rest: str) -> Reply:
        limit = min(read_whole(query, "limit") or 50, _MOST)
        before, after = read_whole(query, "before"), read_whole(query, "after")
        lines = self._journal.lines(read_filter(query), before=before, after=after, limit=limit)
        following = lines[-1].id if len(lines) == limit else None
        return reply_json({"calls": [line._asdict() for line in lines], "next_before": following})

    def call(self, query: dict[str, str], rest: str) -> Reply:
        line = self._journal.line(int(rest)) if rest.isdecimal() and len(rest) < 18 else None
        return reply_json(line._asdict()) if line else reply_json({"error": f"There is no call {rest}."}, 404)

    def entries(self, query: dict[str, str], rest: str) -> Reply:
        where = Filter(
            provider=query.get("provider") or None, model=query.get("model") or None,
            partition=query.get("partition"), text=query.get("text") or None,
            since=read_number(query, "since"), until=read_number(query, "until"), tag=query.get("tag") or None,
        )  # fmt: skip
        limit = min(read_whole(query, "limit") or 50, _MOST)
        return reply_json({"entries": [about(entry) for entry in islice(self._storage.entries(where), limit)]})

    def entry(self, query: dict[str, str], rest: str) -> Reply:
        found = find_entry(self._storage, rest)
        if found is None:
            return reply_json({"error": f"There is no entry {rest}."}, 404)
        value = about(found) | {"parameters": dict(parameters(found.question))}
        value["question"] = [turn._asdict() for turn in asked(found.question)]
        value["takes"] = [
            {
                "recorded": take.recorded,
                "ttl": take.ttl,
                "status": take.answer.head.status,
                "seconds": take.answer.seconds,
                "chunks": len(take.answer.chunks),
                "answer": [turn._asdict() for turn in answered(take.answer)],
            }
            for take in found.takes
        ]
        return reply_json(value)

    def remove(self, query: dict[str, str], rest: str) -> Reply:
        wanted = read_purge({**query, "key": rest} if rest else query)
        return reply_json({"removed": purge(self._storage, wanted)})

    def summary(self, query: dict[str, str], rest: str) -> Reply:
        since = read_number(query, "since") or 0.0
        return reply_json(reports.summarize(self._journal.hours(since))._asdict())

    def series(self, query: dict[str, str], rest: str) -> Reply:
        now = time.time()
        since, until = read_number(query, "since"), read_number(query, "until")
        points = min(max(read_whole(query, "points") or 24, 1), 1000)
        found = reports.series(self._journal, now - DAY if since is None else since, until or now, points)
        return reply_json({"points": [point._asdict() for point in found]})

    def description(self, query: dict[str, str], rest: str) -> Reply:
        return reply_json(describe())


def read_purge(fields: dict[str, str]) -> Purge:
    """Return what is to be removed."""
    key = fields.get("key", "").lower() or None
    if key is not None and not _KEY.fullmatch(key):
        raise ApiError(f"key: {key!r} is not a key of 64 hexadecimal digits.")
    customer, model, provider, tag = (
        fields.get(name) or None for name in ("customer", "model", "provider", "tag")
    )
    wanted = Purge(key, customer, model, provider, tag, everything=fields.get("all") == "true")
    if not wanted.is_bounded:
        raise ApiError("Say what is to be removed: key, customer, model, provider or tag; or all=true.")
    return wanted


def find_entry(storage: Storage, key: str) -> Entry | None:
    """Return the entry of a key."""
    return next(iter(storage.entries(Filter(key=key))), None) if _KEY.fullmatch(key) else None


def about(entry: Entry) -> dict[str, Any]:
    """Return what a list says of an entry."""
    question = entry.question
    return {
        "key": question.key.hex(),
        "provider": question.provider,
        "kind": question.kind,
        "model": question.model,
        "partition": question.partition,
        "tags": question.tags,
        "url": question.url,
        "recorded": entry.recorded,
        "takes": len(entry.takes),
        "hits": entry.hits,
        "question_gist": gist(asked(question)),
    }


_ROUTES: dict[tuple[str, str, bool], Callable[[Api, dict[str, str], str], Reply]] = {
    ("GET", "calls", False): Api.calls,
    ("GET", "calls", True): Api.call,
    ("GET", "entries", False): Api.entries,
    ("GET", "entries", True): Api.entry,
    ("DELETE", "entries", False): Api.remove,
    ("DELETE", "entries", True): Api.remove,
    ("GET", "summary", False): Api.summary,
    ("GET", "series", False): Api.series,
    ("GET", "openapi.json", False): Api.description,
}

_OF_THE_JOURNAL = ("calls", "summary", "series")
_FILTERS = ("outcome", "customer", "provider", "model", "status", "since", "until", "text")
_PARAMETERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "get /askonce/api/calls": ("List calls, the latest first.", (*_FILTERS, "before", "after", "limit")),
    "get /askonce/api/calls/{id}": ("Read a call.", ()),
    "get /askonce/api/entries": (
        "List what is recorded, the latest first.",
        ("provider", "model", "partition", "tag", "text", "since", "until", "limit"),
    ),
    "get /askonce/api/entries/{key}": ("Read a recorded question and its answers.", ()),
    "delete /askonce/api/entries": (
        "Remove entries that agree with all that is given.",
        ("key", "customer", "model", "provider", "tag", "all"),
    ),
    "delete /askonce/api/entries/{key}": ("Remove an entry.", ()),
    "get /askonce/api/summary": ("Sum up calls and savings.", ("since",)),
    "get /askonce/api/series": ("Calls, savings and latencies over time.", ("since", "until", "points")),
}  # fmt: skip
_NUMBERS = frozenset({"since", "until", "limit", "before", "after", "status", "points"})


def describe() -> dict[str, Any]:
    """Return the API's OpenAPI 3.1 description."""
    paths: dict[str, Any] = {}
    for name, (summary, query) in _PARAMETERS.items():
        method, path = name.split(" ")
        parameters: list[dict[str, Any]] = [_parameter(one, "query") for one in query]
        parameters += [_parameter(one, "path") for one in re.findall(r"{(\w+)}", path)]
        responses = {
            "200": {"description": "Done.", "content": {"application/json": {"schema": {"type": "object"}}}}
        }
        for status, text in (
            ("400", "A parameter is malformed."),
            ("401", "No admin key."),
            ("404", "Not there."),
            ("503", "Store or journal cannot be used."),
        ):
            responses[status] = {
                "description": text,
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        paths.setdefault(path, {})[method] = {"summary": summary, "parameters": parameters, "responses": responses}
    return {
        "openapi": "3.1.0",
        "info": {"title": "askonce gateway", "version": version("askonce")},
        "paths": paths,
        "security": [{"key": []}],
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _parameter(name: str, place: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "number", "minimum": 0} if name in _NUMBERS else {"type": "string"}
    if name == "outcome":
        schema["enum"] = list(OUTCOMES)
    if name == "key":
        schema["pattern"] = "^[0-9a-f]{64}$"
    return {"name": name, "in": place, "required": place == "path", "schema": schema}
