"""Networks between us and the provider that are slow, cut, or dead."""

from __future__ import annotations

import warnings
from pathlib import Path

import httpx2

import askonce
from tests.survival.looking import lost
from tests.survival.oracle import MOST, Oracle
from tests.survival.toll import Scenario, Toll
from tests.survival.wire import Wire
from tests.survival.worker import Plan, ask


def cut(folder: Path, calls: int, *, stream: bool) -> Toll:
    """Ask over a wire that is cut in the middle of answers; then over one that is whole.

    A call that the wire breaks fails with us as without us; it must fail, and leave nothing.
    """
    store, toll, got = folder / "cache.db", Toll(), list[int]()
    with (
        Oracle() as oracle,
        Wire(oracle.port) as wire,
        warnings.catch_warnings(action="ignore"),
        askonce.caching(store, domains=[wire.url]),
        httpx2.Client(verify=False, timeout=30) as client,
    ):
        plan = Plan(wire.url, str(store), 0, calls, stream=stream)
        wire.cut_after = range(1, 12 * MOST)  # a connection serves several answers before it is cut
        for number in range(calls):
            before = wire.cuts
            outcome = ask(client, plan, number).split()[0]
            if outcome == "failed":
                assert wire.cuts > before, "a call failed over a wire that was whole"
                continue  # the wire's doing
            toll = toll.plus(Toll(calls=1, **{outcome: 1}))
            got.append(number)
        assert 0 < len(got) < calls
        wire.cut_after = None
        wire.sever()
        for number in range(calls):
            outcome = ask(client, plan, number).split()[0]
            toll = toll.plus(Toll(calls=1, **{outcome: 1}))
        return toll._replace(confirmed=len(got), lost=lost(store, wire.url, range(calls), stream=stream))


SCENARIOS = [
    Scenario(
        f"link to the provider cut, {'streams' if stream else 'plain answers'}",
        "Half an answer is never kept, and never given as a whole one",
        "connections reset at a random byte of an answer",
        lambda folder, calls, stream=stream: cut(folder, calls, stream=stream),  # type: ignore[misc]
        40,
        2000,
    )
    for stream in (False, True)
]
