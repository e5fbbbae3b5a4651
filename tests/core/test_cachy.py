"""Answers imported from cachy: its own rule for keys, and which answers could be to which questions."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from cachy import core as original
from hypothesis import given, settings
from hypothesis import strategies as st

from askonce._core.cachy import MARK, CachyLookup, describe, imported_key, imported_question
from askonce._core.controls import Controls, Mode
from askonce._core.decide import Find, Forward, Recent, Refuse, Replay, decide
from askonce._core.entry import MARK_KEY, Question, Take
from askonce._core.messages import Answer, Chunk, Head, Headers, Request
from askonce._core.rotation import Repeat
from tests.core.building import CHAT, headers, question, request, take

NOISE = (
    "/ipykernel_12/345.py", "<ipython-input-7-ab12>", "/var/folders/x|y/z", "/tmp/tmpabc", "ipykernel_9",
    "0xDEADBEEF", "line 7, in", '"prompt_cache_key" : "me"', "plain", "café", "\ud800", "\n",
)  # fmt: skip
FORM = "multipart/form-data; boundary="
LETTERS = st.characters(codec="utf-8")
words = st.lists(st.sampled_from(NOISE) | st.text(max_size=5), max_size=4).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def ours(sent: httpx.Request) -> Request:
    """Return a request as it is seen at the connection pool."""
    url = sent.url
    return Request(
        sent.method, url.scheme, url.host, url.port, url.raw_path.decode(), Headers(sent.headers.raw), sent.content
    )


def lookup(asked: Request, model: str = "gpt-5", **more: Any) -> CachyLookup:
    """Return a look-up for a request."""
    return CachyLookup(asked, asked.body, question({"model": model}, **more))


@settings(deadline=None)
@given(
    st.sampled_from(["https://api.openai.com/v1/chat/completions", "http://127.0.0.1:8000/v1/x%20y", "https://[::1]/v1"]),
    st.lists(st.tuples(st.sampled_from(["key", "alt", "b"]), st.text(LETTERS, max_size=4)), max_size=3),
    values,
    st.booleans(),
    st.sampled_from(["application/json", "text/plain", FORM + '"abc"', FORM + "abc"]),
    st.sampled_from(["", "application/json", "*/*"]),
)  # fmt: skip
def test_keys_are_those_that_cachy_makes(
    url: str, query: list[tuple[str, str]], value: Any, stream: bool, content_type: str, accept: str
) -> None:
    """For any request, one of the keys is that which cachy itself makes, whatever flag its client set."""
    body = json.dumps({"value": value, "stream": stream}).encode()
    if content_type.startswith("multipart"):
        body = b'--abc\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + body + b"\r\n--abc--\r\n"
    sent = httpx.Request(
        "POST", httpx.URL(url, params=query) if query else url, content=body,
        headers={"content-type": content_type, "accept": accept},
    )  # fmt: skip
    for flag in (False, True):
        assert imported_key(original._key(sent, is_stream=flag), "") in lookup(ours(sent)).keys


def test_a_stream_in_a_fragment() -> None:
    """Mistral's SDK tells streams by a fragment, which cachy sees and a server does not."""
    sent = httpx.Request("POST", f"{CHAT}#stream", json={"stream": True})
    assert imported_key(original._key(sent, is_stream=True), "") == lookup(ours(sent)).keys[1]


def test_a_key_begins_with_cachys() -> None:
    """People find an imported entry by the key that they know; partitions are apart, and so is the mark."""
    key = imported_key("0123abcd", "")
    assert "0123abcd" == key.hex()[:8]
    assert 32 == len(key) == len(MARK_KEY)
    assert key != imported_key("0123abcd", "acme")
    assert MARK_KEY == MARK.key == imported_question("", "acme").key


def answer(value: Any, media_type: str = "application/json") -> Answer:
    """Return an answer with this JSON, or these events."""
    if media_type == "text/event-stream":
        body = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in value)
    else:
        body = json.dumps(value).encode()
    return Answer(Head(200, headers({"content-type": media_type})), 0.0, (Chunk(body, 0.0),))


SSE = "text/event-stream"


@pytest.mark.parametrize(
    ("told", "media_type", "expected"),
    [
        ({"object": "chat.completion", "model": "gpt-5-2025"}, "application/json", ("chat", "gpt-5-2025")),
        ([{"object": "chat.completion.chunk", "model": "gpt-5"}], SSE, ("chat", "gpt-5")),
        ([{"type": "message_start", "message": {"model": "claude-x"}}], SSE, ("chat", "claude-x")),
        ([{"type": "response.created", "response": {"model": "o9"}}], SSE, ("response", "o9")),
        ({"object": "response", "model": "o9"}, "application/json", ("response", "o9")),
        ([{"candidates": [], "modelVersion": "gemini-3"}], "application/json", ("chat", "gemini-3")),
        ({"object": "list", "model": "text-embedding-3"}, "application/json", ("embedding", "text-embedding-3")),
        ({"embeddings": [[1]]}, "application/json", ("embedding", "")),
        ({"object": 3, "model": ["x"], "message": "hi"}, "application/json", ("", "")),
        ("text", "application/json", ("", "")),
    ],
)
def test_what_an_answer_says_of_itself(told: Any, media_type: str, expected: tuple[str, str]) -> None:
    """Kind and model are read from every provider's shape, and odd shapes say nothing."""
    assert expected == describe(answer(told, media_type))


PLAIN = request({"model": "gpt-5"})
STREAMED = request({"model": "gpt-5", "stream": True})
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-3:streamGenerateContent"


@pytest.mark.parametrize(
    ("asked", "told", "fits"),
    [
        (PLAIN, answer({"object": "chat.completion", "model": "gpt-5-2025-08-07"}), True),
        (PLAIN, answer({"object": "text_completion", "model": "gpt-5"}), True),
        (PLAIN, answer({"object": "chat.completion", "model": "openai/gpt-5"}), True),
        (PLAIN, answer({"object": "chat.completion"}), True),
        (PLAIN, answer({"object": "chat.completion", "model": "claude-sonnet"}), False),
        (PLAIN, answer({"object": "list", "model": "gpt-5"}), False),
        (PLAIN, answer({"object": "response", "model": "gpt-5"}), False),
        (PLAIN, answer([{"model": "gpt-5"}], SSE), False),
        (STREAMED, answer([{"model": "gpt-5"}], SSE), True),
        (STREAMED, answer({"object": "chat.completion", "model": "gpt-5"}), False),
        (request({}, GEMINI), answer([{"candidates": []}]), True),
        (request({}, GEMINI + "?alt=sse"), answer([{"candidates": []}]), False),
        (request({}, GEMINI + "?alt=sse"), answer([{"candidates": []}], SSE), True),
    ],
)
def test_an_answer_to_another_question_does_not_fit(asked: Request, told: Answer, fits: bool) -> None:
    """Of two questions that share a 32-bit key, an answer is given to the one that it looks like an answer to."""
    assert fits == lookup(asked).fits(told)


def test_a_deployment_s_name_says_nothing_of_the_model() -> None:
    """On Azure the name is the user's own, and is not compared."""
    url = "https://acme.openai.azure.com/openai/deployments/my-own/chat/completions"
    told = answer({"object": "chat.completion", "model": "gpt-5"})
    assert CachyLookup(PLAIN, PLAIN.body, question({"model": "my-own"}, url)).fits(told)
    assert not CachyLookup(PLAIN, PLAIN.body, question({"model": "my-own"})).fits(told)


# --- The decision ------------------------------------------------------------------------------------------


class Elsewhere:
    """An imported answer under `b`, which fits or not."""

    keys = (b"a", b"b")

    def __init__(self, fits: bool = True) -> None:
        self._fits = fits

    def fits(self, answer: Answer) -> bool:
        return self._fits


def verdict(
    own: tuple[Take, ...], imported: Elsewhere | None, turn: int = 0, **given: Any
) -> tuple[Any, list[Question | bytes]]:
    """Decide with these takes of our own and an imported one under `b`; return what was needed too."""
    asked = question({"model": "gpt-5"})
    steps = decide(asked, Controls(**{"mode": Mode.RECORD, **given}), 2000.0, turn, imported)
    needs: list[Question | bytes] = []
    sent: Any = None
    try:
        while True:
            need = steps.send(sent)
            if isinstance(need, Recent):
                sent = (imported_question("0123abcd", ""),)
                continue
            assert isinstance(need, Find)
            needs.append(need.key)
            sent = own if need.key == asked.key else (take(b"{}"),) if need.key == b"b" else ()
    except StopIteration as stop:
        return stop.value, needs


def test_an_imported_answer_stands_in() -> None:
    """Where nothing of our own answers, an imported answer that fits does; with its key, to count the hit."""
    found, needs = verdict((), Elsewhere())
    assert Replay(take(b"{}"), b"b") == found
    assert 3 == len(needs)


def test_our_own_comes_first() -> None:
    """What is recorded by our own key is given, and no other key is looked up."""
    found, needs = verdict((take(b"[]"),), Elsewhere())
    assert (Replay(take(b"[]")), 1) == (found, len(needs))


def test_without_imported_answers_one_key_is_looked_up() -> None:
    """Without imported answers in the store nothing more is needed than before."""
    found, needs = verdict((), None)
    assert isinstance(found, Forward)
    assert 1 == len(needs)


@pytest.mark.parametrize(
    ("own", "fits", "turn", "given"),
    [
        ((), False, 0, {}),
        ((), True, 0, {"ttl": 10.0}),
        ((take(recorded=1.0, ttl=5.0),), True, 0, {}),
        ((), True, 1, {"repeat": Repeat.SEQUENCE}),
    ],
    ids=["unfit", "stale", "our own is stale", "a second turn"],
)
def test_when_it_is_asked_all_the_same(
    own: tuple[Take, ...], fits: bool, turn: int, given: dict[str, Any]
) -> None:
    """An imported answer is not given when it does not fit, is too old, or when we had the question ourselves."""
    found, _ = verdict(own, Elsewhere(fits), turn, **given)
    assert isinstance(found, Forward)


def test_an_imported_question_is_nearest_to_nothing() -> None:
    """A refusal does not compare with entries of which no question is known."""
    found, _ = verdict((), None, mode=Mode.OFFLINE)
    assert isinstance(found, Refuse)
    assert "Nothing like it is recorded" in found.message
