"""What a type checker makes of a program that uses the drop-in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
from typing import assert_type

import openai as original
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

import askonce.openai as openai

{lines}
"""
KNOWN = """
sync: original.OpenAI = openai.OpenAI(api_key="x", timeout=3)
asynchronous: original.AsyncOpenAI = openai.AsyncOpenAI()
azure: original.AzureOpenAI = openai.AzureOpenAI(azure_endpoint="https://x.test", api_version="1")
asynchronous_azure: original.AsyncAzureOpenAI = openai.AsyncAzureOpenAI()
kind: type[original.OpenAI] = openai.AzureOpenAI
assert_type(sync.chat.completions.create(model="m", messages=[], seed=1), ChatCompletion)
assert_type(openai.embeddings.create(model="m", input="x"), CreateEmbeddingResponse)
openai.api_key = "x"
openai.configure(mode="record")
try:
    pass
except openai.RateLimitError as error:
    assert_type(error, original.RateLimitError)


class Mine(openai.OpenAI):
    pass
"""
WRONG = """
openai.OpenAI(nonsense=1)
openai.AzureOpenAI(nonsense=1)
openai.chat.nonsense
openai.api_key = 1
openai.configure(mode="nonsense")
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """Check both programs at once: nearly all of the time is the SDK's, and goes into the project's own cache."""
    pytest.importorskip("mypy", reason="mypy is not installed: pip install --group check")
    folder = tmp_path_factory.mktemp("typing")
    programs = {"known": KNOWN, "wrong": WRONG}
    for name, lines in programs.items():
        (folder / f"{name}.py").write_text(PROGRAM.format(lines=lines.strip()))
    files = [str(folder / f"{name}.py") for name in programs]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", *files],
        cwd=ROOT, env=os.environ | {"MYPYPATH": "src"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode in (0, 1), run.stdout + run.stderr
    told: dict[str, list[int]] = {name: [] for name in programs}
    for line in run.stdout.splitlines():
        path, number, kind, _ = line.split(":", 3)
        if kind.strip() == "error":
            told[Path(path).stem].append(int(number))
    return told


def test_clients_settings_and_resources_are_known_as_those_of_the_sdk(found: dict[str, list[int]]) -> None:
    """A client of the drop-in goes where one of the SDK's is asked for; its answers have the SDK's types."""
    assert [] == found["known"]


def test_a_wrong_use_is_found(found: dict[str, list[int]]) -> None:
    """None of these names is `Any`: each wrong line is told, and no other."""
    first = PROGRAM.partition("{lines}")[0].count("\n") + 1
    assert list(range(first, first + 5)) == sorted(set(found["wrong"]))
