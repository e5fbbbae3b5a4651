"""`askonce demo`: the real thing, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import pytest

from askonce.cli import demo
from tests.cli.conftest import Run


def test_demo(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call is answered the same the second time, by no one but the store, which can be kept and listed."""
    monkeypatch.setattr(demo, "_LATENCY", 0.1)
    monkeypatch.setattr(demo, "_PACE", 0.01)
    kept = tmp_path / "kept.db"
    result = run("demo", "--json", "--keep", kept)
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)
    assert [True] * 6 == value["same"]
    assert (6, 0) == (value["requests"], value["requests_second_run"])
    assert value["seconds_saved"] > 0.3
    assert value["tokens_saved"] > 0
    assert {"openai", "anthropic"} == {call["sdk"] for call in value["first_run"]}
    assert len(json.loads(run("ls", "--json", "--store", kept).stdout)) == 6
    assert "exists already" in run("demo", "--keep", kept).stderr


@pytest.mark.parametrize(("differs", "asked_again", "code"), [(False, 0, 0), (True, 0, 1), (False, 1, 1)])
def test_verdict(run: Run, monkeypatch: pytest.MonkeyPatch, differs: bool, asked_again: int, code: int) -> None:
    """It fails when an answer differs, and when the provider was asked the second time."""
    runs: list[int] = []

    class Provider:
        url = "http://127.0.0.1:9"

        def __init__(self, **_: float) -> None: ...
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...
        def stop(self) -> None: ...
        def count(self) -> int:
            return 1 if len(runs) == 1 else 1 + asked_again

    def fake(*_: object) -> list[demo._Call]:
        runs.append(1)
        pieces = ["a", "b"] if differs and len(runs) == 2 else ["a", "c"]
        return [demo._Call("openai", "chat, streamed", 0.5 / len(runs), 0.1, pieces)]

    monkeypatch.setattr("askonce.testing.LocalProvider", Provider)
    monkeypatch.setattr(demo, "_run", fake)
    result = run("demo")
    assert code == result.exit_code
    assert ("NO" if differs else "yes") in result.stdout
    assert "250 ms of waiting" in result.stdout


def test_missing_sdks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDKs it says what to install."""
    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    result = run("demo")
    assert result.exit_code == 1
    assert "pip install openai anthropic" in result.stderr
