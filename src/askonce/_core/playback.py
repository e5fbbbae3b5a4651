"""A take as what is sent to a caller: (pause, bytes), the pauses in seconds before each piece."""

from __future__ import annotations

from collections.abc import Iterator

from askonce._core.messages import Answer


def head_pause(answer: Answer, scale: float) -> float:
    """Return the seconds to wait before the head."""
    return answer.head_at * scale


def pieces(answer: Answer, scale: float) -> Iterator[tuple[float, bytes]]:
    """Yield each chunk with the pause before it; `scale` 1.0 is the original rhythm, 0.0 is at once."""
    before = answer.head_at
    for data, at in answer.chunks:
        yield max(0.0, at - before) * scale, data
        before = at
