"""The pytest plugin of askonce: `@pytest.mark.askonce` records a test's LLM calls and replays them.

Every pytest of an environment imports this, and so it imports nothing: what does the work is `askonce.suite`, once
a test asks for it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from askonce.suite.ledger import Ledger
    from askonce.suite.recording import Recording

_MODES = ("offline", "record", "refresh", "off")
_DESELECTED = pytest.StashKey[set[Path]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and settings."""
    group = parser.getgroup("askonce", "LLM calls that are recorded once and replayed (askonce)")
    group.addoption(
        "--askonce",
        choices=_MODES,
        help="offline: answer from the recordings, refuse what is not in them, and block the network (the default "
        "where CI is set). record: ask what is not recorded (the default elsewhere). refresh: ask everything "
        "anew. off: neither record nor replay.",
    )
    group.addoption(
        "--askonce-prune",
        action="store_true",
        help="Remove the recorded answers that no test has used, of modules whose tests have all run and passed.",
    )
    parser.addini("askonce_per", "One file of recordings for each 'module' or for each 'test'.", default="module")
    parser.addini(
        "askonce_redact",
        "Regular expressions, one a line; what they match is not written to recordings.",
        type="linelist",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers",
        "askonce(domains=…, repeat='sequence', per='module', path=…, cassette=…, redact=…, partition=…, "
        "delays=…): record the LLM calls of this test, and replay them.",
    )
    config.stash[_DESELECTED] = set()
    if not hasattr(config, "workerinput"):  # a worker of xdist sends its reports to the controller
        config.pluginmanager.register(_Gatherer(config), "askonce-gatherer")


@pytest.fixture
def askonce(request: pytest.FixtureRequest) -> Recording:
    """Record and replay the LLM calls of this test; what it gives tells of them."""
    from askonce.suite.plugin import RECORDING

    recording: Recording = request.node.stash[RECORDING]
    return recording


def _is_marked(item: pytest.Item) -> bool:
    return item.get_closest_marker("askonce") is not None or "askonce" in getattr(item, "fixturenames", ())


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Note the modules of which not all tests will run."""
    for item in items:
        item.config.stash[_DESELECTED].add(item.path.resolve())


def pytest_collection_finish(session: pytest.Session) -> None:
    """Go to work if a test asks for it."""
    items = [item for item in session.items if _is_marked(item)]
    if not items:
        return
    from askonce.suite.plugin import Suite

    config = session.config
    named = {
        (config.invocation_params.dir / name.partition("::")[0]).resolve() for name in config.args if "::" in name
    }
    suite = Suite(config, _mode(config), items, config.stash[_DESELECTED] | named)
    config.pluginmanager.register(suite, "askonce-suite")


def _mode(config: pytest.Config) -> str:
    mode: str | None = config.getoption("--askonce")
    in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false", "no")
    return mode or ("offline" if in_ci else "record")


class _Gatherer:
    """Gathers what the tests have used, here or in the workers of xdist, and tells of it at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._ledger: Ledger | None = None
        self._lines: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        use = getattr(report, "askonce", None)
        if use is None:
            return
        if self._ledger is None:
            from askonce.suite.ledger import Ledger

            self._ledger = Ledger(self._config.rootpath)
        self._ledger.add(report.nodeid, report.when, report.outcome, use)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        if self._ledger is not None:
            self._lines = self._ledger.finish(prune=self._config.getoption("--askonce-prune"))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._lines:
            terminalreporter.section("askonce")
            for line in self._lines:
                terminalreporter.line(line)
