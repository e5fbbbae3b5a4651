"""A store is made into something to hand out: what goes in, what stays out, what is said of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import askonce
from askonce._core.entry import Entry
from askonce.bundle.scan import scan
from askonce.errors import SettingsError, StorageError, UnfitError
from askonce.storage import Filter
from askonce.storage.bundle import BundleStorage
from askonce.storage.memory import MemoryStorage
from askonce.storage.sqlite import SQLiteStorage
from tests.bundle.conftest import asked, here, said
from tests.storage.bundles import bundle
from tests.storage.conftest import ask, take


def dump(store: Path) -> list[str]:
    with closing(sqlite3.connect(store)) as db:
        return list(db.iterdump())


def test_a_file(teacher: SQLiteStorage, store: Path) -> None:
    """All entries with all takes are in the file, which says what it is; the store is as it was."""
    before = dump(store)
    made = askonce.materialize("lesson.askonce", store, title="Lesson 1", note="Numbers.\nAnd why.")
    assert (Path("lesson.askonce"),) == made.paths
    opened = BundleStorage(Path("lesson.askonce"))
    opened.verify()
    assert list(teacher.entries()) == [
        e._replace(used=1000.0 + i) for e, i in zip(opened.entries(), (4, 3, 2), strict=True)
    ]
    told = opened.manifest
    assert ("Lesson 1", "Numbers.\nAnd why.", 3, 5, None, False, False) == (
        told.title, told.note, told.entries, told.takes, told.delays, told.final, told.half
    )  # fmt: skip
    assert f"askonce {askonce.__version__}" == told.by
    assert made.models == list(opened.by_model())
    assert [("openai", "gpt-5", 2, 4), ("openai", "gpt-5-mini", 1, 1)] == [row[:4] for row in made.models]
    assert before == dump(store)


def test_the_store_of_the_environment(
    teacher: SQLiteStorage, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a store it is made of the environment's, then of the project's."""
    monkeypatch.setenv("ASKONCE_STORE", str(store))
    assert 3 == askonce.materialize("lesson.askonce").manifest.entries
    monkeypatch.delenv("ASKONCE_STORE")
    with pytest.raises(StorageError, match=r"There is no store at .*\.askonce.cache\.db\. Record something first"):
        askonce.materialize("lesson.askonce")


def test_a_storage_of_ones_own() -> None:
    """It is made of any storage, and of a bundle too; of a final one only a final one."""
    memory = MemoryStorage("own")
    memory.add(asked("a"), said("b"))
    assert 1 == askonce.materialize("one.askonce", memory, final=True).manifest.entries
    assert askonce.materialize("two.askonce", "one.askonce").manifest.final
    assert said("b") == BundleStorage(Path("two.askonce")).takes(asked("a").key)[0]


def test_filters(teacher: SQLiteStorage) -> None:
    """Only what matches goes in."""
    made = askonce.materialize("lesson.askonce", teacher, where=Filter(model="mini"))
    assert ["gpt-5-mini"] == [row.model for row in made.models]


def test_what_was_used_goes_with_all_its_takes(teacher: SQLiteStorage) -> None:
    """Of what was used since the mark all takes go along, also those that did not answer; of the rest none."""
    teacher.set_mark(2000.0)
    teacher.count_hit(asked("a number").key, said("25", "1", 1001), 3000.0)
    made = askonce.materialize("lesson.askonce", teacher, used=True)
    assert (1, 3) == (made.manifest.entries, made.manifest.takes)
    takes = BundleStorage(Path("lesson.askonce")).takes(asked("a number").key)
    assert [None, "1", "2"] == [one.seed for one in takes]


def test_used_needs_a_mark(teacher: SQLiteStorage) -> None:
    """Where nothing is known of what was used, nothing is made, and how to know is said."""
    with pytest.raises(StorageError, match=r"has no mark.*askonce used --reset"):
        askonce.materialize("lesson.askonce", teacher, used=True)


def test_what_this_process_has_used_counts(provider: Any, store: Path) -> None:
    """A notebook that marks, runs and packs needs no other process: its own hits are known."""
    from openai import OpenAI

    client = OpenAI(api_key="sk-x", base_url=f"{provider.url}/v1")

    def call(text: str) -> None:
        client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": text}])

    askonce.enable(store, domains=provider.url)
    for text in ("one", "two", "three"):
        call(text)
    SQLiteStorage(store).set_mark(4e9)
    assert 0 == sum(1 for _ in SQLiteStorage(store).entries(Filter(used=4e9)))
    SQLiteStorage(store).set_mark(__import__("time").time())
    call("two")
    made = askonce.materialize("lesson.askonce", store, used=True)
    client.close()
    assert 1 == made.manifest.entries


@pytest.mark.parametrize(("delays", "expected"), [(None, None), (True, 1.0), (False, 0.0), (0.5, 0.5)])
def test_delays_travel(teacher: SQLiteStorage, delays: Any, expected: float | None) -> None:
    """The choice of whoever makes it is in the manifest."""
    assert expected == askonce.materialize("x.askonce", teacher, delays=delays).manifest.delays


def test_progress(teacher: SQLiteStorage) -> None:
    """Progress is told, up to the last entry."""
    told: list[tuple[int, int]] = []
    askonce.materialize("x.askonce", teacher, progress=lambda count, total: told.append((count, total)))
    assert (3, 3) == told[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "lesson"}, "say what to make. Name it lesson.askonce for a file or lesson.py"),
        ({"path": "lesson.zip"}, "say what to make"),
        ({"path": "lesson.py", "form": "file"}, r"a file has a name that ends in \.askonce"),
        ({"path": "my-lesson.py"}, "'my-lesson' cannot be imported"),
        ({"path": "x.askonce", "on_finding": "ask"}, "neither 'refuse', 'leave out' nor 'keep'"),
        ({"path": "x.askonce", "delays": "slow"}, "neither true, false nor a factor"),
        ({"path": "dist", "form": "package"}, "'' is no name of a package"),
        ({"path": "dist", "form": "package", "name": "../x"}, "is no name of a package"),
        ({"path": "dist", "form": "package", "name": "x", "version": "one"}, "'one' is no version"),
    ],
    ids=str,
)
def test_what_cannot_be_made(teacher: SQLiteStorage, arguments: dict[str, Any], message: str) -> None:
    """A wrong argument is refused with what would be right, and nothing is written."""
    before = here()
    with pytest.raises(SettingsError, match=message):
        askonce.materialize(store=teacher, **arguments)
    assert before == here()


def test_an_empty_store() -> None:
    """There is nothing to hand out of an empty store, nor where nothing matches."""
    with pytest.raises(StorageError, match="nothing to hand out"):
        askonce.materialize("x.askonce", MemoryStorage("empty"))
    assert [] == here()


def test_a_missing_store(tmp_path: Path) -> None:
    """There is nothing to hand out of a store that is not there, and none is made."""
    with pytest.raises(StorageError, match=r"nowhere\.db"):
        askonce.materialize("x.askonce", tmp_path / "nowhere.db")
    assert [] == here()


def test_a_read_only_folder(teacher: SQLiteStorage) -> None:
    """Where it cannot be written, that is said; a file that was there stays."""
    Path("file").write_text("no folder")
    with pytest.raises(StorageError, match=r"file/x\.askonce cannot be written"):
        askonce.materialize("file/x.askonce", teacher)


def test_no_space(teacher: SQLiteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves nothing half-written, and what was there before."""
    from askonce.bundle.writer import Writer

    askonce.materialize("x.askonce", teacher)
    before = Path("x.askonce").read_bytes()

    def full(self: Writer, block: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "_end", full)
    with pytest.raises(StorageError, match=r"x\.askonce cannot be written .*No space left"):
        askonce.materialize("x.askonce", teacher)
    assert before == Path("x.askonce").read_bytes()
    assert [] == [name for name in here() if name.endswith(".part")]


# --- What must not be handed out --------------------------------------------------------------------------

LEAKS = {
    "OpenAI key": ["sk-proj-abcdefghijklmnopqrstuvwx"],
    "Google key": ["AIzaSyA1234567890abcdefghijklmnopqrstuv"],
    "Hugging Face token": ["hf_" + "a1B2c3" * 6],
    "AWS key": ["AKIAIOSFODNN7EXAMPLE"],
    "GitHub token": ["ghp_abcdefghijklmnopqrstuvwxyz0123456789"],
    "Slack token": ["xoxb-123456789012-abcdefghijkl"],
    "private key": ["-----BEGIN RSA PRIVATE KEY-----"],
    "an authorization": ["Authorization: Bearer abcdefghijklmnopqrstuvwxyz"],
    "an organization id": ["org-abcdefghijklmnopqrstuvwx"],
    "a project id": ["proj_abcdefghijklmnopqrstuvwx"],
    "a signed URL": [
        "https://x.blob.core.windows.net/a/b.png?st=2026-11-25T03%3A00%3A00Z&se=1&sig=abcdefgh12345678%3D",
        "https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature=0123456789abcdef",
    ],
    "a local path": [
        "file:///work/images/a.png",
        "/home/ann/course/a.py",
        "/Users/bob/x.txt",
        r"C:\Users\ann\a.txt",
    ],
}


@pytest.mark.parametrize("where", ["question", "answer", "stream", "header"])
@pytest.mark.parametrize(("what", "text"), [(what, text) for what, texts in LEAKS.items() for text in texts])
def test_what_must_not_be_handed_out_is_found(what: str, text: str, where: str) -> None:
    """Keys, ids, signed URLs and local paths are found in questions, answers and their headers, also in pieces."""
    from askonce._core.messages import Answer, Chunk, Head, Headers

    question, answered = asked("hello"), said("world")
    if where == "question":
        question = asked(f"look at {text}!")
    elif where == "answer":
        answered = said(f"({text})")
    elif where == "header":
        head = Head(200, Headers(((b"x-note", text.encode()),)))
        answered = answered._replace(answer=answered.answer._replace(head=head))
    else:
        pieces = [text[: len(text) // 2], text[len(text) // 2 :]]
        events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        chunks = tuple(Chunk(f"data: {__import__('json').dumps(event)}\n\n".encode(), 0.1) for event in events)
        head = Head(200, Headers(((b"content-type", b"text/event-stream"),)))
        answered = answered._replace(answer=Answer(head, 0.1, chunks))
    found = scan(Entry(question, (answered,)))
    assert [what] == sorted({finding.what for finding in found})
    assert text not in str(found[0]) or len(text) < 15


@pytest.mark.parametrize(
    "text",
    [
        "task-sk-1234", "the sk-learn package", "mask-abcdefghijklmnopqrstuvwxyz0123", "an org-chart", "/home",
        "see https://host/home/ann/page.html", "https://host/?sig=x", "the bearer of good news", "AKIA",
        "/usr/lib/x", "~/x",
        "[a](/home/)", "org-wide", "proj_x", "look: sk-…", "file: a", "c:\\temp",
    ],
)  # fmt: skip
def test_harmless_text_is_not_found(text: str) -> None:
    """Text that only resembles one is handed out."""
    assert [] == scan(Entry(asked(text), (said(text),)))


def test_an_escape_hides_nothing() -> None:
    """What stands at the beginning of a line is found, though in JSON a letter stands before it."""
    found = scan(Entry(asked("my key:\nsk-abcdefghijklmnopqrstuvwxyz"), (said("oh"),)))
    assert ["OpenAI key"] == [finding.what for finding in found]


def test_finding_refuses(teacher: SQLiteStorage) -> None:
    """Where something is found nothing is made; which entry holds it is said, and it itself is not repeated."""
    secret = "sk-abcdefghijklmnopqrstuvwxyz"
    teacher.add(asked(f"my key is {secret}"), said("oh"))
    with pytest.raises(UnfitError, match="1 entry holds what is not for others to see") as refused:
        askonce.materialize("lesson.askonce", teacher)
    key = asked(f"my key is {secret}").key.hex()[:12]
    assert f"{key}: OpenAI key in the question (sk-abcdefghijk…)" in str(refused.value)
    assert secret not in str(refused.value)
    assert "lesson.askonce" not in here()


def test_finding_leaves_out_or_keeps(teacher: SQLiteStorage) -> None:
    """An entry with a finding is left out, or kept, when that is said."""
    question = asked("read /home/ann/notes.txt")
    teacher.add(question, said("no"))
    made = askonce.materialize("without.askonce", teacher, on_finding="leave out")
    assert (3, 1, "a local path") == (made.manifest.entries, made.left_out, made.findings[0].what)
    assert () == BundleStorage(Path("without.askonce")).takes(question.key)
    made = askonce.materialize("with.askonce", teacher, on_finding="keep")
    assert (4, 0, 1) == (made.manifest.entries, made.left_out, len(made.findings))


def test_packing_is_linear(tmp_path: Path) -> None:
    """Each entry is written once and scanned once, however many there are: twice as many make twice the blocks."""
    sizes = []
    for count in (500, 1000):
        made = [Entry(ask(number), (take(b"answer %d" % number * 40),)) for number in range(count)]
        storage = bundle(tmp_path / f"{count}.askonce", made)
        sizes.append(storage._blocks.count())
    assert sizes[0] < sizes[1] <= 2 * sizes[0]
