"""Conformance by reflection, in small; `make conformance` calls every method and writes the page."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.runs import Runs
from tests.conformance.sdks import Sdk, sdks
from tests.conformance.server import Server
from tests.conformance.values import Maker

SOME = (
    *("embeddings.create", "audio.translations.create", "models.retrieve"),
    *("messages.count_tokens", "models.count_tokens", "models.get"),
)


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*experimental:UserWarning")
@pytest.mark.parametrize("sdk", sdks(), ids=lambda sdk: sdk.name)
def test_conformance(sdk: Sdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same results without askonce, recording and replaying; no pair is merged; state is asked each time."""
    monkeypatch.chdir(tmp_path)
    server = Server()
    server.start()
    try:
        tally = asyncio.run(Runs(sdk, server, tmp_path).run(SOME))
    finally:
        server.stop()
    assert tally.generation
    assert tally.untouched
    assert 10 < tally.pairs
    assert ([], [], []) == (tally.merged, tally.differing, tally.misjudged)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (bool | None, [True, False]),
        (list[int], [[1], [2], [3], [4], [5]]),
        (dict[str, str], [{"name": f"text{number}"} for number in range(5)]),
    ],
)
def test_alternatives(kind: Any, expected: list[Any]) -> None:
    """A type's values are different ones."""
    assert expected == Maker().alternatives(kind)
