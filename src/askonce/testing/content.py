"""What the local model says. Everything is a function of the question and the request's number."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import zlib
from typing import Any

from .exchange import Ask, Json

EPOCH = 1_760_000_000  # answers are dated by their number, so that they are the same on every run
_WORDS = ("so", "the", "naïve", "answer", "goes", "on", "☕", "and")


def asked(value: Any) -> str:
    """Return the last text in a conversation of any provider's shape."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return next((text for item in reversed(value) if (text := asked(item))), "")
    if isinstance(value, dict):
        for name in ("content", "parts", "text", "message", "input", "output"):
            if text := asked(value.get(name)):
                return text
    return ""


def pieces(ask: Ask, prompt: Any, model: str | None = None) -> list[str]:
    """Return the answer's text in the pieces it is streamed in; a model named `…-chunks-200` gives 200."""
    question = asked(prompt)[:48]
    said = ["Answer", f" {ask.number}", " to", f" “{question}”", ":", " un", " café", " ☕."]
    wanted = re.search(r"-chunks-(\d+)$", model or ask.model)
    if not wanted:
        return said
    return [f"Answer {ask.number}:", *(f" {_WORDS[i % 8]}" for i in range(1, int(wanted[1])))]


def text(ask: Ask, prompt: Any, model: str | None = None) -> str:
    """Return the whole answer."""
    return "".join(pieces(ask, prompt, model))


def split(whole: str, count: int = 5) -> list[str]:
    """Cut a string into about `count` parts, as arguments are streamed."""
    size = max(1, -(-len(whole) // count))
    return [whole[i : i + size] for i in range(0, len(whole), size)]


def tokens(*texts: str) -> int:
    """Count tokens, roughly."""
    return sum(1 + len(words.split()) for words in texts)


def hexes(ask: Ask, length: int, salt: str = "") -> str:
    """Return hexadecimal digits that belong to this request."""
    digits = hashlib.sha256(f"{salt}{ask.number}".encode()).hexdigest()
    return (digits * (1 + length // 64))[:length]


def value_for(schema: Json, number: int, root: Json | None = None) -> Any:
    """Make a simple value that satisfies a JSON schema, or Gemini's or OpenAPI's variety of one."""
    root = schema if root is None else root
    if "$ref" in schema:
        target: Any = root
        for name in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[name] if name != "#" else target
        return value_for(target, number, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return value_for(schema[name][0], number, root)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = str(kind[0] if isinstance(kind, list) else kind).lower()
    match kind:
        case "object":
            return {key: value_for(one, number, root) for key, one in schema.get("properties", {}).items()}
        case "array":
            count = max(1, int(schema.get("minItems", 1)))
            return [value_for(schema.get("items", {}), number, root) for _ in range(count)]
        case "integer":
            return _within(number, schema)
        case "number":
            return _within(number + 0.5, schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _STRINGS.get(str(schema.get("format")), f"text {number}")


_STRINGS = {
    "date": "2026-11-23",
    "time": "12:00:00Z",
    "date-time": "2026-11-23T12:00:00Z",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}


def _within(value: float, schema: Json) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", value - 1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", value + 1) - 1)
    return value if low <= value <= high else low if value < low else high


def vector(words: str, number: int, size: int) -> list[float]:
    """Return an embedding whose numbers are exact in 32-bit floats."""
    seed = hashlib.shake_256(f"{number} {words}".encode()).digest(size)
    return [(byte - 128) / 256 for byte in seed]


def packed(numbers: list[float]) -> str:
    """Encode an embedding as OpenAI's and Cohere's base64 do."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def png(number: int) -> bytes:
    """Return a picture of 8 by 8 pixels in a colour that tells its number."""
    row = b"\0" + bytes((number % 256, number // 256 % 256, 128)) * 8

    def block(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + block(b"IHDR", header)
        + block(b"IDAT", zlib.compress(row * 8))
        + block(b"IEND", b"")
    )


def wav(number: int) -> bytes:
    """Return half a second of a square wave, as high as its number, at 8 kHz and 8 bits."""
    period = 10 + number % 90
    sound = bytes(160 if i % period < period // 2 else 96 for i in range(4000))
    form = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    parts = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(parts)) + parts


def mp3(number: int) -> bytes:
    """Return ten silent MPEG frames behind an ID3 tag that holds the number."""
    title = b"\x03answer %d" % number
    frame = b"TIT2" + struct.pack(">I", len(title)) + b"\0\0" + title
    return b"ID3\x04\0\0" + bytes((0, 0, 0, len(frame))) + frame + (b"\xff\xfb\x90\xc4" + bytes(413)) * 10
