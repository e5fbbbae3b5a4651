"""cachy's names from askonce: the original's arguments, its file answered from, its faults left behind."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import httpx2
import pytest
from cachy import core as original

import askonce
from askonce.compat import cachy as compat
from askonce.compat.cachy import cachy, disable_cachy, enable_cachy, no_cachy
from askonce.testing import LocalProvider
from tests.exchange.building import cachy_line, entries_of, write_lines
from tests.rig import CHAT, KEY, chat

DOMS = ("127.0.0.1",)


def ask(provider: LocalProvider, content: str = "What is a café?") -> str:
    """Ask the provider."""
    return httpx2.post(provider.url + CHAT, json=chat(content), headers={"api-key": KEY}).text


def line_for(provider: LocalProvider, content: str = "What is a café?") -> dict[str, object]:
    """Return the line that cachy would write for a question, with an answer of our own."""
    asked = httpx2.Request("POST", provider.url + CHAT, json=chat(content), headers={"accept": "*/*"})
    return cachy_line(
        original._key(asked), response=json.dumps({"choices": [], "model": "gpt-local", "from": "cachy"})
    )


@pytest.mark.parametrize("name", ["enable_cachy", "disable_cachy", "no_cachy"])
def test_signatures(name: str) -> None:
    """Each function takes what the original takes, in its order and with its defaults."""

    def shape(function: object) -> list[tuple[str, object]]:
        assert callable(function)
        found = inspect.signature(function).parameters.values()
        return [(one.name, None if one.name == "doms" else one.default) for one in found]

    assert shape(getattr(original, name)) == shape(getattr(compat, name))
    assert set(original.doms) == set(compat.doms)
    assert list(inspect.signature(compat.cachy).parameters) == list(
        inspect.signature(compat.enable_cachy).parameters
    )


def test_enable_and_disable(provider: LocalProvider, tmp_path: Path) -> None:
    """What is new is recorded beside the file; after `disable_cachy` calls go to the provider."""
    enable_cachy(tmp_path, doms=DOMS)
    assert ask(provider) == ask(provider)
    disable_cachy()
    ask(provider)
    assert 2 == provider.count()
    assert 1 == len(entries_of(tmp_path / ".askonce" / "cache.db"))
    assert not (tmp_path / "cachy.jsonl").exists()


def test_an_existing_file_answers_until_it_is_asked_anew(provider: LocalProvider, tmp_path: Path) -> None:
    """An answer of cachy's is given, and counted as a hit; once recorded anew, our own is."""
    path = write_lines(tmp_path / "cachy.jsonl", [line_for(provider)])
    before = path.read_bytes()
    with cachy(cache_dir=tmp_path, doms=DOMS):
        assert "cachy" == json.loads(ask(provider))["from"] == json.loads(ask(provider))["from"]
        assert (0, 2) == (provider.count(), askonce.stats().hits)
        with askonce.options(mode="refresh"):
            fresh = ask(provider)
        assert fresh == ask(provider)
    assert 1 == provider.count()
    assert before == path.read_bytes()
    hits = {entry.question.provider: entry.hits for entry in entries_of(tmp_path / ".askonce" / "cache.db")}
    assert {"cachy": 2, "openai": 1} == hits


def test_a_file_that_has_grown_is_read_again(provider: LocalProvider, tmp_path: Path) -> None:
    """What cachy has added since is found when it is enabled again."""
    write_lines(tmp_path / "cachy.jsonl", [line_for(provider)])
    with cachy(cache_dir=tmp_path, doms=DOMS):
        ask(provider)
    write_lines(tmp_path / "cachy.jsonl", [line_for(provider), line_for(provider, "more")])
    with cachy(cache_dir=tmp_path, doms=DOMS):
        assert "cachy" == json.loads(ask(provider, "more"))["from"]
    assert 0 == provider.count()


def test_a_bad_file_is_warned_of(provider: LocalProvider, tmp_path: Path) -> None:
    """A torn file is no reason not to run."""
    (tmp_path / "cachy.jsonl").write_text("<<<<<<< HEAD\n")
    with pytest.warns(askonce.AskonceWarning, match="line 1 is not JSON"), cachy(cache_dir=tmp_path, doms=DOMS):
        assert ask(provider) == ask(provider)


def test_no_cachy(provider: LocalProvider, tmp_path: Path) -> None:
    """Inside `no_cachy` calls go to the provider and nothing is touched."""
    with cachy(cache_dir=tmp_path, doms=DOMS), no_cachy():
        ask(provider)
        ask(provider)
    assert 2 == provider.count()
    assert not (tmp_path / ".askonce").exists()


def test_the_block_restores_what_was(provider: LocalProvider, tmp_path: Path) -> None:
    """After the block the cache that was enabled before is in force again."""
    enable_cachy(tmp_path / "outer", doms=DOMS)
    with cachy(cache_dir=tmp_path / "inner", doms=DOMS):
        ask(provider)
    ask(provider)
    assert 2 == provider.count()
    ask(provider)
    assert 2 == provider.count()


def test_the_folder_is_the_project_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: LocalProvider
) -> None:
    """Without `cache_dir` it is the nearest folder up with a pyproject.toml, as with cachy."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    with cachy(doms=DOMS):
        ask(provider)
    assert (tmp_path / ".askonce" / "cache.db").exists()


@pytest.mark.parametrize(("debug", "lines"), [(False, 0), (True, 2), ("miss", 1)])
def test_debug(
    provider: LocalProvider, tmp_path: Path, capsys: pytest.CaptureFixture[str], debug: compat.Debug, lines: int
) -> None:
    """`debug` prints a line a call, `"miss"` none for a hit."""
    with cachy(cache_dir=tmp_path, doms=DOMS, debug=debug):
        ask(provider)
        ask(provider)
    assert lines == len(capsys.readouterr().err.splitlines())


def test_hdrs_is_said_to_be_needless(tmp_path: Path) -> None:
    """An argument that is not needed is not silently ignored."""
    with pytest.warns(askonce.AskonceWarning, match="hdrs is not needed"), cachy(cache_dir=tmp_path, hdrs=["x-a"]):
        pass


def test_doms() -> None:
    """Known hosts stay what they are; an unknown one is taken at any port unless it names one."""
    found = compat._domains((*compat.doms, "localhost", "10.0.0.7:8000", "https://llm.example.com"))
    assert [("chatgpt.com", 0), ("localhost", 0), ("10.0.0.7", 8000), ("llm.example.com", None)] == [
        (domain.host, domain.port) for domain in found
    ]
