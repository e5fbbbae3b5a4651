"""The text store: what is in its file, its faults, people who edit it, and many who share it."""

from __future__ import annotations

import json
import multiprocessing
import random
import resource
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from askonce._core.entry import Take
from askonce._engine.guard import Guard
from askonce.errors import AskonceWarning, SettingsError, StorageError
from askonce.storage import Totals, jsonl, open_storage, textfile
from askonce.storage.answered import LARGE
from askonce.storage.jsonl import JSONLStorage
from tests.core.building import JSON, record
from tests.storage.children import forked, in_child
from tests.storage.conftest import ask, take

Lines = list[bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a text store may be."""
    return tmp_path / "answers.jsonl"


@pytest.fixture
def storage(path: Path) -> Iterator[JSONLStorage]:
    """Return a text store."""
    storage = JSONLStorage(path)
    yield storage
    storage.close()


def fill(path: Path, count: int = 4) -> None:
    """Make a store of so many entries."""
    storage = JSONLStorage(path)
    for number in range(count):
        storage.add(ask(number), take(b"answer %d" % number))
    storage.close()


def found(path: Path, count: int = 4) -> list[bool]:
    """Tell of each of so many entries whether it is found, as a new process does it."""
    storage = JSONLStorage(path)
    try:
        return [
            [b"answer %d" % number] == [one.answer.body for one in storage.takes(ask(number).key)]
            for number in range(count)
        ]
    finally:
        storage.close()


# --- The file -------------------------------------------------------------------------------------------------


def test_path_names_the_kind(tmp_path: Path) -> None:
    """A path that ends in `.jsonl` is a text store, also with `~`; an URL of SQLite never is."""
    assert isinstance(open_storage(tmp_path / "x.jsonl"), JSONLStorage)
    assert not isinstance(open_storage(f"sqlite:///{tmp_path}/x.jsonl"), JSONLStorage)
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(SettingsError, match="is a folder"):
        open_storage(tmp_path / "folder.jsonl")


def test_one_take_a_line(path: Path, storage: JSONLStorage) -> None:
    """Each take is a line, in the order of recording; looking and counting change nothing; no file is left."""
    for number in range(3):
        storage.add(ask(number), take())
        storage.add(ask(number), take(seed="a", slot=2))
    before = path.read_bytes()
    assert [ask(n // 2).key.hex() for n in range(6)] == [json.loads(line)["key"] for line in before.splitlines()]
    storage.count_hit(ask(1).key, take(), 2000.0)
    list(storage.entries())
    storage.close()
    assert before == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


def test_looking_makes_no_file(path: Path, storage: JSONLStorage) -> None:
    """Looking into a store that is not there makes none; neither does removing from it."""
    assert () == storage.takes(ask(1).key)
    assert Totals() == storage.totals()
    assert 0 == storage.remove([ask(1).key]) == storage.prune(5000)
    storage.close()
    assert [] == list(path.parent.iterdir())


def test_replacing_changes_one_line(path: Path, storage: JSONLStorage) -> None:
    """What is replaced is found at once, and stands in the old one's place when the store is closed."""
    fill(path, 5)
    before = path.read_bytes().splitlines()
    assert storage.add(ask(2), take(b"another answer"), replace=True)
    assert b"another answer" == storage.takes(ask(2).key)[0].answer.body
    assert 5 == storage.totals().takes
    storage.close()
    after = path.read_bytes().splitlines()
    assert [True, True, False, True, True] == [one == other for one, other in zip(before, after, strict=True)]


def test_the_same_answer_again(path: Path, storage: JSONLStorage) -> None:
    """An answer that is recorded anew and says the same leaves its line as it is; it counts as just recorded."""

    def numbered(number: int) -> Take:
        body = json.dumps({"id": f"chatcmpl-{number}", "created": number, "choices": ["yes"]}).encode()
        answer = record(
            [body], JSON, fields={"content-length": str(len(body)), "x-request-id": f"{number}"}
        ).finish()
        assert not isinstance(answer, str)
        return Take(answer, 1000.0 + number)

    storage.add(ask(1), numbered(1))
    before = path.read_bytes()
    assert storage.add(ask(1), numbered(22), replace=True)
    assert (before, 1022.0) == (path.read_bytes(), storage.takes(ask(1).key)[0].recorded)
    assert storage.add(ask(1), numbered(3)._replace(ttl=60.0), replace=True)
    assert 1003.0 == storage.takes(ask(1).key)[0].recorded
    assert 2 == len(path.read_bytes().splitlines())


def test_many_replacements(monkeypatch: pytest.MonkeyPatch, path: Path, storage: JSONLStorage) -> None:
    """However often answers are replaced, the file stays within bounds before it is closed."""
    monkeypatch.setattr(jsonl, "_GARBAGE", 20_000)
    for number in range(200):
        storage.add(ask(number % 3), take(b"%d" % number * 50), replace=True)
        assert path.stat().st_size < 30_000
    assert [b"%d" % n * 50 for n in (198, 199, 197)] == [
        storage.takes(ask(n).key)[0].answer.body for n in range(3)
    ]


def test_removed_lines_go(path: Path, storage: JSONLStorage) -> None:
    """What is removed is gone at once, for others too, and its line when the store is closed."""
    fill(path)
    other = JSONLStorage(path)
    assert 4 == other.totals().takes
    assert 2 == storage.remove([ask(1).key, ask(3).key])
    time.sleep(2 * jsonl._SURE_SECONDS)
    assert [1, 0, 1, 0] == [len(other.takes(ask(number).key)) for number in range(4)]
    assert [True, False, True, False] == found(path)
    storage.close()
    assert 2 == len(path.read_bytes().splitlines())
    assert storage.add(ask(1), take(b"answer 1"))
    assert [True, True, True, False] == found(path)
    other.close()


def test_times_to_live_are_kept(path: Path, storage: JSONLStorage) -> None:
    """A time to live is in the line, and a store that is opened anew prunes by it."""
    storage.add(ask(1), take(ttl=100))
    storage.add(ask(2), take(seed='with "quotes"', slot=3, ttl=0.5))
    assert (take(ttl=100),) == JSONLStorage(path).takes(ask(1).key)
    assert 1 == JSONLStorage(path).prune(1050)
    assert [True, False] == [bool(JSONLStorage(path).takes(ask(number).key)) for number in (1, 2)]


def test_large_content_lies_beside(path: Path, storage: JSONLStorage) -> None:
    """Large binary content is a file beside the store, which goes when the last line that names it does."""
    noise = random.Random(1).randbytes(2 * LARGE)
    storage.add(ask(1), take(noise))
    storage.add(ask(2), take(noise))
    folder = path.with_suffix(".files")
    assert [noise] == [one.read_bytes() for one in folder.iterdir()]
    assert path.stat().st_size < 5000
    (folder / "mine.txt").write_text("not the store's")
    assert (take(noise),) == JSONLStorage(path).takes(ask(1).key)
    storage.remove([ask(1).key])
    storage.close()
    assert 2 == len(list(folder.iterdir()))
    storage.remove([ask(2).key])
    storage.close()
    assert ["mine.txt"] == [one.name for one in folder.iterdir()]
    (folder / "mine.txt").unlink()
    storage.tidy()
    assert not folder.exists()


def test_missing_content(path: Path, storage: JSONLStorage) -> None:
    """An answer whose content is missing is left out, and recorded anew."""
    noise = random.Random(1).randbytes(LARGE)
    storage.add(ask(1), take(noise))
    shutil.rmtree(path.with_suffix(".files"))
    with pytest.warns(AskonceWarning, match=r"answers\.jsonl, line 1: .*which belongs to it, cannot be read"):
        assert [] == list(JSONLStorage(path).takes(ask(1).key))
    assert storage.add(ask(1), take(noise))
    assert (take(noise),) == JSONLStorage(path).takes(ask(1).key)


def test_timeless(path: Path) -> None:
    """Timeless stores of the same answers are the same file, whose date is that of what is in it."""
    for number, name in enumerate(("one.jsonl", "two.jsonl")):
        storage = JSONLStorage(path.with_name(name), timeless=True)
        storage.add(ask(1), take(recorded=1000.0 * number))
        storage.close()
    one, two = (path.with_name(name).read_bytes() for name in ("one.jsonl", "two.jsonl"))
    assert one == two
    assert time.time() == pytest.approx(storage.takes(ask(1).key)[0].recorded, abs=60)


# --- People and git --------------------------------------------------------------------------------------------


MISTAKES: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "torn": (lambda lines: [lines[0], lines[1][:200], *lines[2:]], "line 2: is no JSON"),
    "words": (lambda lines: [lines[0], b"a note", *lines[2:]], "line 2: is no JSON"),
    "another object": (lambda lines: [lines[0], b'{"a": 1}', *lines[2:]], "line 2: is no recorded answer"),
    "a list": (lambda lines: [lines[0], b"[1]", *lines[2:]], "line 2: is no recorded answer"),
    "deep": (lambda lines: [lines[0], b"[" * 100_000, *lines[2:]], "line 2: is no recorded answer"),
    "bytes": (lambda lines: [lines[0], b"\xff\x00\xfe", *lines[2:]], "line 2: is no recorded answer"),
    "short key": (lambda lines: [lines[0], lines[1].replace(b'"key":"', b'"key":"x'), *lines[2:]], "line 2: is"),
    "edited": (
        lambda lines: [lines[0], lines[1].replace(b"answer 1", b"answer 9"), *lines[2:]],
        'line 2: it was changed after it was recorded. It is left out. If the change is meant, delete "seal"',
    ),
    "bad body": (
        lambda lines: [lines[0], lines[1].replace(b'"text":', b'"txet":'), *lines[2:]],
        "line 2: it cannot be understood",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_costs_its_line(path: Path, name: str) -> None:
    """A line that is damaged costs itself alone, and a warning that names file, line and cure."""
    fill(path)
    change, said = MISTAKES[name]
    lines = change(path.read_bytes().splitlines())
    path.write_bytes(b"\n".join(lines) + b"\n")
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        assert [True, False, True, True] == found(path)
    messages = [str(one.message) for one in given]
    assert [True] == [f"{path}, {said}" in message for message in messages]
    assert any(cure in messages[0] for cure in ("askonce tidy", "Mend the line"))
    storage = JSONLStorage(path)
    assert storage.add(ask(1), take(b"answer 1"))
    storage.close()
    assert [True] * 4 == found(path)


def test_many_mistakes(path: Path) -> None:
    """Of many mistakes in a file the first are told one by one."""
    fill(path)
    with path.open("ab") as file:
        file.write(b"nonsense\n" * 500)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        assert [True] * 4 == found(path)
    assert 6 == len(given)
    assert "495 more such lines; `askonce tidy" in str(given[-1].message)


def test_a_conflict_of_git(path: Path) -> None:
    """In the midst of a conflict, what either side has recorded is answered."""
    fill(path, 3)
    first, second, third = path.read_bytes().splitlines()
    text = [b"<<<<<<< HEAD", first, b"||||||| base", b"=======", second, b">>>>>>> theirs (a note)", third]
    path.write_bytes(b"\n".join(text) + b"\n")
    with pytest.warns(AskonceWarning, match="has conflict markers of git. The answers around them are used"):
        assert [True] * 3 == found(path, 3)


def test_union_of_branches(tmp_path: Path, path: Path) -> None:
    """What two branches have recorded is merged by git as a union of lines, and tidied into one order."""

    def git(*arguments: str) -> None:
        done = subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr

    git("init", "--initial-branch=main")
    (tmp_path / ".gitattributes").write_text("*.jsonl merge=union\n")
    fill(path, 2)
    git("add", ".")
    git("commit", "--message=base")
    for branch, number in (("one", 2), ("two", 3)):
        git("checkout", "-b", branch, "main")
        storage = JSONLStorage(path)
        storage.add(ask(number), take(b"answer %d" % number))
        storage.close()
        git("commit", "--all", f"--message={branch}")
    git("merge", "one")
    assert [True] * 4 == found(path)
    assert 4 == JSONLStorage(path).tidy().takes
    tidied = path.read_bytes()
    JSONLStorage(path).tidy()
    assert tidied == path.read_bytes()


def test_hand_written(path: Path, storage: JSONLStorage) -> None:
    """An answer that a person wrote in place of the recorded one, without its seal, is given."""
    fill(path, 1)
    value = json.loads(path.read_bytes())
    value["answered"] |= {"text": "my own words"}
    for name in ("seal", "ms", "recorded", "usage"):
        del value[name]
    path.write_text(json.dumps(value))  # other white space, and no end of the line
    assert [b"my own words"] == [one.answer.body for one in storage.takes(ask(0).key)]
    storage.add(ask(1), take(b"answer 1"))
    assert 2 == len(path.read_bytes().splitlines())
    assert [False, True] == found(path, 2)


def test_windows_line_ends(path: Path) -> None:
    """A checkout that made CRLF of line ends is the same store."""
    fill(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert [True] * 4 == found(path)
    storage = JSONLStorage(path)
    assert storage.add(ask(4), take(b"answer 4"))
    assert [True] * 5 == found(path, 5)
    storage.close()


@pytest.mark.parametrize("in_place", [False, True])
def test_edited_while_it_is_open(path: Path, storage: JSONLStorage, in_place: bool) -> None:
    """A file that an editor saves, in place or as a new one, is read anew."""
    fill(path)
    assert [1] * 4 == [len(storage.takes(ask(number).key)) for number in range(4)]
    time.sleep(2 * jsonl._SURE_SECONDS)
    lines = path.read_bytes().splitlines(keepends=True)
    text = lines[2][:-2] + b" }\n" + lines[3] + lines[0]
    if in_place:
        path.write_bytes(text)
    else:
        path.with_suffix(".new").write_bytes(text)
        path.with_suffix(".new").replace(path)
    assert [1, 0, 1, 1] == [len(storage.takes(ask(number).key)) for number in range(4)]
    assert storage.add(ask(5), take())
    assert (take(),) == storage.takes(ask(5).key)


def test_edited_between_look_and_read(path: Path, storage: JSONLStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changes after it was looked at is not read at the wrong place."""
    fill(path)
    storage.totals()
    refresh = textfile.TextFile.refresh
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[3], lines[0][:-1] + b" \n", lines[1], lines[2]]))
    looks = iter([list])  # the first look notices nothing
    monkeypatch.setattr(textfile.TextFile, "refresh", lambda self: next(looks, partial(refresh, self))())
    assert [b"answer 2"] == [one.answer.body for one in storage.takes(ask(2).key)]


# --- Tidying ---------------------------------------------------------------------------------------------------


def test_tidy(path: Path, storage: JSONLStorage) -> None:
    """Tidying sorts by question, keeps the order of a question's takes, and takes out what is of no more use."""
    for number in range(6):
        storage.add(ask(number % 3), take(b"%d" % number, f"{number}", recorded=1000.0 + number))
    storage.add(ask(0), take(b"new", "0", recorded=1002.5), replace=True)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n<<<<<<< HEAD\n\n", 1) + b'{"key":"torn')
    tidied = storage.tidy()
    assert (6, 1, 1, 0, True) == (*tidied[:4], tidied.is_changed)
    assert [(10, "it is no recorded answer")] == [(flaw.number, flaw.why) for flaw in tidied.flaws]
    *lines, rest = path.read_bytes().splitlines()
    assert b'{"key":"torn' == rest
    assert lines == sorted(lines, key=lambda line: (line[:72], json.loads(line)["recorded"]))
    assert ["0", "3"] == [one.seed for one in storage.takes(ask(0).key)]
    assert 1 == len(storage.tidy(drop=True).flaws)
    assert lines == path.read_bytes().splitlines()
    assert not storage.tidy().is_changed


def test_tidy_accepts(path: Path, storage: JSONLStorage) -> None:
    """A change by hand is kept aside, until it is accepted; then it is sealed, and a hand-written line is too."""
    fill(path, 2)
    path.write_bytes(path.read_bytes().replace(b"answer 1", b"my words"))
    assert ["it was changed after it was recorded"] == [flaw.why for flaw in storage.tidy().flaws]
    assert 1 == storage.tidy(accept=True).accepted
    assert b"my words" == JSONLStorage(path).takes(ask(1).key)[0].answer.body
    assert 0 == storage.tidy().accepted
    value = json.loads(path.read_bytes().splitlines()[0])
    del value["seal"]
    path.write_text(json.dumps(value, indent=None))
    tidied = storage.tidy()
    assert (1, True) == (tidied.accepted, b'"seal":"' in path.read_bytes())


def test_tidy_invents_no_time(path: Path) -> None:
    """A line without a time, of a test's recording, is given none when a change by hand is accepted."""
    storage = JSONLStorage(path, timeless=True)
    storage.add(ask(1), take())
    storage.close()
    path.write_bytes(path.read_bytes().replace(b"an answer", b"my answer"))
    storage = JSONLStorage(path)
    assert 1 == storage.tidy(accept=True).accepted
    storage.close()
    assert (False, True) == (b'"recorded"' in path.read_bytes(), b"my answer" in path.read_bytes())


# --- Faults ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b'{"prompt": "a", "completion": "b"}\n' * 3, b"some text\n", b"\x89PNG\r\n\x1a\n\0\0\n"]
)
def test_another_programs_file(path: Path, content: bytes) -> None:
    """A file that holds something else is refused, and not a byte of it changes."""
    path.write_bytes(content)
    storage = JSONLStorage(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for action in (
            lambda: storage.takes(ask(1).key), lambda: storage.add(ask(1), take()), storage.totals, storage.tidy
        ):  # fmt: skip
            with pytest.raises(StorageError, match="holds text, but no answer that askonce has recorded"):
                action()
    storage.close()
    assert content == path.read_bytes()


def test_torn_first_line(path: Path) -> None:
    """A store whose only line was torn by a killed process is used on."""
    path.write_bytes(b'{"key":"00')
    storage = JSONLStorage(path)
    assert () == storage.takes(ask(1).key)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        assert storage.add(ask(1), take())
        assert (take(),) == storage.takes(ask(1).key)
    assert [True] == ["line 1: is no JSON" in str(one.message) for one in given]
    storage.close()
    with pytest.warns(AskonceWarning, match="line 1"):
        assert 1 == JSONLStorage(path.rename(path.with_name("again.jsonl"))).totals().takes


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o555, 0o644), (0o755, 0o444), (0o555, 0o444)])
def test_read_only(public: Path, folder_mode: int, file_mode: int) -> None:
    """From a read-only file or folder, all that is recorded is answered; recording says what is wrong."""
    path = public / "cache.jsonl"
    fill(path, 1)
    path.chmod(file_mode)
    public.chmod(folder_mode)

    def use() -> object:
        here = JSONLStorage(path)
        bodies = [one.answer.body for one in here.takes(ask(0).key)]
        try:
            here.add(ask(2), take())
        except StorageError as error:
            here.close()
            return bodies, "ermission" in str(error), len(here.takes(ask(0).key))
        return "recorded"

    assert repr(([b"answer 0"], True, 1)) == in_child(use)


def test_full_disk() -> None:
    """When the disk takes no more, no line is half; when it does again, recording goes on."""

    def use(path: Path) -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        one = Guard(JSONLStorage(path, memory=0))
        assert one.add(ask(0), take(b"x" * 9000), replace=False)
        resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, -1))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            kept = [one.add(ask(1), take(b"x" * 9000), replace=False)]
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        one = Guard(JSONLStorage(path))
        kept.append(one.add(ask(1), take(b"x" * 9000), replace=False))
        whole = [len(one.takes(ask(n).key)) for n in range(2)]
        return kept, whole, size < 11_000, ["too large" in str(warning.message) for warning in said]

    with_folder = Path(__import__("tempfile").mkdtemp())
    with_folder.chmod(0o777)
    try:
        assert repr(([False, True], [1, 1], True, [True])) == in_child(lambda: use(with_folder / "cache.jsonl"))
    finally:
        shutil.rmtree(with_folder)


def test_bit_flips(path: Path) -> None:
    """Whichever bit flips, no answer is given that was not recorded."""
    fill(path, 3)
    whole = path.read_bytes()
    chance = random.Random(5)
    allowed = [b"answer 0", b"answer 1", b"answer 2"]
    for _ in range(300):
        at = chance.randrange(len(whole))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storage = JSONLStorage(path)
            given = [[one.answer.body for one in storage.takes(ask(number).key)] for number in range(3)]
            storage.close()
        assert all(bodies in ([], [right]) for bodies, right in zip(given, allowed, strict=True))
        assert sum(map(len, given)) >= 1


def test_removed_store(path: Path, storage: JSONLStorage) -> None:
    """A file that is removed is a new store; one that comes back is that one."""
    fill(path)
    storage.totals()
    path.rename(path.with_suffix(".away"))
    time.sleep(2 * jsonl._SURE_SECONDS)
    assert () == storage.takes(ask(1).key)
    assert storage.add(ask(9), take())
    path.with_suffix(".away").replace(path)
    time.sleep(2 * jsonl._SURE_SECONDS)
    assert ([1], ()) == ([len(storage.takes(ask(1).key))], storage.takes(ask(9).key))


def test_link(tmp_path: Path) -> None:
    """A store behind a symbolic link stays behind it."""
    fill(tmp_path / "real.jsonl")
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "real.jsonl")
    storage = JSONLStorage(link)
    storage.remove([ask(1).key])
    storage.close()
    assert link.is_symlink()
    assert [True, False, True, True] == found(tmp_path / "real.jsonl")


# --- Many who share it -----------------------------------------------------------------------------------------


def write_all(path: Path, writer: int) -> int:
    storage = JSONLStorage(path)
    won = 0
    for number in range(150):
        won += storage.add(ask(number), take(b"by %d" % writer))
        if number % 50 == writer:
            storage.add(ask(1000 + writer), take(b"%d" % number), replace=True)
            storage.close()  # writes the file anew, under the hands of the others
    storage.close()
    return won


def test_processes_that_write(path: Path) -> None:
    """Of four processes that record the same questions at once, just one wins each, and all of it is whole."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as workers:
        won = workers.starmap(write_all, [(path, writer) for writer in range(4)])
    storage = JSONLStorage(path)
    assert 150 == sum(won)
    assert 154 == storage.totals().takes == len(path.read_bytes().splitlines())
    assert [1] * 150 == [len(storage.takes(ask(number).key)) for number in range(150)]
    assert [path] == list(path.parent.iterdir())
    storage.close()


def read_when_told(path: Path, pipe: Any) -> None:
    storage = JSONLStorage(path)
    while pipe.recv():
        pipe.send([one.answer.body for one in storage.takes(ask(1).key)])
    storage.close()


def test_processes_that_read(path: Path, storage: JSONLStorage) -> None:
    """What one process replaces, removes or adds, another sees in a moment, though it holds the old in memory."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=read_when_told, args=(path, theirs))
    process.start()

    def told() -> Any:
        time.sleep(2 * jsonl._SURE_SECONDS)
        pipe.send(True)
        return pipe.recv()

    assert [] == told()
    storage.add(ask(1), take(b"first"))
    assert [b"first"] == told() == told()
    storage.add(ask(1), take(b"second"), replace=True)
    assert [b"second"] == told() == told()
    storage.close()
    assert [b"second"] == told()
    storage.remove([ask(1).key])
    assert [] == told()
    pipe.send(False)
    process.join()
    assert 0 == process.exitcode


def test_fork(path: Path, storage: JSONLStorage) -> None:
    """A child uses the store of its parent, which goes on using it."""
    storage.add(ask(1), take())
    storage.count_hit(ask(1).key, take(), 2000.0)

    def use() -> object:
        return storage.takes(ask(1).key), storage.add(ask(2), take(b"by the child")), storage.totals().hits

    assert repr(((take(),), True, 0)) == forked(use)
    assert (take(b"by the child"),) == storage.takes(ask(2).key)
    assert storage.add(ask(3), take())
    assert (3, 1) == (storage.totals().takes, storage.totals().hits)


def test_fork_while_locks_are_held(path: Path, storage: JSONLStorage) -> None:
    """A child does not wait for locks that another thread of its parent held."""
    storage.add(ask(1), take())
    held = [storage._writing, storage._file.lock, storage._counting]
    for lock in held:
        lock.__enter__()
    storage._writing._unlock(storage._writing._file)
    result = forked(lambda: (storage.takes(ask(1).key), storage.add(ask(2), take()), storage.totals().takes))
    for lock in held:
        lock.__exit__()
    assert repr(((take(),), True, 2)) == result


def test_on_windows(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Without `pread`, and while another program has the file open so that it cannot be replaced, all works."""
    monkeypatch.setattr(textfile, "HAS_PREAD", False)
    refusals = iter([True, True, False])
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if next(refusals, False):
            raise PermissionError(13, "The process cannot access the file because it is being used")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    fill(path)
    storage = JSONLStorage(path)
    assert -1 == storage._file._file
    assert 1 == storage.remove([ask(1).key])
    storage.close()
    assert [True, False, True, True] == found(path)
    assert 3 == len(path.read_bytes().splitlines())


# --- Cost ------------------------------------------------------------------------------------------------------


def test_memory_answers_without_reading(
    path: Path, storage: JSONLStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was just read is answered from memory, as the same object."""
    fill(path)
    first = storage.takes(ask(1).key)
    monkeypatch.setattr(textfile.TextFile, "read", None)
    assert first is storage.takes(ask(1).key)


def test_adding_reads_only_what_is_new(path: Path, storage: JSONLStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding, and noticing what others added, costs the same in a large store as in a small one."""
    fill(path, 200)
    storage.totals()
    seen: list[bytes] = []
    indexed = textfile.TextFile._index
    monkeypatch.setattr(
        textfile.TextFile, "_index", lambda self, line, at: (seen.append(line), indexed(self, line, at))[1]
    )
    other = JSONLStorage(path)
    other._file = storage._file  # it has read all of it too
    for number in range(1000, 1010):
        assert storage.add(ask(number), take())
    assert [] == seen
    with path.open("ab") as file:
        file.write(path.read_bytes().splitlines(keepends=True)[0].replace(ask(0).key.hex().encode(), b"ab" * 32))
    assert 211 == storage.totals().takes
    assert 1 == len(seen)
