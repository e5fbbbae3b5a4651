"""Which hosts are LLM providers, and which of their paths are generation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from askonce._core.body import read_body
from askonce._core.domains import KNOWN, Domain, Domains, is_stateful, parse_domain
from askonce.errors import SettingsError
from tests.core.building import route

GENERATION = {
    "openai": "https://api.openai.com/v1/responses https://eu.api.openai.com/v1/chat/completions "
    "https://api.openai.com/v1/embeddings https://api.openai.com/v1/images/edits "
    "https://api.openai.com/v1/audio/speech https://api.openai.com/v1/audio/transcriptions "
    "https://api.openai.com/v1/moderations https://api.openai.com/v1/completions "
    "https://api.openai.com/v1/responses/input_tokens",
    "azure": "https://x.openai.azure.com/openai/deployments/d/chat/completions "
    "https://x.openai.azure.com/openai/v1/responses "
    "https://x.cognitiveservices.azure.com/openai/deployments/d/embeddings "
    "https://x.services.ai.azure.com/models/chat/completions "
    "https://x.services.ai.azure.com/anthropic/v1/messages",
    "anthropic": "https://api.anthropic.com/v1/messages https://api.anthropic.com/v1/messages/count_tokens",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/models/gemini-pro:generateContent "
    "https://generativelanguage.googleapis.com/v1beta/models/gemini-pro:streamGenerateContent "
    "https://generativelanguage.googleapis.com/v1beta/models/e:batchEmbedContents "
    "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
    "vertex": "https://us-a-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/g/models/g:countTokens "
    "https://aiplatform.googleapis.com/v1beta1/projects/p/locations/g/publishers/a/models/c:streamRawPredict "
    "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi/chat/completions",
    "bedrock": "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-3-v1%3A0/converse-stream "
    "https://bedrock-runtime.eu-west-1.amazonaws.com/model/amazon.titan/invoke "
    "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1/chat/completions",
    "mistral": "https://api.mistral.ai/v1/chat/completions https://api.mistral.ai/v1/ocr "
    "https://api.mistral.ai/v1/fim/completions",
    "cohere": "https://api.cohere.com/v2/chat https://api.cohere.com/v2/embed https://api.cohere.com/v2/rerank "
    "https://api.cohere.ai/v1/chat https://api.cohere.ai/compatibility/v1/chat/completions",
    "groq": "https://api.groq.com/openai/v1/chat/completions https://api.groq.com/openai/v1/audio/transcriptions",
    "together": "https://api.together.xyz/v1/chat/completions https://api.together.ai/v1/rerank",
    "fireworks": "https://api.fireworks.ai/inference/v1/chat/completions",
    "deepseek": "https://api.deepseek.com/chat/completions https://api.deepseek.com/beta/completions "
    "https://api.deepseek.com/anthropic/v1/messages",
    "xai": "https://api.x.ai/v1/chat/completions https://api.x.ai/v1/images/generations",
    "openrouter": "https://openrouter.ai/api/v1/chat/completions",
    "perplexity": "https://api.perplexity.ai/chat/completions",
    "cerebras": "https://api.cerebras.ai/v1/chat/completions",
    "moonshot": "https://api.moonshot.ai/v1/chat/completions https://api.moonshot.cn/anthropic/v1/messages",
    "nvidia": "https://integrate.api.nvidia.com/v1/chat/completions "
    "https://ai.api.nvidia.com/v1/retrieval/nvidia/reranking",
    "huggingface": "https://router.huggingface.co/v1/chat/completions "
    "https://router.huggingface.co/hf-inference/models/org/model "
    "https://api-inference.huggingface.co/models/org/model",
    "replicate": "https://api.replicate.com/v1/models/meta/llama/predictions "
    "https://api.replicate.com/v1/predictions",
    "voyage": "https://api.voyageai.com/v1/embeddings https://api.voyageai.com/v1/multimodalembeddings",
    "jina": "https://api.jina.ai/v1/embeddings https://api.jina.ai/v1/rerank "
    "https://deepsearch.jina.ai/v1/chat/completions",
    "ollama": "http://localhost:11434/api/chat http://127.0.0.1:11434/v1/chat/completions "
    "http://[::1]:11434/api/embed",
    "vllm": "http://localhost:8000/v1/completions",
    "llama.cpp": "http://127.0.0.1:8080/completion",
    "lmstudio": "http://localhost:1234/v1/embeddings",
}

STATE = {
    "openai": "POST /v1/files|GET /v1/files/f|DELETE /v1/files/f|POST /v1/batches|GET /v1/batches/b|"
    "GET /v1/responses/r|DELETE /v1/responses/r|POST /v1/responses/r/cancel|POST /v1/threads|"
    "POST /v1/threads/t/messages|POST /v1/threads/t/runs|POST /v1/vector_stores|"
    "POST /v1/fine_tuning/jobs|GET /v1/models|POST /v1/uploads|GET /v1/chat/completions|"
    "DELETE /v1/chat/completions/c|POST /v1/conversations|POST /v1/videos|"
    "POST /v1/realtime/client_secrets|POST /v1/chat/completions/|POST //v1/chat/completions",
    "azure": "POST /openai/files|POST /openai/deployments|GET /openai/deployments/d|POST /openai/assistants",
    "anthropic": "POST /v1/messages/batches|GET /v1/messages/batches/b|POST /v1/files|GET /v1/models",
    "gemini": "POST /v1beta/models/m:batchGenerateContent|POST /v1beta/models/m:predictLongRunning|"
    "POST /v1beta/cachedContents|POST /upload/v1beta/files|GET /v1beta/operations/o|POST /v1beta/files",
    "vertex": "POST /v1/projects/p/locations/l/batchPredictionJobs|GET /v1/projects/p/locations/l/operations/o",
    "bedrock": "POST /async-invoke|POST /model-invocation-job|GET /model/m/invoke",
    "mistral": "POST /v1/files|POST /v1/batch/jobs|POST /v1/conversations|POST /v1/agents|"
    "POST /v1/fine_tuning/jobs",
    "cohere": "POST /v1/datasets|POST /v1/embed-jobs|GET /v1/models|POST /v1/finetuning/finetuned-models",
    "groq": "POST /openai/v1/files|POST /openai/v1/batches",
    "together": "POST /v1/files|POST /v1/fine-tunes",
    "fireworks": "POST /v1/accounts/a/batchInferenceJobs|GET /inference/v1/models",
    "deepseek": "GET /user/balance|GET /models",
    "xai": "GET /v1/chat/deferred-completion/r|GET /v1/models|POST /v1/files",
    "openrouter": "GET /api/v1/generation|GET /api/v1/credits|POST /api/v1/keys",
    "perplexity": "POST /async/chat/completions|GET /async/chat/completions/r",
    "cerebras": "GET /v1/models|GET /v1/tcp_warming|POST /v1/files",
    "moonshot": "POST /v1/files|GET /v1/users/me/balance",
    "nvidia": "GET /v1/status/r|POST /v1/assets",
    "huggingface": "GET /models/org/model|DELETE /models/org/model|POST /upload",
    "replicate": "GET /v1/predictions/p|POST /v1/predictions/p/cancel|POST /v1/files|POST /v1/trainings",
    "voyage": "POST /v1/files|POST /v1/batches",
    "jina": "POST /v1/train|POST /v1/files",
    "ollama": "POST /api/pull|DELETE /api/delete|POST /api/create|GET /api/tags|POST /api/push|POST /api/show|"
    "GET /api/ps",
    "vllm": "POST /v1/load_lora_adapter|GET /health|POST /sleep",
    "llama.cpp": "POST /slots/0|GET /props|POST /props|POST /lora-adapters",
    "lmstudio": "POST /api/v0/models|GET /v1/models",
}


@pytest.mark.parametrize("provider", GENERATION)
def test_generation(provider: str) -> None:
    """Each provider's generation is known by its URLs."""
    found = {url: (one := route(url)) and one[0] for url in GENERATION[provider].split()}
    assert dict.fromkeys(found, provider) == found


@pytest.mark.parametrize("provider", STATE)
def test_state(provider: str) -> None:
    """Each provider's state is left alone: files, batches, jobs, polling, deletes."""
    origin = "/".join(GENERATION[provider].split("/")[:3])
    found = {line: route(origin + line.split()[1], line.split()[0]) for line in STATE[provider].split("|")}
    assert dict.fromkeys(found) == found


def test_every_provider_is_tested() -> None:
    """No provider is known without a URL here that is generation, and one that is state."""
    assert {domain.provider for domain in KNOWN} == GENERATION.keys() == STATE.keys()


@pytest.mark.parametrize(
    "host",
    [
        "api.openai.com.evil.com", "evilapi.openai.com", "api-openai.com", "api.openai.co", "openai.com",
        "api.openai.com.",
        "a.b.openai.azure.com", "openai.azure.com", "x.openai.azure.com.evil.com", "xopenai.azure.com",
        "bedrock-runtime.us-east-1.amazonaws.com.evil.com", "bedrock-runtime.a.b.amazonaws.com", "localhost",
        "evil.com", "api.anthropic.com.evil.com", "127.0.0.1", "apixopenai.com",
    ],
)  # fmt: skip
def test_look_alikes(host: str) -> None:
    """A host that only looks like a provider's is foreign."""
    assert () == Domains().find("https", host, None)


@pytest.mark.parametrize(
    ("origin", "known"),
    [
        (("https", "api.openai.com", 443), True),
        (("https", "API.OpenAI.com", None), True),
        (("http", "api.openai.com", 80), True),
        (("http", "api.openai.com", 443), False),
        (("https", "api.openai.com", 8443), False),
        (("http", "localhost", 11434), True),
        (("http", "localhost", 11435), False),
        (("http", "10.0.0.1", 11434), False),
    ],
)
def test_ports(origin: tuple[str, str, int | None], known: bool) -> None:
    """A port belongs to a domain; that of the scheme need not be said."""
    assert known == bool(Domains().find(*origin))


def test_foreign_hosts_do_not_pile_up() -> None:
    """Looking at many hosts keeps no more than a bounded number of them."""
    domains = Domains()
    for number in range(2000):
        domains.find("https", f"host{number}.example", None)
    assert len(domains._known) == 1024


@pytest.mark.parametrize(
    ("text", "host", "port", "prefix"),
    [
        ("llm.example.com", "llm.example.com", None, ""),
        ("LLM.example.com:8443", "llm.example.com", 8443, ""),
        ("https://llm.example.com", "llm.example.com", None, ""),
        ("https://llm.example.com:443/", "llm.example.com", None, ""),
        ("http://llm.example.com:443", "llm.example.com", 443, ""),
        ("http://10.0.0.7:8000/proxy/v1/", "10.0.0.7", 8000, "/proxy/v1"),
        ("[::1]:9000", "::1", 9000, ""),
        ("*.llm.example.com", "*.llm.example.com", None, ""),
        ("bücher.example", "xn--bcher-kva.example", None, ""),
    ],
)
def test_parse_domain(text: str, host: str, port: int | None, prefix: str) -> None:
    """A domain is written as a host, with a port, or as a URL."""
    domain = parse_domain(text)
    assert (host, port, prefix) == (domain.host, domain.port, domain.prefix)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "https://", "llm.example.com:port", "llm.example.com:99999", "ftp://llm.example.com",
        "a b.com", "/v1",
        "https://llm.example.com?x=1", "https://llm.example.com#x", "https://me:pw@llm.example.com", "http://[::1",
        ".com",
        "a..b", "ü" * 80 + ".com",
    ],
)  # fmt: skip
def test_parse_domain_refuses(text: str) -> None:
    """What is no host is refused, with how to write one."""
    with pytest.raises(SettingsError, match="is not a host") as caught:
        parse_domain(text)
    assert repr(text) in str(caught.value)


OWN = Domains([parse_domain("http://llm.test:9000/gw"), parse_domain("*.wild.test:443")])


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("POST http://llm.test:9000/gw/v1/chat/completions", "chat"),
        ("POST http://llm.test:9000/gw/any/thing/v1/messages", "chat"),
        ("POST http://llm.test:9000/gw/v1beta/models/g:generateContent", "chat"),
        ("POST http://llm.test:9000/gw/api/embed", "embedding"),
        ("POST http://llm.test:9000/gw/openai/deployments/d/embeddings", "embedding"),
        ("POST http://llm.test:9000/gw/model/m/converse", "chat"),
        ("POST http://llm.test:9000/gw/v2/rerank", "rerank"),
        ("POST https://a.wild.test/v1/responses", "response"),
        ("POST http://llm.test:9000/v1/chat/completions", None),
        ("POST http://llm.test:9000/gwv1/chat/completions", None),
        ("POST http://llm.test/gw/v1/chat/completions", None),
        ("GET http://llm.test:9000/gw/v1/chat/completions", None),
        ("POST http://llm.test:9000/gw/async/chat/completions", None),
        ("POST http://llm.test:9000/gw/v1/threads/t/messages", None),
        ("POST http://llm.test:9000/gw/v1/threads/v1/messages", None),
        ("POST http://llm.test:9000/gw/v1/conversations/c/responses", None),
        ("POST http://llm.test:9000/gw/v1/messages/batches", None),
        ("POST http://llm.test:9000/gw/channels/c/messages", None),
        ("POST http://llm.test:9000/gw/v1/files", None),
        ("POST https://a.b.wild.test/v1/responses", None),
    ],
)
def test_own_domains(line: str, kind: str | None) -> None:
    """On a host that the user names, generation is any known format's, below any path but one that is state."""
    method, url = line.split()
    found = route(url, method, OWN)
    assert kind == (found and found[1].kind)


def test_own_domain_comes_first() -> None:
    """The user's own domain wins over a known one."""
    mine = Domain("mine", "api.openai.com", None, ())
    assert mine == Domains([mine]).find("https", "api.openai.com", None)[0]


def test_a_prediction_is_found_below_any_path() -> None:
    """Replicate's format is among those of a host that the user names; a look at one is state there too."""
    (mine,) = Domains([parse_domain("http://proxy.example.com/replicate")]).find("http", "proxy.example.com", None)
    route = mine.route("POST", "/replicate/v1/models/meta/llama/predictions")
    assert route is not None
    assert ("prediction", None) == (route.kind, mine.route("GET", "/replicate/v1/predictions/p"))


CHAT = "https://api.openai.com/v1/responses"
PREDICTION = "https://api.replicate.com/v1/predictions"


@pytest.mark.parametrize(
    ("url", "body", "prefer", "expected"),
    [
        (CHAT, {}, None, False),
        (CHAT, {"background": True}, None, True),
        (CHAT, {"background": False}, None, False),
        (CHAT, {"background": "#fff"}, None, False),  # a picture's
        (CHAT, {"deferred": True}, None, True),
        (CHAT, {"conversation": "conv_1"}, None, True),
        (CHAT, {"conversation": {"id": "conv_1"}}, None, True),
        (CHAT, {"conversation": None}, None, False),
        (CHAT, {"conversation_id": "c"}, None, True),
        (CHAT, {"container": "container_1"}, None, True),
        (CHAT, {"container": {"skills": []}}, None, False),
        (PREDICTION, {}, None, True),
        (PREDICTION, {}, "respond-async", True),
        (PREDICTION, {}, "wait=5", False),
    ],
)
def test_stateful_bodies(url: str, body: dict[str, Any], prefer: str | None, expected: bool) -> None:
    """A body that begins or continues something at the provider makes no question."""
    found = route(url)
    assert found is not None
    state = read_body("application/json", json.dumps(body).encode()).state
    assert expected == is_stateful(found[1], state, prefer)
