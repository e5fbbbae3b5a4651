"""The part of the pytest plugin that runs tests with recordings; `pytest_askonce` registers it where one asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from askonce.errors import AskonceError
from askonce.storage.jsonl import JSONLStorage
from askonce.suite.layout import cassette_files, place_of, read_options
from askonce.suite.ledger import Use
from askonce.suite.recording import Recording

RECORDING = pytest.StashKey[Recording]()
_USE = pytest.StashKey[Use]()


class Suite:
    """Opens a recording for each test that asks for one, and reports what came of it."""

    def __init__(self, config: pytest.Config, mode: str, items: list[pytest.Item], partial: set[Path]) -> None:
        self._mode = mode
        self._per = config.getini("askonce_per")
        self._patterns = config.getini("askonce_redact")
        self._totals = Counter(item.path for item in items)
        self._marked = set(items)
        self._partial = partial
        self._storages: dict[Path, JSONLStorage] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if item in self._marked:
            mistake = ""
            try:
                self._begin(item)
            except AskonceError as error:
                mistake = f"askonce: {error}"
            if mistake:  # and not while the error is handled, which would be shown besides
                pytest.fail(mistake, pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        result = yield
        self._complain(item)
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        try:
            result = yield
        finally:
            recording = item.stash.get(RECORDING, None)
            if recording is not None:
                recording.end()
        self._complain(item)
        return result

    def _begin(self, item: pytest.Item) -> None:
        marks = ((mark.args, mark.kwargs) for mark in item.iter_markers("askonce"))
        test = item.nodeid.partition("::")[2]
        options: dict[str, Any] = {"per": self._per}
        try:
            options = read_options(marks, self._per)
        finally:
            place = place_of(item.path, test, options)
            item.stash[_USE] = Use(
                str(item.path),
                str(place.path),
                place.is_usual,
                self._totals[item.path],
                item.path.resolve() in self._partial or self._mode == "off",
                [],
                0,
            )
        if place.path not in self._storages:
            self._storages[place.path] = JSONLStorage(place.path, timeless=True)
        cassette = cassette_files(item.path, test, options)
        recording = Recording(self._storages[place.path], self._mode, options, self._patterns, cassette)
        item.stash[RECORDING] = recording
        recording.begin()

    def _complain(self, item: pytest.Item) -> None:
        recording = item.stash.get(RECORDING, None)
        complaint = recording.complaint() if recording is not None else ""
        if complaint:
            pytest.fail(complaint, pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, Any, pytest.TestReport]:
        use, recording = item.stash.get(_USE, None), item.stash.get(RECORDING, None)
        if call.excinfo is not None and recording is not None and recording.told(item.nodeid):
            _leave_out_libraries(item)
        report: pytest.TestReport = yield
        if use is None:
            return report
        if recording is not None:
            if report.when == "teardown":
                names = sorted(recording.used, key=repr)
                use = use._replace(
                    used=[(key.hex(), seed, slot) for key, seed, slot in names], recorded=recording.recorded
                )
            told = recording.told(item.nodeid) if report.failed else ""
            if told:
                path = Path(recording.path)
                shown = (
                    path.relative_to(item.config.rootpath) if path.is_relative_to(item.config.rootpath) else path
                )
                report.sections.append((f"askonce: not in {shown}", told))
        report.__dict__["askonce"] = use._asdict()  # goes to the controller with the report
        return report


def _leave_out_libraries(item: pytest.Item) -> None:
    """Show of a refused call where the project made it, and not how an SDK passed it on."""
    show = getattr(item, "_traceback_filter", None)  # pytest's own; without it, all is shown
    if show is None or item.config.getoption("fulltrace"):
        return

    def show_own(error: pytest.ExceptionInfo[BaseException]) -> Any:
        shown = show(error)
        own = [entry for entry in shown if _is_own(Path(entry.path), item.config.rootpath)]
        return type(shown)(own) if own else shown

    item.__dict__["_traceback_filter"] = show_own


def _is_own(path: Path, root: Path) -> bool:
    return path.is_relative_to(root) and "site-packages" not in path.parts
