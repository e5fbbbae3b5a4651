"""The tokens that an answer says it used, for every provider's shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from askonce._core.messages import Usage


class Spared(NamedTuple):
    """Calls of one model that were not asked again.

    `calls` are those whose answers count their tokens, and `usage` is the sum of these; `uncounted` are those
    whose answers do not.
    """

    provider: str
    model: str
    calls: int = 0
    usage: Usage = Usage()
    uncounted: int = 0


_INPUT = (
    "prompt_tokens", "input_tokens", "inputTokens", "promptTokenCount", "prompt_eval_count", "inputTokenCount",
)  # fmt: skip
_OUTPUT = (
    "completion_tokens", "output_tokens", "outputTokens", "candidatesTokenCount", "eval_count", "outputTokenCount",
)  # fmt: skip
_PLACES = ("usage", "usageMetadata", "meta", "amazon-bedrock-invocationMetrics")
_ABSURD = 1e12  # no answer has so many tokens, and a store's counters must be able to add them up
# Anthropic and Bedrock count the tokens of a cached prompt beside the input tokens, others among them.
_CACHED_BESIDE = ("cache_read_input_tokens", "cacheReadInputTokens")
_WRITTEN_BESIDE = ("cache_creation_input_tokens", "cacheWriteInputTokens")
_CACHED_AMONG = ("cached_tokens", "cachedContentTokenCount", "prompt_cache_hit_tokens")
_WRITTEN_AMONG = ("cache_write_tokens",)
_DETAILS = ("prompt_tokens_details", "input_tokens_details")


def read_usage(event: dict[str, Any], before: Usage) -> Usage:
    """Return the usage after one more event of an answer (counts in a stream are cumulative)."""
    for counts in _counts(event):
        cached, written_to = _first(counts, _CACHED_BESIDE), _first(counts, _WRITTEN_BESIDE)
        read = _first(counts, _INPUT) + cached + written_to
        cached, written_to = cached or _among(counts, _CACHED_AMONG), written_to or _among(counts, _WRITTEN_AMONG)
        if not read and not _first(counts, _OUTPUT):
            read = _number(counts.get("total_tokens"))  # embeddings and rerankers that count nothing else
        written = _first(counts, _OUTPUT) + _number(counts.get("thoughtsTokenCount"))
        before = Usage(
            max(before.input_tokens, read),
            max(before.output_tokens, written),
            max(before.cached_tokens, cached),
            max(before.written_tokens, written_to),
        )
    return before


def _counts(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "eval_count" in event or "prompt_eval_count" in event:  # Ollama
        yield event
    for outer in (event, event.get("response"), event.get("message"), event.get("delta")):
        if isinstance(outer, dict):
            for name in _PLACES:
                counts = outer.get(name)
                if isinstance(counts, dict):
                    inner = counts.get("tokens") or counts.get("billed_units")  # Cohere
                    yield inner if isinstance(inner, dict) else counts


def _among(counts: dict[str, Any], names: tuple[str, ...]) -> int:
    details = next((inner for name in _DETAILS if isinstance(inner := counts.get(name), dict)), {})
    return _first(counts, names) or _first(details, names)


def _first(counts: dict[str, Any], names: tuple[str, ...]) -> int:
    return next((n for n in (_number(counts.get(name)) for name in names) if n), 0)


def _number(value: Any) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _ABSURD:
        return int(value)
    return 0
