"""Bodies in the form in which people read them best: any bytes come back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askonce._core.content import FAULTS, plain_content, read_content, write_content
from tests.core.building import JSON, SSE
from tests.core.streams import AMAZON, NDJSON

bodies = st.binary() | st.text().map(str.encode) | st.lists(
    st.sampled_from(
        [b"data: ", b'{"a":1}', b'{"type":"x"  }', b"\n", b"\r\n", b"\n\n", b"event: x\n", b"[DONE]", b"{", b"\r"]
    )
).map(b"".join)  # fmt: skip


@given(bodies, st.sampled_from([JSON, SSE, NDJSON, AMAZON, "text/plain", "", "application/problem+json"]))
def test_round_trip(body: bytes, media_type: str) -> None:
    """Any body, whatever it claims to be, comes back byte for byte, also by way of JSON."""
    form = json.loads(json.dumps(write_content(body, media_type)))
    assert body == b"".join(read_content(form))
    assert body == b"".join(read_content(json.loads(json.dumps(plain_content(body)))))


@pytest.mark.parametrize(
    ("body", "media_type", "form"),
    [
        (b'{"a":1}', JSON, {"json": {"a": 1}}),
        (b'{"a":1.10}', JSON, {"text": '{"a":1.10}'}),
        (b'{"a":1}', "text/plain", {"text": '{"a":1}'}),
        ("Grüße\tund\r\n".encode(), "text/plain", {"text": "Grüße\tund\r\n"}),
        (b"\x1b[31m", "text/plain", {"base64": "G1szMW0="}),
        (b"\xff\xd8", "image/jpeg", {"base64": "/9g="}),
        (b'{"a":"\xff"}', JSON, {"base64": "eyJhIjoi/yJ9"}),
    ],
    ids=repr,
)
def test_forms(body: bytes, media_type: str, form: dict[str, object]) -> None:
    """JSON is values, text is text, and the rest is base64."""
    assert form == write_content(body, media_type)


@pytest.mark.parametrize(
    "form",
    [
        {}, {"json": 1, "spelled": "loudly"}, {"text": 5}, {"base64": "no base64"}, {"base64": None},
        {"events": [1]},
        {"events": [{"a": 1}], "as": 7}, {"events": 3, "as": "{json}"}, {"events": [[1, 2, 3]], "as": "{json}"},
        {"events": [{}], "as": "{type}{json}"}, {"events": [{}], "as": "amazon frames"},
        {"events": ["x"], "as": "amazon frames"},
    ],
    ids=str,
)  # fmt: skip
def test_what_nobody_wrote(form: dict[str, object]) -> None:
    """A form that is none raises one of the errors that callers expect."""
    with pytest.raises(FAULTS):
        read_content(form)
