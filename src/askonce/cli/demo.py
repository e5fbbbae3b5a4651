"""`askonce demo`: one program, run twice; the second time its provider is switched off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from askonce.cli import render
from askonce.cli.options import json_option

_SDKS = ("openai", "anthropic")
_LATENCY = 0.3  # seconds; like a quick model's, so that the difference can be felt
_PACE = 0.03
_PROGRAM = "askonce.cli.demo_program"
_COLUMNS = (
    render.Column("SDK"),
    render.Column("CALL", style="cyan"),
    render.Column("FIRST TIME", right=True),
    render.Column("1ST PIECE", right=True, rank=2, style="dim"),
    render.Column("FROM STORE", right=True),
    render.Column("1ST PIECE", right=True, rank=1, style="dim"),
    render.Column("SAME"),
)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of the program; `first` is the seconds until the first of its `pieces` came."""

    sdk: str
    call: str
    seconds: float
    first: float
    pieces: list[str]


@click.command()
@click.option("--keep", metavar="PATH", type=click.Path(path_type=Path), help="Keep the store at PATH.")
@click.option("--gateway", is_flag=True, help="Serve a gateway with real calls in it, and name its page.")
@json_option
def demo(*, keep: Path | None, gateway: bool, as_json: bool) -> None:
    """Run a real program twice, and compare.

    It calls the SDKs of OpenAI and Anthropic, which ask a small provider on this machine. The second time that
    provider is switched off. Needs no key and no network.
    """
    _need_sdks()
    if gateway:
        from askonce.cli.gateway_demo import run_gateway

        run_gateway(4141)
        return
    if keep is not None and keep.exists():
        raise click.ClickException(f"{keep} exists already. Name a file that does not.")
    from askonce.testing import LocalProvider

    with _place(keep) as store, LocalProvider(latency=_LATENCY, pace=_PACE) as provider:
        _say("One program, run twice. It calls the SDKs of OpenAI and Anthropic. A small")
        _say(f"provider on this machine answers {_LATENCY} s after it is asked, and streams a piece")
        _say(f"every {_PACE * 1000:.0f} ms.\n")
        first = _run("First run, recording", provider.url, store, "record")
        asked = provider.count()
        provider.stop()
        second = _run("Second run, offline, the provider switched off", provider.url, store, "offline")
        asked_again = provider.count() - asked
        tokens = _tokens(store)
    same = [_said(one) == _said(other) for one, other in zip(first, second, strict=True)]
    saved = sum(call.seconds for call in first) - sum(call.seconds for call in second)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "first_run": [asdict(call) for call in first],
                    "second_run": [asdict(call) for call in second],
                    "same": same,
                    "requests": asked,
                    "requests_second_run": asked_again,
                    "seconds_saved": round(saved, 3),
                    "tokens_saved": tokens,
                },
                ensure_ascii=False,
                indent=2,
            )
        )
    else:
        _print_comparison(first, second, same)
        requests = render.count_text(asked - asked_again, "request")
        click.echo(
            f"\nSaved the second time: {requests}, {render.time_text(saved)} of waiting, "
            f"{render.count_text(tokens, 'token')}."
        )
        _print_hints(keep)
    if asked_again or not all(same):
        click.echo("This is not as it should be; please report it.", err=True)
        raise SystemExit(1)


def _need_sdks() -> None:
    missing = [name for name in _SDKS if find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"The demo calls real SDKs, and {' and '.join(missing)} cannot be imported. "
            f"Install what is missing: pip install {' '.join(missing)}"
        )


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    """Give the store a place: where it is to be kept, or one that goes with the demo."""
    if keep is not None:
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="askonce-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "cache.db"


def _run(title: str, url: str, store: Path, mode: str) -> list[_Call]:
    """Run the program in a process of its own."""
    _say(f"{title} … ", end="")
    started = time.perf_counter()
    process = subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, "-m", _PROGRAM],
        env=_environment(url, store, mode),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    _say(f"{render.time_text(time.perf_counter() - started)}")
    if process.returncode:
        raise click.ClickException(f"The program failed:\n{process.stderr[-2000:].strip()}")
    return [_Call(**json.loads(line)) for line in process.stdout.splitlines()]


def _environment(url: str, store: Path, mode: str) -> dict[str, str]:
    """Return this process's environment with the local provider in place of the real ones, and no proxy."""
    ours = ("ASKONCE_", "OPENAI_", "ANTHROPIC_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "OPENAI_BASE_URL": f"{url}/v1",
        "ANTHROPIC_BASE_URL": url,
        "OPENAI_API_KEY": "any",
        "ANTHROPIC_API_KEY": "any",
        "ASKONCE_STORE": str(store),
        "ASKONCE_MODE": mode,
        "ASKONCE_DOMAINS": url,
        "NO_PROXY": "*",
        "no_proxy": "*",
        "PYTHONIOENCODING": "utf-8",
    }


def _said(call: _Call) -> tuple[str, str, list[str]]:
    return call.sdk, call.call, call.pieces


def _tokens(store: Path) -> int:
    from askonce.storage import open_storage

    storage = open_storage(store)
    try:
        return sum(row.input_tokens + row.output_tokens for row in storage.by_model())
    finally:
        storage.close()


def _print_comparison(first: list[_Call], second: list[_Call], same: list[bool]) -> None:
    click.echo()
    rows = [
        (
            one.sdk,
            one.call,
            render.time_text(one.seconds),
            render.time_text(one.first) if len(one.pieces) > 1 else "",
            render.time_text(other.seconds),
            render.time_text(other.first) if len(other.pieces) > 1 else "",
            "yes" if equal else "NO",
        )
        for one, other, equal in zip(first, second, same, strict=True)
    ]
    render.print_table(_COLUMNS, rows)
    click.echo("The first call of an SDK includes what the SDK loads when it is first used.")


def _print_hints(keep: Path | None) -> None:
    program = Path(__file__).with_name("demo_program.py")
    click.echo(f"\nThe program is {program}.")
    click.echo("Two of its lines are about askonce: `import askonce` and `askonce.enable()`.")
    if keep is None:
        click.echo("With --keep demo.db the store stays, to be looked into.")
    else:
        click.echo(f"Look into the store with `askonce ls --store {keep}`.")


def _say(text: str, end: str = "\n") -> None:
    """Tell how it goes, beside the output proper."""
    click.echo(text + end, nl=False, err=True)
