"""A project with tests of its own, which a pytest of its own runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from askonce.testing import LocalProvider

Run = Callable[..., pytest.RunResult]

ASK = """
import os

import httpx2


def ask(content, **more):
    body = {"model": "gpt-local", "messages": [{"role": "user", "content": content}], **more}
    headers = {"authorization": "Bearer sk-test-SECRET-suite-9f31c4"}
    response = httpx2.post(os.environ["URL"] + "/v1/chat/completions", json=body, headers=headers, timeout=20)
    if response.status_code != 200:
        raise RuntimeError(response.json()["error"]["message"])
    return response.json()["choices"][0]["message"]["content"]
"""


class Project:
    """A folder with tests, the provider that they ask, and pytest."""

    def __init__(self, pytester: pytest.Pytester, provider: LocalProvider, patch: pytest.MonkeyPatch) -> None:
        self._pytester = pytester
        self._patch = patch
        self.provider = provider
        self.path = pytester.path
        patch.setenv("URL", provider.url)
        patch.setenv("ASKONCE_DOMAINS", provider.url)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        for name in ("CI", "PYTEST_ADDOPTS"):
            patch.delenv(name, raising=False)
        self.write("asking.py", ASK)
        self.write(
            "pytest.ini",
            "[pytest]\npythonpath = .\nfilterwarnings = error\naddopts = -p no:cacheprovider\n"
            "asyncio_default_fixture_loop_scope = function\n",
        )

    def write(self, name: str, text: str) -> Path:
        """Write a file; a test's begins with what all tests need."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        head = "import pytest\nfrom asking import ask\n" if path.name.startswith("test_") else ""
        path.write_text(head + text)
        return path

    def configure(self, text: str) -> None:
        """Add to pytest's settings."""
        path = self.path / "pytest.ini"
        path.write_text(path.read_text() + text)

    def run(self, *arguments: str, ci: bool = False, **expected: int) -> str:
        """Run pytest in a process of its own; check the outcomes; return what it printed."""
        self._patch.setenv("CI", "true" if ci else "")
        result = self._pytester.runpytest_subprocess("-p", "no:hypothesispytest", *arguments, timeout=60)
        outcomes = {
            name: count for name, count in result.parseoutcomes().items() if name not in ("warnings", "warning")
        }
        assert expected == outcomes, result.stdout.str()
        return result.stdout.str()

    def lines(self, name: str = "recordings/test_one.jsonl") -> list[dict[str, Any]]:
        """Return the lines of a recording."""
        path = self.path / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def asked(self) -> int:
        """How often the provider was asked."""
        return len(self.provider.received)


@pytest.fixture
def project(pytester: pytest.Pytester, provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return an empty project."""
    return Project(pytester, provider, monkeypatch)


def section(output: str, title: str) -> str:
    """Return a section of a report: what stands below its title."""
    match = re.search(rf"-+ {title}[^\n]* -+\n(.*?)(?:\n[-=]{{5,}} |\Z)", output, re.DOTALL)
    assert match, output
    return match[1]
