"""The recording of one test: from before its fixtures to after them, its calls go through a cache of its own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from askonce._core.controls import Mode
from askonce._core.entry import Key, Question, Take
from askonce._engine.meter import Stats
from askonce.exchange import Recorded, read_cassette
from askonce.session import using
from askonce.settings import Settings, read_settings
from askonce.storage.jsonl import JSONLStorage, Name
from askonce.suite import network
from askonce.suite.redaction import Redaction
from askonce.suite.shelf import Cassette, Shelf
from askonce.suite.telling import TellingCache

_SETTINGS = ("delays", "domains", "partition")


class Recording:
    """What the fixture `askonce` gives: where a test's answers are, what was done, what must not be written."""

    def __init__(
        self,
        storage: JSONLStorage,
        mode: str,
        options: Mapping[str, Any],
        patterns: list[str],
        cassette: Path | None,
    ) -> None:
        self.path = storage.path
        self.mode = mode
        redact = options.get("redact", ())
        self._redaction = Redaction([*patterns, *((redact,) if isinstance(redact, str) else redact)])
        arguments = {name: options[name] for name in _SETTINGS if name in options}
        settings = read_settings(
            {"store": storage.path, "mode": mode, "repeat": options.get("repeat", "sequence"), **arguments}
        )
        self._shelf = Shelf(storage, self._redaction, read_played(cassette, settings) if cassette else None)
        self._cache = TellingCache(settings, self._shelf)
        self._stack = ExitStack()
        self._asked: list[str] = []

    @property
    def stats(self) -> Stats:
        """What the calls of this test have come to so far."""
        return self._cache.stats

    def redact(self, pattern: str) -> None:
        """Replace what a regular expression matches, in what is written from now on, by `[redacted]`."""
        self._redaction.add(pattern)

    def begin(self) -> None:
        """Let calls go through the cache, and offline nowhere else."""
        if self.mode == Mode.OFF:
            return
        self._stack.enter_context(using(self._cache))
        if self.mode == Mode.OFFLINE:
            self._asked = network.block()
            self._stack.callback(network.unblock, self._asked)

    def end(self) -> None:
        """Let calls go where they went before."""
        self._stack.close()

    @property
    def used(self) -> set[Name]:
        return self._shelf.used

    @property
    def recorded(self) -> int:
        return self._shelf.recorded

    def complaint(self) -> str:
        """Say, once, what looked like a key and was therefore not written; empty when nothing did."""
        leaks, self._shelf.leaks = self._shelf.leaks, []
        if not leaks:
            return ""
        question, leak = leaks[0]
        return (
            f"askonce has not recorded an answer of {question.url}: it, or its question, holds what looks like an "
            f"{leak}.\nRecordings go into the repository. Keep the key out of the prompt, or take it out of what "
            "is written: list a regular expression that matches it under askonce_redact in pytest's settings, or "
            "call askonce.redact(pattern) in the test."
        )

    def told(self, test: str) -> str:
        """Say which requests were refused, and how they are recorded; empty when none was."""
        parts = list(self._cache.refused)
        if self._asked:
            hosts = ", ".join(dict.fromkeys(self._asked))
            parts.append(f"Offline, no connection was made to {hosts}.")
        if self._cache.refused:
            parts.append(f"If the change is meant, record it:\n  pytest --askonce=record '{test}'")
        return "\n\n".join(parts)


def read_played(path: Path, settings: Settings) -> Cassette:
    """Return what is in a cassette, by key."""
    played: dict[Key, tuple[Question, tuple[Take, ...]]] = {}
    for one in read_cassette(path, settings):
        if isinstance(one, Recorded):
            before = played.get(one.question.key, (one.question, ()))[1]
            played[one.question.key] = (one.question, (*before, one.take))
    return played
