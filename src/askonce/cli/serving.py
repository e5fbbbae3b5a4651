"""`askonce serve` and `askonce keys`: the gateway, and who may use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from askonce.cli import render
from askonce.cli.options import config_option, json_option, store_option

_COLUMNS = (
    render.Column("NAME", flexible=True),
    render.Column("MAY", style="cyan"),
    render.Column("AGE", right=True, style="dim"),
)


def _upstreams(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        name, equals, url = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not NAME=URL, such as local=http://127.0.0.1:8000")
        found[name] = url
    return found


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Any other than loopback needs gateway keys.")
@click.option("--port", type=click.IntRange(0, 65535), default=4141, show_default=True, help="Where it listens.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@store_option
@config_option
@click.option(
    "--upstream", "upstreams", metavar="NAME=URL", multiple=True, callback=_upstreams, help="One more provider."
)
@click.option("--default", metavar="NAME", help="Where /v1/… goes; openai unless another is named.")
@click.option(
    "--cache/--no-cache", "cache_enabled", default=None, help="What holds for requests that say nothing; off."
)
@click.option(
    "--check-credentials/--no-check-credentials",
    default=None,
    help="Whether a provider must have accepted a caller's key before the store answers it; on.",
)
@click.option(
    "--fast-path/--no-fast-path",
    default=None,
    help="Whether known hits are answered where their bytes arrive; on.",
)
def serve(*, host: str, port: int, workers: int, store: str | None, config: Path | None, **arguments: Any) -> None:
    """Serve the cache behind a base URL, to any language."""
    from askonce.gateway.server import serve as run

    if workers == 1 and port:
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"askonce gateway: base_url=http://{shown}:{port}/v1", err=True)
    run(host, port, workers, config, {"store": store, **arguments})


@click.group()
def keys() -> None:
    """Make, list and revoke the keys of a gateway."""


def _file(store: str | None, config: Path | None) -> Any:
    from askonce.gateway.keys import Keys
    from askonce.gateway.settings import read_gateway_settings

    return Keys(read_gateway_settings(config, store=store, with_keys=False).keys)


@keys.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="For the Logs page and the API too.")
@store_option
@config_option
@json_option
def add(*, name: str, admin: bool, store: str | None, config: Path | None, as_json: bool) -> None:
    """Make a key, and write it out: it is shown this once."""
    text = _file(store, config).add(name, admin=admin)
    if as_json:
        click.echo(json.dumps({"name": name, "key": text, "admin": admin}))
    else:
        click.echo(text)
        click.echo("Keep it now: only its hash is stored.", err=True)


@keys.command("ls")
@store_option
@config_option
@json_option
def ls_keys(*, store: str | None, config: Path | None, as_json: bool) -> None:
    """List the keys by their names."""
    import time

    found = _file(store, config).all()
    if as_json:
        click.echo(json.dumps([{"name": key.name, "admin": key.admin, "made": key.made} for key in found]))
    elif found:
        now = time.time()
        rows = [[key.name, "all" if key.admin else "ask", render.age_text(now - key.made)] for key in found]
        render.print_table(_COLUMNS, rows)
    else:
        click.echo("There are no keys. To make one: askonce keys add NAME", err=True)


@keys.command()
@click.argument("name")
@store_option
@config_option
def revoke(*, name: str, store: str | None, config: Path | None) -> None:
    """Take a key out of force, at once."""
    if not _file(store, config).revoke(name):
        raise click.ClickException(f"There is no key {name!r}. `askonce keys ls` lists them.")
    click.echo(f"Revoked {name}.", err=True)
