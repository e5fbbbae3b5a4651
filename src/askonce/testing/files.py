"""OpenAI's state: files come and go, a batch is further along each time one looks."""

from __future__ import annotations

from .content import EPOCH
from .exchange import Answer, Ask, Json, reply

_STAGES = ("validating", "in_progress", "finalizing", "completed")


def upload(ask: Ask) -> Answer:
    """Keep a file."""
    content = ask.files.get("file", b"")
    about: Json = {
        "id": f"file-{ask.number:06}",
        "object": "file",
        "bytes": len(content),
        "created_at": EPOCH + ask.number,
        "filename": f"upload-{ask.number}.jsonl",
        "purpose": ask.fields.get("purpose", "user_data"),
        "status": "processed",
    }
    with ask.shelf.lock:
        ask.shelf.files[about["id"]] = about, content
    return reply(about)


def listing(ask: Ask) -> Answer:
    """List the files."""
    with ask.shelf.lock:
        data = [about for about, _ in ask.shelf.files.values()]
    return reply({"object": "list", "data": data, "has_more": False})


def one(ask: Ask) -> Answer:
    """Describe, return or delete a file."""
    name, _, content = ask.path.removeprefix("/files/").partition("/")
    with ask.shelf.lock:
        found = ask.shelf.files.pop(name, None) if ask.method == "DELETE" else ask.shelf.files.get(name)
    if found is None:
        return reply({"error": {"message": f"No such File object: {name}", "type": "invalid_request_error"}}, 404)
    if content:
        return Answer(200, (("content-type", "application/octet-stream"),), found[1])
    if ask.method == "DELETE":
        return reply({"id": name, "object": "file", "deleted": True})
    return reply(found[0])


def batch(ask: Ask) -> Answer:
    """Create a batch, or tell how far it is: one stage further at each look."""
    name = ask.path.removeprefix("/batches").strip("/") or f"batch_{ask.number:06}"
    stage = 0 if ask.method == "POST" else min(ask.shelf.poll(name), len(_STAGES) - 1)
    about: Json = {
        "id": name,
        "object": "batch",
        "endpoint": ask.fields.get("endpoint", "/v1/chat/completions"),
        "errors": None,
        "input_file_id": ask.fields.get("input_file_id", "file-000000"),
        "completion_window": "24h",
        "status": _STAGES[stage],
        "output_file_id": f"file-out-{name}" if stage == len(_STAGES) - 1 else None,
        "created_at": EPOCH,
        "request_counts": {"total": 3, "completed": stage, "failed": 0},
    }
    return reply(about)


ROUTES = (
    ("POST", "/files", upload),
    ("GET", "/files", listing),
    ("GET", "/files/[^/]+(?:/content)?", one),
    ("DELETE", "/files/[^/]+", one),
    ("POST", "/batches", batch),
    ("GET", "/batches/[^/]+", batch),
)
