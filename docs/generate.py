"""Write the reference pages that are made from the code: the settings and the Python interface.

`make docs` runs it; a test runs it with `check=True` and fails when a page is not what the code says.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import askonce
from askonce import settings

REFERENCE = Path(__file__).parent / "reference"

_DEFAULTS = {
    "store": "`.askonce/cache.db` in the project's folder",
    "mode": "`record`",
    "domains": "none beside the known ones",
    "ttl": "for ever",
    "partition": "none",
    "delays": "at once",
    "repeat": "`same`, `rotate`, `all`, `sequence` ([several answers](../how-to/several.md))",
    "samples": "how many answers to a question are recorded before any is given again",
    "max_size": "no bound",
    "memory": "`32MB`",
    "images": "none; `images` for [the drop-in](../how-to/teach.md)",
    "bundles": "none",
    "cache_url": "none",
    "debug": "off",
    "normalize": "none",
}
_VALUES = {
    "store": "a file's path, in which `.jsonl` makes a [text store](../how-to/recordings.md); `memory:` or `memory:name`, each one store for the process; [a server](../how-to/shared-store.md): `redis://host:6379/0`, `postgresql://host/database`; an `askonce.Storage` (as an argument)",
    "mode": "`record`, `replay`, `offline`, `refresh`, `off`",
    "domains": "hosts: `llm.example.com`, `http://10.0.0.7:8000`, `https://host/prefix`; in the variable, with commas between",
    "ttl": "seconds, or `15m`, `12h`, `30d`, `2w`",
    "partition": "any text",
    "delays": "`true`, `false`, or a factor such as `0.5`",
    "repeat": "`same`",
    "samples": "1",
    "max_size": "bytes, or `500MB`, `2GB` (powers of 1024)",
    "memory": "bytes, or `32MB`",
    "images": "a folder's path; nothing for none",
    "bundles": "files made by `askonce pack`, which answer what the store does not; in the variable, with commas between",
    "cache_url": "where `askonce.openai` fetches a bundle from; may end in `#sha256=` and its digest",
    "debug": "`1` or `0`",
    "normalize": "`notebook`; as an argument, rules such as `askonce.NOTEBOOK_NOISE`",
}


def settings_page() -> str:
    """Return the page on settings."""
    lines = [
        "# Settings",
        "",
        "Every argument of `enable()`, `caching()` and `transport()` has an environment variable. An argument wins over",
        "the variable. An unknown variable that begins with `ASKONCE_`, or a value that is not allowed, is refused with",
        "the list of good ones.",
        "",
        "| argument | variable | values | default |",
        "| --- | --- | --- | --- |",
    ]
    for variable, name in settings.variables().items():
        argument = "" if name == "cache_url" else f"`{name}`"
        lines.append(f"| {argument} | `{variable}` | {_VALUES[name]} | {_DEFAULTS[name]} |")
    return "\n".join(lines) + "\n"


def api_page() -> str:
    """Return the page on the Python interface."""
    lines = ["# Python", "", "All of `askonce`'s public names. What is not here is private and may change."]
    for name in askonce.__all__:
        value = getattr(askonce, name)
        lines += ["", f"## `{name}`", ""]
        if inspect.isfunction(value):
            signature = inspect.signature(value)
            parameters = ",\n".join(f"    {parameter}" for parameter in _parameters(signature))
            lines += ["```text", f"{name}(\n{parameters},\n)" if parameters else f"{name}()", "```", ""]
        if value is askonce.NOTEBOOK_NOISE:
            lines += ["Rules for `normalize=`: a tuple of `Rule`.", "", "| rule | counts as |", "| --- | --- |"]
            lines += [f"| {rule.name} | `{rule.replacement}` |" for rule in value]
        else:
            lines.append(inspect.cleandoc(value.__doc__ or ""))
    return "\n".join(lines) + "\n"


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    starred = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        yield str(parameter)


def main() -> None:
    """Write the pages, and the command line's."""
    from docs.generate_cli import cli_page

    for name, text in (("settings", settings_page()), ("api", api_page()), ("cli", cli_page())):
        (REFERENCE / f"{name}.md").write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote docs/reference/{name}.md\n")


if __name__ == "__main__":
    main()
