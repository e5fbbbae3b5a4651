"""Answers that were imported from cachy's file: found by cachy's own rule until they are recorded anew.

The file holds a 32-bit key and no question, so that two questions may share a key. An imported answer is
therefore kept under a key of its own kind, and given only to a call that it looks like an answer to: of the same
kind, streamed or not, from a model of that name as far as both are known.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode

from askonce._core.body import canonical_json
from askonce._core.coding import plain_body
from askonce._core.entry import CACHY, MARK_KEY, Key, Question, Take
from askonce._core.events import splitter_for
from askonce._core.messages import Answer, Chunk, Head, Headers, Request

_ASKED = b"(imported from cachy, whose file does not say what was asked)"
_MARKED = b"(while this is here, answers imported from cachy are looked for)"
_NORMAL = tuple(
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"/ipykernel_\d+/\d+\.py", "/ipykernel_N/X.py"),
        (r"<ipython-input-\d+-\w+>", "<ipython-input>"),
        (r"/var/folders/[\w|/]+", "/tmp/tmpT"),  # noqa: S108 (a text to compare, no file)
        (r"/tmp/tmp\w+", "/tmp/tmpX"),  # noqa: S108
        (r"ipykernel_\d+", "ipykernel_N"),
        (r"0x[0-9a-fA-F]{6,}", "0xMEM"),
        (r"line \d+, in", "line N, in"),
        (r'"prompt_cache_key"\s*:\s*"[^"]*"', '"prompt_cache_key":"notebook"'),
    )
)
CACHY_KEY = re.compile(r"[0-9a-f]{8}")
_BOUNDARY = re.compile(r"""boundary="?([^";]+)"?""", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+")
_STREAMED = re.compile(r":stream|/converse-stream|-with-response-stream")


def imported_question(cachy_key: str, partition: str, kind: str = "", model: str = "") -> Question:
    """Return the question that stands for one of cachy's keys; an empty key stands for all that is imported."""
    form = {
        "askonce": CACHY,
        "body": "text",
        "headers": [],
        "method": "POST",
        "partition": partition,
        "url": f"cachy:{cachy_key}",
    }
    head = canonical_json(form).encode()
    return Question(
        imported_key(cachy_key, partition), head, _ASKED if cachy_key else _MARKED, CACHY, kind, model, partition
    )


def imported_key(cachy_key: str, partition: str) -> Key:
    """Return the key under which it is kept: it begins with cachy's, so that people find it by that."""
    if not cachy_key:
        return MARK_KEY
    name = canonical_json([CACHY, cachy_key, partition]).encode()
    return bytes.fromhex(cachy_key) + hashlib.sha256(name).digest()[len(cachy_key) // 2 :]


def key_in_form(form: Any) -> Key | None:
    """Return the key of an imported question by its canonical form; None when the form is another's."""
    if form["askonce"] != CACHY:
        return None
    name = str(form["url"]).removeprefix("cachy:")
    if name and not CACHY_KEY.fullmatch(name):
        raise ValueError(f"{name!r} is none of cachy's keys")
    return imported_key(name, str(form["partition"]))


MARK = imported_question("", "", kind="mark")
"""Is recorded in a store that holds imported answers, under `MARK_KEY`."""

MARK_TAKE = Take(Answer(Head(200, Headers(((b"content-type", b"text/plain"),))), 0.0, (Chunk(b"-", 0.0),)), 0.0)


class CachyLookup(NamedTuple):
    """Look for an imported answer to a call. `body` is the request's, without what is addressed to the cache."""

    request: Request
    body: bytes
    question: Question

    @property
    def keys(self) -> tuple[Key, ...]:
        """Return the keys under which it would be kept.

        cachy's own depends on a flag that SDKs set when a client is to stream. The body mostly says the same;
        where it does not (speech, downloads), the answer is the same either way.
        """
        url, accept, body = self._normal()
        beginnings = [f"{url}True", f"{url}False"]
        if self._is_streamed():  # Mistral's SDK adds a fragment to the URL, which cachy sees and a server does not
            beginnings.insert(1, f"{url}#streamTrue")
        else:
            beginnings.reverse()
        texts = [f"{one}{accept}{body}".encode("utf-8", "surrogateescape") for one in beginnings]
        return tuple(imported_key(hashlib.sha256(one).hexdigest()[:8], self.question.partition) for one in texts)

    def _normal(self) -> tuple[str, str, str]:
        request, raw = self.request, self.body
        query = parse_qs(request.query, keep_blank_values=True)
        query.pop("key", None)
        target = request.path + (f"?{urlencode(query, doseq=True)}" if query else "")
        is_usual = request.port in (None, 443 if request.scheme == "https" else 80)
        host = f"[{request.host}]" if ":" in request.host else request.host
        url = f"{request.scheme}://{host}{'' if is_usual else f':{request.port}'}{target}"
        content_type = request.headers.get(b"content-type") or ""
        if boundary := _BOUNDARY.search(content_type) if content_type.startswith("multipart/") else None:
            raw = raw.replace(boundary[1].encode("latin-1"), b"cachy-boundary")
        if "json" in content_type.lower():
            try:
                raw = json.dumps(json.loads(raw), sort_keys=True).encode()
            except (ValueError, RecursionError):
                pass
        accept = request.headers.get(b"accept") or ""
        return _normalize(url), accept, _normalize(raw.decode("utf-8", "surrogateescape"))

    def _is_streamed(self) -> bool:
        if _STREAMED.search(self.request.path):
            return True
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return b'name="stream"' in self.body
        return isinstance(value, dict) and bool(value.get("stream"))

    def _streams_json(self) -> bool:
        return ":stream" in self.request.path and "alt=sse" not in self.request.query

    def fits(self, answer: Answer) -> bool:
        """Tell whether this could be an answer to this call, by its form and by who says it gave it."""
        media_type, is_streamed = media_type_of(answer.head.headers), self._is_streamed()
        if splitter_for(media_type) is not None and not is_streamed:
            return False
        # Gemini streams a JSON list to whom does not ask for events.
        if media_type == "application/json" and is_streamed and not self._streams_json():
            return False
        kind, model = describe(answer)
        asked = self.question
        if kind and _ALIKE.get(asked.kind, kind) != kind:
            return False
        return "/deployments/" in asked.url or _same_family(asked.model, model)


def _normalize(text: str) -> str:
    for pattern, plain in _NORMAL:
        text = pattern.sub(plain, text)
    return text


def media_type_of(headers: Headers) -> str:
    """Return the media type that headers name, without its parameters."""
    return (headers.get(b"content-type") or "").partition(";")[0].strip().lower()


# What answers call themselves, and for what kind of question. Providers give completions the shape of chats too.
_OBJECTS = {
    "chat.completion": "chat",
    "chat.completion.chunk": "chat",
    "text_completion": "chat",
    "message": "chat",
    "message_start": "chat",
    "response": "response",
    "list": "embedding",
}
_ALIKE = {
    "chat": "chat",
    "completion": "chat",
    "response": "response",
    "embedding": "embedding",
    "tokens": "tokens",
}


def describe(answer: Answer) -> tuple[str, str]:
    """Return the kind of an answer and the model that it names, as far as it tells."""
    kind = model = ""
    for event in _events(answer):
        kind = kind or _kind(event)
        for part in (event, event.get("message"), event.get("response")):
            name = (part.get("model") or part.get("modelVersion")) if isinstance(part, dict) else None
            if isinstance(name, str) and not model:
                model = name
        if kind and model:
            break
    return kind, model


def _events(answer: Answer) -> Iterator[dict[str, Any]]:
    splitter = splitter_for(media_type_of(answer.head.headers))
    body = plain_body(answer)
    if splitter is not None:
        yield from (*splitter.feed(body), *splitter.feed(b"\n\n"))
        return
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    yield from (one for one in (value if isinstance(value, list) else (value,)) if isinstance(one, dict))


def _kind(event: dict[str, Any]) -> str:
    for name in (event.get("object"), event.get("type")):
        if isinstance(name, str):
            if name == "response.input_tokens":
                return ""
            if name.startswith("response."):
                return "response"
            if name in _OBJECTS:
                return _OBJECTS[name]
    return (
        "chat" if "candidates" in event else "embedding" if "embedding" in event or "embeddings" in event else ""
    )


def _same_family(asked: str, said: str) -> bool:
    """Tell whether two names may be one model's: `gpt-5` answers as `gpt-5-2025-08-07`, never as `claude-…`."""
    one, other = (_WORD.findall(name.lower().rpartition("/")[2]) for name in (asked, said))
    return not one or not other or one[0] in other or other[0] in one
