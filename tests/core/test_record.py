"""An answer as bytes: all of it comes back, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askonce._core.messages import Answer, Chunk, Head, Headers, Usage
from askonce._core.record import digest, pack, unpack
from askonce.errors import DamagedStoreError, NewerStoreError
from tests.core.building import answer

micros = st.integers(0, 10**10).map(lambda number: number / 1e6)
answers = st.builds(
    Answer,
    st.builds(
        Head,
        st.integers(100, 599),
        st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9))).map(Headers),
        st.binary(max_size=9),
        st.binary(max_size=9),
    ),
    micros,
    st.lists(st.builds(Chunk, st.binary(max_size=50), micros), max_size=6).map(tuple),
    st.builds(Usage, st.integers(0, 10**9), st.integers(0, 10**9)),
)


@given(answers)
def test_round_trip(one: Answer) -> None:
    """Any answer comes back as it was: its head, each chunk, each time to the microsecond, its usage."""
    assert one == unpack(pack(one))


def test_layout() -> None:
    """The layout of this version never changes: an answer that it packed is read by every later one."""
    description = (
        b'{"status":200,"reason":"","http":"HTTP/1.1","headers":[["content-type","application/json"]],'
        b'"usage":[3,4],"head_at":250000,"sizes":[8],"times":[250000]}'
    )
    assert b"AO1" + len(description).to_bytes(4) + description + b'{"ok":1}' == pack(answer())


@given(answers, st.data())
def test_any_damage_is_detected(one: Answer, data: st.DataObject) -> None:
    """A change of any byte changes the digest; reading what is damaged gives an answer or our error, no other."""
    packed = pack(one)
    at = data.draw(st.integers(0, len(packed) - 1))
    damaged = packed[:at] + bytes([packed[at] ^ data.draw(st.integers(1, 255))]) + packed[at + 1 :]
    assert digest(bytes(32), None, packed) != digest(bytes(32), None, damaged)
    try:
        unpack(damaged)
    except (DamagedStoreError, NewerStoreError):
        pass


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda raw: b"AO1\0\0\0\x28" + raw)))
def test_any_bytes(raw: bytes) -> None:
    """Whatever is read, it is an answer or our error."""
    try:
        unpack(raw)
    except (DamagedStoreError, NewerStoreError):
        pass


@pytest.mark.parametrize(
    "description",
    [
        b"[]", b"null", b"{}", b"[" * 100_000, b'{"sizes":[9],"times":[1],"head_at":0}',
        b'{"sizes":[1],"times":[]}',
        b'{"status":200,"reason":"","http":"","headers":[["a"]],"usage":[1],"head_at":0,"sizes":[],"times":[]}',
        b'{"status":200,"reason":"","http":"","headers":5,"usage":[1,2],"head_at":0,"sizes":[],"times":[]}',
        b'{"status":200,"reason":"","http":"","headers":[],"usage":[1,2],"sizes":[],"times":[],'
        b'"head_at":%d}' % (10**999),
        b'{"status":200,"reason":"\\u1234","http":"","headers":[],"usage":[1,2],"head_at":0,"sizes":[],"times":[]}',
    ],
)  # fmt: skip
def test_damaged_descriptions(description: bytes) -> None:
    """A description that is not what it should be is damage."""
    with pytest.raises(DamagedStoreError):
        unpack(b"AO1" + len(description).to_bytes(4) + description)


def test_newer_layout() -> None:
    """An answer in a later layout is refused as that, not as damage."""
    with pytest.raises(NewerStoreError, match="layout"):
        unpack(b"AO2" + pack(answer())[3:])


@given(st.binary(min_size=32, max_size=32), st.none() | st.text(max_size=4), st.binary(max_size=20))
def test_digest_is_of_one_take_alone(key: bytes, seed: str | None, packed: bytes) -> None:
    """A digest vouches for these bytes under this key and seed; elsewhere the same bytes are damage."""
    others = [(bytes(31) + b"\x01", seed, packed), (key, f"{seed}", packed), (key, seed, packed + b"\n")]
    assert digest(key, seed, packed) not in [digest(*other) for other in others if other != (key, seed, packed)]
