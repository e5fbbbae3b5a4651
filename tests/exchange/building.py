"""Files as other programs write them, and a way to import them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from askonce._core.entry import Entry, Question, Take
from askonce.exchange import Intake, OnConflict, open_source, take_in
from askonce.settings import read_settings
from askonce.storage import Storage, open_storage

URL = "https://api.openai.com/v1/chat/completions"
JSON = "application/json"


def import_file(
    path: Path, store: Path, domains: str | None = None, *, on_conflict: str = "keep", dry_run: bool = False
) -> Intake:
    """Import a file into a store."""
    storage = open_storage(store)
    try:
        source = open_source(path, read_settings({"domains": domains}, environ={}))
        return take_in(source, storage, on_conflict=OnConflict(on_conflict), dry_run=dry_run)
    finally:
        storage.close()


def entries_of(store: Path) -> list[Entry]:
    """Return what is in a store, the oldest first."""
    storage = open_storage(store)
    try:
        return list(storage.entries())[::-1]
    finally:
        storage.close()


def recorded_in(storage: Storage) -> set[tuple[Question, tuple[Take, ...]]]:
    """Return the questions in a storage with their takes."""
    return {(entry.question, entry.takes) for entry in storage.entries()}


def chat(content: str = "hi", **more: Any) -> dict[str, Any]:
    """Return the body of a chat request."""
    return {"model": "gpt-5", "messages": [{"role": "user", "content": content}], **more}


def completion(text: str = "hello") -> dict[str, Any]:
    """Return the body of a chat answer."""
    return {
        "object": "chat.completion",
        "model": "gpt-5-2025-08-07",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 3},
    }


def interaction(body: Any = None, answer: Any = None, **changes: Any) -> dict[str, Any]:
    """Return an interaction of a cassette; `changes` go to the response, or to its `uri` and `method`."""
    request = {
        "method": changes.pop("method", "POST"),
        "uri": changes.pop("uri", URL),
        "body": json.dumps(chat()) if body is None else body,
        "headers": {"content-type": [JSON], "authorization": ["Bearer sk-test-SECRET-cassette"]},
    }
    response = {
        "status": {"code": 200, "message": "OK"},
        "headers": {"Content-Type": [JSON], "Set-Cookie": ["__cf_bm=SECRET-cookie"]},
        "body": {"string": json.dumps(completion()) if answer is None else answer},
    }
    return {"request": request, "response": {**response, **changes}}


def write_cassette(path: Path, interactions: Iterable[Any]) -> Path:
    """Write a cassette as vcrpy does, in YAML or JSON as the name says."""
    from vcr.serializers import jsonserializer, yamlserializer

    serializer = jsonserializer if path.suffix == ".json" else yamlserializer
    path.write_text(serializer.serialize({"version": 1, "interactions": list(interactions)}), encoding="utf-8")
    return path


def exchange(body: Any = None, answer: Any = None, **changes: Any) -> dict[str, Any]:
    """Return an entry of a HAR file as a browser writes it; `changes` go to the response or the `url`."""
    text = json.dumps(completion()) if answer is None else answer
    request = {
        "method": "POST",
        "url": changes.pop("url", URL),
        "httpVersion": "http/2.0",
        "headers": [{"name": ":authority", "value": "api.openai.com"}, {"name": "Content-Type", "value": JSON}],
        "postData": {"mimeType": JSON, "text": json.dumps(chat()) if body is None else body},
    }
    response = {
        "status": 200,
        "statusText": "",
        "httpVersion": "http/2.0",
        "headers": [
            {"name": "content-type", "value": JSON},
            {"name": "content-encoding", "value": "br"},
            {"name": "set-cookie", "value": "__cf_bm=SECRET-cookie"},
        ],
        "content": {"size": len(text.encode()), "mimeType": JSON, "text": text},
        **changes,
    }
    return {
        "startedDateTime": "2026-11-20T14:30:00.250Z",
        "time": 1500.5,
        "request": request,
        "response": response,
        "timings": {"send": 1, "wait": 1000, "receive": 499.5},
    }


def write_har(path: Path, exchanges: Iterable[Any]) -> Path:
    """Write a HAR file."""
    archive = {"log": {"version": "1.2", "creator": {"name": "a browser"}, "entries": list(exchanges)}}
    path.write_text(json.dumps(archive), encoding="utf-8")
    return path


def cachy_line(key: str = "0123abcd", **changes: Any) -> dict[str, Any]:
    """Return a line of cachy's file, as a value."""
    return {
        "key": key,
        "response": json.dumps(completion()),
        "headers": {"content-type": JSON, "content-length": "5", "set-cookie": "__cf_bm=SECRET-cookie"},
        "status_code": 200,
        "binary": False,
        **changes,
    }


def write_lines(path: Path, lines: Iterable[Any]) -> Path:
    """Write values as JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
