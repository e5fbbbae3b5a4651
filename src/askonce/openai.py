"""`import askonce.openai as openai`: the OpenAI SDK, whose answers are asked once and then come from a store.

Everything that `openai` exports is here; only clients made through this module use the cache. Recorded answers
come at once and need no API key. What is not recorded is asked as usual, and kept in dev mode alone
(`ASKONCE_MODE=record`).
"""

from __future__ import annotations

import os as _os
from collections.abc import Iterable as _Iterable
from typing import TYPE_CHECKING, Any

try:
    import openai as _openai
except ModuleNotFoundError as _error:
    if _error.name != "openai":
        raise
    raise ModuleNotFoundError(
        "askonce.openai stands in for the OpenAI SDK, which is not installed: pip install openai", name="openai"
    ) from _error

from askonce import session as _session
from askonce._core.controls import Mode as _Mode
from askonce._core.domains import Domain as _Domain
from askonce._core.rotation import Repeat as _Repeat
from askonce._dropin import module as _module
from askonce._dropin import state as _state
from askonce._dropin import submodules as _submodules
from askonce._dropin.clients import cached_class as _cached_class
from askonce._dropin.clients import is_client as _is_client
from askonce._engine.meter import Stats as _Stats
from askonce.bundle import Packed as _Packed

if TYPE_CHECKING:  # the classes are found when they are asked for; subclasses of these, and used as these
    from openai import *  # noqa: F403
    from openai import (  # isort: skip
        AsyncAzureOpenAI as AsyncAzureOpenAI,
        AzureOpenAI as AzureOpenAI,
        api_key as api_key,
        api_type as api_type,
        api_version as api_version,
        azure_ad_token as azure_ad_token,
        azure_ad_token_provider as azure_ad_token_provider,
        azure_endpoint as azure_endpoint,
        base_url as base_url,
        default_headers as default_headers,
        default_query as default_query,
        http_client as http_client,
        max_retries as max_retries,
        organization as organization,
        project as project,
        timeout as timeout,
        webhook_secret as webhook_secret,
    )
    from openai._module_client import *  # noqa: F403

__all__ = [*_openai.__all__, "configure", "materialize", "stats"]  # noqa: PLE0604
__path__: list[str] = []  # a package for the import system, so that `askonce.openai.types` can be imported

globals().update(_module.defaults())
_submodules.install()


def configure(
    store: _session.Store | None = None,
    *,
    mode: _session.ModeName | _Mode | None = None,
    domains: str | _Iterable[str | _Domain] | None = None,
    ttl: float | str | None = None,
    partition: str | None = None,
    delays: bool | float | None = None,
    repeat: _session.RepeatName | _Repeat | None = None,
    samples: int | None = None,
    max_size: int | str | None = None,
    memory: int | str | None = None,
    images: str | _os.PathLike[str] | None = None,
    debug: bool | None = None,
) -> None:
    """Change how calls are answered, at any time and for every client; what is not given stays as it is.

    Arguments are as for `askonce.enable`, and so are the variables `ASKONCE_…`; other are the defaults: mode
    `replay` (`record` is dev mode), repeat `all`, images in the folder `images`.

    Raises:
        SettingsError: when an argument or an `ASKONCE_…` variable is not one of those allowed.
    """
    _state.configure(
        {
            "store": store,
            "mode": mode,
            "domains": domains,
            "ttl": ttl,
            "partition": partition,
            "delays": delays,
            "repeat": repeat,
            "samples": samples,
            "max_size": max_size,
            "memory": memory,
            "images": images,
            "debug": debug,
        }
    )


def materialize(
    self_contained: bool = False,
    compress: bool = True,
    hash_keys: bool = False,
    used_keys_only: bool = False,
    compress_embeddings: bool = False,
) -> _Packed:
    """Hand out what was recorded, as cached_openai's `materialize` did; `askonce.materialize` can more.

    Args:
        self_contained: Make `cached_openai_<date>.py`, to be imported; else `openai_<date>.askonce`, to be placed.
        compress: Taken for the sake of programs that give it: what is made is always compressed.
        hash_keys: Reduce the questions to their digests: not to be read, nor to be added to.
        used_keys_only: Only what was used since `askonce used --reset`, with all its answers.
        compress_embeddings: Keep embeddings at half precision.

    Raises:
        StorageError: when there is nothing to hand out, or it cannot be read or written.
        UnfitError: when what was recorded holds what is not for others to see, a key for example.
    """
    from askonce.bundle.original import materialize_as_cached_openai

    return materialize_as_cached_openai(
        _state.current(), self_contained, compress, hash_keys, used_keys_only, compress_embeddings
    )


def stats() -> _Stats:
    """Return what was answered from the store so far, and what was asked."""
    return _state.current().stats


def __getattr__(name: str) -> Any:
    if name in _module.RESOURCES:
        return getattr(_module.module_client(globals()), name)
    try:
        value = getattr(_openai, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return _cached_class(value) if _is_client(value) else value


def __dir__() -> list[str]:
    return sorted({*dir(_openai), *globals()})
