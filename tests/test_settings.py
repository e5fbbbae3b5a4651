"""What can be set, by argument or by variable; what is wrong is refused with what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from askonce._core.controls import Controls, Mode
from askonce._core.domains import parse_domain
from askonce._core.noise import NOTEBOOK_NOISE, Rule
from askonce._core.rotation import Repeat
from askonce.errors import SettingsError
from askonce.settings import Settings, classroom_defaults, default_store, read_settings, variables

NAMES = ["store", "mode", "domains", "ttl", "partition", "delays", "repeat", "samples"]
NAMES += ["max_size", "memory", "images", "bundles", "cache_url", "debug", "normalize"]
HOST = parse_domain("llm.test")


def read(arguments: dict[str, Any] | None = None, **environ: str) -> Settings:
    return read_settings(arguments or {}, environ)


def test_names() -> None:
    """Every setting has an argument and a variable; that of debug is called VERBOSE."""
    expected = ["ASKONCE_VERBOSE" if name == "debug" else f"ASKONCE_{name.upper()}" for name in NAMES]
    assert dict(zip(expected, NAMES, strict=True)) == variables()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("store", "memory:", "memory:"),
        ("store", Path("x.db"), "x.db"),
        ("mode", "replay", Mode.REPLAY),
        ("mode", Mode.OFF, Mode.OFF),
        ("mode", " Offline ", Mode.OFFLINE),
        ("domains", "llm.test", (HOST,)),
        ("domains", "llm.test, llm.test:9000,", (HOST, parse_domain("llm.test:9000"))),
        ("domains", ["llm.test", HOST], (HOST, HOST)),
        ("domains", [], ()),
        ("ttl", 90, 90.0),
        ("ttl", 0, 0.0),
        ("ttl", "1.5h", 5400.0),
        ("partition", "team", "team"),
        ("partition", "", ""),
        ("delays", True, 1.0),
        ("delays", False, 0.0),
        ("delays", 0.5, 0.5),
        ("delays", "2", 2.0),
        ("max_size", 0, 0),
        ("max_size", 1000, 1000),
        ("max_size", "500MB", 500 << 20),
        ("max_size", "1.5 GiB", 3 << 29),
        ("memory", "64k", 64 << 10),
        ("memory", "9", 9),
        ("images", Path("pictures"), "pictures"),
        ("images", "", ""),
        ("bundles", "a.askonce, b.askonce", ("a.askonce", "b.askonce")),
        ("bundles", [Path("a.askonce")], ("a.askonce",)),
        ("bundles", "", ()),
        ("cache_url", "https://host.test/x.askonce", "https://host.test/x.askonce"),
        ("cache_url", "", ""),
        ("debug", True, True),
        ("debug", False, False),
        ("debug", 1, True),
        ("normalize", NOTEBOOK_NOISE, NOTEBOOK_NOISE),
        ("normalize", [("a", "b", "c")], (Rule("a", "b", "c"),)),
        ("normalize", "notebook", NOTEBOOK_NOISE),
        ("normalize", (), ()),
    ],
)
def test_arguments(name: str, value: Any, expected: Any) -> None:
    """Each argument takes what is documented."""
    assert expected == getattr(read({name: value}), name)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("ASKONCE_STORE", "memory:x", "memory:x"),
        ("ASKONCE_MODE", "REFRESH", Mode.REFRESH),
        ("ASKONCE_DOMAINS", "llm.test", (HOST,)),
        ("ASKONCE_TTL", "30d", 2592000.0),
        ("ASKONCE_PARTITION", "team", "team"),
        *(("ASKONCE_DELAYS", text, 1.0) for text in ("1", "true", "YES", "on")),
        *(("ASKONCE_DELAYS", text, 0.0) for text in ("0", "false", "No", "off", "")),
        ("ASKONCE_DELAYS", "0.25", 0.25),
        ("ASKONCE_MAX_SIZE", "2GB", 2 << 30),
        ("ASKONCE_MEMORY", "0", 0),
        *(("ASKONCE_VERBOSE", text, True) for text in ("1", "true", "YES", "on")),
        *(("ASKONCE_VERBOSE", text, False) for text in ("0", "false", "No", "off", "")),
        *(("ASKONCE_NORMALIZE", text, NOTEBOOK_NOISE) for text in ("notebook", "1", "on")),
        *(("ASKONCE_NORMALIZE", text, ()) for text in ("0", "")),
    ],
)
def test_variables(name: str, text: str, expected: Any) -> None:
    """Each variable takes the text of what its argument takes."""
    assert expected == getattr(read(**{name: text}), variables()[name])


@pytest.mark.parametrize(
    ("name", "argument", "text"),
    [
        ("store", "memory:", "other.db"),
        ("mode", "off", "replay"),
        ("domains", [], "llm.test"),
        ("ttl", 0, "1h"),
        ("partition", "", "team"),
        ("delays", False, "2"),
        ("max_size", 0, "1GB"),
        ("memory", 0, "1GB"),
        ("debug", False, "1"),
        ("normalize", (), "notebook"),
    ],
)
def test_arguments_win(name: str, argument: Any, text: str) -> None:
    """An argument wins over its variable, also one that is false or nothing; None leaves it to the variable."""
    variable = next(one for one, field in variables().items() if field == name)
    assert getattr(read({name: argument}), name) == getattr(read({name: argument}, **{variable: text}), name)
    assert getattr(read({name: None}, **{variable: text}), name) == getattr(read(**{variable: text}), name)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("store", "", "neither a path nor a URL such as 'memory:'"),
        ("store", 5, "neither a path nor a URL"),
        ("mode", "fast", "There are record, replay, offline, refresh, off."),
        ("mode", 5, "There are record, replay, offline, refresh, off."),
        ("domains", "https://", "Write 'llm.example.com'"),
        ("domains", ["a b"], "Write 'llm.example.com'"),
        ("domains", 5, "is not a list of hosts"),
        ("ttl", "soon", "Write seconds (3600) or '15m', '12h', '30d'."),
        ("ttl", -1, "Write seconds"),
        ("ttl", True, "Write seconds"),
        ("ttl", "", "Write seconds"),
        ("partition", 5, "is not a string"),
        ("delays", "slow", "neither true, false nor a factor such as 0.5"),
        ("delays", -1, "a factor such as 0.5"),
        ("delays", "nan", "a factor such as 0.5"),
        ("delays", float("inf"), "a factor such as 0.5"),
        ("max_size", "big", "Write bytes (1000000) or '500MB', '2GB'."),
        ("max_size", -1, "Write bytes"),
        ("repeat", "round", "There are same, rotate, all, sequence."),
        ("samples", "many", "from 1 to 10000"),
        ("samples", 0, "from 1 to 10000"),
        ("samples", 2.5, "from 1 to 10000"),
        ("max_size", True, "Write bytes"),
        ("max_size", 1.5, "Write bytes"),
        ("memory", "", "Write bytes"),
        ("images", 5, "is not the path of a folder"),
        ("images", "a\0b", "is not the path of a folder"),
        ("debug", "maybe", "Write 1 or 0."),
        ("debug", 2, "Write 1 or 0."),
        ("normalize", "all", "neither 'notebook' nor a tuple of rules"),
        ("normalize", 5, "neither 'notebook' nor a tuple of rules"),
        ("normalize", [("a", "b")], "Write askonce.Rule(name, pattern, replacement)."),
        ("normalize", [("a", "(", "c")], "the rule 'a' cannot be used"),
        ("normalize", [("a", "b", "c"), ("a", "d", "e")], "two rules have one name"),
    ],
)
def test_malformed(name: str, value: Any, said: str) -> None:
    """A malformed value is refused under the name that it was given by, with the value and what is allowed."""
    with pytest.raises(SettingsError) as caught:
        read({name: value})
    assert said in str(caught.value)
    assert isinstance(caught.value, ValueError)
    if isinstance(value, str):
        variable = next(one for one, field in variables().items() if field == name)
        with pytest.raises(SettingsError) as caught:
            read(**{variable: value})
        assert said in str(caught.value)
        assert variable in str(caught.value) or name == "domains"
        assert repr(value) in str(caught.value)


def test_unknown_names() -> None:
    """An unknown argument or variable is refused with those that there are; others' variables are not ours."""
    with pytest.raises(SettingsError, match=rf"modus: there is no such setting. There are {', '.join(NAMES)}."):
        read({"modus": "off"})
    with pytest.raises(
        SettingsError, match=r"ASKONCE_MODUS: there is no such variable\. There are ASKONCE_STORE, .*VERBOSE"
    ):
        read(ASKONCE_MODUS="off")
    read(ASKED_ONCE="x", PATH="y")


def test_environment_is_read_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable counts that was set after askonce was imported."""
    monkeypatch.setenv("ASKONCE_MODE", "offline")
    assert Mode.OFFLINE is read_settings({}).mode


def test_defaults() -> None:
    """Without any setting, all is recorded for ever, and answered at once."""
    expected = Settings(str(default_store()), Mode.RECORD, (), None, "", 0.0, Repeat.SAME, 1, None, 32 << 20)
    assert expected == read()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("replay", 0.0, False)),
        ({"CACHED_OPENAI_DEV_MODE": ""}, ("record", 0.0, False)),
        ({"CACHED_OPENAI_DEV_MODE": "0", "ASKONCE_MODE": "offline"}, ("offline", 0.0, False)),
        ({"CACHED_OPENAI_DELAY_RESPONSES": "no", "CACHED_OPENAI_VERBOSE": "0"}, ("replay", 1.0, True)),
        ({"CACHED_OPENAI_DELAY_RESPONSES": "1", "ASKONCE_DELAYS": "0"}, ("replay", 0.0, False)),
    ],
)
def test_classroom_defaults(environ: dict[str, str], expected: tuple[str, float, bool]) -> None:
    """The drop-in replays; cached_openai's variables are on at any value, as they were, and ours win."""
    settings = read_settings({}, environ, classroom_defaults(environ))
    assert expected == (settings.mode, settings.delays, settings.debug)
    assert (Repeat.ALL, "images") == (settings.repeat, settings.images)


def test_controls() -> None:
    """What a call does not say itself, the settings say."""
    expected = Controls(mode=Mode.REPLAY, ttl=60.0, partition="p", delays=1.0, repeat=Repeat.ROTATE, samples=3)
    given = {"mode": "replay", "ttl": 60, "partition": "p", "delays": True, "repeat": "rotate", "samples": 3}
    assert expected == read(given).controls


@pytest.mark.parametrize("mark", ["pyproject.toml", ".git", ".git/"])
def test_default_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    """The store is in the nearest folder up that is a project's; a worktree's .git is a file."""
    inner = tmp_path / "project" / "src" / "deep"
    inner.mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "project"):
        (folder / mark).mkdir() if mark.endswith("/") else (folder / mark).touch()
    monkeypatch.chdir(inner)
    expected = tmp_path / "project" / ".askonce" / "cache.db"
    assert expected == default_store() == default_store(inner)
    assert str(expected) == read().store


def test_default_store_without_a_project(tmp_path: Path) -> None:
    """Where there is no project, the store is in the working directory."""
    assert Path.cwd() == tmp_path
    assert tmp_path / ".askonce" / "cache.db" == default_store()
