"""A gateway's file, its arguments, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from askonce.errors import SettingsError
from askonce.gateway import read_gateway_settings
from askonce.gateway.server import is_loopback


def test_without_anything(store: Path) -> None:
    """It starts with nothing: the known providers, off unless asked for, answers good for thirty days."""
    settings = read_gateway_settings(store=str(store))
    assert {"openai", "anthropic", "gemini", "mistral", "ollama"} <= settings.upstreams.keys()
    assert "azure" not in settings.upstreams  # whose address is not the same for everyone
    assert "http://127.0.0.1:11434" == settings.upstreams["ollama"].url
    assert (False, True, 30 * 86400) == (settings.cache_enabled, settings.check_credentials, settings.cache.ttl)
    assert store.with_name("journal.db") == settings.journal


def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file says all that can be said; an argument wins over it."""
    held = tmp_path / "held"
    held.write_text("sk-file-SECRET\n")
    file = tmp_path / "askonce.toml"
    file.write_text(
        f"""
        store = "{tmp_path}/s.db"
        cache_enabled = true
        ttl = "1h"
        default = "azure"
        [upstreams.azure]
        url = "https://example.openai.azure.com/"
        key_file = "{held}"
        [upstreams]
        local = "http://127.0.0.1:8000/v1"
        """.replace("[upstreams]\n        local", "[upstreams.local]\n        url")
    )
    settings = read_gateway_settings(file)
    azure, local = settings.upstreams["azure"], settings.upstreams["local"]
    assert ("https", "example.openai.azure.com", None, "") == (azure.scheme, azure.host, azure.port, azure.prefix)
    assert ("sk-file-SECRET", None) == (azure.key, azure.domain)
    assert (8000, "/v1") == (local.port, local.prefix)
    assert (True, 3600, "azure") == (settings.cache_enabled, settings.cache.ttl, settings.default)
    given = read_gateway_settings(file, cache_enabled=False, default="openai", store="memory:")
    assert (False, "openai", None) == (given.cache_enabled, given.default, given.journal)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 1", "port: a gateway has no such setting"),
        ("default = 'nobody'", "'nobody' is no upstream"),
        ("cache_enabled = 'yes'", "cache_enabled: 'yes' is neither true nor false"),
        ("max_body = -1", "max_body: -1 is not a number of bytes"),
        ("max_connections = 0", "max_connections: 0 is not a whole number from 1 on"),
        ("ttl = 'soon'", "ttl: 'soon' is not a duration"),
        ("upstreams = 5", "upstreams: 5 is not a table"),
        ("[upstreams.v1]\nurl = 'https://x'", "'v1' is no name for one"),
        ("[upstreams.x]\nurl = 'ftp://x'", "'ftp://x' is not a URL"),
        ("[upstreams.x]\nurl = 'https://a:b@x'", "is not a URL"),
        ("[upstreams.x]\nkey_file = '/nowhere'", "url is missing"),
        ("[upstreams.openai]\nkey_file = '/nowhere'", "/nowhere cannot be read"),
        ("[upstreams.openai]\nkey_variable = 'NO_SUCH_KEY'", "NO_SUCH_KEY is not set"),
        ("[upstreams.openai]\nkey = 'sk'", "there are url, key_file and key_variable"),
        ("= 1", "is not TOML"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, said: str) -> None:
    """What is wrong is named, with what it was and what it may be."""
    file = tmp_path / "askonce.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_gateway_settings(file)
    assert said in str(caught.value)


def test_key_from_the_environment(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider's key may be in a variable; it shows in no line that describes the settings."""
    monkeypatch.setenv("TEAM_KEY", "sk-variable-SECRET")
    upstreams: Any = {"openai": {"key_variable": "TEAM_KEY"}}
    settings = read_gateway_settings(store=str(store), upstreams=upstreams)
    assert "sk-variable-SECRET" == settings.upstreams["openai"].key
    assert "https://api.openai.com" == settings.upstreams["openai"].url
    assert "SECRET" not in repr(settings)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("a.b", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """Only what this machine alone reaches is loopback; a name may be anybody's."""
    assert expected == is_loopback(host)
