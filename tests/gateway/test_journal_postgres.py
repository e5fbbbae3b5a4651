"""The journal in PostgreSQL: shared by gateways, in partitions a month, whole through whatever happens to it."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

import askonce
from askonce.errors import SettingsError
from askonce.gateway.calls import Again
from askonce.gateway.journal import Journal
from askonce.gateway.ledger import Batch, CallFilter
from askonce.gateway.ledger_postgres import _JOURNAL, PostgresLedger
from askonce.gateway.settings import read_gateway_settings
from tests.engine.stepped import until
from tests.gateway.conftest import Start
from tests.gateway.test_journal import NOON, call
from tests.gateway.test_shared import cached
from tests.servers import Link, PostgresServer, started_postgres

_numbers = itertools.count()
DAY = 86_400.0

Open = Callable[..., Journal]


@pytest.fixture
def schema() -> str:
    return f"gateways_{next(_numbers)}"


@pytest.fixture
def open_journal(postgres_server: PostgresServer, schema: str) -> Iterator[Open]:
    """Return what opens the journal as another gateway does."""
    opened: list[Journal] = []

    def begin(**query: object) -> Journal:
        url = postgres_server.url(**({"schema": schema} | query))
        opened.append(Journal(url, keep=10**9, most=1 << 40))
        return opened[-1]

    yield begin
    for journal in opened:
        assert "" == journal.trouble
        assert 0 == journal.lost
        journal.close()


def noted(journal: Journal, *times: float, **fields: Any) -> None:
    for at in times:
        journal.note(call(at=at, **fields))
    journal.flush()


def ask(journal: Journal, sql: str) -> list[tuple[Any, ...]]:
    """Ask as the database's owner would, with the journal's schema as what is meant."""
    ledger = journal.ledger
    assert isinstance(ledger, PostgresLedger)
    with psycopg.connect(**ledger._server.address.connection, autocommit=True) as connection:
        connection.execute(f"SET search_path = {ledger._server.address.schema}".encode())
        found = connection.execute(sql.encode())
        return found.fetchall() if found.description else []


def months(journal: Journal) -> list[str]:
    sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'calls'::regclass ORDER BY 1"
    return [name for (name,) in ask(journal, sql)]


def at(*date: int) -> float:
    return datetime(*date, tzinfo=UTC).timestamp()  # type: ignore[arg-type]


def test_gateways_share_it(open_journal: Open) -> None:
    """Each gateway lists the calls of all; sums are of all, but for a gateway's own metrics."""
    one, other = open_journal(), open_journal()
    other.ledger._gateway = "elsewhere"  # type: ignore[attr-defined]
    noted(one, NOON, NOON + 1)
    noted(other, NOON + 2, outcome="miss")
    for journal in (one, other):
        assert [3, 2, 1] == [line.id for line in journal.lines()]
        assert {("hit", 2), ("miss", 1)} == {(row.outcome, row.calls) for row in journal.hours()}
        assert 3 == sum(count for *_, count in journal.latencies())
    assert [("hit", 2)] == [(row.outcome, row.calls) for row in one.totals()]
    assert [("miss", 1)] == [(row.outcome, row.calls) for row in other.totals()]
    assert [("hit", 8, 2)] == one.classes()


def test_the_documented_query(open_journal: Open) -> None:
    """What the documentation asks the database is what the journal comes to."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "shared-store.md").read_text("utf-8")
    (query,) = re.findall(r"```sql\n(.*?)\n```", page, re.DOTALL)
    assert "askonce_journal.hours" in query
    journal = open_journal()
    noted(journal, NOON, NOON + 3600)
    found = ask(journal, query.replace("askonce_journal.", ""))
    assert [(NOON // 3600 * 3600 + 3600 * hour, 0.0) for hour in (0, 1)] == [
        (at.timestamp(), x) for at, x in found
    ]


def test_who_follows_misses_none(open_journal: Open) -> None:
    """However many gateways write at once, ids are seen in their order: who goes on from the last has all."""
    writers, seen = [open_journal() for _ in range(4)], list[int]()
    follower = open_journal()

    def write(journal: Journal) -> None:
        for number in range(50):
            hit = call(customer=f"{number}")
            for _ in range(3):
                journal.note(Again(hit, NOON, 0.001))
            journal.flush()

    threads = [threading.Thread(target=write, args=(journal,)) for journal in writers]
    for thread in threads:
        thread.start()
    while len(seen) < 600:
        is_over = not any(thread.is_alive() for thread in threads)
        seen += [line.id for line in reversed(follower.lines(after=seen[-1] if seen else 0, limit=1000))]
        assert len(seen) == 600 or not is_over
    assert list(range(1, 601)) == seen


def test_what_is_written_again_is_there_once(open_journal: Open) -> None:
    """A batch whose writer did not hear that it was written is sent again, and is there once; so is the next."""
    journal = open_journal()
    batches = [Batch.of(number, [call(), call("miss")]) for number in (1, 2)]
    for batch in (batches[0], batches[0], batches[1], batches[1]):
        journal.ledger.write(batch)
    assert [4, 3, 2, 1] == [line.id for line in journal.lines()]
    assert {2} == {row.calls for row in journal.hours()}


def test_a_partition_a_month(open_journal: Open) -> None:
    """Each month has a partition of its own, whatever the order in which its calls come."""
    journal = open_journal()
    noted(journal, at(2026, 12, 31, 23, 59, 59), at(2027, 1, 1), at(2024, 2, 29), at(2026, 12, 1))
    assert ["calls_2024_02", "calls_2026_12", "calls_2027_01"] == months(journal)
    assert [(2,)] == ask(journal, "SELECT count(*) FROM calls_2026_12")
    assert 4 == len(journal.lines())
    since = CallFilter(since=at(2026, 12, 31), until=at(2027, 1, 1, 1))
    assert 2 == len(journal.lines(since))


def test_months_go_as_a_whole(open_journal: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month goes when its last call may; the sums stay; another gateway goes on with a month that is gone."""
    journal, other = open_journal(), open_journal()
    noted(journal, at(2026, 8, 31), at(2026, 9, 1), at(2026, 10, 31))
    monkeypatch.setattr("askonce.gateway.ledger_postgres.time.time", lambda: at(2026, 10, 30))
    journal.ledger.tidy(30 * DAY, 1 << 40)
    assert ["calls_2026_09", "calls_2026_10"] == months(journal)
    assert [3, 2] == [line.id for line in journal.lines()]
    assert 3 == sum(row.calls for row in journal.hours())
    noted(other, at(2026, 9, 2))
    journal.ledger.tidy(29 * DAY, 1 << 40)
    assert ["calls_2026_10"] == months(journal)
    noted(other, at(2026, 9, 3))
    until(lambda: other.flush() or not other._unwritten)
    assert ["calls_2026_09", "calls_2026_10"] == months(journal)


def test_too_much(open_journal: Open) -> None:
    """Of a journal that is too large months go, the oldest first, and of the last one the oldest tenth."""
    journal = open_journal()
    noted(journal, at(2026, 8, 1), at(2026, 9, 1), *(at(2026, 10, 1) + number for number in range(20)))
    size = sum(ask(journal, f"SELECT pg_total_relation_size('{name}')")[0][0] for name in months(journal))
    journal.ledger.tidy(1e9, size - 1)
    assert ["calls_2026_09", "calls_2026_10"] == months(journal)
    journal.ledger.tidy(1e9, 1)
    assert ["calls_2026_10"] == months(journal)
    assert list(range(22, 3, -1)) == [line.id for line in journal.lines()]


def test_a_reader_is_not_in_the_way_for_long(open_journal: Open) -> None:
    """While somebody reads a month it does not go, and calls are written on; it goes the next time."""
    journal = open_journal()
    noted(journal, at(2026, 8, 1), NOON)
    ledger = journal.ledger
    assert isinstance(ledger, PostgresLedger)
    with psycopg.connect(**ledger._server.address.connection) as reader:
        reader.execute(f"SELECT * FROM {ledger._server.address.schema}.calls_2026_08".encode())
        with pytest.raises(askonce.StorageError, match="lock timeout"):
            ledger.tidy(30 * DAY, 1 << 40)
        noted(journal, NOON)
        assert 3 == len(journal.lines())
    ledger.tidy(-1e9, 1 << 40)
    assert [] == months(journal)


def test_nothing_is_lost(open_journal: Open) -> None:
    """Through kills and hangs of the server nothing that was noted is lost, and nothing is there twice."""
    with started_postgres() as server:
        journal = Journal(server.url(), keep=1e9, most=1 << 40)
        journal.note(call(customer="0"))
        journal.flush()

        def kill(number: int) -> None:
            server.kill()
            journal.note(call(customer=f"{number}"))
            until(lambda: journal.trouble)
            assert [] == journal.lines()
            server.start()
            until(lambda: not journal.trouble)

        with pytest.warns(askonce.AskonceWarning, match="cannot be used: the journal at postgresql://"):
            kill(1)
        kill(2)
        kill(3)
        assert ["3", "2", "1", "0"] == [line.customer for line in journal.lines()]
        assert 0 == journal.lost
        journal.close()


def test_a_cut_in_the_midst(postgres_server: PostgresServer, schema: str) -> None:
    """A connection that breaks in the midst of a batch leaves none of it; the whole of it comes later."""
    link = Link(postgres_server.port)
    url = postgres_server.url(schema=schema).replace(f":{postgres_server.port}/", f":{link.port}/")
    journal = Journal(url, keep=1e9, most=1 << 40)
    noted(journal, NOON)
    wrote = PostgresLedger._write

    def cut(ledger: PostgresLedger, work: Any, batch: Batch) -> None:
        wrote(ledger, work, batch)
        work.link.connection.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PostgresLedger, "_write", cut)
        with pytest.warns(askonce.AskonceWarning, match="journal"):
            noted(journal, NOON, NOON)
    assert journal.trouble
    until(lambda: not journal.trouble)
    assert [3, 2, 1] == [line.id for line in journal.lines()]
    assert 3 == sum(row.calls for row in journal.hours())
    journal.close()
    link.close()


def test_old_beside_new(open_journal: Open) -> None:
    """A newer askonce makes its step while an older one is at work, and both go on."""
    old, new = open_journal(), open_journal()
    noted(old, NOON)
    step = "ALTER TABLE {s}.calls ADD later varchar NOT NULL DEFAULT ''"
    new.ledger._server._layout = _JOURNAL._replace(steps=(*_JOURNAL.steps, step))  # type: ignore[attr-defined]
    noted(new, NOON)
    noted(old, NOON)
    noted(open_journal(), NOON)
    for journal in (old, new):
        assert [4, 3, 2, 1] == [line.id for line in journal.lines()]


def test_somebody_drops_it(open_journal: Open, schema: str) -> None:
    """A journal that somebody drops is begun anew."""
    journal = open_journal()
    noted(journal, NOON)
    ask(journal, f"DROP SCHEMA {schema}_journal CASCADE")
    noted(journal, NOON + 1)
    until(lambda: journal.flush() or not journal._unwritten)
    assert [NOON + 1] == [line.at for line in journal.lines()]


def test_no_view_reads_all_rows(open_journal: Open) -> None:
    """At any size a page of lines is found through an index in each month, whatever the filter."""
    journal = open_journal()
    for month in (11, 12):
        for number in range(4000):
            journal.note(call(at=at(2026, month, 1) + number, customer=f"c{number % 7}"))
        journal.flush()
    ask(journal, "ANALYZE calls")
    ledger, asked = journal.ledger, list[str]()
    assert isinstance(ledger, PostgresLedger)
    do = ledger._server.do

    def explained(sql: str, *values: Any) -> list[tuple[Any, ...]]:
        asked.append("\n".join(row[0].decode() for row in do(f"EXPLAIN {sql}", *values)))
        return do(sql, *values)

    ledger._server.do = explained  # type: ignore[method-assign]
    for where in (
        CallFilter(outcome="hit"), CallFilter(customer="c1"), CallFilter(provider="openai"),
        CallFilter(status=200), CallFilter(since=at(2026, 12, 1)), CallFilter(),
    ):  # fmt: skip
        for more in ({}, {"before": 500}, {"after": 7900}):
            assert journal.lines(where, **more) or where.since  # type: ignore[arg-type]
    journal.line(17)
    journal.names("customer")
    assert 20 <= len(asked)
    for plan in asked:
        assert "Seq Scan on calls" not in plan, plan


def test_its_place() -> None:
    """It is in the PostgreSQL that is the store, or where its own setting says."""
    url = "postgresql://ann:SECRET@db.test/llm"
    assert url == read_gateway_settings(store=url).journal
    assert url == read_gateway_settings(store="redis://cache.test", journal=url).journal
    assert "journal.db" in str(read_gateway_settings(store="redis://cache.test").journal)
    with pytest.raises(SettingsError, match=r"journal: .*there is no 'shema'") as caught:
        Journal(f"{url}?shema=x", keep=1, most=1)
    assert "SECRET" not in str(caught.value)


def test_two_gateways(start: Start, postgres_server: PostgresServer, schema: str) -> None:
    """Two gateways on one PostgreSQL show one another's calls, on the page and in the API."""
    url = postgres_server.url(schema=schema)
    one, other = start(store=url), start(store=url)
    for gateway in (one, other):
        assert 200 == gateway.post(cached("Hello?")).status_code
        gateway.settle()
        gateway.app.journal.flush()
    listed = other.get("/askonce/api/calls").json()["calls"]
    assert ["hit", "miss"] == [line["outcome"] for line in listed]
    assert [2, 1] == [line["id"] for line in listed]
    assert "Hello?" in one.get("/askonce/calls/2").text
    assert {"live": True, "ready": True} == one.get("/askonce/health").json()


def test_blind(start: Start) -> None:
    """While the journal cannot be read, page and API say so, and not that there is nothing; then all is there."""
    with started_postgres() as server:
        gateway = start(journal=server.url())
        assert 200 == gateway.post(cached("before")).status_code
        assert "before" in gateway.get("/askonce/").text
        server.kill()
        with pytest.warns(askonce.AskonceWarning, match="kept in memory"):
            page = gateway.get("/askonce/").text
        assert "The journal cannot be read" in page
        assert "The journal cannot be used: the journal at postgresql://" in page
        assert "No calls yet" not in page
        for path in ("calls", "calls/1", "summary", "series"):
            answer = gateway.get(f"/askonce/api/{path}")
            assert (503, True) == (answer.status_code, "cannot be read" in answer.json()["error"])
        assert 200 == gateway.post(cached("meanwhile")).status_code
        server.start()
        until(lambda: "meanwhile" in gateway.get("/askonce/").text)
        assert "before" in gateway.get("/askonce/").text
        assert 200 == gateway.get("/askonce/api/calls").status_code
