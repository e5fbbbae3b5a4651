"""The tokens that an answer says it used, for every provider's shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askonce._core.messages import Usage
from askonce._core.usage import read_usage


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}, (3, 4)),  # OpenAI
        ({"usage": {"input_tokens": 3, "output_tokens": 4}}, (3, 4)),  # OpenAI Responses, Anthropic
        (
            {"usage": {"input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 20}},
            (33, 0, 10, 20),
        ),
        ({"usage": {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}}, (3, 0, 2)),
        ({"usage": {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 2}}}, (3, 0, 2)),  # Responses
        ({"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": 4}}}, (9, 0, 0, 4)),
        ({"usage": {"prompt_tokens": 3, "prompt_cache_hit_tokens": 2}}, (3, 0, 2)),  # DeepSeek
        ({"usage": {"prompt_tokens": 3, "prompt_tokens_details": None, "cached_tokens": 1}}, (3, 0, 1)),
        ({"usageMetadata": {"promptTokenCount": 3, "cachedContentTokenCount": 2}}, (3, 0, 2)),
        ({"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}}, (3, 1)),
        ({"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 4}}}, (3, 4)),
        ({"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 5}}, (3, 9)),
        ({"usage": {"inputTokens": 3, "outputTokens": 4, "cacheReadInputTokens": 5}}, (8, 4, 5)),  # Bedrock
        ({"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 4}}, (3, 4)),
        (
            {"usage": {"tokens": {"input_tokens": 3, "output_tokens": 4}, "billed_units": {"input_tokens": 1}}},
            (3, 4),
        ),
        ({"meta": {"billed_units": {"input_tokens": 3}}}, (3, 0)),  # Cohere's embeddings
        ({"delta": {"usage": {"tokens": {"input_tokens": 3, "output_tokens": 4}}}}, (3, 4)),
        ({"prompt_eval_count": 3, "eval_count": 4}, (3, 4)),  # Ollama
        ({"usage": {"total_tokens": 7}}, (7, 0)),  # Voyage, Jina
        ({"usage": {"prompt_tokens": 3.0}}, (3, 0)),
        ({"usage": None}, (0, 0)),
        ({"usage": {"prompt_tokens": None, "completion_tokens": True}}, (0, 0)),
        ({"usage": {"prompt_tokens": "3", "completion_tokens": -4}}, (0, 0)),
        ({"usage": {"prompt_tokens": float("inf"), "completion_tokens": float("nan")}}, (0, 0)),
        ({"usage": {"prompt_tokens": 10**30}}, (0, 0)),
        ({"usage": []}, (0, 0)),
        ({}, (0, 0)),
    ],
)
def test_usage(event: dict[str, Any], expected: tuple[int, ...]) -> None:
    """Every provider's counts are read, and what is no count is none."""
    assert Usage(*expected) == read_usage(event, Usage())


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), min_size=1))
def test_counts_are_cumulative(counts: list[tuple[int, int]]) -> None:
    """Over a stream the largest counts stand, since each event counts from the beginning."""
    usage = Usage()
    for read, written in counts:
        usage = read_usage({"usage": {"input_tokens": read, "output_tokens": written}}, usage)
    assert Usage(max(read for read, _ in counts), max(written for _, written in counts)) == usage
