"""`materialize` with the arguments that cached_openai's had, so that preparing course material needs no change."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from askonce._engine.cache import Cache
from askonce.bundle.packing import Packed, materialize
from askonce.storage.layers import Layers


def materialize_as_cached_openai(
    cache: Cache,
    self_contained: bool,
    compress: bool,
    hash_keys: bool,
    used_keys_only: bool,
    compress_embeddings: bool,
) -> Packed:
    """Hand out what `cache` has recorded, in a file named after the day in the working directory.

    Args:
        cache: Whose store it is.
        self_contained: Make `cached_openai_<date>.py`, to be imported; else `openai_<date>.askonce`, to be placed.
        compress: Taken for the sake of programs that give it. A bundle is always compressed.
        hash_keys: Reduce the questions to their digests.
        used_keys_only: Only what was used since the mark (`askonce used --reset`), with all its takes.
        compress_embeddings: Keep embeddings at half precision.
    """
    _ = cache.stats
    cache.guard.open()  # writes what was used
    storage = cache.guard.storage
    today = date.today().isoformat()  # noqa: DTZ011 (the day of whoever prepares it)
    return materialize(
        # An import statement takes no hyphens.
        Path(f"cached_openai_{today.replace('-', '_')}.py" if self_contained else f"openai_{today}.askonce"),
        storage.own if isinstance(storage, Layers) else storage,
        final=hash_keys,
        used=used_keys_only,
        half_embeddings=compress_embeddings,
        delays=bool(cache.settings.delays),
    )
