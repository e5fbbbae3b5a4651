r"""A streamed body as a list of events, and back to the same bytes.

An event is a JSON value where that and the stream's common form give its bytes back, and otherwise the event's own
characters. The form of server-sent events is a pattern: `event: {type}\ndata: {json}\n\n`; `{type}` is the
event's own `type`. A list `[value, n]` is a value with `n` spaces before its last brace, as Anthropic pads.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

from askonce._core import frames
from askonce._core.spelling import merge, read_spelled, spell

_SSE = "text/event-stream"
_AMAZON = "application/vnd.amazon.eventstream"
_LINES = frozenset(
    {"application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/stream+json"}
)
STREAMS = _LINES | {_SSE, _AMAZON}

_BLOCK = re.compile(r".*?(?:\r\n\r\n|\n\n|\r\r)|.+\Z", re.DOTALL)
_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_DATA = re.compile(r"((?:[^\r\n]*(?:\r\n|\n|\r))*?data: ?)([^\r\n]*)((?:\r\n|\n|\r)+)")
_NDJSON = re.compile(r"()([^\r\n]*)(\r?\n|\Z)")
_PADDING = re.compile(r"(?<! )( +)\}\Z")


class _Read(NamedTuple):
    """A block, its JSON and the pattern around that."""

    block: str
    value: dict[str, Any]
    padding: int
    spelling: str
    pattern: str


def write_script(body: bytes, media_type: str) -> dict[str, Any] | None:
    """Return `events` and their common form (`as`, `spelled`), or None when `body` is no such stream."""
    if media_type == _AMAZON:
        events = frames.read_frames(body)
        return None if events is None else {"events": events, "as": "amazon frames"}
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    blocks = (_BLOCK if media_type == _SSE else _LINE).findall(text)
    read = [_read(block, _DATA if media_type == _SSE else _NDJSON) for block in blocks]
    understood = [one for one in read if one is not None]
    if not understood:
        return None
    pattern = Counter(one.pattern for one in understood).most_common(1)[0][0]
    spelling = merge([one.spelling for one in understood])
    events = [_write(block, one, pattern, spelling) for block, one in zip(blocks, read, strict=True)]
    return {"events": events, "as": pattern, **({"spelled": spelling} if spelling else {})}


def _read(block: str, form: re.Pattern[str]) -> _Read | None:
    match = form.fullmatch(block)
    if not match:
        return None
    lead, data, end = match.groups()
    padded = _PADDING.search(data)
    padding = len(padded[1]) if padded else 0
    found = read_spelled(data[: -1 - padding] + "}" if padding else data)
    if found is None or not isinstance(found[0], dict) or "{" in lead:
        return None
    value, spelling = found
    kind = value.get("type")
    if isinstance(kind, str) and kind and f"event: {kind}" in lead.splitlines():
        lead = lead.replace(f"event: {kind}", "event: {type}")
    return _Read(block, value, padding, spelling, f"{lead}{{json}}{end}")


def _write(block: str, one: _Read | None, pattern: str, spelling: str) -> Any:
    if one is None:
        return block
    event = [one.value, one.padding] if one.padding else one.value
    return event if _restore(event, pattern, spelling) == block else block


def read_script(form: dict[str, Any]) -> list[bytes]:
    """Return the pieces of the body that `write_script` wrote, one an event.

    Raises:
        ValueError, TypeError, LookupError, RecursionError: when it is not what that returns.
    """
    pattern, spelling = form["as"], form.get("spelled", "")
    if pattern == "amazon frames":
        return [frames.write_frame(event) for event in form["events"]]
    return [_restore(event, pattern, spelling).encode() for event in form["events"]]


def _restore(event: Any, pattern: str, spelling: str) -> str:
    if isinstance(event, str):
        return event
    padding = 0
    if isinstance(event, list):
        event, padding = event
    text = spell(event, spelling)
    if padding:
        text = f"{text[:-1]}{' ' * padding}}}"
    before, _, after = pattern.partition("{json}")
    if "{type}" in before:
        before = before.replace("{type}", event["type"])
    return before + text + after
