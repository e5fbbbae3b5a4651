"""Which SDK travels how, as measured: the table that `askonce doctor` reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

SEAMS = {
    "aiohttp": "aiohttp",
    "httpx": "httpcore",
    "httpx2": "httpcore2",
    "lm15": "lm15",
    "urllib3": "urllib3",
}
"""The module in which a way of travelling is caught, where it is."""

NEVER = {
    "grpc": "gRPC cannot be intercepted; where the provider has an OpenAI-compatible address, use that",
    "websockets": "a conversation over a websocket is no request and answer, and is not recorded",
}
"""The ways that no seam will catch, and what to say of them."""


class SDK(NamedTuple):
    """How a library's calls travel.

    Its async calls travel like the others unless `asynchronous` says otherwise; with `if_installed` they do that
    only where such a module can be imported. `before` is the way of all versions before a major one. `over` is the
    SDK that it calls, for libraries that have no transport of their own. `beside` is what travels otherwise.
    """

    distribution: str
    module: str
    way: str = ""
    asynchronous: str = ""
    if_installed: str = ""
    before: tuple[int, str] | None = None
    over: str = ""
    beside: tuple[str, str] | None = None

    def ways(self, version: str, is_installed: Callable[[str], bool]) -> tuple[str, str]:
        """Return the ways of its sync and of its async calls, in the version that is installed."""
        major = version.partition(".")[0]
        way = self.way
        if self.before is not None and major.isdecimal() and int(major) < self.before[0]:
            way = self.before[1]
        if self.asynchronous and (not self.if_installed or is_installed(self.if_installed)):
            return way, self.asynchronous
        return way, way


SDKS: tuple[SDK, ...] = (
    SDK("openai", "openai", "httpx2", before=(3, "httpx"), beside=("realtime", "websockets")),
    SDK("anthropic", "anthropic", "httpx2", before=(1, "httpx")),
    SDK(
        "google-genai", "google.genai", "httpx2", "aiohttp", "aiohttp", (3, "httpx"), beside=("live", "websockets")
    ),
    SDK("mistralai", "mistralai", "httpx2", before=(3, "httpx")),
    SDK("cohere", "cohere", "httpx", "aiohttp", "httpx_aiohttp"),
    SDK("groq", "groq", "httpx"),
    SDK("together", "together", "httpx"),
    SDK("cerebras-cloud-sdk", "cerebras.cloud.sdk", "httpx"),
    SDK("ollama", "ollama", "httpx"),
    SDK("replicate", "replicate", "httpx"),
    SDK("fireworks-ai", "fireworks", "httpx", "aiohttp"),
    SDK("huggingface_hub", "huggingface_hub", "httpx2", before=(2, "httpx")),
    SDK("boto3", "boto3", "urllib3"),
    SDK("aiobotocore", "aiobotocore", "aiohttp"),
    SDK("litellm", "litellm", "httpx", "aiohttp"),
    SDK("dspy", "dspy", "lm15"),
    SDK("google-generativeai", "google.generativeai", "grpc"),
    SDK("google-cloud-aiplatform", "vertexai", "grpc"),
    SDK("xai-sdk", "xai_sdk", "grpc"),
    SDK("langchain-openai", "langchain_openai", over="openai"),
    SDK("langchain-anthropic", "langchain_anthropic", over="anthropic"),
    SDK("llama-index-llms-openai", "llama_index.llms.openai", over="openai"),
    SDK("pydantic-ai-slim", "pydantic_ai", over="the SDK of each provider"),
    SDK("openai-agents", "agents", over="openai"),
    SDK("instructor", "instructor", over="the SDK of each provider"),
    SDK("smolagents", "smolagents", over="the SDK of each provider"),
)
