"""`%load_ext askonce` in a real IPython shell, and what is shown there."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import askonce
from askonce import notebook, prices, session
from askonce._core.entry import Entry, Take
from askonce._core.messages import Usage
from askonce._core.usage import Spared
from askonce.testing import LocalProvider
from tests.asking import ask
from tests.core.building import answer, question

HOSTILE = '<img src=x onerror=alert(1)> & "quotes" </div><script>alert(2)</script>'
_TAG = re.compile(r"</?([a-z]+)((?: [a-z]+=\"[^\"<>]*\")*)>")


@pytest.fixture
def shell(store: Path, provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a notebook's shell, and leave none behind."""
    monkeypatch.setenv("ASKONCE_STORE", str(store))
    monkeypatch.setenv("ASKONCE_DOMAINS", provider.url)
    monkeypatch.setenv("IPYTHONDIR", str(store.parent / "ipython"))
    shell = InteractiveShell.instance(colors="nocolor", history_length=0)
    shell.history_manager.enabled = False
    shell.user_ns["ask"] = lambda content="Why?": ask(provider, content)
    yield shell
    if "askonce" in shell.extension_manager.loaded:
        shell.run_line_magic("unload_ext", "askonce")
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


def shown(shell: Any, code: str) -> Any:
    """Run a cell; return its result."""
    result = shell.run_cell(code)
    result.raise_error()
    return result.result


def check_html(text: str) -> str:
    """Return the text of HTML, after making sure that its tags are ours, closed, and load and run nothing."""
    opened: list[str] = []
    for match in _TAG.finditer(text):
        if match[0].startswith("</"):
            assert match[1] == opened.pop()
        else:
            opened.append(match[1])
        attributes = set(re.findall(r" ([a-z]+)=", match[2]))
        assert attributes <= {"style", "dir"}
    assert [] == opened
    bare = _TAG.sub("\n", text)
    assert not set("<>") & set(bare)
    assert "url(" not in text
    return html.unescape(bare)


def test_load_and_unload(shell: Any, provider: LocalProvider, capsys: pytest.CaptureFixture[str]) -> None:
    """Loading enables the cache and says where it records; unloading takes back all that loading did."""
    shown(shell, "%load_ext askonce")
    assert re.fullmatch(r"askonce: mode record, store .*cache\.db\n", capsys.readouterr().out)
    assert shown(shell, "ask()") == shown(shell, "ask()")
    assert 1 == provider.count()
    assert "askonce" in shell.magics_manager.magics["line"]
    shown(shell, "%unload_ext askonce")
    assert None is session.current()
    assert "askonce" not in shell.magics_manager.magics["line"]
    assert shown(shell, "ask()") != shown(shell, "ask()")
    bundle, _ = shell.display_formatter.format(askonce.stats())
    assert "text/html" not in bundle


def test_an_enabled_cache_stays(shell: Any, store: Path) -> None:
    """Where the program enabled the cache itself, loading changes nothing of that, and neither does unloading."""
    cache = askonce.enable("memory:mine")
    shown(shell, "%load_ext askonce")
    assert cache is session.current()
    shown(shell, "%unload_ext askonce")
    assert cache is session.current()
    assert not store.exists()


def test_magic(shell: Any, provider: LocalProvider, capsys: pytest.CaptureFixture[str]) -> None:
    """`%askonce` gives the statistics; with a mode it changes that and nothing else."""
    shown(shell, "%load_ext askonce")
    shown(shell, "ask()")
    before = session.current()
    assert before is not None
    shown(shell, "%askonce Offline")
    after = session.current()
    assert after is not None
    assert before.settings._replace(mode=after.settings.mode) == after.settings
    assert "askonce: mode offline" in capsys.readouterr().out
    shown(shell, "ask()")
    stats = shown(shell, "%askonce")
    assert (1, 1) == (stats.hits, stats.misses)
    capsys.readouterr()
    assert None is shown(shell, "%askonce sometimes")
    assert "sometimes: there is no such mode. There are record, replay" in capsys.readouterr().err
    askonce.disable()
    shown(shell, "%askonce replay")
    assert "replay" == session.current().settings.mode  # type: ignore[union-attr]


def test_stats_are_shown(shell: Any, provider: LocalProvider) -> None:
    """Statistics are a table in a notebook and a sentence in a terminal."""
    shown(shell, "%load_ext askonce")
    shown(shell, "[ask() for _ in range(3)]")
    bundle, _ = shell.display_formatter.format(shown(shell, "import askonce; askonce.stats()"))
    text = check_html(bundle["text/html"])
    assert "2 of 3 calls answered without asking" in text
    assert "1 model without a price" in text
    assert bundle["text/plain"].startswith("3 calls: 2 from the store")


@pytest.mark.parametrize(
    ("stats", "there", "missing"),
    [
        (askonce.Stats(), "0 of 0 calls", "saved"),
        (askonce.Stats(shared=1, refused=2, bypassed=3), "shared in flight", "nothing"),
        (
            askonce.Stats(hits=1, spared=(Spared("openai", "gpt-5", 1, Usage(10**6, 0)),)),
            "about $1.25",
            "without a price",
        ),
    ],
)
def test_stats_html(stats: askonce.Stats, there: str, missing: str) -> None:
    """What has not happened is left out."""
    text = check_html(notebook.stats_html(stats))
    assert there in text
    assert missing not in text


def test_without_the_price_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra it is said how to get it."""
    monkeypatch.setattr(prices, "is_installed", lambda: False)
    assert "pip install 'askonce[prices]'" in check_html(notebook.stats_html(askonce.Stats(hits=1)))


def test_an_entry_is_shown(shell: Any, store: Path) -> None:
    """An entry is what is known of it and the conversation; in a terminal, a line."""
    shown(shell, "%load_ext askonce")
    shown(shell, "ask('What is a café?')")
    entry = shown(shell, f"import askonce; next(askonce.open_storage({str(store)!r}).entries())")
    bundle, _ = shell.display_formatter.format(entry)
    text = check_html(bundle["text/html"])
    for part in ("openai · chat · gpt-local", "What is a café?", "user", "assistant", "0 calls from the store"):
        assert part in text
    key = entry.question.key.hex()[:12]
    assert f"<Entry {key} openai chat gpt-local: What is a café?>" == bundle["text/plain"]


def test_everything_is_escaped() -> None:
    """Nothing in a question or an answer, wherever it stands, becomes markup or loads anything."""
    body = {
        "model": HOSTILE,
        "stop": HOSTILE,
        "messages": [
            {"role": HOSTILE, "content": HOSTILE},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"http://x/{HOSTILE}"}}]},
            {"role": "assistant", "tool_calls": [{"function": {"name": HOSTILE, "arguments": HOSTILE}}]},
        ],
    }
    message = {"role": "assistant", "content": HOSTILE, "reasoning": HOSTILE}
    reply = answer(repr({"choices": [{"message": message}]}).encode())
    asked = question(body, partition=HOSTILE)
    for entry in (Entry(asked, (Take(reply, 1e9), Take(reply, 2e9))), Entry(asked, ())):
        text = check_html(notebook.entry_html(entry))
        assert HOSTILE in text
        assert "<script" not in notebook.entry_html(entry)


def test_a_long_text_is_cut() -> None:
    """A book does not choke the browser; how much is left out is said."""
    entry = Entry(question({"messages": [{"role": "user", "content": "x" * 30_000}]}), ())
    text = check_html(notebook.entry_html(entry))
    assert "(10,000 more characters)" in text
    assert len(text) < 21_000


def test_choices_and_thoughts() -> None:
    """Several answers are told apart, and thoughts are folded away."""
    choices = [{"index": i, "message": {"content": f"Yes {i}", "reasoning": "Hm."}} for i in (0, 1)]
    import json

    reply = answer(json.dumps({"choices": choices}).encode())
    shown_html = notebook.entry_html(Entry(question({"messages": []}), (Take(reply, 1e9),)))
    text = check_html(shown_html)
    assert "assistant, choice 2" in text
    assert 2 == shown_html.count("<details")
