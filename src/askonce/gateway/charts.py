"""Charts as SVG: hits and misses, what was saved, latencies. Colours come from the style sheet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from askonce.gateway.reports import Point
from askonce.prices import dollars_text

WIDTH, HEIGHT = 360.0, 110.0
_TOP, _BOTTOM = 6.0, 92.0


class Chart(NamedTuple):
    """A chart, what it is of, and what the colours mean: class and name."""

    title: str
    total: str
    legend: tuple[tuple[str, str], ...]
    svg: str


def draw(points: Sequence[Point], span: str) -> list[Chart]:
    """Return the charts of a page."""
    hits, misses = sum(p.hits for p in points), sum(p.misses for p in points)
    share = f"{hits / (hits + misses):.0%} hits" if hits + misses else ""
    money = sum(p.saved for p in points)
    return [
        Chart("Hits and misses", share, (("hit", "hits"), ("miss", "misses")), _bars(points, span)),
        Chart(
            "Saved",
            f"≈ {dollars_text(money)}",
            (("money", "dollars"), ("time", "seconds of waiting")),
            _savings(points, span),
        ),
        Chart(
            "Latency, p50 and p95",
            "",
            (("hit", "hits"), ("miss", "misses")),
            _lines(
                points,
                span,
                (
                    ("hit", lambda p: p.hit_p50),
                    ("hit faint", lambda p: p.hit_p95),
                    ("miss", lambda p: p.miss_p50),
                    ("miss faint", lambda p: p.miss_p95),
                ),
            ),
        ),
    ]


def _frame(content: str, points: Sequence[Point], span: str, label: str, most: str = "") -> str:
    form = "%H:%M" if span == "24h" else "%d %b"
    marks = f'<text x="0" y="{_TOP + 10:.0f}">{escape(most)}</text>' if most else ""
    if points:
        for index, anchor in ((0, "start"), (len(points) // 2, "middle"), (len(points) - 1, "end")):
            x = {"start": 0.0, "middle": WIDTH / 2, "end": WIDTH}[anchor]
            text = escape(time.strftime(form, time.localtime(points[index].at)))
            marks += f'<text x="{x:.0f}" y="{HEIGHT - 3:.0f}" text-anchor="{anchor}">{text}</text>'
    grid = "".join(
        f'<line class="grid" x1="0" x2="{WIDTH:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        for y in (_TOP, (_TOP + _BOTTOM) / 2, _BOTTOM)
    )
    box = f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}"'
    return f'<svg {box} role="img" aria-label="{escape(label)}">{grid}{content}{marks}</svg>'


def _savings(points: Sequence[Point], span: str) -> str:
    """Draw money as bars and time as a line, each on its own scale."""
    most = max((p.saved for p in points), default=0.0) or 1.0
    longest = max((p.saved_seconds for p in points), default=0.0) or 1.0
    step = WIDTH / max(len(points), 1)
    bars, run = [], []
    for i, point in enumerate(points):
        height = (_BOTTOM - _TOP) * point.saved / most
        run.append(f"{(i + 0.5) * step:.1f},{_BOTTOM - (_BOTTOM - _TOP) * point.saved_seconds / longest:.1f}")
        if point.saved:
            title = escape(f"{dollars_text(point.saved)}, {point.saved_seconds:.1f} s")
            bars.append(
                f'<rect class="money" x="{i * step + step * 0.14:.1f}" y="{_BOTTOM - height:.1f}" '
                f'width="{step * 0.72:.1f}" height="{height:.1f}" rx="1"><title>{title}</title></rect>'
            )
    line = f'<polyline class="time" points="{" ".join(run)}"/>'
    return _frame("".join(bars) + line, points, span, "Money and time saved")


def _bars(points: Sequence[Point], span: str) -> str:
    most = max([p.hits + p.misses for p in points], default=0) or 1
    step = WIDTH / max(len(points), 1)
    bars = []
    for i, point in enumerate(points):
        y = _BOTTOM
        title = escape(f"{point.hits} hits, {point.misses} misses")
        for name, count in (("hit", point.hits), ("miss", point.misses)):
            height = (_BOTTOM - _TOP) * count / most
            y -= height
            if count:
                bars.append(
                    f'<rect class="{name}" x="{i * step + step * 0.14:.1f}" y="{y:.1f}" width="{step * 0.72:.1f}" '
                    f'height="{height:.1f}" rx="1"><title>{title}</title></rect>'
                )
    return _frame("".join(bars), points, span, "Hits and misses over time", f"{most:,}")


def _lines(points: Sequence[Point], span: str, curves: Sequence[tuple[str, Any]]) -> str:
    """Draw curves on one scale; where a value is missing, a curve is interrupted."""
    drawn = []
    values = [[read(point) for point in points] for _, read in curves]
    most = max((v for row in values for v in row if v is not None), default=0.0)
    step = WIDTH / max(len(points), 1)
    for (name, _), row in zip(curves, values, strict=True):
        run: list[str] = []
        for i, value in enumerate([*row, None]):
            if value is not None:
                run.append(f"{(i + 0.5) * step:.1f},{_BOTTOM - (_BOTTOM - _TOP) * value / most:.1f}")
                continue
            if len(run) == 1:
                x, y = run[0].split(",")
                drawn.append(f'<circle class="{name}" cx="{x}" cy="{y}" r="2.5"/>')
            elif run:
                drawn.append(f'<polyline class="{name}" points="{" ".join(run)}"/>')
            run = []
    return _frame("".join(drawn), points, span, "Latencies over time", f"{most:g} s" if most else "")
