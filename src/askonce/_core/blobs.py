"""What the first bytes of a picture, a sound or a file tell: a short note in place of the content."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

_HEAD = 1 << 16  # bytes that are looked at; a JPEG's size may stand behind its thumbnail
_UNITS = ("B", "KB", "MB", "GB")
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image", "png"),
    (b"\xff\xd8\xff", "image", "jpeg"),
    (b"GIF8", "image", "gif"),
    (b"%PDF-", "file", "pdf"),
    (b"ID3", "audio", "mp3"),
    (b"\xff\xfb", "audio", "mp3"),
    (b"\xff\xf3", "audio", "mp3"),
    (b"OggS", "audio", "ogg"),
    (b"fLaC", "audio", "flac"),
)
_URL_SAFE = str.maketrans("-_", "+/")
_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*;base64,")


def size_text(size: float) -> str:
    """Write a number of bytes for people: `987 B`, `1.2 KB`, `34 MB`."""
    step = 0
    while size >= 999.5 and step < len(_UNITS) - 1:
        size /= 1000
        step += 1
    return f"{size:.1f} {_UNITS[step]}" if step and size < 9.95 else f"{size:,.0f} {_UNITS[step]}"


class Blob(NamedTuple):
    """The first bytes of some content, its whole size, and what it is said to be (media type or format)."""

    head: bytes
    size: int
    said: str = ""

    @classmethod
    def of(cls, data: bytes, said: str = "") -> Blob:
        return cls(data[:_HEAD], len(data), said)

    @classmethod
    def of_base64(cls, text: str, said: str = "") -> Blob:
        """Read base64, or a `data:` URL with it; what is neither counts by its length."""
        match = _DATA_URL.match(text)
        if match:
            text, said = text[match.end() :], match[1] or said
        size = len(text) * 3 // 4 - text[-2:].count("=")
        try:
            head = base64.b64decode(text[: _HEAD // 3 * 4].translate(_URL_SAFE))
        except (binascii.Error, ValueError):
            head = b""
        return cls(head, max(size, 0), said)

    def note(self, what: str = "") -> str:
        """Describe it: `image: png, 512x512, 34 KB`. `what` names it where its bytes do not."""
        kind, form = self.kind()
        said_kind, _, said_form = self.said.partition(";")[0].strip().rpartition("/")
        if said_kind in ("image", "audio", "video"):
            kind = kind or said_kind
        details = [form or said_form.removeprefix("x-"), *self._measures(form), size_text(self.size)]
        return f"{kind or what or 'file'}: {', '.join(one for one in details if one)}"

    def kind(self) -> tuple[str, str]:
        """Return what its bytes say it is, such as `image` and `png`; empty where they say nothing known."""
        if self.head[:4] == b"RIFF":
            if self.head[8:12] == b"WAVE":
                return "audio", "wav"
            if self.head[8:12] == b"WEBP":
                return "image", "webp"
        for magic, kind, form in _MAGIC:
            if self.head.startswith(magic):
                return kind, form
        return "", ""

    def _measures(self, form: str) -> tuple[str, ...]:
        head = self.head
        if form == "wav":
            seconds = self._wav_seconds()
            return (f"{seconds:.1f} s",) if seconds else ()
        if form == "png" and len(head) >= 24:
            return (f"{int.from_bytes(head[16:20])}x{int.from_bytes(head[20:24])}",)
        if form == "gif" and len(head) >= 10:
            return (f"{int.from_bytes(head[6:8], 'little')}x{int.from_bytes(head[8:10], 'little')}",)
        if form == "jpeg":
            return self._jpeg_size()
        return ()

    def _wav_seconds(self) -> float:
        """Divide the size of the samples by the bytes a second (RIFF WAVE, `fmt ` chunk)."""
        rate, at = 0, 12
        while at + 8 <= len(self.head):
            name, size = self.head[at : at + 4], int.from_bytes(self.head[at + 4 : at + 8], "little")
            if name == b"fmt ":
                rate = int.from_bytes(self.head[at + 16 : at + 20], "little")
            elif name == b"data" and rate:
                # A stream is begun before its length is known, and says 0 or the largest number there is.
                left = self.size - at - 8
                return (min(size, left) if size else left) / rate
            at += 8 + size + size % 2
        return 0.0

    def _jpeg_size(self) -> tuple[str, ...]:
        """Find the frame header (ITU T.81, B.2.2) behind the other segments."""
        at = 2
        while at + 9 <= len(self.head) and self.head[at] == 0xFF:
            mark, length = self.head[at + 1], int.from_bytes(self.head[at + 2 : at + 4])
            if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
                height, width = self.head[at + 5 : at + 7], self.head[at + 7 : at + 9]
                return (f"{int.from_bytes(width)}x{int.from_bytes(height)}",)
            at += 2 + length
        return ()
