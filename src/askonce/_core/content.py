"""A body in the form in which people read it best, and back to the same bytes.

The forms, each an object of JSON: `json` (with `spelled`), `events` (with `as` and `spelled`), `text`, `base64`.
Whatever the form, `read_content(write_content(body, …))` is the body, byte for byte.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from askonce._core.script import STREAMS, read_script, write_script
from askonce._core.spelling import read_spelled, spell

Form = dict[str, Any]

FAULTS = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What reading a form may raise that no one wrote."""

_BINARY = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def write_content(body: bytes, media_type: str, usual: str = "") -> Form:
    """Return the best form of a body.

    `media_type` says what it claims to be; JSON that is spelled in the `usual` way need not say how.
    """
    for form in _candidates(body, media_type, usual):
        try:
            if b"".join(read_content(form, usual)) == body:
                return form
        except FAULTS:
            continue
    return plain_content(body)


def _candidates(body: bytes, media_type: str, usual: str) -> list[Form]:
    if media_type in STREAMS:
        script = write_script(body, media_type)
        return [script] if script else []
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            found = read_spelled(body.decode("utf-8"))
        except UnicodeDecodeError:
            return []
        if found is not None:
            value, spelling = found
            return [{"json": value}, {"json": value, "spelled": spelling}]
    return []


def plain_content(body: bytes) -> Form:
    """Return a body as text, or as base64 where it is none."""
    try:
        text = body.decode("utf-8")
        if not _BINARY.search(text):
            return {"text": text}
    except UnicodeDecodeError:
        pass
    return {"base64": base64.b64encode(body).decode()}


def read_content(form: Form, usual: str = "") -> list[bytes]:
    """Return the pieces of a body: its events, or all of it as one.

    Raises:
        FAULTS: when it is no form of a body.
    """
    if "json" in form:
        return [spell(form["json"], form.get("spelled", usual)).encode()]
    if "events" in form:
        return read_script(form)
    if "text" in form:
        return [form["text"].encode()]
    if "base64" in form:
        return [base64.b64decode(form["base64"], validate=True)]
    raise ValueError("no body: there is neither json, events, text, base64 nor file")
