"""`askonce demo --gateway`: a gateway with real calls in it, and the address of its page."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

_KEY = "sk-demo"
_LATENCY, _PACE = 0.25, 0.01
_QUESTIONS = (
    "Why is the sky blue? One sentence.",
    "Translate 'good morning' into Finnish.",
    "Summarise the minutes in three points, and say who is to do what by when.",
    "Write a haiku about a cache.",
    "What is a café?",
)
# Who asks, of which model, which question, and how often.
_CALLS = (
    ("ada", "gpt-4o-mini", 0, 3),
    ("bob", "gpt-4o-mini", 1, 2),
    ("acme", "gpt-5", 2, 4),
    ("ada", "gpt-5", 3, 1),
    ("acme", "gpt-4o-mini", 0, 2),
    ("bob", "gpt-5", 4, 3),
)


def run_gateway(port: int, *, stay: bool = True) -> None:
    """Serve a gateway, call the SDKs of OpenAI and Anthropic through it, and say where its page is."""
    if find_spec("uvicorn") is None:
        raise click.ClickException("The gateway is an extra. Run: pip install 'askonce[gateway]'")
    from askonce.testing import LocalProvider

    with (
        tempfile.TemporaryDirectory() as folder,
        LocalProvider(latency=_LATENCY, pace=_PACE) as provider,
        _serving(Path(folder) / "cache.db", provider.url, port) as url,
    ):
        started = time.monotonic()
        outcomes = _call(url)
        seconds = time.monotonic() - started
        hits = outcomes.count("hit")
        click.echo(
            f"{len(outcomes)} calls through the SDKs in {seconds:.1f} s: {hits} answered by the gateway, "
            f"{outcomes.count('miss')} by the provider, {outcomes.count('bypass')} past the cache."
        )
        click.echo(f"\n  Logs page   {url}/askonce/\n  base_url    {url}/v1\n")
        if stay:
            click.echo("Any key does. Ctrl-C ends it.")
            with suppress(KeyboardInterrupt):
                threading.Event().wait()


@contextmanager
def _serving(store: Path, provider: str, port: int) -> Iterator[str]:
    import uvicorn

    from askonce.gateway import create_app, read_gateway_settings
    from askonce.gateway.server import options

    names = ("openai", "anthropic", "gemini")
    app = create_app(read_gateway_settings(store=str(store), upstreams=dict.fromkeys(names, provider)))
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError:
        listener = socket.create_server(("127.0.0.1", 0))  # the usual port is somebody else's
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, **options("127.0.0.1", port, app.settings)))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(5)


def _call(url: str) -> list[str]:
    """Make the calls; return how each was answered."""
    import anthropic
    import openai

    outcomes = []
    with openai.OpenAI(base_url=f"{url}/v1", api_key=_KEY) as gpt:
        for customer, model, question, times in _CALLS:
            for _ in range(times):
                request: dict[str, Any] = {
                    "model": model,
                    "messages": [{"role": "user", "content": _QUESTIONS[question]}],
                    "extra_body": {"cache_enabled": True, "customer_identifier": customer},
                }
                answer = gpt.chat.completions.with_raw_response.create(**request)
                outcomes.append(answer.headers["x-askonce-cache"])
        past = gpt.models.with_raw_response.list()
        outcomes.append(past.headers["x-askonce-cache"])
    with anthropic.Anthropic(base_url=f"{url}/anthropic", api_key=_KEY) as claude:
        for _ in range(2):
            told = claude.messages.with_raw_response.create(
                model="claude-sonnet-4-6",
                max_tokens=100,
                messages=[{"role": "user", "content": _QUESTIONS[0]}],
                extra_body={"cache_enabled": True, "customer_identifier": "bob"},
            )
            outcomes.append(told.headers["x-askonce-cache"])
    return outcomes
