"""The drop-in's API against the SDK's own."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import openai
import pytest
from openai._resource import AsyncAPIResource, SyncAPIResource

import askonce.openai as dropin
from askonce._core.domains import Domains
from askonce._dropin import module
from askonce._dropin.resources import ADDED, is_generation
from tests.dropin.conftest import KEY

CLIENTS = ["OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI"]
GENERATION = """
    audio.speech.create audio.transcriptions.create audio.translations.create
    chat.completions.create chat.completions.parse chat.completions.stream completions.create embeddings.create
    images.create_variation images.edit images.generate moderations.create
    responses.create responses.input_tokens.count responses.parse responses.stream
""".split()


def made(kind: Any) -> Any:
    more = {"azure_endpoint": "https://x.test", "api_version": "1"} if "Azure" in kind.__name__ else {}
    return kind(api_key=KEY, **more)


def methods(resource: Any, path: str = "") -> Iterator[tuple[str, type, str, FunctionType]]:
    """Walk the SDK's resources: their path, class, name and function."""
    kind = type(resource)
    for name in dir(kind):
        value = inspect.getattr_static(kind, name)
        if name.startswith(("_", "with_")) or name == "qs":
            continue
        if inspect.isfunction(value):
            yield f"{path}{name}", kind, name, value
        elif hasattr(value, "func") or isinstance(value, property):
            inner = getattr(resource, name)
            if isinstance(inner, SyncAPIResource | AsyncAPIResource):
                yield from methods(inner, f"{path}{name}.")


def test_every_public_name() -> None:
    """Whatever `openai` has in public the drop-in has, the same but for the clients; also by `import *`."""
    names = [name for name in {*openai.__all__, *dir(openai)} if not name.startswith("_")]
    assert set() == set(names) - set(dir(dropin))
    differing = set()
    for name in names:
        theirs, ours = getattr(openai, name), getattr(dropin, name)
        if isinstance(ours, SyncAPIResource):
            assert type(theirs).__name__ == f"{type(ours).__name__}Proxy"
        elif theirs is not ours and name not in module.SETTINGS:
            assert issubclass(ours, theirs)
            differing.add(name)
    assert {*CLIENTS, "Client", "AsyncClient"} <= differing
    space: dict[str, Any] = {}
    exec("from askonce.openai import *", space)
    assert set(openai.__all__) <= space.keys()
    assert dropin.OpenAI is space["OpenAI"]
    with pytest.raises(AttributeError, match=r"module 'askonce\.openai' has no attribute 'OpenAl'"):
        _ = dropin.OpenAl


@pytest.mark.parametrize("name", CLIENTS)
def test_clients_are_subclasses(name: str) -> None:
    """A client is one of the SDK's, and of the drop-in's, as the original's family has it."""
    theirs, ours = getattr(openai, name), getattr(dropin, name)
    client = made(ours)
    root = "AsyncOpenAI" if "Async" in name else "OpenAI"
    assert isinstance(client, theirs)
    assert isinstance(client, getattr(dropin, root))
    assert inspect.signature(theirs) == inspect.signature(ours)
    assert (theirs.__name__, theirs.__doc__) == (ours.__name__, ours.__doc__)
    assert type(client) is type(client.with_options(timeout=3)) is type(client.copy())
    assert set(dir(made(theirs))) <= set(dir(client))


@pytest.mark.parametrize("name", CLIENTS[:2])
def test_signatures(name: str) -> None:
    """Every method has the original's signature and docstring; those that generate take three keywords more."""
    theirs, ours = made(getattr(openai, name)), made(getattr(dropin, name))
    generating = set()
    for path, kind, attribute, function in methods(theirs):
        mine = ours
        for step in path.split(".")[:-1]:
            mine = getattr(mine, step)
        assert isinstance(mine, kind)
        own = inspect.getattr_static(type(mine), attribute)
        signature = inspect.signature(own)
        if is_generation(kind, attribute, function):
            generating.add(path)
            assert set(ADDED) <= signature.parameters.keys()
            kept = [one for one in signature.parameters.values() if one.name not in ADDED]
            original = [one for one in inspect.signature(function).parameters.values() if one.name != "seed"]
            assert original == kept
            assert inspect.iscoroutinefunction(function) == inspect.iscoroutinefunction(own)
        else:
            assert inspect.signature(function) == signature
        assert function.__doc__ == own.__doc__
    assert set() == set(GENERATION) - generating
    assert set() == {path for path in generating if not path.startswith("beta.")} - set(GENERATION) - {
        "responses.compact"
    }


def test_generation_is_what_the_cache_takes_for_it() -> None:
    """What takes the keywords posts to a path that is generation, as far as the SDK's source says it."""
    domain = Domains().find("https", "api.openai.com", None)[0]
    for _path, kind, attribute, function in methods(made(openai.OpenAI)):
        source = inspect.getsource(inspect.unwrap(function))
        _, posts, rest = source.partition("self._post(")
        target = rest.strip().split('"')[1].partition("?")[0] if posts else None
        if target is not None and target.startswith("/") and "{" not in target:
            generates = is_generation(kind, attribute, function)
            assert generates == (domain.route("POST", f"/v1{target}") is not None), target


def test_the_sdk_is_left_alone() -> None:
    """The SDK's own classes and clients are as they were: no keyword more, no transport of ours."""
    made(dropin.OpenAI).chat.completions  # noqa: B018
    theirs = made(openai.OpenAI)
    assert "delay" not in inspect.signature(theirs.chat.completions.create).parameters
    assert "askonce" not in repr(theirs._client._transport)
    assert type(theirs.chat) is openai.resources.chat.Chat


def test_submodules() -> None:
    """The SDK's submodules are found under the drop-in's name, and are the SDK's own."""
    program = """
import askonce.openai.types
from askonce.openai.types.chat import ChatCompletion
from askonce.openai import types
import openai.types.chat, importlib
assert types is openai.types and ChatCompletion is openai.types.chat.ChatCompletion
assert openai.types.__spec__.name == "openai.types"
importlib.reload(openai.types)
try:
    import askonce.openai.nothing
except ModuleNotFoundError as error:
    assert error.name == "askonce.openai.nothing"
else:
    raise AssertionError
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert ("", 0) == (done.stderr, done.returncode)


def test_without_the_sdk() -> None:
    """Where `openai` is not installed, the import says what to install."""
    program = "import sys; sys.modules['openai'] = None; import askonce.openai"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    said = "ModuleNotFoundError: askonce.openai stands in for the OpenAI SDK, which is not installed: "
    assert f"{said}pip install openai" == done.stderr.strip().splitlines()[-1]
