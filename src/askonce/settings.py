"""What can be set, by argument or by ASKONCE_… variable. The only reader of the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from askonce._core.controls import (
    Controls,
    Mode,
    parse_delays,
    parse_duration,
    parse_mode,
    parse_repeat,
    parse_samples,
    parse_tags,
)
from askonce._core.domains import Domain, parse_domain
from askonce._core.noise import NOTEBOOK_NOISE, Rule, check_rule
from askonce._core.rotation import Repeat
from askonce.errors import ControlError, SettingsError

T = TypeVar("T")

_PREFIX = "ASKONCE_"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_LONGEST = 1e11  # seconds; some three thousand years
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Settings(NamedTuple):
    """How a cache behaves. Read from arguments and environment by `read_settings`.

    `ttl` is in seconds, None for ever; `delays` scales the recorded rhythm, 0.0 is at once; `samples` is how many
    answers are recorded before any is given again; `max_size` bounds what the store keeps and `memory` what is
    held of it in memory, both in bytes. `images` is the folder where recorded images appear; with none, an answer
    with the address of an image is kept as it came. `bundles` are looked into after the store, in their order;
    `cache_url` is where the drop-in `openai` fetches one from.
    """

    store: str
    mode: Mode = Mode.RECORD
    domains: tuple[Domain, ...] = ()
    ttl: float | None = None
    partition: str = ""
    delays: float = 0.0
    repeat: Repeat = Repeat.SAME
    samples: int = 1
    max_size: int | None = None
    memory: int = 32 << 20
    images: str = ""
    bundles: tuple[str, ...] = ()
    cache_url: str = ""
    debug: bool = False
    normalize: tuple[Rule, ...] = ()

    @property
    def controls(self) -> Controls:
        """What a call is controlled by that says nothing itself."""
        return Controls(
            mode=self.mode,
            ttl=self.ttl,
            partition=self.partition,
            delays=self.delays,
            repeat=self.repeat,
            samples=self.samples,
        )


def read_settings(
    arguments: Mapping[str, Any],
    environ: Mapping[str, str] = os.environ,
    defaults: Settings | None = None,
) -> Settings:
    """Return the settings that arguments and environment make; an argument that is not None wins.

    Raises:
        SettingsError: when a name is unknown or a value is not one of those allowed.
    """
    settings = defaults or Settings(store="")
    for name, text in environ.items():
        if name.startswith(_PREFIX):
            field = _FIELDS_BY_VARIABLE.get(name)
            if name in HANDED_DOWN:
                continue
            if field is None:
                raise SettingsError(
                    f"{name}: there is no such variable. There are {', '.join(_FIELDS_BY_VARIABLE)}."
                )
            settings = settings._replace(**{field: _READERS[field](text, name)})
    for name, value in arguments.items():
        if name not in _READERS:
            raise SettingsError(f"{name}: there is no such setting. There are {', '.join(_READERS)}.")
        if value is not None:
            settings = settings._replace(**{name: _READERS[name](value, name)})
    return settings if settings.store else settings._replace(store=str(default_store()))


def classroom_defaults(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return what holds for the drop-in `openai` where nothing is set.

    The variables of cached_openai are on when they are set at all, as they were there; ASKONCE_… ones win.
    """
    return Settings(
        store="",
        mode=Mode.RECORD if "CACHED_OPENAI_DEV_MODE" in environ else Mode.REPLAY,
        delays=float("CACHED_OPENAI_DELAY_RESPONSES" in environ),
        repeat=Repeat.ALL,
        images="images",
        debug="CACHED_OPENAI_VERBOSE" in environ,
    )


def default_store(start: Path | None = None) -> Path:
    """Return `.askonce/cache.db` in the nearest folder up that has a pyproject.toml or .git, else in `start`."""
    here = start or Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() or (folder / ".git").exists():
            return folder / ".askonce" / "cache.db"
    return here / ".askonce" / "cache.db"


def read_duration(value: Any, name: str) -> float:
    """Return seconds, from a number or a text such as `90`, `15m`, `12h`, `30d`."""
    seconds = parse_duration(value) if isinstance(value, str) else _number(value)
    if seconds is None or not 0 <= seconds <= _LONGEST:
        raise SettingsError(f"{name}: {value!r} is not a duration. Write seconds (3600) or '15m', '12h', '30d'.")
    return float(seconds)


def read_tags(value: Any) -> tuple[str, ...]:
    """Return tags, from texts or from one text with commas between them."""
    try:
        return parse_tags(_texts(value), "tags")
    except ControlError as error:
        raise SettingsError(str(error)) from None


def _texts(value: Any) -> list[str]:
    texts = value.split(",") if isinstance(value, str) else list(value)
    if not all(isinstance(text, str) for text in texts):
        raise SettingsError(f"tags: {value!r} are not texts.")
    return texts


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _read_store(value: Any, name: str) -> str:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise SettingsError(f"{name}: {value!r} is neither a path nor a URL such as 'memory:'.")
    return str(value)


def _as_control(parse: Callable[[str, str], T]) -> Callable[[Any, str], T]:
    """Return a reader of a setting that a request can carry too."""

    def read(value: Any, name: str) -> T:
        try:
            return parse(str(value), name)
        except ControlError as error:
            raise SettingsError(str(error)) from None

    return read


def _read_domains(value: Any, name: str) -> tuple[Domain, ...]:
    if isinstance(value, str):
        value = [item.strip() for item in value.split(",") if item.strip()]
    if not isinstance(value, Iterable):
        raise SettingsError(f"{name}: {value!r} is not a list of hosts.")
    return tuple(item if isinstance(item, Domain) else parse_domain(str(item)) for item in value)


def _read_partition(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"{name}: {value!r} is not a string.")
    return value


def _read_size(value: Any, name: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise SettingsError(f"{name}: {value!r} is not a size. Write bytes (1000000) or '500MB', '2GB'.")
    return int(float(match[1]) * 1024 ** _POWER[match[2].lower()])


def _read_folder(value: Any, name: str) -> str:
    if not isinstance(value, str | os.PathLike) or "\0" in os.fspath(value):
        raise SettingsError(f"{name}: {value!r} is not the path of a folder. Write 'images', or '' for none.")
    return str(value)


def _read_flag(value: Any, name: str) -> bool:
    text = str(value).strip().lower()
    if text not in _TRUE | _FALSE:
        raise SettingsError(f"{name}: {value!r} is neither true nor false. Write 1 or 0.")
    return text in _TRUE


def _read_rules(value: Any, name: str) -> tuple[Rule, ...]:
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _FALSE:
            return ()
        if text in _TRUE | {"notebook"}:
            return NOTEBOOK_NOISE
    elif isinstance(value, Iterable):
        rules = tuple(_read_rule(item, name) for item in value)
        names = [rule.name for rule in rules]
        if len(set(names)) == len(names):
            return rules
        raise SettingsError(f"{name}: two rules have one name. There are {', '.join(map(repr, names))}.")
    raise SettingsError(
        f"{name}: {value!r} is neither 'notebook' nor a tuple of rules such as askonce.NOTEBOOK_NOISE."
    )


def _read_rule(value: Any, name: str) -> Rule:
    if not isinstance(value, tuple) or len(value) != 3 or not all(isinstance(text, str) for text in value):
        raise SettingsError(f"{name}: {value!r} is no rule. Write askonce.Rule(name, pattern, replacement).")
    rule = Rule(*value)
    try:
        check_rule(rule)
    except ValueError as error:
        raise SettingsError(f"{name}: the rule {rule.name!r} {error}.") from None
    return rule


def _read_bundles(value: Any, name: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [item.strip() for item in value.split(",") if item.strip()]
    elif isinstance(value, os.PathLike) or not isinstance(value, Iterable):
        raise SettingsError(f"{name}: {value!r} is not a list of files. Write ['lesson.askonce'].")
    return tuple(_read_store(item, name) for item in value)


def _read_url(value: Any, name: str) -> str:
    if not isinstance(value, str) or (value and not value.startswith(("http://", "https://"))):
        raise SettingsError(f"{name}: {value!r} is no URL. It begins with https:// or http://.")
    return value


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "store": _read_store,
    "mode": _as_control(parse_mode),
    "domains": _read_domains,
    "ttl": read_duration,
    "partition": _read_partition,
    "delays": _as_control(parse_delays),
    "repeat": _as_control(parse_repeat),
    "samples": _as_control(parse_samples),
    "max_size": _read_size,
    "memory": _read_size,
    "images": _read_folder,
    "bundles": _read_bundles,
    "cache_url": _read_url,
    "debug": _read_flag,
    "normalize": _read_rules,
}
assert set(_READERS) == set(Settings._fields)

_NETWORK = frozenset({
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
})  # fmt: skip

_FIELDS_BY_VARIABLE = {
    (f"{_PREFIX}VERBOSE" if name == "debug" else _PREFIX + name.upper()): name for name in _READERS
}


def sources(arguments: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return where each setting comes from: `argument`, the name of a variable, or `default`."""
    found = dict.fromkeys(_READERS, "default")
    found |= {field: name for name, field in _FIELDS_BY_VARIABLE.items() if name in environ}
    return found | {name: "argument" for name, value in arguments.items() if value is not None}


def network_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what the environment says of proxies and certificates, without the credentials in a URL."""
    return {
        name: without_password(value)
        for name, value in sorted(environ.items())
        if value and name.upper() in _NETWORK
    }


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    return re.sub(r"([?&]password=)[^&]*", r"\1…", re.sub(r"//[^/@]*@", "//…@", url))


def variables() -> dict[str, str]:
    """Return the environment variables, each with the name of the argument that it is for."""
    return dict(_FIELDS_BY_VARIABLE)


def read_variable(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the variable in which a user says that something is kept, or None where it is not set."""
    return environ.get(name)


HANDED_DOWN = frozenset({"ASKONCE_GATEWAY_PLAN"})
"""Variables by which a process of ours tells its workers what they are to do; no settings."""


def hand_down(name: str, value: str) -> None:
    """Put a variable in the environment of the processes that this one starts."""
    os.environ[name] = value
