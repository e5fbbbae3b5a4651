"""A bundle answers as the store that it was made from, changes nothing, and never gives a wrong answer."""

from __future__ import annotations

import hashlib
import json
import random
import struct
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from askonce import notices
from askonce._core.entry import Entry
from askonce._core.messages import Answer, Chunk, Head, Headers
from askonce._core.record import unpack
from askonce.bundle.writer import Writer
from askonce.errors import AskonceWarning, DamagedStoreError, NewerStoreError, StorageError
from askonce.storage import Filter, Storage, Totals, open_storage
from askonce.storage.blocks import BLOCK, HEADER, LINE, MAGIC, Base64Source, FileSource
from askonce.storage.bundle import BundleStorage, Manifest
from askonce.storage.memory import MemoryStorage
from tests.storage.bundles import bundle
from tests.storage.conftest import ask, take

pytestmark = pytest.mark.filterwarnings("ignore::askonce.AskonceWarning")


def entries(count: int) -> list[Entry]:
    """Return entries of different sizes, the latest first."""
    return [
        Entry(
            ask(number, model=f"m{number % 3}", body=f"question {number} " * (number % 40 + 1)),
            (take(b"answer %d " % number * (number % 50 + 1), recorded=1000.0 + number),),
        )
        for number in reversed(range(count))
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lesson.askonce"


def test_it_is_a_storage_opened_by_its_name(path: Path) -> None:
    """`open_storage` opens what ends in .askonce as a bundle."""
    bundle(path, entries(3))
    storage = open_storage(path)
    assert isinstance(storage, BundleStorage)
    assert isinstance(storage, Storage)
    assert str(path) == storage.url


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 2000])
def test_every_question_is_found(path: Path, count: int) -> None:
    """Each entry is found by its key, as it was, and nothing else; so is all of it by listing."""
    wanted = entries(count)
    storage = bundle(path, wanted)
    for entry in wanted:
        assert entry.takes == tuple(storage.takes(entry.question.key)) == tuple(storage.takes(entry.question.key))
    assert () == storage.takes(ask(count).key)
    assert wanted == list(storage.entries())
    storage.verify()


def test_takes_keep_their_names_and_order(path: Path) -> None:
    """Seeds, slots, times to live and the order of recording come back."""
    takes = (take(b"one"), take(b"two", "7", ttl=5.5), take(b"three", "", slot=2), take(b"", "é\ud800", slot=1))
    storage = bundle(path, [Entry(ask(1), takes)])
    assert takes == storage.takes(ask(1).key)


def test_large_answers(path: Path) -> None:
    """An answer larger than a block has one of its own, and what comes after it is found."""
    big = Entry(ask(1), (take(random.Random(1).randbytes(5 * BLOCK)),))
    others = entries(300)
    storage = bundle(path, [*others[:150], big, *others[150:]])
    assert big.takes == storage.takes(ask(1).key)
    assert all(one.takes == storage.takes(one.question.key) for one in others if one.question != ask(1))


def test_a_key_that_begins_alike_is_another(path: Path) -> None:
    """The index has the beginnings of keys; the whole key is compared."""
    first, second = ask(1), ask(2)
    alike = second._replace(key=first.key[:8] + bytes(24))
    storage = bundle(path, [Entry(first, (take(b"first"),)), Entry(alike, (take(b"second"),))])
    assert b"first" == storage.takes(first.key)[0].answer.body
    assert b"second" == storage.takes(alike.key)[0].answer.body
    assert () == storage.takes(first.key[:8] + bytes(23) + b"\1")


@pytest.mark.parametrize(
    "where",
    [
        *(
            Filter(model="M1"),
            Filter(provider="p"),
            Filter(provider="q"),
            Filter(text="answer 33 "),
            Filter(since=1150),
        ),
        *(Filter(until=1003, model="m2"), Filter(key=ask(5, model="m2").key.hex()[:2]), Filter(partition="x")),
    ],
    ids=str,
)
def test_filters(path: Path, where: Filter) -> None:
    """A filter lists what it lists of a store."""
    memory = MemoryStorage()
    for entry in reversed(entries(200)):
        memory.add(entry.question, entry.takes[0])
    storage = bundle(path, entries(200))
    assert [e.question for e in memory.entries(where)] == [e.question for e in storage.entries(where)]


def test_totals_are_told_without_reading(path: Path) -> None:
    """Totals and those by model are what a store would count, and are read from the manifest."""
    memory = MemoryStorage()
    for entry in entries(50):
        memory.add(entry.question, entry.takes[0])
    storage = bundle(path, entries(50))
    assert memory.totals() == storage.totals()
    assert memory.by_model() == storage.by_model()
    assert Totals() == bundle(path, []).totals()


def test_similar(path: Path) -> None:
    """The questions nearest to one that was not recorded are those of its URL and model, the latest first."""
    storage = bundle(path, entries(100))
    found = storage.similar(ask(1000, model="m1"), 3)
    assert ["m1"] * 3 == [one.model for one in found]
    assert [e.question for e in entries(100) if e.question.model == "m1"][:3] == list(found)
    assert 5 == len(storage.similar(ask(1, url="https://other.test"), 5))


def test_it_cannot_be_changed(path: Path) -> None:
    """Nothing is added or counted, and removing says why not; the file stays as it is."""
    storage = bundle(path, entries(3))
    before = path.read_bytes()
    assert not storage.add(ask(9), take())
    assert not storage.add(ask(1), take(), replace=True)
    storage.count_hit(ask(1).key, take(), 1.0)
    with pytest.raises(StorageError, match=r"is a bundle, made to be handed out.*askonce pack"):
        storage.remove([ask(1).key])
    with pytest.raises(StorageError, match="is a bundle"):
        storage.prune(1e12)
    storage.close()
    assert before == path.read_bytes()
    assert 3 == len(list(storage.entries())), "it opens again"


def test_many_threads(path: Path) -> None:
    """Threads look up at once, also while it is closed."""
    wanted = entries(300)
    storage = bundle(path, wanted)
    start = threading.Barrier(8)

    def look(thread: int) -> bool:
        start.wait()
        rng = random.Random(thread)
        return all(one.takes == storage.takes(one.question.key) for one in rng.sample(wanted, 200))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, range(8)))


def test_memory_is_bounded(path: Path) -> None:
    """What is held in memory is bounded, however much is looked up."""
    wanted = entries(2000)
    bundle(path, wanted)
    storage = BundleStorage(path, memory=100_000)
    for entry in wanted:
        storage.takes(entry.question.key)
    assert len(storage._near) < 100
    assert storage._blocks._unpacked._size <= 1 << 20


class TestFinal:
    """Of a final bundle's questions there are the digests alone."""

    def test_nothing_of_the_question_is_in_it(self, path: Path) -> None:
        """No block holds a word of a prompt, and yet the question is answered."""
        question = ask(1, body="the password is swordfish", partition="ann")
        storage = bundle(path, [Entry(question, (take(),))], final=True)
        blocks = b"".join(storage._blocks.block(number) for number in range(storage._blocks.count()))
        assert b"swordfish" not in blocks + path.read_bytes()
        assert b"ann" not in blocks
        assert (take(),) == storage.takes(question.key)

    def test_it_is_listed_by_model(self, path: Path) -> None:
        """Its entries are listed with what they are of; nothing in it is near to a question."""
        storage = bundle(path, entries(3), final=True)
        assert ["m2", "m1", "m0"] == [entry.question.model for entry in storage.entries()]
        assert [b"", b"", b""] == [entry.question.body for entry in storage.entries()]
        assert () == storage.similar(ask(1), 5)


def embedding(values: list[float] | str) -> Answer:
    body = json.dumps({"data": [{"embedding": values, "index": 0}], "usage": {"total_tokens": 1}}).encode()
    headers = Headers(((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())))
    return Answer(Head(200, headers), 0.1, (Chunk(body, 0.2),))


def test_half_precision_is_a_quarter(path: Path, tmp_path: Path) -> None:
    """Embeddings at half precision take half the room, or less, and come back near to what they were."""
    rng = random.Random(3)
    made = [[rng.gauss(0, 0.03) for _ in range(1536)] for _ in range(20)]
    listed = [Entry(ask(n), (take()._replace(answer=embedding(v)),)) for n, v in enumerate(made)]
    whole = bundle(tmp_path / "whole.askonce", listed)
    halved = bundle(path, listed, half=True)
    assert path.stat().st_size < (tmp_path / "whole.askonce").stat().st_size / 2
    assert listed[3].takes == whole.takes(ask(3).key)
    answer = halved.takes(ask(3).key)[0].answer
    back = json.loads(answer.body)["data"][0]["embedding"]
    assert [float] * 1536 == list(map(type, back))
    assert max(abs(a - b) for a, b in zip(made[3], back, strict=True)) < 1e-3
    assert answer.head.headers.get(b"content-length") is None
    assert halved.entries().__next__().takes == halved.takes(ask(0).key)


# --- What is not what was written -------------------------------------------------------------------------


def test_any_flipped_bit_gives_no_wrong_answer(path: Path) -> None:
    """Wherever a bit is flipped, an answer is right, is left out with a warning, or the bundle is refused."""
    wanted = entries(60)
    bundle(path, wanted)
    whole = path.read_bytes()
    refused = left_out = 0
    rng = random.Random(7)
    places = [*range(HEADER.size), *(rng.randrange(len(whole)) for _ in range(250))]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        storage = BundleStorage(path)
        try:
            for entry in wanted:
                found = storage.takes(entry.question.key)
                assert found in (entry.takes, ())
                left_out += found == ()
        except StorageError as error:
            refused += str(path) in str(error)
        with pytest.raises(StorageError):
            BundleStorage(path).verify()
        storage.close()
    assert refused > HEADER.size
    assert left_out


@pytest.mark.parametrize("keep", [0, 5, 12, 40, HEADER.size, 2000, -1])
def test_a_cut_one_is_refused(path: Path, keep: int) -> None:
    """One that was cut anywhere says so, whatever was to be read of it."""
    bundle(path, entries(60))
    path.write_bytes(path.read_bytes()[:keep])
    for use in (BundleStorage.totals, BundleStorage.verify, lambda one: one.takes(ask(1).key)):
        with pytest.raises(DamagedStoreError, match=r"lesson\.askonce"):
            use(BundleStorage(path))


@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html><html>", b"SQLite format 3\0" + bytes(200), b"\x80\x04\x95" + bytes(99), bytes(300)],
    ids=["empty", "html", "sqlite", "pickle", "zeros"],
)
def test_a_foreign_file_is_refused(path: Path, content: bytes) -> None:
    """What is no bundle is named as what it begins with."""
    path.write_bytes(content)
    with pytest.raises(DamagedStoreError, match="is no bundle of askonce's: it begins with"):
        BundleStorage(path).totals()


def test_a_missing_one_is_said_to_be_missing(path: Path) -> None:
    """There is no answer from a file that is not there, but an error that says so."""
    with pytest.raises(StorageError, match="There is no bundle at"):
        BundleStorage(path).takes(ask(1).key)


def test_a_newer_one_is_refused(path: Path) -> None:
    """A format of a later askonce is refused, with the advice to update."""
    bundle(path, entries(3))
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, len(MAGIC), 2)
    path.write_bytes(data)
    with pytest.raises(NewerStoreError, match=r"format 2, and this askonce reads up to 1.*pip install --upgrade"):
        BundleStorage(path).totals()


def resealed(path: Path, change: Callable[[dict[str, object]], object]) -> BundleStorage:
    """Change a bundle's manifest as whoever wants to do harm would: with digests that fit."""
    data = path.read_bytes()
    magic, version, _, place, length, _ = HEADER.unpack_from(data)
    manifest = json.loads(data[place : place + length])
    manifest = change(manifest) or manifest
    told = json.dumps(manifest).encode()
    header = HEADER.pack(magic, version, place + len(told), place, len(told), hashlib.sha256(told).digest())
    path.write_bytes(header + data[HEADER.size : place] + told)
    return BundleStorage(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["sections"].pop("index") and None,
        lambda manifest: manifest["sections"].update(index=[1 << 60, 5, ""]),
        lambda manifest: manifest["sections"].update(index=["0", 5, ""]),
        lambda manifest: manifest["sections"].update(fanout=[0, 0, ""]),
        lambda manifest: manifest["sections"].update(table=[-1, 5, ""]),
        lambda manifest: manifest.update(sections=None),
        lambda manifest: manifest.update(models=[["p", "m", 1]]),
        lambda manifest: manifest.update(entries="many"),
        lambda manifest: manifest.pop("title") and None,
        lambda manifest: [manifest],
        lambda manifest: "manifest",
    ],
)
def test_a_hostile_manifest_is_refused(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """A manifest that does not say where things are, or says so wrongly, is damage like any other."""
    bundle(path, entries(20), title="t")
    storage = resealed(path, change)
    with pytest.raises(StorageError):
        _ = storage.totals(), storage.verify()
    with pytest.raises(StorageError):
        _ = BundleStorage(path).totals(), BundleStorage(path).verify(), storage.takes(ask(1).key)


def test_a_block_that_expands_too_far_is_refused(path: Path) -> None:
    """A block cannot fill the memory: it expands to what its row says, and a row has a bound."""
    with path.open("wb") as file:
        writer = Writer(file, final=True, half=False)
        writer.write(Entry(ask(1), (take(),)))
        bomb = zlib.compress(bytes(50 << 20))
        row = struct.Struct(">QIIB3x32s")
        place = file.tell()
        file.write(bomb)
        writer._place += len(bomb)
        writer._end = lambda block: None  # type: ignore[method-assign]
        digest = hashlib.sha256(bomb).digest()
        writer._rows = [row.pack(place, len(bomb), 900, 0, digest), row.pack(place, len(bomb), 1 << 31, 1, digest)]
        writer.finish(Manifest(1.0, "", 1, 1, 1))
    storage = BundleStorage(path)
    assert () == storage.takes(ask(1).key)
    with pytest.raises(DamagedStoreError, match="claims 2,147,483,648 bytes"):
        storage._blocks.block(1)


def test_damage_is_told_once(path: Path) -> None:
    """What cannot be read is left out, and that is said once."""

    def look(storage: BundleStorage) -> None:
        for entry in entries(60):
            storage.takes(entry.question.key)
        assert len(list(storage.entries())) < 60

    storage = bundle(path, entries(60))
    index = storage._blocks.manifest["sections"]["table"][0] - 100
    data = bytearray(path.read_bytes())
    data[index] ^= 1
    path.write_bytes(data)
    notices.forget_warnings()
    storage = BundleStorage(path)
    with pytest.warns(AskonceWarning, match="is damaged: block .* left out") as told:
        look(storage)
    assert 1 == len(told)


@pytest.mark.parametrize("before", [b"", b"x", b"print('a module')\n# "])
def test_it_is_read_out_of_base64(path: Path, tmp_path: Path, before: bytes) -> None:
    """A bundle in base64 inside another file is read in place, whatever its length."""
    import base64

    for count in (1, 2, 30):
        wanted = entries(count)
        bundle(path, wanted)
        text = base64.b64encode(path.read_bytes())
        carrier = tmp_path / "carrier.txt"
        carrier.write_bytes(before + text + b"\n# the end")
        source = Base64Source(carrier, len(before), len(before) + len(text))
        storage = BundleStorage(carrier, source=source)
        storage.verify()
        assert wanted == list(storage.entries())
        assert all(one.takes == storage.takes(one.question.key) for one in wanted)
        storage.close()


def test_windows_reads_in_turn(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no reading at a place, the file's one position is shared by turns."""
    import os

    wanted = entries(20)
    bundle(path, wanted)
    monkeypatch.delattr(os, "pread")
    storage = BundleStorage(path)
    assert all(one.takes == storage.takes(one.question.key) for one in wanted)
    storage.close()


def test_the_layout_is_as_written_down(path: Path) -> None:
    """The format is what the reference says, read here without our own reader."""
    bundle(path, [Entry(ask(1), (take(b"an answer"),))])
    data = path.read_bytes()
    magic, version, size, place, length, digest = struct.unpack_from(">12sIQQI32s", data)
    assert (b"\x89ASKONCE\r\n\x1a\n", 1, len(data)) == (magic, version, size)
    assert hashlib.sha256(data[place : place + length]).digest() == digest
    sections = json.loads(data[place : place + length])["sections"]
    prefix, block, at = struct.unpack_from(">8sII", data, sections["index"][0])
    assert ask(1).key[:8] == prefix
    start, packed, unpacked, kind, _ = struct.unpack_from(">QIIB3x32s", data, sections["table"][0] + 52 * block)
    records = zlib.decompress(data[start : start + packed])
    assert (unpacked, 0) == (len(records), kind)
    key, length, _, _, described = struct.unpack_from(">32sIIII", records, at)
    assert ask(1).key == key
    about = json.loads(records[at + 48 : at + 48 + described])
    assert ["p", "chat", "m", ""] == about["about"]
    assert b"an answer" == unpack(records[at + 48 + described : at + 48 + length]).body
    assert LINE.size == 16
    assert FileSource(path).size() == len(data)
