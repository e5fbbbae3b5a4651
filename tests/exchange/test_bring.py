"""The page on bringing recordings along: its commands are run, and say what it shows."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.exchange.building import (
    cachy_line,
    completion,
    exchange,
    interaction,
    write_cassette,
    write_har,
    write_lines,
)
from tests.sdks.runs import ROOT

PAGE = ROOT / "docs" / "how-to" / "bring.md"
_BLOCK = re.compile(r"^```console\n\$ askonce (.*?)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_AGE = re.compile(r"\d+[smhd](?=  )")


def outputs(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Run the page's commands in a folder with the files they name; return each with what it shows and prints."""
    models = interaction(method="GET", uri="https://api.openai.com/v1/models")
    slow_down = interaction(status={"code": 429, "message": "Too Many Requests"})
    other = json.dumps({"model": "gpt-5-mini", "messages": [{"role": "user", "content": "And at dusk?"}]})
    Path("cassettes").mkdir()
    write_cassette(Path("cassettes/test_chat.yaml"), [models, slow_down, interaction()])
    write_har(Path("browser.har"), [exchange(other), exchange(url="https://example.com/telemetry")])
    write_cassette(Path("other.yaml"), [interaction(answer=json.dumps(completion("Another answer.")))])
    write_lines(Path("cachy.jsonl"), [cachy_line("1c3a90ff"), cachy_line("9f0b21c4", status_code=404)])
    Path("pyproject.toml").touch()
    monkeypatch.setenv("COLUMNS", "100")
    shown = [(line, text) for line, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
    return [(line, text, run(*shlex.split(line)).stdout.replace(f"{Path.cwd()}/", "")) for line, text in shown]


def test_the_commands_say_what_the_page_shows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of the page, run in order, prints what stands under it; but for ages."""
    for line, shown, printed in outputs(run, monkeypatch):
        assert _AGE.sub("?", shown) == _AGE.sub("?", printed), line
