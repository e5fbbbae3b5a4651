"""What every storage does, whatever it keeps entries in."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from askonce._core.entry import Entry
from askonce._core.messages import Usage
from askonce.storage import Filter, Storage, Totals, open_storage
from tests.servers import REDIS
from tests.storage.conftest import ask, take

STORAGES = ["memory", "sqlite", "jsonl", *REDIS, "postgres"]
_names = itertools.count()
Open = Callable[..., Storage]


@pytest.fixture(params=STORAGES)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Return what opens a new, empty storage of each kind."""
    opened = []

    def open_new(**arguments: Any) -> Storage:
        name = f"contract-{next(_names)}"
        urls = {
            "memory": f"memory:{name}",
            "sqlite": str(tmp_path / f"{name}.db"),
            "jsonl": str(tmp_path / f"{name}.jsonl"),
        }
        if request.param in REDIS:
            urls[request.param] = request.getfixturevalue("redis_servers")[request.param].url(prefix=f"{name}:")
        if request.param == "postgres":
            schema = name.replace("-", "_")
            urls["postgres"] = request.getfixturevalue("postgres_server").url(schema=schema)
        opened.append(open_storage(urls[request.param], **arguments))
        return opened[-1]

    yield open_new
    for storage in opened:
        storage.close()


@pytest.fixture
def storage(opener: Open) -> Storage:
    """Return a new, empty storage of each kind."""
    return opener()


def recount(storage: Storage) -> tuple[int, int]:
    """Count entries and takes one by one."""
    entries = list(storage.entries())
    return len(entries), sum(len(entry.takes) for entry in entries)


def check_totals(storage: Storage) -> None:
    totals = storage.totals()
    assert recount(storage) == (totals.entries, totals.takes)
    assert (totals.size == 0) == (totals.entries == 0)
    assert totals.size == sum(row.size for row in storage.by_model())


class TestContract:
    """The contract of a Storage."""

    def test_protocol(self, storage: Storage) -> None:
        """It has every method, and a name under which it is opened again."""
        assert isinstance(storage, Storage)
        storage.add(ask(1), take())
        again = open_storage(storage.url)
        assert (take(),) == tuple(again.takes(ask(1).key))
        again.close()

    def test_counts_of_tokens(self, storage: Storage) -> None:
        """What an answer used comes back whole, with what came from the provider's own prompt cache."""
        for number, usage in enumerate((Usage(30, 4, 20, 5), Usage(3, 4), Usage())):
            kept = take(seed=str(number))
            storage.add(ask(number), kept._replace(answer=kept.answer._replace(usage=usage)))
            assert [usage] == [found.answer.usage for found in storage.takes(ask(number).key)]
        storage.close()
        found = {entry.takes[0].seed: entry.takes[0].answer.usage for entry in storage.entries()}
        assert {"0": Usage(30, 4, 20, 5), "1": Usage(3, 4), "2": Usage()} == found

    def test_empty(self, storage: Storage) -> None:
        """An empty one finds, lists, removes and counts nothing."""
        assert (
            () == tuple(storage.takes(ask(1).key)) == tuple(storage.entries()) == tuple(storage.similar(ask(1), 5))
        )
        assert () == tuple(storage.by_model())
        assert 0 == storage.remove([ask(1).key]) == storage.prune(5000)
        assert Totals() == storage.totals()

    def test_add(self, storage: Storage) -> None:
        """What is added is found, as it was, under its key alone."""
        one = take(b"\x00\xff" * 9000, ttl=5.5)
        assert storage.add(ask(1), one)
        assert (one,) == tuple(storage.takes(ask(1).key)) == tuple(storage.takes(ask(1).key))
        assert () == tuple(storage.takes(ask(2).key))

    def test_add_twice(self, storage: Storage) -> None:
        """The first answer stays, unless it is to be replaced."""
        assert storage.add(ask(1), take(b"first"))
        assert not storage.add(ask(1), take(b"second"))
        assert (take(b"first"),) == tuple(storage.takes(ask(1).key))
        assert storage.add(ask(1), take(b"third"), replace=True)
        assert (take(b"third"),) == tuple(storage.takes(ask(1).key))
        assert (1, 1) == recount(storage)

    def test_seeds(self, storage: Storage) -> None:
        """Takes of one question lie side by side by seed, in the order of recording; each is replaced alone."""
        seeds = [None, "", "a", "0", "null"]
        for seed in seeds:
            assert storage.add(ask(1), take(b"of " + repr(seed).encode(), seed))
        assert seeds == [one.seed for one in storage.takes(ask(1).key)]
        assert storage.add(ask(1), take(b"new", "a"), replace=True)
        assert [None, "", "0", "null", "a"] == [one.seed for one in storage.takes(ask(1).key)]
        assert b"new" == storage.takes(ask(1).key)[-1].answer.body
        assert (1, 5) == recount(storage)
        check_totals(storage)

    def test_slots(self, storage: Storage) -> None:
        """Takes of one question and seed lie side by side by slot; each is replaced, and counted, alone."""
        places = [(None, 0), (None, 2), ("a", 2), (None, 1), ("a", 0)]
        for seed, slot in places:
            assert storage.add(ask(1), take(f"{seed} {slot}".encode(), seed, slot=slot))
            assert not storage.add(ask(1), take(b"another", seed, slot=slot))
        found = storage.takes(ask(1).key)
        assert places == [(one.seed, one.slot) for one in found]
        assert [f"{seed} {slot}".encode() for seed, slot in places] == [one.answer.body for one in found]
        assert storage.add(ask(1), take(b"new", None, slot=2), replace=True)
        changed = [one.answer.body for one in storage.takes(ask(1).key)]
        assert [b"None 0", b"a 2", b"None 1", b"a 0", b"new"] == changed
        storage.count_hit(ask(1).key, found[0], 1.0)
        assert (1, 5) == recount(storage)
        check_totals(storage)

    def test_entries(self, storage: Storage) -> None:
        """Entries are listed whole, the latest first."""
        for number in range(600):
            storage.add(ask(number), take(recorded=1000 + number))
        storage.add(ask(0), take(b"later", "s", recorded=9000))
        found = list(storage.entries())
        assert [ask(0), *(ask(number) for number in range(599, 0, -1))] == [entry.question for entry in found]
        assert Entry(ask(0), (take(), take(b"later", "s", recorded=9000)), 0, found[0].used) == found[0]
        assert 9000 == found[0].recorded

    @pytest.mark.parametrize(
        ("where", "numbers"),
        [
            (Filter(), [3, 2, 1]),
            (Filter(provider="q"), [2]),
            (Filter(provider="Q"), []),
            (Filter(model="GPT"), [2, 1]),
            (Filter(model="gpt-5"), [2]),
            (Filter(model="é"), [3]),
            (Filter(model="%"), []),
            (Filter(partition=""), [3, 1]),
            (Filter(partition="team"), [2]),
            (Filter(text="ZWEI"), [2]),
            (Filter(text="the answer is 3"), [3]),
            (Filter(text=""), [3, 2, 1]),
            (Filter(since=1002), [3, 2]),
            (Filter(until=1002), [1]),
            (Filter(since=1002, until=1003), [2]),
            (Filter(key=ask(1, model="gpt-4", body="eins").key.hex()), [1]),
            (Filter(key=ask(1, model="gpt-4", body="eins").key.hex()[:9].upper()), [1]),
            (Filter(key="not hexadecimal"), []),
            (Filter(key="_"), []),
            (Filter(provider="p", model="gpt", text="eins"), [1]),
        ],
        ids=str,
    )
    def test_filters(self, storage: Storage, where: Filter, numbers: list[int]) -> None:
        """A filter names what is listed; all of it must hold."""
        questions = [
            ask(1, model="gpt-4", body="eins"),
            ask(2, model="gpt-5", provider="q", partition="team", body="zwei"),
            ask(3, model="É", body="drei"),
        ]
        for number, question in enumerate(questions, 1):
            storage.add(question, take(b"The answer is %d" % number, recorded=1000 + number))
        assert numbers == [questions.index(entry.question) + 1 for entry in storage.entries(where)]

    def test_changing_while_listing(self, storage: Storage) -> None:
        """Entries can be removed while they are listed."""
        for number in range(600):
            storage.add(ask(number), take())
        assert 600 == sum(storage.remove([entry.question.key]) for entry in storage.entries())
        assert Totals() == storage.totals()

    def test_remove(self, storage: Storage) -> None:
        """Removing forgets all takes of a question, and tells how many questions there were."""
        storage.add(ask(1), take())
        storage.add(ask(1), take(seed="a"))
        storage.add(ask(2), take())
        storage.takes(ask(1).key)
        assert 1 == storage.remove([ask(1).key, ask(1).key, ask(3).key])
        assert () == tuple(storage.takes(ask(1).key))
        assert (1, 1) == recount(storage)
        check_totals(storage)

    def test_prune(self, storage: Storage) -> None:
        """Pruning removes the takes whose own time to live has passed, and questions without any."""
        storage.add(ask(1), take(ttl=100))
        storage.add(ask(1), take(seed="stays"))
        storage.add(ask(2), take(ttl=100))
        storage.add(ask(3), take(ttl=100.5))
        storage.takes(ask(2).key)
        assert 0 == storage.prune(1099)
        assert 2 == storage.prune(1100)
        assert ["stays"] == [one.seed for one in storage.takes(ask(1).key)]
        assert () == tuple(storage.takes(ask(2).key))
        assert (2, 2) == recount(storage)
        check_totals(storage)

    def test_similar(self, storage: Storage) -> None:
        """Questions that may be near are of the same URL and model where there are such, the latest first."""
        questions = [
            ask(number, model=f"m{number % 2}", url=f"https://x.test/{number % 3}") for number in range(12)
        ]
        for question in questions:
            storage.add(question, take())
        near = storage.similar(ask(99, model="m0", url="https://x.test/0"), 4)
        assert [questions[6], questions[0]] == [question for question in near if question.model == "m0"]
        assert {"https://x.test/0"} == {question.url for question in near}
        assert 3 == len(storage.similar(ask(99, url="https://elsewhere.test/"), 3))

    def test_count_hit(self, storage: Storage) -> None:
        """Hits are counted, with the seconds and tokens they saved; a replaced or removed take takes none away."""
        storage.add(ask(1), take())
        storage.count_hit(ask(1).key, take(), 2000.0)
        storage.count_hit(ask(1).key, take(), 2000.0, 2)
        totals = storage.totals()
        assert (3, 1.5, 21) == (totals.hits, totals.seconds_saved, totals.tokens_saved)
        assert [3] == [entry.hits for entry in storage.entries()]
        storage.remove([ask(1).key])
        assert 3 == storage.totals().hits

    def test_tags(self, storage: Storage) -> None:
        """An entry has the tags of its latest answer, and is found by each of them whole, by no part of one."""
        storage.add(ask(1)._replace(tags=("batch 7", "é,")), take())
        storage.add(ask(2)._replace(tags=("batch 77",)), take())
        storage.add(ask(3), take())
        assert [("batch 77",)] == [e.question.tags for e in storage.entries(Filter(tag="batch 77"))]
        assert [ask(1).key] == [e.question.key for e in storage.entries(Filter(tag="é,"))]
        assert [ask(1).key] == [e.question.key for e in storage.entries(Filter(tag="batch 7", partition=""))]
        assert [] == list(storage.entries(Filter(tag="batch")))
        assert not storage.add(ask(2)._replace(tags=("ignored",)), take())
        assert storage.add(ask(1)._replace(tags=("new",)), take(), replace=True)
        assert storage.add(ask(2), take(seed="b"))
        tags = {entry.question.key: entry.question.tags for entry in storage.entries()}
        assert {ask(1).key: ("new",), ask(2).key: (), ask(3).key: ()} == tags
        assert [ask(1).key] == [e.question.key for e in storage.entries(Filter(tag="new"))]
        assert [] == list(storage.entries(Filter(tag="batch 77")))
        storage.remove([ask(1).key])
        assert [] == list(storage.entries(Filter(tag="new")))

    def test_by_model(self, storage: Storage) -> None:
        """What is held is told by provider and model, the most entries first."""
        for number in range(5):
            storage.add(ask(number, model="small" if number else "large", provider="q"), take())
        storage.add(ask(1, model="small", provider="q"), take(seed="a"))
        storage.count_hit(ask(1, model="small", provider="q").key, take(), 2000.0)
        rows = [
            (r.provider, r.model, r.entries, r.takes, r.hits, r.input_tokens, r.output_tokens, r.seconds)
            for r in storage.by_model()
        ]
        assert [("q", "small", 4, 5, 1, 15, 20, 2.5), ("q", "large", 1, 1, 0, 3, 4, 0.5)] == rows
        check_totals(storage)

    def test_totals_never_drift(self, storage: Storage) -> None:
        """Whatever is done, the totals are what a recount finds."""
        for step in range(120):
            question = ask(step * 7 % 11)
            seed = [None, "a", "b"][step % 3]
            match step % 5:
                case 0 | 1 | 2:
                    storage.add(
                        question, take(b"x" * (step * 97 % 9000), seed, ttl=step or None), replace=step % 2 == 0
                    )
                case 3:
                    storage.remove([question.key])
                case _:
                    storage.prune(1000 + step / 2)
            check_totals(storage)
        storage.remove([ask(number).key for number in range(11)])
        assert Totals() == storage.totals()

    @pytest.mark.parametrize("seeds", [False, True])
    def test_max_size(self, opener: Open, seeds: bool) -> None:
        """Below a cap on its size it stays, and what is added last stays."""
        storage = opener(max_size=20_000)
        for number in range(200):
            question, one = (ask(0), take(b"x" * 1000, f"{number}")) if seeds else (ask(number), take(b"x" * 1000))
            assert storage.add(question, one)
            assert storage.totals().size <= 20_000
            assert one == storage.takes(question.key)[-1]
        assert recount(storage)[1] > 10
        check_totals(storage)

    def test_eviction_takes_the_unused(self, opener: Open) -> None:
        """What answers is kept, and what is long unused goes."""
        storage = opener(max_size=60_000)
        for number in range(300):
            storage.add(ask(number), take(b"x" * 1000, recorded=1000 + number))
            storage.count_hit(ask(0).key, take(), 5000 + number)
            storage.totals()  # writes the hits that are pending
        assert storage.takes(ask(0).key)
        left = {entry.question.key for entry in storage.entries()}
        assert sum(ask(number).key in left for number in range(250, 300)) > sum(
            ask(n).key in left for n in range(1, 250)
        )

    @pytest.mark.parametrize(("asked", "answered"), [(9000, 1), (1, 9000), (3000, 3000)])
    def test_larger_than_the_cap(self, opener: Open, asked: int, answered: int) -> None:
        """What alone would exceed the cap is not kept, and nothing goes for it."""
        noise = random.Random(7)
        storage = opener(max_size=5000)
        storage.add(ask(2), take())
        question = ask(1, body=noise.randbytes(asked // 2).hex())
        assert not storage.add(question, take(noise.randbytes(answered)))
        assert storage.takes(ask(2).key)
        check_totals(storage)

    def test_odd_text(self, storage: Storage) -> None:
        """Any text that HTTP can carry comes back as it was."""
        question = ask(1, model="模型 \0 ☕", partition="\x80\xff'\"")
        storage.add(question, take(seed="'; DROP TABLE takes; --"))
        assert [question] == [entry.question for entry in storage.entries()]
        assert ["'; DROP TABLE takes; --"] == [one.seed for one in storage.takes(question.key)]

    def test_closing(self, storage: Storage) -> None:
        """Closing writes what is pending; using it again opens it again; closing twice does no harm."""
        storage.add(ask(1), take())
        storage.count_hit(ask(1).key, take(), 2000.0)
        storage.close()
        storage.close()
        assert (take(),) == tuple(storage.takes(ask(1).key))
        assert 1 == storage.totals().hits

    def test_threads_on_the_same_key(self, storage: Storage) -> None:
        """Of threads that add the same question at once, just one wins, and all then find its answer."""
        together = threading.Barrier(8)

        def add(number: int) -> bool:
            together.wait()
            return storage.add(ask(1), take(b"by %d" % number))

        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(add, range(8)))
        assert 1 == sum(won)
        assert b"by %d" % won.index(True) == storage.takes(ask(1).key)[0].answer.body
        check_totals(storage)

    def test_threads_on_different_keys(self, storage: Storage) -> None:
        """Threads that add, read, replace, count and remove at once lose nothing and mix up nothing."""

        def work(thread: int) -> None:
            for number in range(thread * 100, thread * 100 + 25):
                body = b"%d" % number
                assert storage.add(ask(number), take(body))
                assert storage.add(ask(number), take(body * 2), replace=True)
                storage.count_hit(ask(number).key, take(), 2000.0)
                assert body * 2 == storage.takes(ask(number).key)[0].answer.body
                if number % 5 == 0:
                    assert 1 == storage.remove([ask(number).key])
                    assert () == tuple(storage.takes(ask(number).key))

        with ThreadPoolExecutor(8) as threads:
            for done in [threads.submit(work, thread) for thread in range(8)]:
                done.result()
        assert (160, 160) == recount(storage)
        assert 200 == storage.totals().hits
        check_totals(storage)

    def test_more_threads_than_connections(self, storage: Storage) -> None:
        """Forty threads at once are served, each in its turn."""
        storage.add(ask(1), take())
        together = threading.Barrier(40)

        def look(_: int) -> Any:
            together.wait()
            return storage.takes(ask(1).key)

        with ThreadPoolExecutor(40) as threads:
            assert [(take(),)] * 40 == [tuple(found) for found in threads.map(look, range(40))]
