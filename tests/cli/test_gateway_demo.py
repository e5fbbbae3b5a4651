"""`askonce demo --gateway`: real calls, and the address of a page."""

from __future__ import annotations

import pytest

from askonce.cli import gateway_demo
from tests.cli.conftest import Run


def test_demo_gateway(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDKs call through it, what was asked before is answered by it, and it says where its page is."""
    monkeypatch.setattr(gateway_demo, "_LATENCY", 0.01)
    monkeypatch.setattr(gateway_demo, "_PACE", 0.0)
    gateway_demo.run_gateway(0, stay=False)
    said = capsys.readouterr().out
    assert "18 calls through the SDKs" in said
    assert "11 answered by the gateway, 6 by the provider, 1 past the cache" in said
    assert "/askonce/" in said


def test_keys(run: Run) -> None:
    """Keys are made, listed by name, and revoked; a key is shown once and is not in the file."""
    made = run("keys", "add", "ci", "--store", "s.db")
    assert made.exit_code == 0
    key = made.stdout.strip()
    assert key.startswith("ask-")
    assert "ci" in run("keys", "ls", "--store", "s.db").stdout
    assert key not in run("keys", "ls", "--json", "--store", "s.db").stdout
    assert "There is a key 'ci' already" in run("keys", "add", "ci", "--store", "s.db").stderr
    assert 0 == run("keys", "revoke", "ci", "--store", "s.db").exit_code
    assert "There is no key 'ci'" in run("keys", "revoke", "ci", "--store", "s.db").stderr
    assert "There are no keys" in run("keys", "ls", "--store", "s.db").stderr


def test_serve_refuses(run: Run) -> None:
    """What cannot be served is said in a line: an address without keys, an upstream that is none."""
    assert "askonce keys add" in run("serve", "--host", "0.0.0.0", "--store", "s.db").stderr
    assert "is not NAME=URL" in run("serve", "--upstream", "x").stderr
    assert "is not a URL" in run("serve", "--upstream", "x=ftp://y").stderr
    assert "is no upstream" in run("serve", "--default", "nobody").stderr
