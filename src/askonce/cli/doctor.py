"""`askonce doctor`: what is well, what is not, and how to mend it."""

from __future__ import annotations

import json
from typing import Any

import click
from click.core import ParameterSource

from askonce import __version__
from askonce.cli import checks, render
from askonce.cli.checks import Finding
from askonce.cli.options import json_option, store_option
from askonce.errors import SettingsError

_MARKS = {
    checks.GOOD: ("✓", "green"),
    checks.NOTE: ("·", "cyan"),
    checks.WARNING: ("!", "yellow"),
    checks.BROKEN: ("✗", "bold red"),
}
_TITLES = {
    "store": "Store",
    "settings": "Settings",
    "patches": "Interception",
    "sdks": "SDKs",
    "extras": "Extras",
    "network": "Network",
}


@click.command()
@store_option
@json_option
def doctor(*, store: str | None, as_json: bool) -> None:
    """Look for what is wrong, and say how to mend it.

    Looks at the store, the settings, the SDKs that are installed here, and whether their calls are seen. Run it in
    the environment of your program: `python -m askonce doctor`. Ends with status 1 when something is broken.
    """
    found, settings = _examine(store)
    broken = sum(one.level == checks.BROKEN for findings in found.values() for one in findings)
    warned = sum(one.level == checks.WARNING for findings in found.values() for one in findings)
    if as_json:
        value: dict[str, Any] = {
            "askonce": __version__,
            "environment": checks.environment(),
            "ok": not broken,
            "settings": settings,
            "findings": [{"area": area, **one._asdict()} for area, findings in found.items() for one in findings],
        }
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        click.echo(f"askonce {__version__}, {checks.environment()}")
        for area, title in _TITLES.items():
            if found.get(area) or (area == "settings" and settings):
                _print_area(title, found.get(area, []), settings if area == "settings" else [])
        click.echo(f"\n{_summary(broken, warned)}")
    if broken:
        raise SystemExit(1)


def _examine(store: str | None) -> tuple[dict[str, list[Finding]], list[dict[str, str]]]:
    from askonce.settings import read_settings, sources

    found: dict[str, list[Finding]] = {}
    shown: list[dict[str, str]] = []
    arguments = {"store": store}
    try:
        settings = read_settings(arguments)
    except SettingsError as error:
        found["settings"] = [Finding(checks.BROKEN, str(error))]
    else:
        found["store"] = list(checks.check_store(settings))
        found["settings"] = list(checks.check_settings(settings))
        origin = click.get_current_context().get_parameter_source("store")
        origins = sources(arguments if origin is ParameterSource.COMMANDLINE else {})
        shown = [
            {"name": name, "value": _value_text(name, value), "from": origins[name]}
            for name, value in settings._asdict().items()
        ]
    found["patches"] = list(checks.check_patches())
    found["sdks"] = list(checks.check_sdks())
    found["extras"] = list(checks.check_extras())
    found["network"] = list(checks.check_network())
    return found, shown


def _value_text(name: str, value: Any) -> str:
    from askonce.settings import without_password

    if value is None or value in ((), ""):
        return "none"
    if name == "store":
        return without_password(value)
    if name in ("memory", "max_size"):
        return f"{value:,} bytes" if value % (1 << 20) else f"{value >> 20:,} MB"  # as it is written, by 1024
    if isinstance(value, tuple):
        return ", ".join(getattr(one, "host", None) or str(getattr(one, "name", one)) for one in value)
    return str(value)


def _print_area(title: str, found: list[Finding], settings: list[dict[str, str]]) -> None:
    from rich.text import Text

    console = render.screen()
    console.print(Text(f"\n{title}", style="bold"))
    if settings:
        names, values = (max(len(one[part]) for one in settings) for part in ("name", "value"))
        values = min(values, max(8, console.width - names - 24))
        for one in settings:
            given = one["from"] != "default"
            line = Text(f"    {one['name']:<{names}}  ", style="dim")
            line.append(f"{render.clean(one['value']):<{values}}", "not dim" if given else "")
            line.append(f"  {one['from']}", "cyan not dim" if given else "")
            console.print(line, soft_wrap=True)
    for finding in found:
        mark, style = _MARKS[finding.level]
        _print_hanging(Text.assemble("  ", (mark, style), " "), render.clean(finding.text))
        if finding.cure:
            _print_hanging(Text("    → ", style="dim"), render.clean(finding.cure), "dim")


def _print_hanging(lead: Any, text: str, style: str = "") -> None:
    """Print a text under itself where it is wider than the screen, behind `lead`."""
    from rich.text import Text

    console = render.screen()
    width = len(lead.plain)
    for i, line in enumerate(Text(text, overflow="fold").wrap(console, max(20, console.width - width))):
        head = lead.copy() if i == 0 else Text(" " * width)
        console.print(
            head.append_text(Text(line.plain.rstrip(), style=f"not dim {style}".strip())), soft_wrap=True
        )


def _summary(broken: int, warned: int) -> str:
    warnings = render.count_text(warned, "warning")
    if broken:
        return f"{render.count_text(broken, 'thing is', 'things are')} broken" + (
            f"; {warnings}." if warned else "."
        )
    return f"Nothing is broken; {warnings}." if warned else "All is well."
