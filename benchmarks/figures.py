"""What a benchmark hands back: tables to read, checks against targets, lines to plot. Data only."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeVar

T = TypeVar("T")

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure: a full run, or a quick one that only shows that everything works."""

    quick: bool

    def of(self, full: T, quick: T) -> T:
        """Return the one of two that this scale asks for."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the 95 % bootstrap interval that it lies in."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarise samples; the resampling is seeded, so that the same samples give the same interval."""
        draw = random.Random(len(values))
        medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(_RESAMPLES))
        return cls(statistics.median(values), medians[_RESAMPLES // 40], medians[-_RESAMPLES // 40])

    def times(self, factor: float) -> Spread:
        """Return the same in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor)

    def show(self, digits: int = 3) -> str:
        """Write as `1.02 (1.01 to 1.04)`; a single sample has no interval."""
        if self.low == self.high:
            return number(self.median, digits)
        return f"{number(self.median, digits)} ({number(self.low, digits)} to {number(self.high, digits)})"


def ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Divide round by round, so that what disturbs a whole round cancels out."""
    return [value / floor for value, floor in zip(values, base, strict=True)]


def number(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits and no exponent."""
    if value == 0:
        return "0"
    places = max(0, digits - len(f"{abs(value):.0f}") if abs(value) >= 1 else digits)
    return f"{value:,.{places}f}"


@dataclass(frozen=True, slots=True)
class Check:
    """A target of the project, and what was measured. The median decides; a target is a most."""

    what: str
    measured: Spread
    target: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.measured.median <= self.target

    @property
    def verdict(self) -> str:
        """Say whether it was met, and whether the interval leaves that open."""
        says = "met" if self.met else "not met"
        return f"{says} (open)" if self.measured.low <= self.target < self.measured.high else says


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they are read; the first column names the row."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines through (x, median, low, high); with `marks`, points under names in place of an x axis."""

    name: str
    title: str
    x: str
    y: str
    lines: dict[str, list[list[float]]]
    log: bool = False
    limit: float | None = None
    marks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark found. `claim` is the sentence that its checks are to bear out."""

    name: str
    claim: str
    checks: list[Check]
    tables: list[Table]
    plots: list[Plot] = field(default_factory=list)
    seconds: float = 0.0
    machine: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with each check's verdict for those who read only that."""
        data = asdict(self)
        for check, row in zip(self.checks, data["checks"], strict=True):
            row["verdict"] = check.verdict
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` returned."""
        checks = [
            Check(row["what"], Spread(**row["measured"]), row["target"], row["unit"]) for row in data["checks"]
        ]
        tables = [Table(**table) for table in data["tables"]]
        plots = [Plot(**plot) for plot in data["plots"]]
        return cls(**{**data, "checks": checks, "tables": tables, "plots": plots})
