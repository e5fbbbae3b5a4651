"""The rows of the table of SDKs: what is called for each, and in which environment."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ENVIRONMENTS = Path(__file__).parents[2] / ".envs"


class Place(NamedTuple):
    """An environment that `make sdks` makes, with some of its modules as good as not installed."""

    environment: str
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "-".join((self.environment, *(f"no-{name}" for name in self.without)))

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return ENVIRONMENTS / self.environment / "bin" / "python"

    @property
    def is_made(self) -> bool:
        """Whether all that belongs into it is installed."""
        return (ENVIRONMENTS / self.environment / "made").exists()


class Row(NamedTuple):
    """One row: `sdk` is its name in the catalogue, `distribution` whose least version the page tells."""

    place: Place
    sdk: str
    title: str
    distribution: str

    def __str__(self) -> str:
        return f"{self.sdk}-{self.place}"


NEW = Place("openai3")
PLAIN = Place("openai3", ("aiohttp", "httpx_aiohttp"))
OLD = Place("openai2")
PLACES = (NEW, PLAIN, OLD)

ROWS = (
    Row(NEW, "openai", "openai", "openai"),
    Row(NEW, "openai_aiohttp", "openai, `DefaultAioHttpClient`", "openai"),
    Row(NEW, "azure", "openai, Azure", "openai"),
    Row(NEW, "openai_bedrock", "openai, Bedrock", "openai"),
    Row(OLD, "openai", "openai 2", "openai"),
    Row(NEW, "anthropic", "anthropic", "anthropic"),
    Row(NEW, "anthropic_aiohttp", "anthropic, `DefaultAioHttpClient`", "anthropic"),
    Row(NEW, "anthropic_bedrock", "anthropic, Bedrock", "anthropic"),
    Row(NEW, "anthropic_vertex", "anthropic, Vertex", "anthropic"),
    Row(NEW, "gemini", "google-genai, aiohttp installed", "google-genai"),
    Row(PLAIN, "gemini", "google-genai", "google-genai"),
    Row(NEW, "mistral", "mistralai", "mistralai"),
    Row(NEW, "huggingface", "huggingface_hub, `InferenceClient`", "huggingface_hub"),
    Row(NEW, "groq", "groq", "groq"),
    Row(NEW, "together", "together", "together"),
    Row(NEW, "cerebras", "cerebras-cloud-sdk", "cerebras-cloud-sdk"),
    Row(NEW, "ollama", "ollama", "ollama"),
    Row(NEW, "replicate", "replicate, `run`", "replicate"),
    Row(NEW, "cohere", "cohere, httpx_aiohttp installed", "cohere"),
    Row(PLAIN, "cohere", "cohere", "cohere"),
    Row(NEW, "fireworks", "fireworks-ai", "fireworks-ai"),
    Row(NEW, "boto3", "boto3, Bedrock", "boto3"),
    Row(NEW, "aiobotocore", "aiobotocore, Bedrock", "aiobotocore"),
    Row(OLD, "litellm", "litellm", "litellm"),
    Row(NEW, "langchain_openai", "langchain-openai", "langchain-openai"),
    Row(NEW, "langchain_anthropic", "langchain-anthropic", "langchain-anthropic"),
    Row(OLD, "llama_index", "llama-index-llms-openai", "llama-index-llms-openai"),
    Row(NEW, "pydantic_ai", "pydantic-ai", "pydantic-ai-slim"),
    Row(NEW, "openai_agents", "openai-agents", "openai-agents"),
    Row(OLD, "instructor", "instructor", "instructor"),
    Row(OLD, "dspy", "dspy", "dspy"),
    Row(OLD, "dspy_litellm", 'dspy, `engine="litellm"`', "dspy"),
    Row(NEW, "smolagents", "smolagents", "smolagents"),
)
