"""Results as files: `results.json` for machines, `results.md` for people and the docs, a PNG a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Check, Plot, Result, Table

ORDER = (
    "hits", "dropin", "transports", "memory", "misses", "start", "bundles", "original", "peers", "rivals", "keys",
    "storage", "copying", "shared", "capacity", "texts", "gateway", "fleet",
)  # fmt: skip


def write(results: Sequence[Result], folder: Path) -> None:
    """Write all files; what an earlier run found of other benchmarks stays."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    known: dict[str, Result] = {}
    if path.exists():
        known = {one["name"]: Result.from_json(one) for one in json.loads(path.read_text("utf-8"))}
    known |= {result.name: result for result in results}
    ordered = [known[name] for name in ORDER if name in known]
    path.write_text(json.dumps([one.to_json() for one in ordered], indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "results.md").write_text(render(ordered), "utf-8")
    for result in results:
        for plot in result.plots:
            draw(plot, folder / f"{plot.name}.png")


def render(results: Sequence[Result]) -> str:
    """Return everything as Markdown: first the targets, then each benchmark with its tables and plots."""
    parts = [
        "# Benchmarks",
        "Made by `make bench`; see `benchmarks/`. Medians with their 95 % bootstrap intervals.",
    ]
    checks = [check for result in results for check in result.checks]
    if checks:
        parts += ["## Targets", show(targets(checks))]
    for result in results:
        parts += [f"## {result.name.capitalize()}", result.claim]
        parts += [show(table) for table in result.tables]
        parts += [f"![{plot.title}]({plot.name}.png)" for plot in result.plots]
        parts.append(f"<small>{result.machine}; {result.seconds:.0f} s</small>")
    return "\n\n".join(parts) + "\n"


def targets(checks: Sequence[Check]) -> Table:
    """Return checks as a table."""
    rows = [
        [check.what, f"≤ {check.target:g} {check.unit}", f"{check.measured.show()} {check.unit}", check.verdict]
        for check in checks
    ]
    note = "`open`: the target lies inside the interval."
    return Table(
        "", ["what", "target", "measured", "verdict"], rows, note if any("open" in r[3] for r in rows) else ""
    )


def show(table: Table) -> str:
    """Return a table as Markdown."""
    lines = [f"**{table.title}**", ""] if table.title else []
    lines.append("| " + " | ".join(table.columns) + " |")
    lines.append("| " + " | ".join(["---", *["---:"] * (len(table.columns) - 1)]) + " |")
    lines += ["| " + " | ".join(row) + " |" for row in table.rows]
    return "\n".join(lines + (["", table.note] if table.note else []))


_OURS = "#c0392b"
_OTHERS = ("#2c3e50", "#2980b9", "#27ae60", "#8e44ad", "#7f8c8d", "#d35400")
_MARKERS = "sD^vPX"


def draw(plot: Plot, path: Path) -> None:
    """Draw one plot."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter, NullLocator

    height = 1.6 + 0.34 * len(plot.marks) if plot.marks else 4.6
    figure, axes = plt.subplots(figsize=(8, height), layout="constrained")
    others = iter(zip(_OTHERS, _MARKERS, strict=True))
    for name, points in plot.lines.items():
        colour, marker = (_OURS, "o") if "askonce" in name else next(others)
        xs, middles, lows, highs = zip(*points, strict=True)
        errors = [
            [m - low for m, low in zip(middles, lows, strict=True)],
            [high - m for m, high in zip(middles, highs, strict=True)],
        ]
        if plot.marks:
            axes.errorbar(middles, xs, xerr=errors, fmt="o", color=colour, capsize=3)
        else:
            axes.errorbar(
                xs, middles, yerr=errors, color=colour, marker=marker, markersize=5, capsize=2, label=name
            )
    if plot.marks:
        axes.set_yticks(range(len(plot.marks)), plot.marks)
        if plot.log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.invert_yaxis()
        axes.set_xlabel(plot.y)
        if plot.limit is not None:
            axes.axvline(plot.limit, color="#7f8c8d", linestyle="--", linewidth=1)
            axes.set_xlabel(f"{plot.y} (dashed: the target, {plot.limit:g})")
    else:
        axes.set_xlabel(plot.x)
        axes.set_ylabel(plot.y)
        if plot.log:
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xticks(sorted({point[0] for points in plot.lines.values() for point in points}))
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_ylim(bottom=0)
        if len(plot.lines) > 1:
            axes.legend(frameon=False, fontsize=9)
    axes.set_title(plot.title, fontsize=11, loc="left")
    axes.grid(visible=True, which="major", linewidth=0.4, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
