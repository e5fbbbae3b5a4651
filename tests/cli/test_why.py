"""`askonce why`: which entry is nearest to what was missed, and what differs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import askonce
from askonce._core.entry import Take
from askonce.storage import open_storage
from askonce.storage.misses import Miss, place, recall, remember
from askonce.testing import Fault, LocalProvider
from tests.asking import ask, send
from tests.cli.conftest import CACHE, SPEECH, Run
from tests.core.building import answer, question
from tests.rig import CHAT, chat


def last(run: Run, store: Path, *more: str) -> dict[str, Any]:
    """Return what `askonce why` says of the last miss, as JSON."""
    result = run("why", "--store", store, "--json", *more)
    assert result.exit_code == 0, result.stderr
    value: dict[str, Any] = json.loads(result.stdout)
    return value


@pytest.fixture
def asked(provider: LocalProvider, store: Path) -> Path:
    """Return a store in which two questions are recorded, the capital after the café."""
    with askonce.caching(store, domains=[provider.url]):
        ask(provider, temperature=0)
        ask(provider, "Capital of France?", temperature=0)
    return store


def miss(provider: LocalProvider, store: Path, content: str, mode: Any = "offline", **more: Any) -> None:
    """Ask in a mode that keeps nothing."""
    with askonce.caching(store, domains=[provider.url], mode=mode):
        send(provider.url + CHAT, chat(content, **more))


def test_a_refused_call(run: Run, asked: Path, provider: LocalProvider) -> None:
    """After a refusal it names the nearest entry, and what differs by path, both values under each other."""
    miss(provider, asked, "Capital of Spain?", temperature=0, top_p=1)
    result = run("why", "--store", asked)
    shown = re.sub(r"[0-9a-f]{12}", "KEY", re.sub(r":\d{4,5}/", ":PORT/", result.stdout))
    assert (
        """\
request   http://127.0.0.1:PORT/v1/chat/completions gpt-local
question  Capital of Spain?
          missed 0s ago: offline, and not recorded
key       KEY
          It is not recorded.

nearest  KEY  Capital of France?

  messages[0].content
    now       "Capital of Spain?"
    recorded  "Capital of France?"

  top_p
    now       1
    recorded  nothing
"""
        == shown
    )


@pytest.mark.parametrize(
    ("mode", "fault", "why"),
    [
        ("offline", None, "offline, and not recorded"),
        ("replay", None, "not recorded yet, and in mode replay nothing is kept"),
        ("record", Fault.STATUS(500), "not recorded yet; the answer was not kept: status 500"),
    ],
)
def test_misses_are_remembered(
    run: Run, asked: Path, provider: LocalProvider, mode: str, fault: Any, why: str
) -> None:
    """What was missed and not kept is remembered, in every mode, with the reason."""
    if fault:
        provider.fail_next(fault)
    miss(provider, asked, "Capital of Spain?", mode)
    value = last(run, asked)
    assert (why, False) == (value["missed"]["why"], value["recorded"])
    assert "Capital of France?" == value["nearest"][0]["question"]


def test_hits_and_recordings_remember_nothing(asked: Path, provider: LocalProvider) -> None:
    """What is recorded or answered writes no file; nor does what goes past the cache."""
    with askonce.caching(asked, domains=[provider.url]):
        ask(provider, temperature=0)
        with askonce.bypass():
            ask(provider, "Past it?")
    assert [] == list(asked.parent.glob("*-miss*"))


def test_a_recorded_call(run: Run, asked: Path, provider: LocalProvider) -> None:
    """When the last miss was recorded, it is compared with the others; one missed later comes first."""
    value = last(run, asked)
    assert (None, True, "Capital of France?") == (
        value["missed"], value["recorded"], gist_of(run, asked, value["key"])
    )  # fmt: skip
    assert ["What is a café?"] == [one["question"] for one in value["nearest"]]
    miss(provider, asked, "Later?")
    assert "offline, and not recorded" == last(run, asked, "--nearest", "5")["missed"]["why"]
    assert 2 == len(last(run, asked, "--nearest", "5")["nearest"])


def gist_of(run: Run, store: Path, key: str) -> str:
    """Return what an entry asks."""
    entries = json.loads(run("ls", "--store", store, "--json").stdout)
    return next(str(entry["question"]) for entry in entries if entry["key"] == key)


def test_recorded_since(run: Run, asked: Path, provider: LocalProvider) -> None:
    """A miss that is recorded by now is told as that, and one whose seed is another with those there are."""
    miss(provider, asked, "Capital of Spain?", seed=7)
    assert "It is not recorded." == last(run, asked)["verdict"]
    kept = recall(open_storage(asked))
    assert kept is not None
    storage = open_storage(asked)
    storage.add(kept.question, Take(answer(b"{}"), 1.0, seed="8"))
    assert "It is recorded, but not with seed 7; there is 8." == last(run, asked)["verdict"]
    storage.add(kept.question, Take(answer(b"{}"), 1.0, seed="7"))
    assert "It is recorded by now, and would be answered from the store." == last(run, asked)["verdict"]
    storage.close()


def test_by_key(run: Run, recorded: Path) -> None:
    """The beginning of a key compares an entry with its neighbours, in upper case too."""
    value = last(run, recorded, CACHE.key.hex()[:8].upper())
    assert CACHE.key.hex() == value["key"]
    assert SPEECH.key.hex() == value["nearest"][0]["key"]
    assert "No key begins with ffffffff" in run("why", "ffffffff", "--store", recorded).stderr


def test_a_body_from_a_file(
    run: Run, asked: Path, provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body alone is taken to go where the nearest entry went; one that is recorded is told as that."""
    body = tmp_path / "body.json"
    body.write_text(json.dumps(chat("Capital of Spain?", temperature=0, cache_ttl=5)), encoding="utf-8")
    value = last(run, asked, str(body))
    assert [["messages[0].content", '"Capital of Spain?"', '"Capital of France?"']] == [
        list(one.values()) for one in value["nearest"][0]["differences"]
    ]
    body.write_text(json.dumps(chat(temperature=0, seed=1)), encoding="utf-8")
    assert "It is recorded by now" in last(run, asked, str(body))["verdict"]
    monkeypatch.setenv("ASKONCE_DOMAINS", provider.url)
    assert "It is recorded by now" in last(run, asked, str(body), "--url", provider.url + CHAT)["verdict"]
    apart = last(run, asked, str(body), "--url", provider.url + CHAT, "--partition", "p", "-H", "accept: x")
    found = apart["nearest"][0]["differences"]
    assert ["partition", "headers.accept"] == [one["path"] for one in found]


def test_a_body_from_standard_input(run: Run, asked: Path) -> None:
    """With - the body is read from standard input."""
    result = run("why", "-", "--store", asked, typed=json.dumps(chat("Capital of Spain?")))
    assert "read from standard input" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "typed", "message"),
    [
        (["nope.json"], "", "'nope.json' is no file that can be read"),
        (["-"], "{", "is no JSON"),
        (["-"], "[]", "is JSON, but no object"),
        (["-"], '{"x": ' + "[" * 100_000, "is no JSON"),
        (["-", "--url", "here"], "{}", "'here' is no URL. Write https://host/path."),
        (["-", "--url", "https://[x"], "{}", "is no URL"),
        (["-", "--url", "https://x.test/a"], "{}", "goes past the cache"),
        (["-", "--url", "https://api.openai.com/v1/chat/completions"], '{"cache_ttl": "x"}', "not a number"),
        (["-", "-H", "nonsense"], "{}", "'nonsense' is no header. Write 'name: value'."),
    ],
)  # fmt: skip
def test_bad_input(run: Run, recorded: Path, arguments: list[str], typed: str, message: str) -> None:
    """What cannot be explained is said in words."""
    result = run("why", "--store", recorded, *arguments, typed=typed)
    assert result.exit_code
    assert message in result.stderr


def test_nothing_to_compare_with(run: Run, store: Path) -> None:
    """In an emptied store, and for the only entry, it says that there is nothing like it."""
    storage = open_storage(store)
    storage.add(CACHE, Take(answer(b"{}"), 1.0))
    storage.close()
    assert "Nothing else like it is recorded." in run("why", "--store", store).stdout
    run("rm", "--all", "--yes", "--store", store)
    assert "Nothing was missed and nothing is recorded" in run("why", "--store", store).stderr
    assert "that it could be compared with" in run("why", "-", "--store", store, typed="{}").stderr


def test_many_differences(run: Run, store: Path) -> None:
    """Of many differences a dozen are shown, and --json lists them all."""
    storage = open_storage(store)
    for number in (0, 1):
        storage.add(question({f"p{i}": number for i in range(20)}), Take(answer(b"{}"), 1.0 + number))
    storage.close()
    assert "and 8 more; --json lists them all" in run("why", "--store", store).stdout
    assert 20 == len(last(run, store)["nearest"][0]["differences"])


# --- The file --------------------------------------------------------------------------------------------------


def test_a_miss_comes_back(tmp_path: Path) -> None:
    """A miss is read back as it was, whatever bytes its body has, and the next one takes its place."""
    storage = open_storage(tmp_path / "x.db")
    for body in (b"plain", b"\xff\x00 bytes", "日本".encode()):
        kept = Miss(question({"a": 1})._replace(body=body), None, "why", 5.0)
        remember(storage, kept)
        assert kept == recall(storage)
    assert ["x.db-miss"] == [path.name for path in tmp_path.iterdir()]


def test_a_huge_miss_is_forgotten(tmp_path: Path) -> None:
    """A question of more than a few megabytes is not kept, and an older one is not mistaken for it."""
    storage = open_storage(tmp_path / "x.db")
    remember(storage, Miss(question({"a": 1}), None, "why", 5.0))
    remember(storage, Miss(question({"a": "x" * (5 << 20)}), None, "why", 6.0))
    assert None is recall(storage)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"question": {}}', '{"question": 5}', "\xff"])
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    """A file that cannot be read is as none."""
    storage = open_storage(tmp_path / "x.db")
    (tmp_path / "x.db-miss").write_text(text, encoding="latin-1")
    assert None is recall(storage)


def test_where_it_cannot_be_kept(tmp_path: Path) -> None:
    """In a folder that is not there, and for a store in memory, nothing is written and nothing raised."""
    kept = Miss(question({"a": 1}), None, "why", 5.0)
    for url in ("memory:", str(tmp_path / "none" / "x.db")):
        remember(open_storage(url), kept)
        assert None is recall(open_storage(url))
    assert [] == list(tmp_path.iterdir())


def test_not_beside_what_goes_into_git(tmp_path: Path) -> None:
    """Beside a text store, which is committed, there is no such file."""

    class Text:
        path = tmp_path / "recordings.jsonl"

    assert None is place(Text())  # type: ignore[arg-type]


def test_no_secret_is_kept(provider: LocalProvider, store: Path) -> None:
    """The file holds no credential, as nothing does that is stored."""
    with askonce.caching(store, domains=[provider.url]):
        ask(provider)
    with askonce.caching(store, domains=[provider.url], mode="offline"):
        headers = {"authorization": "Bearer sk-SECRET", "x-strange": "SECRET"}
        send(f"{provider.url}{CHAT}?key=SECRET", chat("Else?", api_key="SECRET"), **headers)
    text = store.with_name("cache.db-miss").read_text(encoding="ascii")
    assert "Else?" in text
    assert "SECRET" not in text


@pytest.mark.skipif(sys.platform == "win32", reason="no modes of files")
def test_a_read_only_folder(tmp_path: Path, provider: LocalProvider) -> None:
    """Where the file cannot be written, the call goes on as ever."""
    (tmp_path / "x.db-miss").mkdir()  # for root, too, no file can be put in place of a folder
    miss(provider, tmp_path / "x.db", "Any?")
    assert ["x.db-miss"] == [path.name for path in tmp_path.iterdir()]
