"""A provider for the gateway's benchmark, and its floor: a bare ASGI application that knows two answers by heart.

Run under uvicorn: `uvicorn --http httptools --loop uvloop benchmarks.upstream:app`.
"""

from __future__ import annotations

from typing import Any

from benchmarks import calls

_ANSWERS = {stream: calls.answer(0, stream=stream) for stream in (False, True)}
_STREAM = b'"stream":true'


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer a chat completion, whole or as a stream; to anything else say that all is well."""
    if scope["type"] != "http":
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    headers, chunks = _ANSWERS[_STREAM in body]
    sent = [pair for pair in headers if pair[0] != b"transfer-encoding"]
    await send({"type": "http.response.start", "status": 200, "headers": sent})
    for chunk in chunks[:-1]:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": chunks[-1]})
