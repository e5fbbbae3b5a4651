"""A warning, once, where a known SDK is live and its calls are not seen; silence otherwise."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import askonce
from askonce.intercept import coverage
from tests.intercept.processes import run

SEEN = ("openai", "anthropic", "google.genai", "mistralai.client", "groq", "ollama")


@pytest.mark.parametrize("sdk", ["xai_sdk", "google.generativeai", "dspy"])
def test_an_sdk_that_is_loaded_and_not_seen_is_warned_of_once(monkeypatch: pytest.MonkeyPatch, sdk: str) -> None:
    """An SDK whose calls travel where nothing is intercepted is named once a process, with their way."""
    monkeypatch.setitem(sys.modules, sdk, ModuleType(sdk))
    with pytest.warns(askonce.AskonceWarning, match=f"{sdk} is loaded, but its calls travel over"):
        askonce.enable("memory:")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        askonce.enable("memory:")
        coverage.look()


def test_one_that_is_loaded_later_is_warned_of_then(tmp_path: Path) -> None:
    """An SDK imported after `enable` is warned of when its import is done, in the program that imports it."""
    (tmp_path / "xai_sdk.py").write_text("ready = True", encoding="ascii")
    printed = run(
        """
        import warnings, askonce
        askonce.enable("memory:")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import xai_sdk
            print(xai_sdk.ready, *[str(warning.message)[:26] for warning in caught])
        """,
        path=tmp_path,
    )
    assert "True askonce: xai_sdk is loaded\n" == printed


def test_warnings_as_errors_break_no_import(tmp_path: Path) -> None:
    """Where warnings are errors the remark is logged, and the import succeeds."""
    (tmp_path / "xai_sdk.py").write_text("ready = True", encoding="ascii")
    printed = run("import askonce; askonce.enable('memory:'); import xai_sdk; print(xai_sdk.ready)", path=tmp_path)
    assert "True\n" == printed


LAZY = ("cohere", "mistralai", "huggingface_hub")  # these load httpx or httpx2 with the first call


@pytest.mark.parametrize("sdks", [LAZY, (*SEEN, *LAZY)], ids=["lazy", "all"])
@pytest.mark.parametrize("order", ["before", "after"])
def test_sdks_that_are_seen_are_not_warned_of(sdks: tuple[str, ...], order: str) -> None:
    """An SDK on httpx or httpx2 gives no warning, also when it loads them only with the first call."""
    enable, load = "import askonce; askonce.enable('memory:')", f"import {', '.join(sdks)}"
    steps = [load, enable] if order == "before" else [enable, load]
    watch = (
        "import logging; logging.basicConfig(format='%(message)s')"  # warnings are errors: what is logged is one
    )
    assert "" == run("\n".join([watch, *steps]), check=False)


@pytest.mark.parametrize(("name", "version"), [("aiohttp", "3.10.11"), ("urllib3", "2.25.904")])
def test_a_release_that_cannot_be_caught_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    """A release of aiohttp that takes no middlewares, or another library named urllib3, is named with the cure."""
    other: Any = ModuleType(name)
    other.__version__ = version
    monkeypatch.setitem(sys.modules, name, other)
    with pytest.warns(askonce.AskonceWarning, match=f"calls over {name} {version} are not .* Install {name} "):
        askonce.enable("memory:")
