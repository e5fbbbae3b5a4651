"""Which recorded question is nearest to one that was not recorded, and what differs, path by path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from askonce._core.nearest import describe_miss, differences, nearest
from tests.core.building import question
from tests.core.test_body import APART, values

BODY: dict[str, Any] = {
    "model": "gpt",
    "temperature": 0,
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is the answer?"}],
}


def said(content: str) -> dict[str, Any]:
    return {**BODY, "messages": [BODY["messages"][0], {"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("body", "more", "expected"),
    [
        ({**BODY, "model": "gpt-2"}, {}, ['model: now "gpt-2", recorded "gpt"']),
        ({**BODY, "temperature": 0.0}, {}, ["temperature: now 0.0, recorded 0"]),
        ({**BODY, "top_p": 1}, {}, ["top_p: now 1, recorded without it"]),
        ({k: v for k, v in BODY.items() if k != "temperature"}, {}, ["temperature: recorded with 0, now absent"]),
        (said("Why?"), {}, ['messages[1].content: now "Why?", recorded "What is the answer?"']),
        (BODY, {"partition": "p"}, ['partition: now "p", recorded ""']),
        (BODY, {"fields": {"anthropic-beta": "x"}}, ['headers.anthropic-beta: now "x", recorded without it']),
        (
            BODY,
            {"url": "https://api.openai.com/v1/completions"},
            [
                'url: now "https://api.openai.com/v1/completions", recorded "https://api.openai.com/v1/chat/completions"'
            ],
        ),
        (BODY, {}, []),
    ],
)
def test_differences(body: Any, more: dict[str, Any], expected: list[str]) -> None:
    """What differs is told by path, with both values."""
    assert expected == [str(one) for one in differences(question(body, **more), question(BODY))]


def test_long_texts_are_shown_where_they_part() -> None:
    """Of two long texts, the place where they part is shown."""
    text = "word " * 200
    (found,) = differences(question(said(text + "A" + text)), question(said(text + "B" + text)))
    assert "Aword" in str(found)
    assert "Bword" in str(found)
    assert len(str(found)) < 200


def test_nearest() -> None:
    """The question that has the most in common is found, whatever the order."""
    near, far = question(said("What is an answer?")), question({"model": "other", "messages": []})
    asked = question(BODY)
    assert near is nearest(asked, [far, near]) is nearest(asked, [near, far])
    assert nearest(asked, []) is None


def test_describe_miss() -> None:
    """A refusal gives the request, the nearest one, what differs, and what to do."""
    near = question(said("What was the answer?"))
    expected = f"""\
askonce is offline and this request is not recorded: POST https://api.openai.com/v1/chat/completions gpt
The nearest recorded request ({near.key.hex()[:12]}) differs in:
  messages[1].content: now "What is the answer?", recorded "What was the answer?"
Record it once with mode='record' (ASKONCE_MODE=record), or mend the difference."""
    assert expected == describe_miss(question(BODY), [near], None)


def test_describe_many_differences() -> None:
    """Of many differences the first few are told, and how many more there are."""
    asked = question({f"p{number}": number for number in range(20)})
    assert "  and 12 more" in describe_miss(asked, [question({})], None)


def test_describe_other_seed() -> None:
    """A question recorded with other seeds alone is told as that."""
    message = describe_miss(question(BODY), [question(BODY)], "7")
    assert "gpt, seed 7\nThe question is recorded, but not with this seed." in message


def test_no_secret_is_told() -> None:
    """A refusal shows no value that the store would not hold."""
    asked = question({**BODY, "api_key": "SECRET"}, fields={"x-unheard-of": "SECRET", "authorization": "SECRET"})
    assert "SECRET" not in describe_miss(asked, [question({})], None)


@given(values, values)
def test_any_question(one: Any, other: Any) -> None:
    """Any two questions can be compared, and only equal ones do not differ."""
    asked, recorded = question(one), question(other)
    assert describe_miss(asked, [recorded], None)
    assert (asked.key == recorded.key) <= (differences(asked, recorded) == [])


@pytest.mark.parametrize("raw", [*APART, b'{"x":' + b"[" * 800 + b"]" * 800 + b"}"])
def test_odd_bodies(raw: bytes) -> None:
    """Nothing about a body, its depth included, keeps a refusal from being told."""
    assert describe_miss(question(raw), [question(BODY), question({"x": 1})], None)
