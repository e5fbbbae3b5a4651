"""What every test stands on: a clean environment, no network, a local provider, stores searched for secrets."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import askonce
from askonce import notices, session
from askonce.testing import LocalProvider
from tests import network
from tests.rig import RIGS, Rig
from tests.scan import findings, stores_in
from tests.sdks.runs import Runs, make_runs
from tests.servers import postgres_server, redis_server, redis_servers  # noqa: F401 (fixtures)

sys.addaudithook(network.refuse)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine and has a rig as that rig does."""
    rig = pyfuncitem.funcargs.get("rig")
    if not isinstance(rig, Rig) or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    rig.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Begin without settings, proxies or a project folder; end without a cache, and no secret in a store."""
    for name in os.environ:
        if name.startswith("ASKONCE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield
    askonce.disable()
    assert [] == session._nested
    notices.forget_warnings()
    assert [] == [secret for store in stores_in(tmp_path) for secret in findings(store)]


@pytest.fixture(autouse=True, scope="session")
def _searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the very end, search the stores that outlived a test: those made for a module or for the session."""
    yield
    stores = stores_in(tmp_path_factory.getbasetemp())
    assert [] == [secret for store in stores for secret in findings(store)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return where a store may be made; whatever is made there is searched for secrets."""
    return tmp_path / "cache.db"


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    """Return a running local provider."""
    with LocalProvider() as running:
        yield running


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Runs]:
    """Return what makes the catalogue's runs for `current` or `openai2`; each is made once a session."""
    folder = tmp_path_factory.mktemp("catalogue")
    made: dict[str, Runs | BaseException] = {}

    def make(generation: str) -> Runs:
        if generation not in made:
            try:
                made[generation] = make_runs(generation, folder)
            except BaseException as error:  # a run takes long: one that failed is not tried again for each test
                made[generation] = error
        result = made[generation]
        if isinstance(result, BaseException):
            raise result
        return result

    return make


@pytest.fixture(params=RIGS, ids=str)
def rig(request: pytest.FixtureRequest) -> Rig:
    """Return each of the four ways to ask in turn."""
    rig: Rig = request.param
    return rig
