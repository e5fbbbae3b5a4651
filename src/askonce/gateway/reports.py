"""What the journal comes to: savings, series and percentiles, for the API, the page and the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from askonce._engine.guard import Health
from askonce.gateway.journal import Journal
from askonce.gateway.ledger import BUCKETS, HOUR, HourSum

SAVED = frozenset({"hit", "shared"})


class Summary(NamedTuple):
    """Calls since some time, and what was saved; money in US dollars, an estimate."""

    calls: int
    hits: int
    misses: int
    bypassed: int
    hit_share: float
    saved: float
    saved_seconds: float
    tokens_saved: int
    spent: float


class Point(NamedTuple):
    """What happened in a stretch of time that begins `at`; p50 and p95 are in seconds."""

    at: int
    hits: int
    misses: int
    saved: float
    saved_seconds: float
    hit_p50: float | None
    hit_p95: float | None
    miss_p50: float | None
    miss_p95: float | None


def summarize(sums: Iterable[HourSum]) -> Summary:
    """Sum up hours. Answered from the store, or with an identical call: those are hits."""
    rows = list(sums)
    hits = sum(row.calls for row in rows if row.outcome in SAVED)
    misses = sum(row.calls for row in rows if row.outcome == "miss")
    return Summary(
        calls=sum(row.calls for row in rows),
        hits=hits,
        misses=misses,
        bypassed=sum(row.calls for row in rows if row.outcome == "bypass"),
        hit_share=hits / (hits + misses) if hits + misses else 0.0,
        saved=sum(row.saved for row in rows),
        saved_seconds=sum(row.saved_seconds for row in rows),
        tokens_saved=sum(row.input_tokens + row.output_tokens for row in rows if row.outcome in SAVED),
        spent=sum(row.cost for row in rows),
    )


def series(journal: Journal, since: float, until: float, points: int = 24) -> list[Point]:
    """Return so many stretches of whole hours between two times."""
    first = int(since) // HOUR
    last = int(until) // HOUR
    step = max(1, -(-(last - first + 1) // points))
    starts = range(first, last + 1, step)
    sums: dict[int, list[HourSum]] = {}
    for row in journal.hours(since):
        sums.setdefault((row.hour // HOUR - first) // step, []).append(row)
    counts: dict[tuple[int, bool], list[int]] = {}
    for hour, outcome, bucket, count in journal.latencies(since):
        if outcome in SAVED or outcome == "miss":
            place = counts.setdefault(((hour // HOUR - first) // step, outcome in SAVED), [0] * (len(BUCKETS) + 1))
            place[bucket] += count
    return [
        _point(start * HOUR, sums.get(i, []), counts.get((i, True)), counts.get((i, False)))
        for i, start in enumerate(starts)
    ]


def _point(at: int, rows: list[HourSum], hits: list[int] | None, misses: list[int] | None) -> Point:
    total = summarize(rows)
    return Point(
        at, total.hits, total.misses, total.saved, total.saved_seconds,
        percentile(hits, 0.5), percentile(hits, 0.95), percentile(misses, 0.5), percentile(misses, 0.95),
    )  # fmt: skip


def percentile(counts: Sequence[int] | None, share: float) -> float | None:
    """Return the upper bound of the class in which this share of all is reached."""
    if not counts or not sum(counts):
        return None
    wanted, seen = share * sum(counts), 0
    for count, bound in zip(counts, (*BUCKETS, BUCKETS[-1]), strict=True):
        seen += count
        if seen >= wanted:
            return bound
    return BUCKETS[-1]


def metrics(journal: Journal, in_flight: int, troubles: Callable[[], Sequence[str]], health: Health) -> bytes:
    """Return the metrics in Prometheus's text format, summed over all worker processes and restarts."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    sums: dict[str, list[Any]] = {}
    for row in journal.totals():
        total = sums.setdefault(row.outcome, [0, 0, 0.0, 0.0, 0.0, 0.0])
        for i, value in enumerate(
            (row.calls, row.input_tokens + row.output_tokens, row.seconds, row.saved_seconds, row.cost, row.saved)
        ):
            total[i] += value
    counts: dict[str, list[int]] = {}
    for outcome, bucket, count in journal.classes():
        counts.setdefault(outcome, [0] * (len(BUCKETS) + 1))[bucket] += count

    class Collector:
        def collect(self) -> Iterable[Any]:
            for i, (name, text) in enumerate(
                (
                    ("askonce_calls", "Calls, by how they were answered."),
                    ("askonce_tokens", "Tokens of the answers."),
                    ("", ""),
                    (
                        "askonce_saved_seconds",
                        "Seconds that providers had taken for what they were not asked again.",
                    ),
                    ("askonce_cost_dollars", "What providers were paid, as an estimate."),
                    ("askonce_saved_dollars", "What was not paid, as an estimate."),
                )
            ):
                if name:
                    family = CounterMetricFamily(name, text, labels=["outcome"])
                    for outcome, total in sums.items():
                        family.add_metric([outcome], total[i])
                    yield family
            latency = HistogramMetricFamily(
                "askonce_seconds", "Seconds from request to last byte.", labels=["outcome"]
            )
            for outcome, found in counts.items():
                seen, buckets = 0, []
                for bound, count in zip((*map(str, BUCKETS), "+Inf"), found, strict=True):
                    seen += count
                    buckets.append((bound, seen))
                latency.add_metric([outcome], buckets, sums.get(outcome, [0] * 6)[2])
            yield latency
            yield GaugeMetricFamily("askonce_in_flight", "Calls in flight in this process.", value=in_flight)
            yield GaugeMetricFamily(
                "askonce_trouble", "1 while journal or store cannot be used.", value=float(bool(troubles()))
            )
            yield CounterMetricFamily(
                "askonce_journal_lost", "Calls that could not be noted, in this process.", value=journal.lost
            )
            here = "in this process"
            yield GaugeMetricFamily("askonce_store_up", f"1 while the store can be used, {here}.", health.is_well)
            for name, text, count in (
                ("failures", "What the store could not do", health.failures),
                ("skipped", "What was not asked of it, since it had failed", health.skipped),
                ("dropped", "Answers that were too many to be written", health.dropped),
            ):
                yield CounterMetricFamily(f"askonce_store_{name}", f"{text}, {here}.", count)
            waiting = f"Bytes that wait to be written to the store, {here}."
            yield GaugeMetricFamily("askonce_store_waiting_bytes", waiting, health.waiting)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    text: bytes = generate_latest(registry)
    return text
