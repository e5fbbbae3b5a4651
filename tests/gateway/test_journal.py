"""The journal's rows: hits that are alike are one, and have lines of their own all the same."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import askonce
from askonce.gateway.calls import Again, Call
from askonce.gateway.journal import Journal
from askonce.gateway.ledger import CallFilter
from askonce.gateway.ledger_sqlite import _LAYOUTS, SQLiteLedger
from tests.storage.conftest import ask, take

NOON = 1_800_000_000.0
_numbers = itertools.count()


def call(outcome: str = "hit", at: float = NOON, customer: str = "", *, omit: bool = False) -> Call:
    return Call("POST", "/v1/x", "openai", outcome, 200, customer, at=at, seconds=0.25, first=0.25, omit=omit)


@pytest.fixture(params=["sqlite", "postgres"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    place: Path | str = tmp_path / "journal.db"
    if request.param == "postgres":
        place = request.getfixturevalue("postgres_server").url(schema=f"journal_{next(_numbers)}")
    made = Journal(place, keep=10**9, most=1 << 30)
    yield made
    assert "" == made.trouble
    made.close()


def rows(journal: Journal) -> list[tuple[int, int]]:
    """Return first id and count of each row."""
    journal.flush()
    return journal.ledger.rows("SELECT id, count FROM {s}calls ORDER BY id")


def test_calls_alike_are_one_row(journal: Journal) -> None:
    """Calls that are alike and came within a second share a row; each has its id, its time and its seconds."""
    hit = call()
    journal.note(hit)
    for n in range(1, 5):
        journal.note(Again(hit, NOON + n / 10, n / 1000))
    journal.note(call("miss", NOON + 0.45))
    assert [(1, 1), (2, 4), (6, 1)] == rows(journal)
    lines = journal.lines()
    assert [6, 5, 4, 3, 2, 1] == [line.id for line in lines]
    assert ["miss", *["hit"] * 5] == [line.outcome for line in lines]
    assert [0.4, 0.3, 0.2, 0.1] == [round(line.at - NOON, 3) for line in lines[1:5]]
    assert [0.004, 0.003, 0.002, 0.001] == [line.seconds for line in lines[1:5]]
    assert lines == [journal.line(number) for number in range(6, 0, -1)]
    assert journal.line(7) is None
    hour = next(row for row in journal.hours() if row.outcome == "hit")
    assert (5, 0.26) == (hour.calls, round(hour.seconds, 6))
    assert 5 == sum(count for _, outcome, _, count in journal.latencies() if outcome == "hit")


def test_a_row_is_bounded(journal: Journal) -> None:
    """What comes a second later, or is one too many, begins a row of its own."""
    hit = call()
    for n in range(2500):
        journal.note(Again(hit, NOON + n / 10_000, 0.001))
    journal.note(Again(hit, NOON + 5, 0.001))
    assert [(1, 1000), (1001, 1000), (2001, 500), (2501, 1)] == rows(journal)


def test_pages_begin_in_the_midst_of_a_row(journal: Journal) -> None:
    """Paging by id and filtering by time count lines, not rows."""
    hit, other = call(customer="ann"), call(customer="bob")
    for n in range(10):
        journal.note(Again(hit, NOON + n / 100, 0.001))
    for n in range(10):
        journal.note(Again(other, NOON + 0.2 + n / 100, 0.001))
    assert [(1, 10), (11, 10)] == rows(journal)
    seen, before = [], None
    while page := journal.lines(before=before, limit=3):
        seen += [line.id for line in page]
        before = page[-1].id
    assert list(range(20, 0, -1)) == seen
    assert [20, 19, 18] == [line.id for line in journal.lines(after=17)]
    assert [8, 7] == [line.id for line in journal.lines(CallFilter(customer="ann"), before=9, after=6)]
    since = journal.lines(CallFilter(since=NOON + 0.045, until=NOON + 0.215))
    assert [12, 11, 10, 9, 8, 7, 6] == [line.id for line in since]


def test_what_is_left_out(journal: Journal) -> None:
    """Calls that are to leave no trace are counted, and have no ids."""
    secret = call(omit=True)
    journal.note(Again(secret, NOON, 0.001))
    journal.note(call(at=NOON + 1))
    assert [(1, 1)] == rows(journal)
    assert 2 == sum(row.calls for row in journal.hours())


def test_an_older_journal(tmp_path: Path) -> None:
    """A journal of the first layout is gone on with."""
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as db:
        for statement in _LAYOUTS[0].split(";\n"):
            db.execute(statement)
        db.execute("PRAGMA user_version = 1")
    journal = Journal(path, keep=10**9, most=1 << 30)
    hit = call()
    journal.note(hit)
    for n in range(3):
        journal.note(Again(hit, NOON + 0.1 * n, 0.001))
    assert [4, 3, 2, 1] == [line.id for line in journal.lines()]
    assert "" == journal.trouble
    journal.close()


def test_one_batch_of_all_kinds(journal: Journal) -> None:
    """Calls that cost something, nothing, and what nobody knows are written together, whatever their order."""
    for outcome in ("bypass", "miss", "hit", "error", "miss"):
        noted = call(outcome, customer=outcome)
        if outcome in ("miss", "hit"):
            noted.question = ask(1, model="gpt-5-mini", provider="openai")
            noted.answer = take().answer
        journal.note(noted)
    assert ["miss", "error", "hit", "miss", "bypass"] == [line.outcome for line in journal.lines()]
    sums = {row.outcome: row for row in journal.hours()}
    assert (0, 0, 2) == (sums["bypass"].cost, sums["hit"].cost, sums["miss"].calls)
    assert 0 < sums["hit"].saved == sums["miss"].cost / 2
    assert {row.outcome: row[2:] for row in journal.totals()} == {row.outcome: row[2:] for row in sums.values()}


def test_long_names(journal: Journal) -> None:
    """Of a name that has no end only its beginning is written, and found by the whole."""
    journal.note(call(customer="🦉" * 100_000))
    (line,) = journal.lines(CallFilter(customer="🦉" * 100_000))
    assert "🦉" * 500 == line.customer


@pytest.mark.parametrize(
    ("journal", "customer", "why"),
    [("sqlite", "\ud800", "surrogates"), ("postgres", random.Random(1).randbytes(5000).hex(), "index row")],
    indirect=["journal"],
)
def test_what_is_refused_for_ever(
    journal: Journal, customer: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the journal never takes is told of, and is not in the way of what follows."""
    monkeypatch.setattr("askonce.gateway.lines.plain", lambda text: text)
    journal.note(call(customer=customer))
    with pytest.warns(askonce.AskonceWarning, match=f"does not take what is in them: .*{why}"):
        journal.flush()
    journal.note(call())
    assert 1 == len(journal.lines())
    assert 1 == journal.lost


def test_odd_text(journal: Journal) -> None:
    """Whatever a client says in a path or a name is written, and found again, but for what is no text."""
    odd = 'tab\t, new\nline\r, back\\slash, \\N, {a,"b"}, \' and %_', "é漢🦉", "a\0b", "\ud800"
    for text in (*odd, "plain"):
        journal.note(call(customer=text))
    lines = journal.lines()
    assert ["plain", "?", "a\ufffdb", *reversed(odd[:2])] == [line.customer for line in lines]
    for line in lines:
        assert [line] == journal.lines(CallFilter(customer=line.customer, text=line.customer))
    assert 1 == len(journal.lines(CallFilter(text="TAB")))
    assert [line for line in lines if line.customer == "?"] == journal.lines(CallFilter(customer="\ud800"))


def test_no_view_of_a_file_reads_all_rows(tmp_path: Path) -> None:
    """At any size a page of lines is found through an index, whatever the filter, and so is each other view."""
    journal = Journal(tmp_path / "journal.db", keep=10**9, most=1 << 30)
    journal.note(call(customer="ann"))
    asked: list[str] = []
    journal.flush()
    ledger = journal.ledger
    assert isinstance(ledger, SQLiteLedger)
    ledger._open().set_trace_callback(asked.append)
    views = [
        *(CallFilter(**{name: value}) for name, value in (  # type: ignore[arg-type]
            ("outcome", "hit"), ("customer", "ann"), ("provider", "p"), ("status", 200), ("since", 1.0),
        )),
        CallFilter(),
    ]  # fmt: skip
    for where in views:
        journal.lines(where, limit=50)
        journal.lines(where, before=1, limit=50)
        journal.lines(where, after=1, limit=50)
    journal.line(1)
    for column in ("provider", "model", "customer"):
        journal.names(column)
    journal.totals()
    journal.classes()
    ledger._open().set_trace_callback(None)
    assert len(asked) > 20
    for statement in asked:
        plan = [row[3] for row in ledger._open().execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert not any("TEMP B-TREE" in step for step in plan), statement
        whole = [step for step in plan if step.startswith("SCAN calls") and "INDEX" not in step]
        # A scan by id, the latest first, ends with the page; nothing is skipped on the way but by `since`.
        assert not whole or "ORDER BY id DESC" in statement, (statement, plan)
