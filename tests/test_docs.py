"""The documentation says what is true: examples run, generated pages are current, links lead somewhere."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from askonce.testing import LocalProvider

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
GATEWAY = "http://127.0.0.1:4141"
REDIS = "redis://127.0.0.1:6379"
WITH_EXAMPLES = [page for page in PAGES if _BLOCK.search(page.read_text(encoding="utf-8"))]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@contextmanager
def gateway(provider: LocalProvider, folder: Path, *, wanted: bool) -> Iterator[str]:
    """Serve a gateway in front of the provider, where an example speaks to one; give its address."""
    if not wanted:
        yield GATEWAY
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "askonce",
        "serve",
        "--port",
        str(port),
        "--store",
        str(folder / "gateway.db"),
    ]
    with subprocess.Popen([*command, "--upstream", f"openai={provider.url}"], stderr=subprocess.PIPE) as server:
        try:
            for _ in range(500):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=_name)
def test_examples_run(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The examples of a page, run in order as one program, do what it says."""
    program = tmp_path / "program.py"
    code = "\n".join(_BLOCK.findall(page.read_text(encoding="utf-8")))
    if REDIS in code:
        code = code.replace(REDIS, f"redis://127.0.0.1:{request.getfixturevalue('redis_server').port}")
    with LocalProvider() as provider, gateway(provider, tmp_path, wanted=GATEWAY in code) as address:
        program.write_text(code.replace(GATEWAY, address), encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ASKONCE_")}
        environment |= {
            "OPENAI_API_KEY": "sk-docs",
            "OPENAI_BASE_URL": f"{provider.url}/v1",
            "ASKONCE_DOMAINS": provider.url,
            "ASKONCE_STORE": str(tmp_path / "cache.db"),
        }
        done = subprocess.run(
            [sys.executable, program],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the project leads to one."""
    links = [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_readme_is_short() -> None:
    """The README is read in one go: at most 120 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("name", ["settings", "api"])
def test_generated_pages_are_current(name: str) -> None:
    """A generated page is what the code says; `make docs` writes it."""
    from docs import generate

    expected = {"settings": generate.settings_page, "api": generate.api_page}[name]()
    assert (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8") == expected
