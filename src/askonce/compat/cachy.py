"""cachy's names: `from askonce.compat.cachy import enable_cachy` where it said `from cachy import enable_cachy`.

A `cachy.jsonl` that is there goes on answering, by cachy's own rule. What is new is recorded as askonce does, in
`.askonce/cache.db` beside it; the file itself is left as it is.

Two things differ. Of the hosts in `doms` only LLM calls are cached, no listing of models or files. And the
providers that askonce knows are cached also when `doms` does not name them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from askonce import session
from askonce._core.domains import ANY_PORT, Domain, Domains, parse_domain
from askonce._engine.cache import Cache
from askonce.errors import AskonceError
from askonce.notices import warn_once
from askonce.settings import read_settings

__all__ = ["cachy", "disable_cachy", "doms", "enable_cachy", "no_cachy"]

doms = (
    "chatgpt.com",
    "api.openai.com",
    "api.anthropic.com",
    "generativelanguage.googleapis.com",
    "api.deepseek.com",
    "api.fireworks.ai",
    "openrouter.ai",
    "api.groq.com",
    "api.together.xyz",
    "api.mistral.ai",
    "api.x.ai",
    "api.moonshot.ai",
)
"""The hosts that cachy caches when it is not told which."""

Folder = str | Path | None
Debug = bool | Literal["miss"]

_taken_in: dict[Path, tuple[int, int]] = {}  # what this process has imported: the file's size and time


def enable_cachy(
    cache_dir: Folder = None,
    doms: Iterable[str] = doms,
    hdrs: Iterable[str] | None = None,
    debug: Debug = False,
) -> None:
    """Answer every LLM call of this process once by its provider, and ever after from the store.

    Args:
        cache_dir: The folder of `cachy.jsonl`; by default the nearest at or above the current one that has a
            pyproject.toml, else the current one.
        doms: Hosts that are providers too, with or without a port.
        hdrs: Not needed: all headers are kept but those that hold secrets or are momentary.
        debug: Print a line a call; `"miss"` prints no hits.
    """
    folder = _folder(cache_dir)
    _take_in(folder, hdrs)
    cache = session.enable(_store(folder), domains=_domains(doms), debug=bool(debug))
    _choose_lines(cache, debug)


def disable_cachy() -> None:
    """Turn off what `enable_cachy` turned on."""
    session.disable()


@contextmanager
def cachy(
    cache_dir: Folder = None,
    doms: Iterable[str] = doms,
    hdrs: Iterable[str] | None = None,
    debug: Debug = False,
) -> Iterator[None]:
    """Do as `enable_cachy` does while the block runs, then as before."""
    folder = _folder(cache_dir)
    _take_in(folder, hdrs)
    with session.caching(_store(folder), domains=_domains(doms), debug=bool(debug)) as cache:
        _choose_lines(cache, debug)
        yield


@contextmanager
def no_cachy() -> Iterator[None]:
    """Send the calls inside the block to their providers, and touch nothing."""
    with session.bypass():
        yield


def _folder(cache_dir: Folder) -> Path:
    if cache_dir:
        return Path(cache_dir)
    here = Path.cwd()
    return next((one for one in (here, *here.parents) if (one / "pyproject.toml").is_file()), here)


def _store(folder: Path) -> Path:
    return folder / ".askonce" / "cache.db"


def _domains(doms: Iterable[str]) -> list[Domain]:
    """Return the hosts that askonce does not know; cachy matches one without a port at any port."""
    known = Domains()
    found = list(read_settings({}).domains)  # what ASKONCE_DOMAINS names
    for text in doms:
        domain = parse_domain(text)
        if domain.port is None and known.find("https", domain.host, None):
            continue
        has_port = domain.port is not None or "://" in text
        found.append(domain if has_port else domain._replace(port=ANY_PORT))
    return found


def _take_in(folder: Path, hdrs: Iterable[str] | None) -> None:
    """Import `cachy.jsonl` where it is new or has changed; what is wrong with it is only warned of."""
    if hdrs:
        warn_once("hdrs is not needed: all headers of an answer are kept but secret and momentary ones.")
    path = folder / "cachy.jsonl"
    try:
        state = (path.stat().st_size, path.stat().st_mtime_ns)
    except OSError:
        return
    if not state[0] or (_taken_in.get(path.resolve()) == state and _store(folder).exists()):
        return
    from askonce.exchange import open_source, take_in
    from askonce.storage import open_storage

    try:
        storage = open_storage(_store(folder))
        try:
            take_in(open_source(path, read_settings({})), storage)
        finally:
            storage.close()
        _taken_in[path.resolve()] = state
    except AskonceError as error:
        warn_once(f"the answers in {path} are not found: {error}")


def _choose_lines(cache: Cache, debug: Debug) -> None:
    """Leave out hits when only misses are asked for."""
    if debug == "miss":
        write: Callable[[str], None] = cache.log
        cache.log = lambda line: None if line.startswith("askonce hit") else write(line)
