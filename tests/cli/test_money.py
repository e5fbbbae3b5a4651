"""Prices in listings, and what is shown where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from askonce import prices
from askonce._core.messages import Usage
from askonce._core.usage import Spared
from tests.cli.conftest import CACHE, SPEECH, Run


@pytest.fixture
def without_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it so that the extra is not installed."""
    monkeypatch.setattr(prices, "find_spec", lambda _: None)
    prices._price.cache_clear()


@pytest.mark.usefixtures("without_list")
def test_without_the_extra(run: Run, recorded: Path) -> None:
    """Without the price list nothing breaks; where a price would be, it is said how to get it."""
    assert None is prices.estimate([Spared("openai", "gpt-5", 1, Usage(9, 9))])
    assert "money     not known: pip install 'askonce[prices]'" in run("stats", "--store", recorded).stdout
    assert '"money_saved": null' in run("stats", "--store", recorded, "--json").stdout
    assert "COST" not in run("ls", "--store", recorded).stdout
    assert "cost      not known: pip install" in run("show", "--store", recorded, CACHE.key.hex()).stdout


def test_show_without_a_count(run: Run, recorded: Path) -> None:
    """An answer that counts no tokens has no price, and that is said."""
    shown = run("show", "--store", recorded, SPEECH.key.hex()).stdout
    assert "cost      not known: the answer does not count its tokens" in shown
