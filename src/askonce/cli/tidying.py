"""`askonce tidy`: a text store as it belongs in git."""

from __future__ import annotations

import json

import click

from askonce.cli import render
from askonce.cli.options import json_option, opened
from askonce.storage.tidying import Tidied


@click.command()
@click.argument("store", required=False, envvar="ASKONCE_STORE")
@click.option("--accept", is_flag=True, help="Accept lines that were changed by hand as they are.")
@click.option("--drop", is_flag=True, help="Take out lines that cannot be used.")
@json_option
@click.pass_context
def tidy(context: click.Context, *, store: str | None, accept: bool, drop: bool, as_json: bool) -> None:
    """Sort a text store, and take out what is left over.

    That is: lines that others replace, and what git leaves of a merge. STORE is a .jsonl file. Lines that cannot
    be used are listed and moved to its end, and the exit code is 1.
    """
    from askonce.storage.jsonl import JSONLStorage

    with opened(store) as storage:
        if not isinstance(storage, JSONLStorage):
            raise click.ClickException(
                f"{storage.url} is no text store, and looks after itself. A text store is a file whose name "
                "ends in .jsonl."
            )
        tidied = storage.tidy(accept=accept, drop=drop)
    if as_json:
        flaws = [{"line": flaw.number, "why": flaw.why} for flaw in tidied.flaws]
        click.echo(json.dumps({**tidied._asdict(), "flaws": flaws}, ensure_ascii=False, indent=2))
    else:
        click.echo(_say(storage.url, tidied))
        for flaw in tidied.flaws:
            click.echo(f"  line {flaw.number}: {flaw.why}")
        if tidied.flaws:
            lines = render.count_text(len(tidied.flaws), "line")
            click.echo(
                f"Took out {lines} that cannot be used."
                if drop
                else f"{lines} cannot be used, and stand at the end now. Mend them, or take them out with --drop."
                if len(tidied.flaws) > 1
                else "This line cannot be used, and stands at the end now. Mend it, or take it out with --drop."
            )
    if tidied.flaws and not drop:
        context.exit(1)


def _say(url: str, tidied: Tidied) -> str:
    holds = f"{url} holds {render.count_text(tidied.takes, 'take')}"
    if not tidied.is_changed:
        return f"{holds}, and is tidy."
    done = []
    if tidied.replaced:
        done.append(f"took out {render.count_text(tidied.replaced, 'replaced line')}")
    if tidied.markers:
        done.append(f"took out {render.count_text(tidied.markers, 'conflict marker')}")
    if tidied.accepted:
        done.append(f"accepted {render.count_text(tidied.accepted, 'line')} written or changed by hand")
    return f"{holds}, sorted now" + (f"; {', '.join(done)}." if done else ".")
