"""`askonce ls` and `askonce show`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from askonce._core.entry import Question, Take
from askonce._core.messages import Usage
from askonce.cli.render import age_text, clean, clip, time_text
from askonce.prices import price
from askonce.storage import open_storage
from tests.cli.conftest import CACHE, CAPITAL, SOUND, SPEECH, Run, question
from tests.cli.conftest import answer as recorded_answer


def test_ls(run: Run, recorded: Path) -> None:
    """A listing is one line an entry, the newest first, under titles."""
    result = run("ls", "--store", recorded)
    expected = """\
KEY           AGE  PARTITION  PROVIDER   KIND    MODEL              TAKES  HITS    SIZE  TOKENS      COST  QUESTION
6707955bb6d6   1h             openai     chat    gpt-5-mini             2     3   759 B      25  $0.00004  What is a cache?
9e62e997a7ac   3d  acme       anthropic  chat    claude-sonnet-4-5      1     0   184 B       9  $0.00005  Capital of France?
3e5680fa0b17   9d             openai     speech  tts-1                  1     0  5.0 KB                    Hello there
"""  # noqa: E501
    assert (0, expected, "") == (result.exit_code, result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], [CACHE, CAPITAL, SPEECH]),
        (["--provider", "openai"], [CACHE, SPEECH]),
        (["--model", "SONNET"], [CAPITAL]),
        (["--partition", "acme"], [CAPITAL]),
        (["--partition", ""], [CACHE, SPEECH]),
        (["--since", "4d"], [CACHE, CAPITAL]),
        (["--since", (datetime.now(UTC) - timedelta(days=4)).isoformat()], [CACHE, CAPITAL]),
        (["--until", (datetime.now(UTC) - timedelta(days=2)).date().isoformat()], [CAPITAL, SPEECH]),
        (["--text", "A cache keeps"], [CACHE]),
        (["--text", "capital OF france"], [CAPITAL]),
        (["--provider", "openai", "--text", "Paris"], []),
        (["--limit", "1"], [CACHE]),
    ],
)
def test_filters(run: Run, recorded: Path, filters: list[str], expected: list[Question]) -> None:
    """Filters choose; text is found in a stream as people read it, across its chunks."""
    result = run("ls", "--store", recorded, "--json", *filters)
    assert [one.key.hex() for one in expected] == [one["key"] for one in json.loads(result.stdout)]


def test_ls_json(run: Run, recorded: Path) -> None:
    """The JSON of a listing has these fields."""
    (entry,) = json.loads(run("ls", "--store", recorded, "--json", "--limit", "1").stdout)
    assert abs(datetime.fromisoformat(entry.pop("recorded")) - datetime.now(UTC)) < timedelta(hours=1, minutes=1)
    assert {
        "key": CACHE.key.hex(),
        "provider": "openai",
        "kind": "chat",
        "model": "gpt-5-mini",
        "partition": "",
        "tags": [],
        "url": "https://api.openai.com/v1/chat",
        "hits": 3,
        "takes": 2,
        "size": 759,
        "input_tokens": 5,
        "output_tokens": 20,
        "dollars": pytest.approx(price("openai", "gpt-5-mini", Usage(5, 20))),
        "question": "What is a cache?",
    } == entry


@pytest.mark.parametrize(("filters", "more"), [((), "2 more"), (("--provider", "openai"), "1 more")])
def test_limit(run: Run, recorded: Path, filters: tuple[str, ...], more: str) -> None:
    """A listing that was cut says how many more there are, beside the output proper."""
    assert run("ls", "--store", recorded, "--limit", "1", *filters).stderr.startswith(more)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_width(run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """On a narrow screen columns are left out; a key is always whole, and no line is wider than the screen."""
    monkeypatch.setenv("COLUMNS", str(width))
    lines = run("ls", "--store", recorded).stdout.splitlines()
    assert all(re.match(r"[0-9a-f]{12} ", line) for line in lines[1:])
    assert max(map(len, lines)) <= max(width, 48)
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("filters", "message"),
    [(("--model", "no-such"), "Nothing that is recorded matches."), ((), "Nothing is recorded in")],
)
def test_nothing_found(run: Run, recorded: Path, filters: tuple[str, ...], message: str) -> None:
    """A store without what was sought is no error."""
    storage = open_storage(recorded)
    if not filters:
        storage.remove([CACHE.key, CAPITAL.key, SPEECH.key])
    storage.close()
    result = run("ls", "--store", recorded, *filters)
    assert (0, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith(message)


def test_show(run: Run, recorded: Path) -> None:
    """A question and its answer are shown as a conversation under what is known of them."""
    result = run("show", "--store", recorded, CACHE.key.hex()[:5], "--take", "1", "--headers")
    shown = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", result.stdout)
    expected = f"""\
key       {CACHE.key.hex()}
asked     openai · chat · gpt-5-mini
url       https://api.openai.com/v1/chat
with      temperature 0.2
recorded  WHEN, 2h ago, take 1 of 2
took      1.5 s for 380 B in 6 chunks, the first after 250 ms
tokens    5 in, 20 out
cost      about $0.00004
answered  3 calls from the store

headers of the request (those that identify it)
  accept  *

headers of the answer, status 200
  content-type    text/event-stream
  content-length  380

user
  What is a cache?

assistant
  A cache keeps ␛[31mthings.
"""
    assert expected == shown


def test_show_latest_take(run: Run, recorded: Path) -> None:
    """Without --take the latest is shown; a time to live is shown with what is left of it."""
    assert "Another." in run("show", "--store", recorded, CACHE.key.hex()).stdout
    shown = run("show", "--store", recorded, CAPITAL.key.hex()).stdout
    assert re.search(r"^ttl +24 h, past for 2 d$", shown, re.MULTILINE)


def test_show_json(run: Run, recorded: Path) -> None:
    """The JSON of an entry has the conversation, every take, and what the other doors need to find it."""
    value = json.loads(run("show", "--store", recorded, CACHE.key.hex(), "--json").stdout)
    takes = value.pop("takes")
    assert [
        {"role": "user", "text": "What is a cache?", "thinking": "", "calls": [], "notes": [], "choice": 0}
    ] == (value["question"])
    assert {"temperature": "0.2"} == value["parameters"]
    assert [(1, None, 6, 1.5), (2, "7", 5, 1.25)] == [
        (take["take"], take["seed"], take["chunks"], take["seconds"]) for take in takes
    ]
    assert ["A cache keeps \x1b[31mthings.", "Another."] == [take["answer"][0]["text"] for take in takes]


def test_raw(run: Run, recorded: Path) -> None:
    """--raw writes the body and nothing else."""
    assert run("show", "--store", recorded, SPEECH.key.hex(), "--raw").stdout_bytes == SOUND


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ffffffffffff"], "No key begins with ffffffffffff"),
        (["nonsense"], "'nonsense' is no key"),
        ([CACHE.key.hex(), "--take", "3"], "has 2 takes, so there is no take 3"),
    ],
)
def test_show_errors(run: Run, recorded: Path, arguments: list[str], message: str) -> None:
    """What cannot be shown is said in words."""
    result = run("show", "--store", recorded, *arguments)
    assert result.exit_code
    assert message in result.stderr


def test_ambiguous_key(run: Run, recorded: Path) -> None:
    """A beginning that several keys share lists them."""
    storage = open_storage(recorded)
    entry = next(storage.entries())
    others = [question(f"question {i}", "m") for i in range(20)]  # more than there are first digits
    for other in others:
        storage.add(other, entry.takes[0])
    storage.close()
    shared = next(d for d in "0123456789abcdef" if sum(one.key.hex()[0] == d for one in others) > 1)
    result = run("show", "--store", recorded, shared)
    assert result.exit_code == 1
    assert f"{shared} begins several keys" in result.stderr
    listed = [one for one in others if one.key.hex()[:12] in result.stderr]
    assert len(listed) > 1


def test_odd_content(run: Run, store: Path) -> None:
    """Markup, wide characters and control characters in a question do not disturb the table."""
    storage = open_storage(store)
    body = {"messages": [{"role": "user", "content": "[bold]\x1b[2J日本語\r\n☕ and more"}]}
    storage.add(question(body, "m"), Take(recorded_answer(b'{"text": "x"}'), 0.0))
    storage.close()
    (_, line) = run("ls", "--store", store).stdout.splitlines()
    assert "[bold]␛[2J日本語 ☕ and more" in line


def test_show_all_kinds_of_turns(run: Run, store: Path) -> None:
    """Thoughts, tools, notes and choices each have their place; long lines are folded, never cut."""
    parts = [
        {"type": "text", "text": "Look: " + "word " * 40},
        {"type": "image_url", "image_url": {"url": "http://a/b"}},
    ]
    call = {"function": {"name": "f", "arguments": '{"x": 1}'}}
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "tool_calls": [call]}]
    choices = [{"index": i, "message": {"reasoning": "Hm.", "content": f"Yes\n\n{i}"}} for i in (0, 1)]
    one = question({"messages": messages}, "m")
    storage = open_storage(store)
    storage.add(one, Take(recorded_answer(json.dumps({"choices": choices}).encode()), 0.0))
    storage.close()
    shown = run("show", "--store", store, one.key.hex()).stdout.partition("\n\n")[2]
    first, second = 24 * "word ", 16 * "word "
    assert (
        shown
        == f"""\
user
  Look: {first.rstrip()}
  {second.rstrip()}
  [image: http://a/b]

assistant
  → f(x=1)

assistant, choice 1
  Hm.

  Yes

  0

assistant, choice 2
  Hm.

  Yes

  1
"""
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (2.31, "2.3 s"),
        (42.0, "42 s"),
        (99.97, "2 min"),
        (3600.0, "1 h"),
        (18720.0, "5 h 12 min"),
        (3.5 * 86400, "3 d 12 h"),
        (30 * 86400.0, "30 d"),
    ],
)
def test_time_text(seconds: float, expected: str) -> None:
    """Lengths of time are read at a glance."""
    assert expected == time_text(seconds)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-3, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (900_000, "10d")]
)
def test_age_text(seconds: float, expected: str) -> None:
    """Ages have one unit, and a clock that went backwards makes nothing negative."""
    assert expected == age_text(seconds)


def test_clip() -> None:
    """Text is cut between words where that loses little, and by cells, not characters."""
    assert ["short", "one two…", "abcdefg…", "日本…"] == [
        clip("short", 8), clip("one two three", 9), clip("abcdefghij", 8), clip("日本語日本語", 5)
    ]  # fmt: skip


def test_clean() -> None:
    """Nothing that drives a terminal survives; line feeds and tabs do."""
    assert clean("a\x1b]0;x\x07\tb\r\nc\x9b\x7f\u202e") == "a␛]0;x␇\tb\nc\ufffd␡"
