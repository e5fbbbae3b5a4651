"""`askonce stats`, `rm` and `prune`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from askonce._core.entry import Question, Take
from askonce._core.messages import Usage
from askonce.prices import price
from askonce.storage import Storage, open_storage
from askonce.storage.protocol import ModelTotals, sum_by_model
from tests.cli.conftest import CACHE, CAPITAL, SPEECH, Run, answer, question


def keys_in(store: Path) -> set[bytes]:
    """Return the keys of a store."""
    storage = open_storage(store)
    try:
        return {entry.question.key for entry in storage.entries()}
    finally:
        storage.close()


def test_stats(run: Run, recorded: Path) -> None:
    """Totals and savings come first, then a line a model."""
    result = run("stats", "--store", recorded)
    expected = f"""\
store     {recorded}
holds     3 entries, 4 takes, SIZE
answered  3 calls from the store
saved     4.5 s of waiting, 75 tokens
money     about $0.00012 saved

PROVIDER   MODEL              ENTRIES  TAKES    SIZE  TOKENS    TOOK  HITS     SAVED
anthropic  claude-sonnet-4-5        1      1  SIZE         9  250 ms     0
openai     gpt-5-mini               1      2  SIZE        50   2.8 s     3  $0.00012
openai     tts-1                    1      1  SIZE         0  250 ms     0
"""
    assert _flat(expected) == _flat(result.stdout)


def _flat(text: str) -> str:
    """Leave sizes aside: how much is compressed is the storage's own matter."""
    return " ".join(re.sub(r"[\d.,]+ K?B", "SIZE", text).split())


def test_stats_json(run: Run, recorded: Path) -> None:
    """The JSON of the statistics has these fields."""
    value = json.loads(run("stats", "--store", recorded, "--json").stdout)
    models = value.pop("models")
    dollars = 3 * price("openai", "gpt-5-mini", Usage(5, 20))  # type: ignore[operator]
    assert {"dollars": pytest.approx(dollars), "unpriced": [], "uncounted": 0} == value.pop("money_saved")
    assert value.pop("size") == sum(model.pop("size") for model in models)
    assert {
        "store": str(recorded), "entries": 3, "takes": 4, "hits": 3, "seconds_saved": 4.5, "tokens_saved": 75
    } == value  # fmt: skip
    assert {
        "provider": "openai", "model": "gpt-5-mini", "entries": 1, "takes": 2, "hits": 3, "input_tokens": 10,
        "output_tokens": 40, "seconds": 2.75, "input_saved": 15, "output_saved": 60, "cached_saved": 0,
        "written_saved": 0, "uncounted": 0, "dollars_saved": pytest.approx(dollars, rel=0.01),
    } == models[1]  # fmt: skip


def test_stats_of_some(run: Run, recorded: Path) -> None:
    """With a filter only what matches is counted, and what the whole store has saved is left out."""
    value = json.loads(run("stats", "--store", recorded, "--json", "--model", "gpt").stdout)
    assert (1, 2, 3) == (value["entries"], value["takes"], value["hits"])
    assert "seconds_saved" not in value
    assert "waiting" not in run("stats", "--store", recorded, "--model", "gpt").stdout


@pytest.mark.parametrize("url", ["memory:by-model", "cache.db"])
def test_by_model(url: str) -> None:
    """Every storage sums up the same, each question once, however many takes it has."""
    storage: Storage = open_storage(url)
    counts = {"prompt_tokens": 2, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}}
    taken = answer(json.dumps({"usage": counts}).encode(), b" ")
    for i, model in enumerate(("a", "b", "b")):
        for seed in (None, "1"):
            storage.add(question(f"{i}", model), Take(taken, 0.0, seed))
    storage.count_hit(question("0", "a").key, Take(taken, 0.0, "1"), 1.0)
    expected = [
        ModelTotals("openai", "b", 2, 4, 0, 0, 8, 12, 2.0),
        ModelTotals("openai", "a", 1, 2, 0, 1, 4, 6, 1.0, 2.0, 3.0, 1.0),
    ]

    def sizeless(rows: object) -> list[ModelTotals]:
        assert isinstance(rows, list)
        assert all(row.size > 0 for row in rows)
        return [row._replace(size=0) for row in rows]

    assert expected == sizeless(list(storage.by_model())) == sizeless(sum_by_model(storage.entries()))
    assert sum(row.size for row in storage.by_model()) == storage.totals().size
    storage.close()


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        ([CACHE.key.hex()[:8]], {CAPITAL, SPEECH}),
        ([CACHE.key.hex(), SPEECH.key.hex()[:10]], {CAPITAL}),
        (["--provider", "openai"], {CAPITAL}),
        (["--until", "5d"], {CACHE, CAPITAL}),
        (["--all"], set()),
        ([CACHE.key.hex(), "--provider", "anthropic"], {CACHE, CAPITAL, SPEECH}),
    ],
)
def test_rm(run: Run, recorded: Path, arguments: list[str], left: set[Question]) -> None:
    """Entries go by key, by filter, or by key where the filters match; nothing else goes."""
    result = run("rm", "--store", recorded, "--yes", *arguments)
    assert result.exit_code == 0
    assert {one.key for one in left} == keys_in(recorded)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Name a KEY or a filter, or say --all"),
        (["--text", ""], 2, "Name a KEY or a filter, or say --all"),
        (["--since", "1970-01-02"], 1, "Add --all if it is meant"),
        ([CACHE.key.hex(), "ffff"], 1, "No key begins with ffff. Nothing was removed."),
    ],
)
def test_rm_refuses(run: Run, recorded: Path, arguments: list[str], code: int, message: str) -> None:
    """Everything goes only when that is said, and a mistake in one key removes nothing."""
    result = run("rm", "--store", recorded, "--yes", *arguments)
    assert code == result.exit_code
    assert message in result.stderr
    assert len(keys_in(recorded)) == 3


@pytest.mark.parametrize(("typed", "code", "left"), [("n\n", 1, 3), ("", 1, 3), ("y\n", 0, 1)])
def test_rm_asks(run: Run, recorded: Path, typed: str, code: int, left: int) -> None:
    """Before anything goes it is asked, with the count; no answer is no."""
    result = run("rm", "--store", recorded, "--provider", "openai", typed=typed)
    assert "Remove 2 entries from" in result.stderr
    assert (code, left) == (result.exit_code, len(keys_in(recorded)))


def test_rm_json(run: Run, recorded: Path) -> None:
    """The JSON of a removal names the keys."""
    result = run("rm", "--store", recorded, "--yes", "--json", CACHE.key.hex()[:6])
    assert {"removed": 1, "keys": [CACHE.key.hex()]} == json.loads(result.stdout)


@pytest.mark.parametrize(
    ("arguments", "left", "said"),
    [
        ([], {CACHE, SPEECH}, "Removed 1 expired take."),
        (["--older-than", "5d"], {CACHE}, "Removed 1 expired take and 1 old entry."),
        (["--older-than", "90m"], {CACHE}, "Removed 1 expired take and 1 old entry."),
        (["--older-than", "0"], set(), "Removed 1 expired take and 2 old entries."),
        (
            ["--older-than", "5d", "--provider", "cohere"],
            {CACHE, SPEECH},
            "Removed 1 expired take and 0 old entries.",
        ),
    ],
)
def test_prune(run: Run, recorded: Path, arguments: list[str], left: set[Question], said: str) -> None:
    """What has expired goes, and what was last recorded too long ago when that is asked."""
    result = run("prune", "--store", recorded, *arguments)
    assert (0, f"{said}\n") == (result.exit_code, result.stdout)
    assert {one.key for one in left} == keys_in(recorded)


def test_prune_filters_need_an_age(run: Run, recorded: Path) -> None:
    """Filters alone would suggest that expired takes are chosen by them, and are refused."""
    assert run("prune", "--store", recorded, "--model", "gpt").exit_code == 2


def test_prune_json(run: Run, recorded: Path) -> None:
    """The JSON of pruning counts both kinds."""
    assert {"expired_takes": 1, "old_entries": 0} == json.loads(run("prune", "--store", recorded, "--json").stdout)
