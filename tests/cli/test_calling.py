"""`askonce calls`: the gateway's journal at the terminal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from askonce.gateway.calls import Again, Call
from askonce.gateway.journal import Journal
from tests.cli.conftest import Run
from tests.servers import PostgresServer
from tests.storage.conftest import ask, take

MADE = [("miss", "ada"), ("hit", "ada"), ("hit", "bob"), ("error", "")]


def noted(number: int, outcome: str, customer: str) -> Call:
    status = 502 if outcome == "error" else 200
    call = Call("POST", "/v1/chat/completions", "openai", outcome, status, customer)
    call.question = ask(number, model="gpt-5-mini", provider="openai", body=f"question {number}")
    call.at, call.seconds = time.time() - 3000 + 600 * number, 0.25
    call.take, call.answer = (take(), None) if outcome == "hit" else (None, take().answer)
    return call


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store beside which there is a journal."""
    journal = Journal(tmp_path / "journal.db", keep=1e9, most=1 << 30)
    for number, (outcome, customer) in enumerate(MADE):
        journal.note(noted(number, outcome, customer))
    journal.close()
    return tmp_path / "cache.db"


def listed(run: Run, store: Path, *more: str) -> list[int]:
    lines = run("calls", "--store", store, "--json", *more).stdout.splitlines()
    return [json.loads(line)["id"] for line in lines]


def test_list(run: Run, store: Path) -> None:
    """Calls are listed, the latest last, with how they were answered and what they asked."""
    text = run("calls", "--store", store).stdout
    assert ["ID", "1", "2", "3", "4"] == [line.split()[0] for line in text.splitlines()]
    assert "bob       gpt-5-mini       7  250.0 ms  question 2" in text
    assert [3, 4] == listed(run, store, "--limit", "2")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--outcome", "hit"], [2, 3]),
        (["--customer", "ada"], [1, 2]),
        (["--status", "502"], [4]),
        (["--text", "question 2"], [3]),
        (["--model", "MINI", "--provider", "openai"], [1, 2, 3, 4]),
        (["--since", "45m"], [2, 3, 4]),
        (["--until", "45m"], [1]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_filters(run: Run, store: Path, filters: list[str], expected: list[int]) -> None:
    """The filters are those of the page."""
    assert expected == listed(run, store, *filters)


def test_one(run: Run, store: Path) -> None:
    """A call is shown by its number; one that is not there is an error."""
    assert "question 1" in run("calls", "2", "--store", store).stdout
    assert "hit" == json.loads(run("calls", "2", "--store", store, "--json").stdout)["outcome"]
    missing = run("calls", "9", "--store", store)
    assert (1, "Error: There is no call 9 in the journal.\n") == (missing.exit_code, missing.stderr)


def test_what_they_come_to(run: Run, store: Path) -> None:
    """A summary and a series say what was saved."""
    summary = json.loads(run("calls", "--summary", "--store", store, "--json").stdout)
    assert (4, 2, 1, 14) == tuple(summary[name] for name in ("calls", "hits", "misses", "tokens_saved"))
    assert "66.7%" in run("calls", "--summary", "--store", store).stdout
    points = json.loads(run("calls", "--series", "--store", store, "--json").stdout)
    assert (2, 1) == (sum(point["hits"] for point in points), sum(point["misses"] for point in points))
    assert len(points) + 1 == len(run("calls", "--series", "--store", store).stdout.splitlines())


@pytest.mark.parametrize("how", ["--summary", "--series"])
def test_sums_are_of_all(run: Run, store: Path, how: str) -> None:
    """A filter that sums know nothing of is refused, not passed over."""
    result = run("calls", how, "--customer", "ada", "--store", store)
    assert (2, True) == (result.exit_code, "there is no --customer" in result.stderr)


def test_no_journal(run: Run, tmp_path: Path) -> None:
    """Where there is no journal, one line says what makes one."""
    result = run("calls", "--store", tmp_path / "cache.db")
    assert 1 == result.exit_code
    assert "`askonce serve` makes one" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_follow(store: Path) -> None:
    """With --follow new calls come as they are written, until Ctrl-C."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from askonce.cli import main; main()"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "calls",
        "--follow",
        "--outcome",
        "hit",
        "--json",
        "--store",
        str(store),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert [2, 3] == [json.loads(process.stdout.readline())["id"] for _ in range(2)]
            journal = Journal(store.with_name("journal.db"), keep=1e9, most=1 << 30)
            hit = noted(4, "hit", "eve")
            for call in (noted(3, "miss", "eve"), hit, Again(hit, time.time(), 0.001)):
                journal.note(call)
            journal.close()
            assert [6, 7] == [json.loads(process.stdout.readline())["id"] for _ in range(2)]
            process.send_signal(signal.SIGINT)
            assert ("", "") == (process.stdout.read(), process.stderr.read())
        finally:
            process.kill()


def test_by_the_gateways_settings(run: Run, tmp_path: Path, postgres_server: PostgresServer) -> None:
    """With --config the journal and the keys are those of that gateway, and no provider's key is needed."""
    url = postgres_server.url(schema="calling", password="SECRET")
    config = tmp_path / "askonce.toml"
    config.write_text(
        f'store = "redis://127.0.0.1:1"\njournal = "{url}"\nkeys = "{tmp_path}/keys.json"\n'
        'upstreams.openai.key_variable = "THERE_IS_NONE"\n'
    )
    none_yet = run("calls", "--config", config)
    assert 1 == none_yet.exit_code
    assert "There is no journal at postgresql://" in none_yet.stderr
    assert "SECRET" not in none_yet.stderr
    journal = Journal(url, keep=1e9, most=1 << 30)
    assert not journal.ledger.exists()
    journal.note(noted(1, "hit", "ada"))
    journal.close()
    assert [1] == [
        json.loads(line)["id"] for line in run("calls", "--config", config, "--json").stdout.splitlines()
    ]
    assert 0 == run("keys", "add", "ci", "--config", config).exit_code
    assert "ci" in (tmp_path / "keys.json").read_text()
    assert "ci" in run("keys", "ls", "--config", config).stdout
    assert 0 == run("keys", "revoke", "ci", "--config", config).exit_code
