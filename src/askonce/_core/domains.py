"""Which hosts are LLM providers, and which of their paths are generation.

A path that is not listed is forwarded untouched: files, batches, fine-tuning, threads, polling and deletes are
state, and an answer about state must come from where the state is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from askonce.errors import SettingsError


class Dialect(StrEnum):
    """Whose wire format a route speaks; decides the shape of an error body."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    BEDROCK = "bedrock"
    COHERE = "cohere"
    OLLAMA = "ollama"


class Route(NamedTuple):
    """A path that is generation. `pattern` matches the whole path; its group `model`, if any, is the model."""

    dialect: Dialect
    kind: str
    pattern: str

    def match(self, path: str) -> re.Match[str] | None:
        """Match a whole path. Compiled when first used: a program asks few of all these routes."""
        return re.fullmatch(self.pattern, path)


ANY_PORT = 0


class Domain(NamedTuple):
    """A provider's host and the paths on it that are generation.

    `host` is exact, in lower case; a `*` stands for one run of characters without a dot (Azure's resource,
    Bedrock's region). `port` None is the scheme's own port, 0 any. `prefix` is a path that all its routes
    begin with. `provider` is empty where only the route's dialect tells whose format is spoken.
    """

    provider: str
    host: str
    port: int | None
    routes: tuple[Route, ...]
    prefix: str = ""

    def route(self, method: str, path: str) -> Route | None:
        """Return the generation route that `method path` is, or None."""
        if method != "POST" or not path.startswith(self.prefix):
            return None
        path = path[len(self.prefix) :]
        for route in self.routes:
            if route.match(path):
                return route
        return None


def _routes(dialect: Dialect, prefix: str, table: dict[str, str]) -> tuple[Route, ...]:
    return tuple(Route(dialect, kind, f"{prefix}/(?:{paths})") for kind, paths in table.items())


# --- Paths, by wire format (each provider's API reference) ------------------------------------------------

_OPENAI = {
    "chat": r"chat/completions",
    "completion": r"completions",
    "response": r"responses(?:/input_tokens|/compact)?",
    "embedding": r"embeddings",
    "moderation": r"moderations",
    "image": r"images/(?:generations|edits|variations)",
    "speech": r"audio/speech",
    "transcription": r"audio/(?:transcriptions|translations)",
}
_MISTRAL = {
    "completion": r"fim/completions",
    "chat": r"agents/completions",
    "moderation": r"chat/moderations|classifications|chat/classifications",
    "ocr": r"ocr",
}
_ANTHROPIC = {"chat": r"messages", "tokens": r"messages/count_tokens", "completion": r"complete"}
_GEMINI_MODEL = (
    r"(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/[^/]+/)?(?:models|tunedModels|endpoints)/(?P<model>[^/:]+)"
)
_GEMINI = {
    "chat": _GEMINI_MODEL
    + r":(?:generateContent|streamGenerateContent|generateAnswer|rawPredict|streamRawPredict)",
    "tokens": _GEMINI_MODEL + r":(?:countTokens|computeTokens)",
    "embedding": _GEMINI_MODEL + r":(?:embedContent|batchEmbedContents)",
    "image": _GEMINI_MODEL + r":predict",
}
_BEDROCK = {
    "chat": r"model/(?P<model>[^/]+)/(?:converse|converse-stream|invoke|invoke-with-response-stream)",
    "tokens": r"model/(?P<model>[^/]+)/count-tokens",
}
_COHERE = {
    "chat": r"v[12]/chat",
    "completion": r"v1/(?:generate|summarize)",
    "embedding": r"v[12]/embed",
    "rerank": r"v[12]/rerank",
    "moderation": r"v1/classify",
    "tokens": r"v1/(?:tokenize|detokenize)",
}
_OLLAMA = {"chat": r"api/chat", "completion": r"api/generate", "embedding": r"api/(?:embed|embeddings)"}
_LLAMA_CPP = {
    "completion": r"completion|infill",
    "embedding": r"embedding",
    "tokens": r"tokenize|detokenize|apply-template",
    "rerank": r"rerank|reranking",
}
_RERANK = {"rerank": r"rerank|reranking|ranking", "moderation": r"classify"}
_VOYAGE = {"embedding": r"embeddings|multimodalembeddings|contextualizedembeddings"}
_HUGGING_FACE = {"inference": r"models/(?P<model>.+)"}
_REPLICATE = {"prediction": r"(?:(?:models|deployments)/(?P<model>[^/]+/[^/]+)/)?predictions"}

_V1 = r"/v1"
_GEMINI_VERSIONS = r"/v1(?:beta|alpha)?\d*"
# Any path may come before a route on a host that the user names, but not one that makes state of what follows:
# `threads/{id}/messages` (OpenAI) is no question.
_STATE = "async|batch|batches|threads|conversations|files|assistants|vector_stores|fine_tuning"
_ANYWHERE = rf"(?:/(?!(?:{_STATE})/)[^/]+)*"


def _openai(prefix: str = _V1, **more: dict[str, str]) -> tuple[Route, ...]:
    routes = _routes(Dialect.OPENAI, prefix, _OPENAI)
    for table in more.values():
        routes += _routes(Dialect.OPENAI, prefix, table)
    return routes


def _anthropic(prefix: str = _V1) -> tuple[Route, ...]:
    return _routes(Dialect.ANTHROPIC, prefix, _ANTHROPIC)


def _gemini(prefix: str = _GEMINI_VERSIONS) -> tuple[Route, ...]:
    return _routes(Dialect.GEMINI, prefix, _GEMINI)


_AZURE = (
    *_openai(r"/openai(?:/v1)?"),
    *_routes(
        Dialect.OPENAI,
        r"/openai/deployments/(?P<model>[^/]+)",
        {kind: paths for kind, paths in _OPENAI.items() if kind != "response"},
    ),
)
_AZURE_FOUNDRY = (*_AZURE, *_openai("/models"), *_anthropic("/anthropic/v1"))
_VERTEX = (*_gemini(), *_openai(r"/v1(?:beta1)?/projects/[^/]+/locations/[^/]+/endpoints/[^/]+"))
_LOCAL = (
    *_openai(rerank=_RERANK),
    *_anthropic(),
    *_routes(Dialect.OLLAMA, "", _OLLAMA),
    *_routes(Dialect.OPENAI, "", _LLAMA_CPP),
)

EVERY_ROUTE: tuple[Route, ...] = (
    *_anthropic(_ANYWHERE + _V1),
    *_gemini(_ANYWHERE),
    *_routes(Dialect.BEDROCK, _ANYWHERE, _BEDROCK),
    *_routes(Dialect.OLLAMA, _ANYWHERE, _OLLAMA),
    *_routes(Dialect.COHERE, _ANYWHERE, _COHERE),
    *_routes(Dialect.OPENAI, _ANYWHERE + r"/openai/deployments/(?P<model>[^/]+)", _OPENAI),
    *_openai(_ANYWHERE, mistral=_MISTRAL, rerank=_RERANK, voyage=_VOYAGE),
    *_routes(Dialect.OPENAI, _ANYWHERE, _REPLICATE),
)
"""What is generation on a host that the user names: any known format, below any path."""

_HOSTS: tuple[tuple[str, str, tuple[Route, ...]], ...] = (
    ("openai", "api.openai.com", _openai()),
    ("openai", "*.api.openai.com", _openai()),
    ("azure", "*.openai.azure.com", _AZURE),
    ("azure", "*.openai.azure.us", _AZURE),
    ("azure", "*.cognitiveservices.azure.com", _AZURE),
    ("azure", "*.services.ai.azure.com", _AZURE_FOUNDRY),
    ("azure", "*.models.ai.azure.com", _openai("(?:/v1)?")),
    ("anthropic", "api.anthropic.com", (*_anthropic(), *_openai())),
    ("gemini", "generativelanguage.googleapis.com", (*_gemini(), *_openai(_GEMINI_VERSIONS + "/openai"))),
    ("vertex", "aiplatform.googleapis.com", _VERTEX),
    ("vertex", "*-aiplatform.googleapis.com", _VERTEX),
    (
        "bedrock",
        "bedrock-runtime.*.amazonaws.com",
        (*_routes(Dialect.BEDROCK, "", _BEDROCK), *_openai("/openai/v1")),
    ),
    ("bedrock", "bedrock-runtime-fips.*.amazonaws.com", _routes(Dialect.BEDROCK, "", _BEDROCK)),
    ("bedrock", "bedrock-runtime.*.amazonaws.com.cn", _routes(Dialect.BEDROCK, "", _BEDROCK)),
    ("mistral", "api.mistral.ai", _openai(mistral=_MISTRAL)),
    ("mistral", "codestral.mistral.ai", _openai(mistral=_MISTRAL)),
    ("cohere", "api.cohere.com", (*_routes(Dialect.COHERE, "", _COHERE), *_openai("/compatibility/v1"))),
    ("cohere", "api.cohere.ai", (*_routes(Dialect.COHERE, "", _COHERE), *_openai("/compatibility/v1"))),
    ("groq", "api.groq.com", _openai("/openai/v1")),
    ("together", "api.together.xyz", _openai(rerank=_RERANK)),
    ("together", "api.together.ai", _openai(rerank=_RERANK)),
    ("fireworks", "api.fireworks.ai", (*_openai("/inference/v1", rerank=_RERANK), *_anthropic("/inference/v1"))),
    ("deepseek", "api.deepseek.com", (*_openai("(?:/v1|/beta)?"), *_anthropic("/anthropic/v1"))),
    ("xai", "api.x.ai", (*_openai(tokens={"tokens": "tokenize-text"}), *_anthropic())),
    ("openrouter", "openrouter.ai", (*_openai("/api/v1", rerank=_RERANK), *_anthropic("/api/v1"))),
    ("perplexity", "api.perplexity.ai", _openai("(?:/v1)?")),
    ("cerebras", "api.cerebras.ai", _openai()),
    ("moonshot", "api.moonshot.ai", (*_openai(), *_anthropic("/anthropic/v1"))),
    ("moonshot", "api.moonshot.cn", (*_openai(), *_anthropic("/anthropic/v1"))),
    ("nvidia", "integrate.api.nvidia.com", _openai(rerank=_RERANK)),
    ("nvidia", "ai.api.nvidia.com", _openai(_ANYWHERE, rerank=_RERANK)),
    (
        "huggingface",
        "router.huggingface.co",
        (*_routes(Dialect.OPENAI, "(?:/[^/]+)?", _HUGGING_FACE), *_openai("(?:/[^/]+)*")),
    ),
    (
        "huggingface",
        "api-inference.huggingface.co",
        (*_openai("(?:/models/.+)?/v1"), *_routes(Dialect.OPENAI, "", _HUGGING_FACE)),
    ),
    ("replicate", "api.replicate.com", _routes(Dialect.OPENAI, _V1, _REPLICATE)),
    ("voyage", "api.voyageai.com", _openai(rerank=_RERANK, voyage=_VOYAGE)),
    ("jina", "api.jina.ai", _openai(rerank=_RERANK)),
    ("jina", "deepsearch.jina.ai", _openai()),
)

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LOCAL_PORTS = {"ollama": 11434, "vllm": 8000, "llama.cpp": 8080, "lmstudio": 1234}

KNOWN: tuple[Domain, ...] = (
    *(Domain(provider, host, None, routes) for provider, host, routes in _HOSTS),
    *(Domain(name, host, port, _LOCAL) for name, port in _LOCAL_PORTS.items() for host in _LOOPBACK),
)


def parse_domain(text: str) -> Domain:
    """Read a domain as a user writes it: `host`, `host:port` or `https://host[:port][/prefix]`.

    Raises:
        SettingsError: when there is no host in it, or the port is not a number.
    """
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _no_host(text) from None
    if host and not host.isascii():
        host = _in_ascii(host)
    if not host or not _HOST.fullmatch(host) or parts.scheme not in ("", "http", "https") or "@" in parts.netloc:
        host = None
    if host is None or parts.query or parts.fragment:
        raise _no_host(text)
    if parts.scheme and port == _default_port(parts.scheme):
        port = None
    return Domain("", host, port, EVERY_ROUTE, parts.path.rstrip("/"))


_HOST = re.compile(r"[a-z0-9_*-]+(?:\.[a-z0-9_*-]+)*|[0-9a-f.]*:[0-9a-f:.]*")


def _in_ascii(host: str) -> str | None:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return None


def _no_host(text: str) -> SettingsError:
    return SettingsError(
        f"domains: {text!r} is not a host. Write 'llm.example.com', 'llm.example.com:8443' or "
        "'https://llm.example.com/prefix'."
    )


def _default_port(scheme: str) -> int:
    return 80 if scheme == "http" else 443


def _is_like(host: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^.]+"), host) is not None


class Domains:
    """The domains in force; the user's own come before the known ones."""

    __slots__ = ("_exact", "_known", "_patterns")

    def __init__(self, extra: Iterable[Domain] = ()) -> None:
        self._exact: dict[tuple[str, int | None], list[Domain]] = {}
        self._patterns: list[Domain] = []
        for domain in (*extra, *KNOWN):
            if "*" in domain.host:
                self._patterns.append(domain)
            else:
                self._exact.setdefault((domain.host, domain.port), []).append(domain)
        self._known: dict[tuple[str, str, int | None], tuple[Domain, ...]] = {}

    def add(self, domain: Domain) -> None:
        """Take in one more host that the user names."""
        self._exact.setdefault((domain.host, domain.port), []).insert(0, domain)
        self._known.clear()

    def find(self, scheme: str, host: str, port: int | None) -> tuple[Domain, ...]:
        """Return the domains that this origin is, most particular first; none for a foreign host."""
        origin = (scheme, host, port)
        found = self._known.get(origin)
        if found is None:
            found = self._search(scheme, host.lower(), port)
            if len(self._known) < 1024:  # a crawler's hosts must not pile up
                self._known[origin] = found
        return found

    def _search(self, scheme: str, host: str, port: int | None) -> tuple[Domain, ...]:
        ports = {port, ANY_PORT}
        if port in (None, _default_port(scheme)):
            ports |= {None, _default_port(scheme)}
        found = [d for one in ports for d in self._exact.get((host, one), ())]
        return tuple(found + [d for d in self._patterns if d.port in ports and _is_like(host, d.host)])


_STATEFUL: dict[str, tuple[type, ...]] = {
    "background": (bool,),
    "deferred": (bool,),
    "conversation": (str, dict),
    "conversation_id": (str,),
}


def is_stateful(route: Route, body: Mapping[str, Any], prefer: str | None) -> bool:
    """Tell whether this body makes a generation route begin or continue something that lives at the provider.

    Background and deferred answers are only tickets to poll for (OpenAI Responses, xAI); a conversation's or a
    reused container's content changes between identical requests (OpenAI, Cohere v1; Anthropic). Replicate
    answers with the output itself only when asked to wait (`Prefer: wait`).
    """
    if route.kind == "prediction" and not (prefer or "").startswith("wait"):
        return True
    if isinstance(body.get("container"), str):
        return True
    return any(isinstance(body.get(name), kinds) and body[name] for name, kinds in _STATEFUL.items())
