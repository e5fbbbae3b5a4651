"""The sample project: recorded, committed, run offline by several workers, then broken by a changed prompt."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from askonce.testing import LocalProvider

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "test.md"


class Sample:
    """A copy of the sample project, in a repository of its own."""

    def __init__(self, folder: Path, provider: LocalProvider) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "examples" / "pytest-project", folder)
        names = {
            name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS", "COLUMNS")
        }
        self._environment = {
            **names,
            "OPENAI_API_KEY": "sk-test-SECRET-sample-0b7d21",
            "OPENAI_BASE_URL": f"{provider.url}/v1",
            "ASKONCE_DOMAINS": provider.url,
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "100",
        }

    def run(self, *command: str, **environment: str) -> tuple[int, str]:
        """Run a command in the project; return its code and what it printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def pytest(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run the project's tests."""
        fixed = ("-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:randomly")
        return self.run(sys.executable, "-m", "pytest", *fixed, *arguments, **environment)

    def git(self, *arguments: str) -> str:
        """Run git, which must succeed."""
        code, said = self.run("git", "-c", "user.name=n", "-c", "user.email=e", *arguments)
        assert 0 == code, said
        return said


def test_sample(tmp_path: Path) -> None:
    """Its suite passes offline from what was committed, changes nothing, and fails as the page shows it."""
    with LocalProvider() as provider:
        sample = Sample(tmp_path / "poems", provider)
        code, said = sample.pytest()
        assert (0, True) == (code, "recorded 5 answers in tests/recordings/test_poems.jsonl" in said), said
        assert 5 == len(provider.received)
        sample.git("init", "--quiet")
        sample.git("add", ".")
        sample.git("commit", "--quiet", "--message=Record the tests")
        url = provider.url
    code, said = sample.pytest("-n", "2", CI="true")
    assert (0, True) == (code, "3 passed" in said), said
    assert "" == sample.git("status", "--porcelain")

    poems = sample.folder / "poems.py"
    poems.write_text(poems.read_text().replace("Do not rhyme.", "Rhyme."))
    code, said = sample.pytest("-k", "rain and poem", CI="true")
    assert 1 == code, said
    failure = said[said.index("____") :].replace(url, "https://api.openai.com")
    failure = re.sub(r"\([0-9a-f]{12}\)", "(3fa9c81b20d4)", failure)  # the key depends on the provider's address
    failure = "\n".join(line.rstrip() for line in failure.splitlines() if not line.startswith("[gw"))
    failure = failure[: failure.index("=====")].strip()
    shown = re.search(r"```text\n(_+ test_poem.*?)\n```", PAGE.read_text("utf-8"), re.DOTALL)
    assert shown, failure
    assert failure == shown[1]


def test_the_page_shows_the_sample() -> None:
    """What the page shows of the sample project is the sample project."""
    text = PAGE.read_text("utf-8")
    assert (ROOT / "examples/pytest-project/tests/test_poems.py").read_text("utf-8").strip() in text


@pytest.mark.parametrize("option", ["--askonce", "--askonce-prune", "askonce_per", "askonce_redact"])
def test_the_page_names_every_option(option: str) -> None:
    """Every option and setting is on the page."""
    assert f"`{option}" in PAGE.read_text("utf-8")
