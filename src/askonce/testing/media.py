"""OpenAI's pictures and sounds, in and out."""

from __future__ import annotations

import base64

from .content import EPOCH, hexes, mp3, pieces, png, split, text, tokens, wav
from .exchange import Answer, Ask, Json, event, reply, stream

_SOUNDS = {"wav": ("audio/wav", wav), "mp3": ("audio/mpeg", mp3)}


def images(ask: Ask) -> Answer:
    """Answer /images/generations and /images/edits, in base64 or as the address of a PNG that is signed."""
    if ask.path == "/images/edits" and not any(name.startswith("image") for name in ask.files):
        return reply(
            {"error": {"message": "Missing required parameter: 'image'.", "type": "invalid_request_error"}},
            400,
        )
    prompt = str(ask.fields.get("prompt", ""))
    count = int(ask.fields.get("n") or 1)
    data: list[Json] = []
    for index in range(count):
        picture = ask.number * 10 + index
        if ask.fields.get("response_format") == "url":
            signed = f"se=2026-11-25T12%3A00%3A00Z&sig={hexes(ask, 32, 'sig')}"
            data.append({"url": f"{ask.origin}/files/images/{picture}.png?{signed}", "revised_prompt": prompt})
        else:
            data.append({"b64_json": base64.b64encode(png(picture)).decode()})
    used = tokens(prompt)
    counts = {
        "total_tokens": used + 16 * count,
        "input_tokens": used,
        "output_tokens": 16 * count,
        "input_tokens_details": {"text_tokens": used, "image_tokens": 0},
    }
    return reply({"created": EPOCH + ask.number, "data": data, "usage": counts})


def picture(ask: Ask) -> Answer:
    """Answer a picture's address."""
    number = int(ask.path.rpartition("/")[2].removesuffix(".png"))
    return Answer(200, (("content-type", "image/png"),), png(number))


def speech(ask: Ask) -> Answer:
    """Answer /audio/speech with sound in chunks that have no event to end them."""
    kind, sound = _SOUNDS["wav" if ask.fields.get("response_format") in ("wav", "pcm", "flac") else "mp3"]
    whole = sound(ask.number)
    chunks = tuple(whole[i : i + 700] for i in range(0, len(whole), 700))
    return Answer(200, (("content-type", kind),), chunks=chunks)


def transcribe(ask: Ask) -> Answer:
    """Answer /audio/transcriptions and /audio/translations in each of their formats."""
    if not ask.files:
        return reply(
            {"error": {"message": "Missing required parameter: 'file'.", "type": "invalid_request_error"}},
            400,
        )
    size = sum(map(len, ask.files.values()))
    prompt = f"a recording of {size} bytes"
    said = text(ask, prompt)
    wanted = ask.fields.get("response_format", "json")
    if ask.fields.get("stream") == "true":
        chunks = [
            event({"type": "transcript.text.delta", "delta": piece}, "transcript.text.delta")
            for piece in pieces(ask, prompt)
        ]
        chunks.append(event({"type": "transcript.text.done", "text": said}, "transcript.text.done"))
        return stream(chunks, event({"error": {"message": "The server had an error"}}, "error"))
    if wanted in ("text", "srt", "vtt"):
        return Answer(200, (("content-type", "text/plain; charset=utf-8"),), f"{said}\n".encode())
    if wanted != "verbose_json":
        return reply({"text": said, "usage": {"type": "duration", "seconds": 1}})
    parts = split(said, 3)
    segment = {"seek": 0, "tokens": [1, 2], "temperature": 0.0, "avg_logprob": -0.25}
    segment |= {"compression_ratio": 1.0, "no_speech_prob": 0.0}
    segments = [
        segment | {"id": index, "start": float(index), "end": index + 1.0, "text": part}
        for index, part in enumerate(parts)
    ]
    task = "translate" if ask.path.endswith("translations") else "transcribe"
    length = float(len(parts))
    return reply({"task": task, "language": "english", "duration": length, "text": said, "segments": segments})


ROUTES = (
    ("POST", "/images/(?:generations|edits|variations)", images),
    ("GET", r"/files/images/\d+\.png", picture),
    ("POST", "/audio/speech", speech),
    ("POST", "/audio/(?:transcriptions|translations)", transcribe),
)
