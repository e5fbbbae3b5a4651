"""`askonce used`."""

from __future__ import annotations

import json
import time
from pathlib import Path

from askonce._core.entry import Take
from askonce.storage import open_storage
from tests.cli.conftest import CACHE, SPEECH, Run, answer, question


def use(store: Path) -> None:
    """Answer from the store, as another process does: the count of this hit must not wait."""
    storage = open_storage(store)
    first = storage.takes(CACHE.key)[0]
    storage.count_hit(CACHE.key, first, time.time())


def test_used_since_the_mark(run: Run, recorded: Path) -> None:
    """What answered or was recorded since the mark is listed, and nothing else; with all its takes."""
    assert 0 == run("used", "--reset", "--store", recorded).exit_code
    result = run("used", "--store", recorded)
    assert (0, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("0 of 3 entries were used since the mark, ")
    use(recorded)
    storage = open_storage(recorded)
    fresh = question({"input": "new"}, "tts-1", kind="speech")
    storage.add(fresh, Take(answer(b"sound", content_type="audio/mpeg"), time.time()))
    found = json.loads(run("used", "--store", recorded, "--json").stdout)["entries"]
    assert [(fresh.key.hex(), 1), (CACHE.key.hex(), 2)] == [(one["key"], one["takes"]) for one in found]
    assert SPEECH.key.hex()[:12] not in run("used", "--store", recorded).stdout


def test_no_mark(run: Run, recorded: Path) -> None:
    """Without a mark, or after --clear, the command says how to set one."""
    for _ in range(2):
        result = run("used", "--store", recorded)
        assert 1 == result.exit_code
        assert "`askonce used --reset` sets one" in result.stderr
        assert json.loads(run("used", "--clear", "--store", recorded, "--json").stdout) == {"mark": None}


def test_reset_or_clear(run: Run, recorded: Path) -> None:
    """Both at once are refused."""
    assert 2 == run("used", "--reset", "--clear", "--store", recorded).exit_code


def test_counts_stay(run: Run, recorded: Path) -> None:
    """A mark changes no total."""
    before = run("stats", "--store", recorded).stdout
    run("used", "--reset", "--store", recorded)
    assert before == run("stats", "--store", recorded).stdout
