"""Numbers as people read them: lengths of time, ages, counts."""

from __future__ import annotations


def time_text(seconds: float) -> str:
    """Write a length of time: `12 ms`, `3.1 s`, `12 min`, `5 h 12 min`, `3 d 4 h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours and days < 14 else f"{days} d"


def age_text(seconds: float) -> str:
    """Write how old something is, in one unit, as `--since` reads it: `40m`, `12h`, `3d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def count_text(count: int, noun: str, plural: str = "") -> str:
    """Write a number of things: `1 entry`, `1,204 entries`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
