"""What is done with one call, for every mode, hit and miss, fresh and stale; no I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askonce._core.controls import Controls, Mode
from askonce._core.decide import Find, Forward, Recent, Refuse, Replay, Verdict, decide
from askonce._core.entry import Question, Take
from askonce._core.playback import head_pause, pieces
from askonce._core.refusal import Dialect, refusal
from askonce._core.rotation import choose
from tests.core.building import answer, question, take

NOW = 1100.0  # a hundred seconds after the takes were recorded
ASKED = question({"model": "m", "messages": [{"role": "user", "content": "hi"}]})


def run(
    controls: Controls, takes: Sequence[Take] = (), recorded: Sequence[Question] = (), turn: int = 0
) -> tuple[Verdict, list[str]]:
    """Return the verdict, and what was needed on the way."""
    steps = decide(ASKED, controls, NOW, turn)
    needs = []
    try:
        need = next(steps)
        while True:
            needs.append(type(need).__name__)
            if isinstance(need, Find):
                assert ASKED.key == need.key
                need = steps.send(takes)
            else:
                assert isinstance(need, Recent)
                need = steps.send(recorded)
    except StopIteration as stop:
        return stop.value, needs


@pytest.mark.parametrize(
    ("mode", "hit", "keep", "replace", "needs"),
    [
        (Mode.OFF, False, False, False, []),
        (Mode.OFF, True, False, False, []),
        (Mode.REFRESH, False, True, True, []),
        (Mode.REFRESH, True, True, True, []),
        (Mode.RECORD, False, True, False, ["Find"]),
        (Mode.REPLAY, False, False, False, ["Find"]),
    ],
)
def test_forward(mode: Mode, hit: bool, keep: bool, replace: bool, needs: list[str]) -> None:
    """A provider is asked as the mode says, and the store is touched no more than that takes."""
    verdict, needed = run(Controls(mode=mode), [take()] if hit else [])
    assert isinstance(verdict, Forward)
    assert (keep, replace, needs) == (verdict.keep, verdict.replace, needed)
    assert verdict.why


@pytest.mark.parametrize("mode", [Mode.RECORD, Mode.REPLAY, Mode.OFFLINE])
def test_replay(mode: Mode) -> None:
    """A hit is answered from the store."""
    assert (Replay(take()), ["Find"]) == run(Controls(mode=mode), [take()])


TTLS = [(None, None, None, True), (200, None, None, True), (100, None, None, False), (None, 100, None, False)]
TTLS += [(None, 200, 50, False), (None, None, 101, True), (None, None, 0, False), (50, 200, 200, False)]


@pytest.mark.parametrize(("recorder", "reader", "max_age", "fresh"), TTLS)
@pytest.mark.parametrize("mode", [Mode.RECORD, Mode.REPLAY, Mode.OFFLINE])
def test_freshness(
    mode: Mode, recorder: float | None, reader: float | None, max_age: float | None, fresh: bool
) -> None:
    """An answer is good until the first of its recorder's and its reader's times to live has passed."""
    one = take(ttl=recorder)
    verdict, _ = run(Controls(mode=mode, ttl=reader, max_age=max_age), [one])
    if fresh:
        assert Replay(one) == verdict
    elif mode is Mode.OFFLINE:
        assert isinstance(verdict, Refuse)
        assert "100 s ago, which is past its time to live" in verdict.message
    else:
        assert isinstance(verdict, Forward)
        assert (mode is Mode.RECORD, True) == (verdict.keep, verdict.replace)


def test_clock_that_went_backwards() -> None:
    """An answer from the future is not old."""
    one = take(recorded=NOW + 500, ttl=1)
    assert Replay(one) == run(Controls(mode=Mode.RECORD), [one])[0]


@pytest.mark.parametrize(("seed", "body"), [(None, b"none"), ("a", b"a"), ("b", b"b"), ("c", None)])
def test_seeds(seed: str | None, body: bytes | None) -> None:
    """A seed is answered by its own take alone; none by the take that was recorded without one."""
    takes = [take(b"a", "a"), take(b"none"), take(b"b", "b")]
    chosen = choose(takes, seed)
    assert body == (chosen and chosen.answer.body)
    verdict, _ = run(Controls(mode=Mode.RECORD, seed=seed), takes)
    assert isinstance(verdict, Forward if body is None else Replay)


def test_offline_miss() -> None:
    """Offline, a miss is refused with the request, and what is recorded is asked for only then."""
    verdict, needs = run(Controls(mode=Mode.OFFLINE), [], [])
    assert isinstance(verdict, Refuse)
    assert ["Find", "Recent"] == needs
    assert "POST https://api.openai.com/v1/chat/completions m" in verdict.message


@given(st.sampled_from(Mode), st.booleans(), st.sampled_from([None, 0.0, 1.0, 1e9]))
def test_every_call_gets_one_verdict(mode: Mode, hit: bool, ttl: float | None) -> None:
    """There is no combination without a verdict, and offline never asks."""
    verdict, _ = run(Controls(mode=mode, ttl=ttl), [take()] if hit else [])
    assert isinstance(verdict, Replay | Refuse if mode is Mode.OFFLINE else Replay | Forward)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("status", [400, 404])
def test_refusals(dialect: Dialect, status: int) -> None:
    """A refusal is an error answer with our words that no SDK retries."""
    refused = refusal(dialect, status, "our “words”")
    assert status == refused.head.status
    assert "our “words”".encode() in refused.body
    assert "false" == refused.head.headers.get(b"x-should-retry")
    assert str(len(refused.body)) == refused.head.headers.get(b"content-length")


def test_playback() -> None:
    """A recorded rhythm comes back as pauses, scaled; a clock that went backwards makes none."""
    one = answer()
    assert (0.25, [(0.25, b'{"ok":1}')]) == (head_pause(one, 1.0), list(pieces(one, 1.0)))
    assert (0.0, [(0.0, b'{"ok":1}')]) == (head_pause(one, 0.0), list(pieces(one, 0.0)))
    assert [(0.0, b'{"ok":1}')] == list(pieces(answer(at=0.1), 1.0))
