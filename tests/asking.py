"""One question to the local provider, with a client of its own, for tests that ask now and then."""

from __future__ import annotations

from typing import Any

import httpx2

from askonce.testing import LocalProvider
from tests.rig import CHAT, KEY, TLS, chat


def send(url: str, body: dict[str, Any], **headers: str) -> httpx2.Response:
    """Send a POST."""
    with httpx2.Client(verify=TLS, timeout=30, headers={"authorization": f"Bearer {KEY}"}) as client:
        return client.post(url, json=body, headers=headers)


def ask(provider: LocalProvider, content: str = "What is a café?", **more: Any) -> str:
    """Ask a question; return the answer's text, which holds its number."""
    answer = send(provider.url + CHAT, chat(content, **more))
    assert 200 == answer.status_code, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text
