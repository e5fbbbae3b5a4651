"""The body of a request in canonical form: what of it identifies the question.

JSON is canonical by value: key order and white space never matter, `1` and `1.0` differ. Multipart bodies are
their parts, files by the digest of their content. Whatever cannot be read back without loss (NaN, numbers
beyond a double, duplicate keys, invalid UTF-8) is identified by its bytes instead. A credential is left out
where all providers' APIs have none but for access, and is a digest where a tool may need it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from askonce.errors import ControlError

CONTROL_FIELDS = frozenset(
    {"cache_enabled", "cache_ttl", "cache_options", "customer_identifier", "customer_params", "omit_logs"}
)
"""Body fields that are addressed to the cache (Keywords AI / Respan's names); no provider has them."""

_CREDENTIALS = frozenset({"api_key", "apikey", "apiKey", "api-key", "access_token"})
"""Top-level fields that say who asks, not what."""

# Credentials for tools and data: OpenAI's and Anthropic's MCP servers, Azure's data sources.
_SECRETS = _CREDENTIALS | {
    "authorization", "Authorization", "authorization_token", "authentication", "accessToken", "bearer_token",
    "x-api-key", "X-API-Key", "X-Api-Key", "connection_string", "connectionString", "client_secret", "password",
    "encoded_api_key", "secret_key", "secretKey",
}  # fmt: skip
_ADDRESSES = frozenset({"server_url", "url"})
_MAYBE_SECRET = re.compile(
    rb"api[-_]?key|token|secret|authoriz|password|credential|connection_?string", re.IGNORECASE
)

_STATE_FIELDS = ("background", "deferred", "conversation", "conversation_id", "container")
_SEED_PATHS = (
    ("seed",),
    ("random_seed",),  # Mistral
    ("generationConfig", "seed"),  # Gemini
    ("options", "seed"),  # Ollama
)


class Body(NamedTuple):
    """A request's body, read.

    `canonical` identifies it together with `kind` (json, parts, text or bytes); `sent` is what goes to the
    provider, the body less its controls; `seed` is the JSON text of the seed that was taken out of `canonical`.
    """

    kind: str
    canonical: bytes
    sent: bytes
    seed: str | None = None
    model: str = ""
    controls: Mapping[str, Any] = MappingProxyType({})
    state: Mapping[str, Any] = MappingProxyType({})
    normalized: Mapping[str, str] = MappingProxyType({})
    """The rules by which `canonical` was changed, by name, each with what identifies it."""

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.canonical).digest()


def read_body(content_type: str, raw: bytes, fields: frozenset[str] = CONTROL_FIELDS) -> Body:
    """Read a request's body as its content type says, or as bytes where it is not what it says.

    `fields` are those that are addressed to the cache.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        body = _read_json(raw, fields)
    elif media_type.startswith("multipart/"):
        body = _read_parts(content_type, raw, fields)
    else:
        body = None
    return body or _read_bytes(raw)


class _UnfaithfulError(ValueError):
    """A JSON text whose value would not identify it; says what it holds."""


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _UnfaithfulError("a key twice in one object")
    if not _SECRETS.isdisjoint(value):
        for name in _SECRETS & value.keys():
            if isinstance(value[name], str) or name == "authentication":
                value[name] = _hidden(value[name])
    headers = value.get("headers")
    if isinstance(headers, dict) and not _ADDRESSES.isdisjoint(value):  # a server's, whatever it calls its secret
        value["headers"] = {name: _hidden(one) for name, one in headers.items()}
    return value


def _hidden(value: Any) -> str:
    return "sha256:" + hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _UnfaithfulError(f"{text[:20]}, a number beyond a double")
    return value


def _refuse_constant(text: str) -> Any:
    raise _UnfaithfulError(text)


_decode: Callable[[str], Any] = json.JSONDecoder(
    object_pairs_hook=_read_object, parse_float=_finite, parse_constant=_refuse_constant
).decode
canonical_json: Callable[[Any], str] = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _read_json(raw: bytes, fields: frozenset[str]) -> Body | None:
    try:
        text = raw.decode("utf-8")
        value = _decode(text)
        if not isinstance(value, dict):
            return Body("json", canonical_json(value).encode(), raw)
        controls = {name: value.pop(name) for name in fields & value.keys()}
        for name in _CREDENTIALS & value.keys():
            del value[name]
        seed = _take_seed(value)
        model = value.get("model")
        return Body(
            "json",
            canonical_json(value).encode(),
            _without_controls(text, fields) if controls else raw,
            seed,
            model if isinstance(model, str) else "",
            controls,
            {name: value[name] for name in _STATE_FIELDS if name in value},
        )
    except _UnfaithfulError as error:
        _refuse_controls(raw, str(error), fields)
        return None
    except (ValueError, RecursionError):  # not JSON
        return None


def _without_controls(text: str, fields: frozenset[str]) -> bytes:
    value = json.loads(text)
    return json.dumps({n: v for n, v in value.items() if n not in fields}, separators=(",", ":")).encode()


def _refuse_controls(raw: bytes, why: str, fields: frozenset[str]) -> None:
    """Refuse controls in a body that cannot be written again without them."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return
    for name in sorted(fields & value.keys() if isinstance(value, dict) else ()):
        raise ControlError(
            f"{name}: cannot be taken out of a body that holds {why}. Use the x-askonce- headers with such a body."
        )


def _take_seed(value: dict[str, Any]) -> str | None:
    seeds = []
    for path in _SEED_PATHS:
        *parents, name = path
        inner: Any = value
        for parent in parents:
            inner = inner.get(parent) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and name in inner:
            seed = canonical_json(inner.pop(name))
            seeds.append(seed if path == ("seed",) else f"{'.'.join(path)}={seed}")
    return ",".join(seeds) if seeds else None


def _read_parts(content_type: str, raw: bytes, fields: frozenset[str]) -> Body | None:
    """Read `multipart/*` (RFC 2046, RFC 7578); None when it is not well-formed.

    A file is its content alone: its name, and the type guessed from the name, say nothing about the question.
    """
    boundary = _boundary(content_type)
    if not boundary:
        return None
    delimiter = b"\r\n--" + boundary
    before, *sections = (b"\r\n" + raw).split(delimiter)
    if before or not sections or sections[-1].rstrip() != b"--":
        return None
    parts = []
    kept: list[bytes] = [before]
    model = ""
    controls: dict[str, Any] = {}
    for section in sections[:-1]:
        part = _read_part(section)
        if part is None:
            return None
        name, text = part["name"], part.get("text")
        if text is not None and _note_control(controls, name, text, fields):
            continue
        kept.append(section)
        if text is not None and name in _CREDENTIALS:
            continue
        if name == "model" and text is not None:
            model = text
        parts.append(part)
    sent = delimiter.join((*kept, sections[-1]))[2:] if controls else raw
    return Body("parts", canonical_json(parts).encode(), sent, None, model, controls)


def _note_control(controls: dict[str, Any], name: str, text: str, fields: frozenset[str]) -> bool:
    """Note a part that is a control; `cache_options[omit_log]` is how forms write a field of an object."""
    outer, bracket, inner = name.partition("[")
    if outer not in fields:
        return False
    value: Any = text
    if "customer_identifier" not in name:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            pass
    if not bracket:
        controls[outer] = value
    else:
        inside = controls.setdefault(outer, {})
        if isinstance(inside, dict):
            inside[inner.removesuffix("]")] = value
    return True


_PARAMETER = re.compile(r';\s*(name|filename\*?)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]*)', re.IGNORECASE)
_USUAL = frozenset({"text/plain", "text/plain;charset=utf-8", "binary", "8bit"})


def _read_part(section: bytes) -> dict[str, Any] | None:
    head, separator, content = section.lstrip(b" \t").partition(b"\r\n\r\n")
    if not separator or not head.startswith(b"\r\n"):
        return None
    given: dict[str, str] = {}
    others = []
    for line in head[2:].decode("latin-1").split("\r\n"):
        field_name, colon, value = line.partition(":")
        match field_name.lower():
            case "content-disposition":
                given = {match[1].lower().rstrip("*"): match[2] for match in _PARAMETER.finditer(value)}
            case _ if not colon or line[0].isspace():
                return None
            case "content-length":
                pass
            case "content-type" | "content-transfer-encoding" if value.lower().replace(" ", "") in _USUAL:
                pass
            case lower:
                others.append([lower, value.strip()])
    is_file = "filename" in given
    part: dict[str, Any] = {"name": given.get("name", "").strip('"'), **_describe(content, is_file)}
    others = [other for other in others if not (is_file and other[0] == "content-type")]
    return {**part, "headers": others} if others else part


def _describe(content: bytes, is_file: bool) -> dict[str, Any]:
    if not is_file:
        try:
            return {"text": content.decode("utf-8")}
        except UnicodeDecodeError:
            pass
    return {"file" if is_file else "bytes": hashlib.sha256(content).hexdigest(), "size": len(content)}


def _boundary(content_type: str) -> bytes:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "boundary":
            return value.strip().strip('"').encode("latin-1")
    return b""


def _read_bytes(raw: bytes) -> Body:
    try:
        raw.decode("utf-8")
        readable = not _MAYBE_SECRET.search(raw)
    except UnicodeDecodeError:
        readable = False
    if readable:
        return Body("text", raw, raw)
    digest = {"bytes": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    return Body("bytes", canonical_json(digest).encode(), raw)
