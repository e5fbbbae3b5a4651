"""Several storages as one: one's own first, and what was handed out beneath."""

from __future__ import annotations

from pathlib import Path

import pytest

from askonce._core.entry import Entry
from askonce.errors import AskonceWarning, StorageError
from askonce.storage import Filter, Marks, Storage
from askonce.storage.bundle import BundleStorage
from askonce.storage.layers import Layers
from askonce.storage.memory import MemoryStorage
from askonce.storage.protocol import Claims
from askonce.storage.sqlite import SQLiteStorage
from tests.storage.bundles import bundle
from tests.storage.conftest import ask, take


@pytest.fixture
def own() -> MemoryStorage:
    return MemoryStorage()


def over(own: Storage, folder: Path, *layers: list[Entry]) -> Layers:
    made = [bundle(folder / f"{number}.askonce", entries) for number, entries in enumerate(layers)]
    return Layers(own, made)


def test_it_is_a_storage(own: MemoryStorage, tmp_path: Path) -> None:
    """It can all that a storage can, also wait for other processes and remember a mark."""
    layers = over(own, tmp_path, [])
    assert isinstance(layers, Storage)
    assert isinstance(layers, Claims)
    assert isinstance(layers, Marks)
    assert own.url == layers.url


def test_it_reads_through(own: MemoryStorage, tmp_path: Path) -> None:
    """What one's own does not have comes from the first layer that does."""
    own.add(ask(1), take(b"own"))
    first = [Entry(ask(1), (take(b"first"),)), Entry(ask(2), (take(b"first"),))]
    second = [Entry(ask(2), (take(b"second"),)), Entry(ask(3), (take(b"second"),))]
    layers = over(own, tmp_path, first, second)
    found = [[one.answer.body for one in layers.takes(ask(number).key)] for number in (1, 2, 3, 4)]
    assert [[b"own"], [b"first"], [b"second"], []] == found


def test_takes_of_all_layers_come_in_the_order_of_recording(own: MemoryStorage, tmp_path: Path) -> None:
    """A question's takes are those of all layers, by when they were recorded; of one name the earlier layer's."""
    own.add(ask(1), take(b"own 7", "7", recorded=3000))
    own.add(ask(1), take(b"own 1", "1", recorded=4000))
    first = [Entry(ask(1), (take(b"42"), take(b"25", "1", recorded=1001)))]
    second = [Entry(ask(1), (take(b"126", "2", recorded=2000), take(b"another 42")))]
    layers = over(own, tmp_path, first, second)
    assert [b"42", b"126", b"own 7", b"own 1"] == [one.answer.body for one in layers.takes(ask(1).key)]


def test_it_writes_to_its_own(own: MemoryStorage, tmp_path: Path) -> None:
    """Adding, replacing, counting and removing are one's own storage's; a layer stays as it is."""
    layers = over(own, tmp_path, [Entry(ask(1), (take(b"theirs"),))])
    assert layers.add(ask(1), take(b"mine", recorded=5000), replace=True)
    assert [b"mine"] == [one.answer.body for one in layers.takes(ask(1).key)]
    layers.count_hit(ask(1).key, take(), 1.0)
    assert 1 == own.totals().hits
    assert 1 == layers.remove([ask(1).key])
    assert [b"theirs"] == [one.answer.body for one in layers.takes(ask(1).key)]
    assert 0 == layers.prune(1e12)


def test_listing_and_counting(own: MemoryStorage, tmp_path: Path) -> None:
    """All layers are listed and counted together."""
    own.add(ask(1, model="a"), take())
    first = [Entry(ask(2, model="a"), (take(),)), Entry(ask(3, model="b"), (take(),))]
    layers = over(own, tmp_path, first)
    assert [ask(1, model="a"), ask(2, model="a"), ask(3, model="b")] == [e.question for e in layers.entries()]
    assert [ask(3, model="b")] == [e.question for e in layers.entries(Filter(model="b"))]
    assert (3, 3) == layers.totals()[:2]
    assert [("p", "a", 2), ("p", "b", 1)] == [row[:3] for row in layers.by_model()]
    assert layers.totals().size == sum(row.size for row in layers.by_model())
    assert [ask(1, model="a"), ask(2, model="a")] == list(layers.similar(ask(9, model="a"), 5))
    assert 1 == len(layers.similar(ask(9, model="a"), 1))


def test_a_damaged_layer_is_left_out(own: MemoryStorage, tmp_path: Path) -> None:
    """A layer that cannot be read is told of once; the others answer."""
    layers = over(own, tmp_path, [Entry(ask(1), (take(b"gone"),))], [Entry(ask(1), (take(b"there"),))])
    (tmp_path / "0.askonce").write_bytes(b"<html>")
    with pytest.warns(AskonceWarning, match=r"0\.askonce is no bundle.*It is left out\.") as told:
        takes = layers.takes(ask(1).key)
    assert [b"there"] == [one.answer.body for one in takes]
    assert 1 == layers.totals().entries
    assert 1 == len(told)


def test_where_ones_own_cannot_be_read(tmp_path: Path) -> None:
    """Where one's own storage is damaged, what was handed out still answers, and the rest is an error."""
    (tmp_path / "own.db").write_bytes(b"no database" * 100)
    layers = over(SQLiteStorage(tmp_path / "own.db"), tmp_path, [Entry(ask(1), (take(b"theirs"),))])
    with pytest.warns(AskonceWarning, match="What was handed out still answers"):
        assert [b"theirs"] == [one.answer.body for one in layers.takes(ask(1).key)]
    with pytest.raises(StorageError):
        layers.takes(ask(2).key)


def test_claims_and_marks_are_its_own(tmp_path: Path) -> None:
    """A claim and a mark are one's own storage's; where that has none, everybody may ask, nothing is marked."""
    own = SQLiteStorage(tmp_path / "own.db")
    own.add(ask(1), take())
    layers = over(own, tmp_path, [])
    assert layers.claim(b"name")
    layers.release(b"name")
    layers.set_mark(5.0)
    assert 5.0 == own.mark() == layers.mark()
    assert layers.is_marked
    layers.close()
    bare = Layers(BundleStorage(tmp_path / "0.askonce"), [])
    assert bare.claim(b"name")
    bare.release(b"name")
    bare.set_mark(5.0)
    assert bare.mark() is None
    assert not bare.is_marked
