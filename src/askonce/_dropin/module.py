"""The client behind module-level use: `openai.chat.completions.create(...)` with `openai.api_key`."""

from __future__ import annotations

import functools
from typing import Any

import openai

from askonce._core.refusal import NO_KEY
from askonce._dropin.clients import cached_class
from askonce._dropin.http import cached
from askonce.forks import Lock

# What the SDK lets one set at the module, and the client's own name of it where that is another.
_ATTRIBUTES = {
    name: {"default_headers": "_custom_headers", "default_query": "_custom_query"}.get(name, name)
    for name in (
        "api_key", "admin_api_key", "organization", "project", "webhook_secret", "timeout", "max_retries",
        "default_headers", "default_query",
    )
    if hasattr(openai, name)
}  # fmt: skip
_AZURE = ("api_version", "azure_endpoint", "azure_ad_token", "azure_ad_token_provider")
SETTINGS = (*_ATTRIBUTES, "base_url", "http_client", "api_type", *_AZURE)
RESOURCES = frozenset(
    name
    for name, value in vars(openai.OpenAI).items()
    if isinstance(value, functools.cached_property) and not name.startswith("with_")
)

_lock = Lock()
_clients: dict[type, Any] = {}


def defaults() -> dict[str, Any]:
    """Return the settings as the SDK has them when it is imported."""
    return {name: getattr(openai, name) for name in SETTINGS}


def module_client(settings: dict[str, Any]) -> Any:
    """Return the one client that reads its settings from this module's names."""
    kind = cached_class(openai.AzureOpenAI if _is_azure(settings) else openai.OpenAI)
    with _lock:
        if kind not in _clients:
            names = [*(name for name in _ATTRIBUTES if name != "timeout"), "base_url", "timeout", "http_client"]
            names += _AZURE if issubclass(kind, openai.AzureOpenAI) else ()
            given = {name: settings[name] for name in names}
            _clients[kind] = _client_class(kind, settings)(**given)
        return _clients[kind]


def _is_azure(settings: dict[str, Any]) -> bool:
    kind = settings["api_type"]
    if kind not in (None, "openai", "azure"):
        raise openai.OpenAIError(
            f"askonce.openai.api_type: {kind!r} is not served at the module. Make a client of its class instead."
        )
    if kind is None and any(settings[name] is not None for name in _AZURE[1:]):
        return True
    return bool(kind == "azure")


def _client_class(kind: Any, settings: dict[str, Any]) -> type:
    """Return a client class whose settings are read anew each time, since a program may set them at any time."""
    names: dict[str, Any] = {"__module__": "askonce.openai"}
    for name, attribute in _ATTRIBUTES.items():
        names[attribute] = _setting(settings, name)

    def read_base_url(self: Any) -> Any:
        default = super(made, self).base_url
        given = settings["base_url"]
        return default if given is None else self._enforce_trailing_slash(type(default)(str(given)))

    def write_base_url(self: Any, url: Any) -> None:
        settings["base_url"] = url

    def read_http(self: Any) -> Any:
        given = settings["http_client"]
        return self.__dict__["_client"] if given is None else cached(given, owned=False)

    def write_http(self: Any, client: Any) -> None:
        self.__dict__["_client"] = client

    names["base_url"] = property(read_base_url, write_base_url)
    names["_client"] = property(read_http, write_http)
    made: Any = type(kind.__name__, (kind,), names)
    return made  # type: ignore[no-any-return]


def _setting(settings: dict[str, Any], name: str) -> property:
    def read(self: Any) -> Any:
        value = settings[name]
        if name == "api_key":
            return value or NO_KEY
        return {} if value is None and name.startswith("default_") else value

    def write(self: Any, value: Any) -> None:
        if value != NO_KEY:
            settings[name] = value

    return property(read, write)
