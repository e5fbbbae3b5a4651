"""Content codings are undone, in any pieces."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askonce._core.coding import Decoder, accepted, coding_of, plain_body, undo
from askonce._core.messages import Answer, Chunk, Head
from tests.core.building import headers
from tests.core.test_events import cut


def raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


CODERS = {
    "gzip": [gzip.compress, lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])],
    "x-gzip": [gzip.compress],
    "deflate": [zlib.compress, raw_deflate],
}


@given(
    st.sampled_from([(coding, coder) for coding, coders in CODERS.items() for coder in coders]),
    st.binary(max_size=300),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_any_pieces(case: tuple[str, object], data: bytes, places: list[int]) -> None:
    """Whatever the pieces, the plain body is the same, and its end is known."""
    coding, coder = case
    assert callable(coder)
    decoder = Decoder(coding)
    assert data == b"".join(decoder.feed(piece) for piece in cut(coder(data), places))
    assert decoder.is_over


@pytest.mark.parametrize("coding", CODERS)
def test_cut_off(coding: str) -> None:
    """A body that is cut off is not over."""
    decoder = Decoder(coding)
    decoder.feed(CODERS[coding][0](b"data")[:-1])
    assert not decoder.is_over


@pytest.mark.parametrize("coding", CODERS)
def test_wrong_coding(coding: str) -> None:
    """What is not in the coding it says is an error."""
    with pytest.raises(zlib.error):
        Decoder(coding).feed(b"\xff plain text")


@pytest.mark.parametrize(
    ("value", "coding"), [("gzip", "gzip"), (" GZIP ", "gzip"), ("identity", ""), ("", ""), ("br", "br")]
)
def test_coding_of(value: str, coding: str) -> None:
    """A coding is named in any case; identity is none."""
    assert coding == coding_of(headers({"Content-Encoding": value}))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("gzip, deflate;q=0.5, br;q=0", {"gzip", "deflate"}),
        ("GZIP;q=1.0,*; q=0", {"gzip"}),
        ("*", {"*"}),
        ("identity", {"identity"}),
        ("", {""}),
    ],
)
def test_accepted(value: str, expected: set[str]) -> None:
    """A caller takes the codings that it lists with a weight above nothing."""
    assert expected == accepted(headers({"accept-encoding": value}))


def test_undo() -> None:
    """A caller who does not take a coding gets the plain body, with its times and without its length."""
    body = gzip.compress(b"hello")
    fields = headers({"Content-Encoding": "gzip", "Content-Length": "25", "X-Request-Id": "r"})
    answer = Answer(Head(200, fields), 0.0, (Chunk(body[:12], 0.1), Chunk(body[12:], 0.2)))
    head, chunks = undo(answer.head, answer.chunks)
    assert headers({"X-Request-Id": "r"}) == head.headers
    assert [0.1, 0.2] == [chunk.at for chunk in chunks]
    assert b"hello" == b"".join(chunk.data for chunk in chunks) == plain_body(answer)
