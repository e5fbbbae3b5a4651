"""Whether two answers say the same: what is different each time for no reason is left out of account.

Providers number their answers and say when they gave them. A recording that is made again and differs in nothing
else need not replace the one that is there, and so makes no difference in a review.
"""

from __future__ import annotations

from typing import Any

from askonce._core.coding import plain_body
from askonce._core.content import FAULTS, write_content
from askonce._core.messages import Answer, Headers

# When an answer came, and through which machines.
MOMENTARY = frozenset(
    b"""
    date age expires last-modified via server-timing x-envoy-upstream-service-time cf-ray cf-cache-status
    openai-processing-ms x-served-by x-timer x-cache x-cache-hits x-cloud-trace-context x-amz-cf-id x-amz-cf-pop
    """.split()
)
_BODY = frozenset({b"content-length", b"content-encoding", b"transfer-encoding"})  # follow from the body
_NUMBERS = frozenset(
    """
    id created created_at completed_at createTime responseId response_id item_id call_id tool_call_id tool_use_id
    request_id generation_id message_id system_fingerprint obfuscation queue_time prompt_time completion_time
    total_time total_duration load_duration prompt_eval_duration eval_duration latencyMs p
    """.split()
)
# What a model made up itself: an `id` in there is part of what it says.
_SAID = frozenset({"input", "args", "arguments", "parameters", "parsed"})


def is_same_answer(one: Answer, other: Answer) -> bool:
    """Tell whether two answers differ in numbers and times alone."""
    return one.head.status == other.head.status and _essence(one) == _essence(other)


def is_request_id(name: bytes) -> bool:
    """Tell whether a header holds the number that a provider gave to a request."""
    return name.lower().endswith((b"request-id", b"requestid"))


def _essence(answer: Answer) -> Any:
    headers = answer.head.headers
    media_type = (headers.get(b"content-type") or "").partition(";")[0].strip().lower()
    try:
        form = write_content(plain_body(answer), media_type)
        return _lasting(headers), {name: _without_numbers(value) for name, value in form.items()}
    except FAULTS:
        return _lasting(headers), answer.body


def _lasting(headers: Headers) -> list[tuple[bytes, bytes]]:
    pairs = [(name.lower(), value) for name, value in headers]
    return [
        pair
        for pair in pairs
        if pair[0] not in MOMENTARY
        and pair[0] not in _BODY
        and not pair[0].endswith((b"request-id", b"requestid"))
    ]


def _without_numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_numbers(one) for one in value]
    if isinstance(value, dict):
        return {
            name: one if name in _SAID else _without_numbers(one)
            for name, one in value.items()
            if name not in _NUMBERS
        }
    return value
