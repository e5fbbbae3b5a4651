"""Replicate's wire format: predictions, which are done at once for who waits and are polled by who does not."""

from __future__ import annotations

from .content import hexes, pieces
from .exchange import Answer, Ask, Headers, Json, Wire, reply


def headers(ask: Ask) -> Headers:
    """Return what api.replicate.com sends with every answer."""
    return (
        ("replicate-request-id", hexes(ask, 32)),
        ("ratelimit-remaining", str(599 - ask.number % 500)),
        ("ratelimit-reset", "1"),
        ("server", "cloudflare"),
        ("cf-ray", f"{hexes(ask, 16, 'ray')}-FRA"),
    )


def error(status: int, message: str) -> Json:
    """Make an error body."""
    return {"title": "The request was refused", "detail": message, "status": status}


def predict(ask: Ask) -> Answer:
    """Answer a new prediction."""
    given = ask.fields["input"]
    waits = ask.headers.get("prefer", "").startswith("wait")
    name = f"p{ask.number:06}"
    prediction: Json = _prediction(ask, name, pieces(ask, given.get("prompt")) if waits else None)
    ask.shelf.files[name] = prediction | _done(pieces(ask, given.get("prompt"))), b""
    return reply(prediction | {"input": given}, 201)


def look(ask: Ask) -> Answer:
    """Answer a look at a prediction: it is running at the first, and done from then on."""
    name = ask.path.rpartition("/")[2]
    if name not in ask.shelf.files:
        return reply(error(404, "The requested resource could not be found."), 404)
    done, _ = ask.shelf.files[name]
    running = ask.shelf.poll(name) == 0
    return reply(done | {"status": "processing", "output": None} if running else done)


def _prediction(ask: Ask, name: str, output: list[str] | None) -> Json:
    where = f"{ask.origin}/v1/predictions/{name}"
    return {
        "id": name,
        "model": "/".join(ask.path.split("/")[3:5]) or "someone/local-model",
        "version": "hidden",
        "input": {},
        "logs": "",
        "error": None,
        "created_at": "2026-11-23T12:00:00Z",
        "urls": {"get": where, "cancel": f"{where}/cancel"},
        "metrics": {},
        "status": "starting",
        "output": None,
    } | ({} if output is None else _done(output))


def _done(output: list[str]) -> Json:
    # The blocking API calls a finished prediction "processing" too; here it says what it is.
    return {"status": "succeeded", "output": output, "metrics": {"predict_time": 1.5}}


WIRE = Wire(
    "replicate",
    (
        ("POST", "/v1/(?:models/[^/]+/[^/]+/)?predictions", predict),
        ("GET", "/v1/predictions/[^/]+", look),
    ),
    headers,
    error,
)
