"""Which of several takes answers, and which places are free."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askonce._core.controls import Controls, Mode
from askonce._core.decide import Forward, Refuse, Replay
from askonce._core.entry import Take
from askonce._core.rotation import Repeat, choose, free_slots
from tests.core.building import take
from tests.core.test_decide import run

TAKES = [take(b"a"), take(b"seeded", "s"), take(b"c", slot=2), take(b"b", slot=1)]


def body(found: Take | None) -> bytes | None:
    return found and found.answer.body


@pytest.mark.parametrize(
    ("repeat", "seed", "bodies"),
    [
        (Repeat.SAME, None, [b"a", b"a", b"a", b"a"]),
        (Repeat.ROTATE, None, [b"a", b"c", b"b", b"a"]),
        (Repeat.SEQUENCE, None, [b"a", b"b", b"c", None]),
        (Repeat.ROTATE, "s", [b"seeded", b"seeded"]),
        (Repeat.SEQUENCE, "s", [b"seeded", None]),
        (Repeat.ROTATE, "t", [None]),
        (Repeat.ALL, None, [b"a", b"seeded", b"c", b"b", b"a"]),
        (Repeat.ALL, "s", [b"seeded", b"seeded"]),
        (Repeat.ALL, "t", [None]),
    ],
)
def test_choose(repeat: Repeat, seed: str | None, bodies: list[bytes | None]) -> None:
    """`same` stays, `rotate` goes round in the order of recording, `sequence` by slot; each within its seed.

    `all` gives a seed its own, and goes round through all for none.
    """
    assert bodies == [body(choose(TAKES, seed, repeat, turn)) for turn in range(len(bodies))]


@given(st.sets(st.integers(0, 9)), st.integers(1, 12))
def test_free_slots(taken: set[int], samples: int) -> None:
    """As many slots are free as takes are wanted, whatever slots the recorded ones are in."""
    slots = free_slots([*(take(slot=slot) for slot in taken), take(seed="s", slot=0)], None, samples)
    assert taken.isdisjoint(slots)
    assert max(0, samples - len(taken)) >= len(slots)
    assert all(slot < samples for slot in slots)
    assert bool(slots) == (len(taken) < samples)


def test_samples_are_collected_first() -> None:
    """Until so many answers are recorded, each call is asked; then they are given again."""
    controls = Controls(mode=Mode.RECORD, samples=3, repeat=Repeat.ROTATE)
    for count in range(3):
        verdict, _ = run(controls, [take(slot=slot) for slot in range(count)])
        assert isinstance(verdict, Forward)
        assert tuple(range(count, 3)) == verdict.slots
        assert f"{count} of 3" in verdict.why
    assert isinstance(run(controls, [take(slot=slot) for slot in range(3)])[0], Replay)


@pytest.mark.parametrize("mode", [Mode.REPLAY, Mode.OFFLINE])
def test_samples_matter_where_recording(mode: Mode) -> None:
    """Where nothing is recorded, what there is answers."""
    assert Replay(take()) == run(Controls(mode=mode, samples=3), [take()])[0]


def test_a_stale_sample_is_replaced() -> None:
    """An answer that is too old is none of those that are wanted, and its place is free."""
    verdict, _ = run(Controls(mode=Mode.RECORD, samples=2), [take(ttl=1), take(slot=1)])
    assert isinstance(verdict, Forward)
    assert ((0,), True) == (verdict.slots, verdict.replace)


def test_a_fresh_take_answers_where_the_first_is_stale() -> None:
    """Of several answers those that are too old are passed over."""
    assert Replay(take(slot=1)) == run(Controls(mode=Mode.RECORD), [take(ttl=1), take(slot=1)])[0]


def test_the_end_of_a_sequence() -> None:
    """Past the last recorded answer a call is asked into the next slot; offline it is refused, with the count."""
    asked = Controls(mode=Mode.RECORD, repeat=Repeat.SEQUENCE)
    verdict, _ = run(asked, [take(), take(slot=1)], turn=2)
    assert isinstance(verdict, Forward)
    assert (2,) == verdict.slots
    refused, needs = run(asked._replace(mode=Mode.OFFLINE), [take(), take(slot=1)], turn=2)
    assert isinstance(refused, Refuse)
    assert "call 3 of this run" in refused.message
    assert "2 answers are recorded" in refused.message
    assert ["Find"] == needs
    refreshed, _ = run(asked._replace(mode=Mode.REFRESH), [take()], turn=4)
    assert isinstance(refreshed, Forward)
    assert (4,) == refreshed.slots
