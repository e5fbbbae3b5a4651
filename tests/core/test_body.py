"""The body of a request: what of it identifies the question, and what goes to the provider."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askonce._core.body import Body, read_body
from askonce.errors import ControlError

JSON = "application/json"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(min_size=1, max_size=9), values, max_size=5)


def read(value: Any) -> Body:
    return read_body(JSON, value if isinstance(value, bytes) else json.dumps(value).encode())


def same(one: Body, other: Body) -> bool:
    return (one.kind, one.digest, one.seed) == (other.kind, other.digest, other.seed)


def multipart(
    parts: list[tuple[str, str | None, bytes]], boundary: str = "b", extra: str = ""
) -> tuple[str, bytes]:
    """Return a form's content type and body; a part is its name, its file name or None, and its content."""
    raw = b""
    for name, filename, content in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
        raw += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{extra}\r\n".encode() + content + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", raw + f"--{boundary}--\r\n".encode()


def read_form(parts: list[tuple[str, str | None, bytes]], boundary: str = "b", extra: str = "") -> Body:
    return read_body(*multipart(parts, boundary, extra))


# --- JSON -----------------------------------------------------------------------------------------------------


@given(objects, st.randoms(use_true_random=False), st.sampled_from([None, 0, 3, "\t"]), st.booleans())
def test_json_order_and_space(value: dict[str, Any], chance: Any, indent: Any, ascii_only: bool) -> None:
    """The order of keys, white space and escapes never matter."""

    def shuffled(one: Any) -> Any:
        if isinstance(one, dict):
            pairs = [(name, shuffled(inner)) for name, inner in one.items()]
            chance.shuffle(pairs)
            return dict(pairs)
        return [shuffled(inner) for inner in one] if isinstance(one, list) else one

    text = json.dumps(shuffled(value), indent=indent, ensure_ascii=ascii_only)
    try:
        raw = text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair can only be sent escaped
        raw = json.dumps(shuffled(value), indent=indent).encode()
    assert same(read(value), read(raw))


@given(objects, objects)
def test_json_values_differ(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two bodies are the same question just when their values, told apart by type, are the same."""
    expected = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert expected == same(read(one), read(other))


APART = [
    b'{"x":1}', b'{"x":1.0}', b'{"x":"1"}', b'{"x":true}', b'{"x":null}', b'{"x":[1]}', b"{}", b"[]", b"null",
    b'""',
    b'{"x":-0.0}', b'{"x":0.0}', b'{"x":0}', b'{"x":false}', b'{"x":""}',
    b'{"x":"0xDEADBEEF"}', b'{"x":"0xCAFEBABE"}', b'{"x":{"y":1}}', b'{"x.y":1}',
    b'{"x":123456789012345678901234567890}', b'{"x":123456789012345678901234567891}',
    b'{"x":18446744073709551616}', b'{"x":18446744073709551617}',
    b'{"x":NaN}', b'{"x":Infinity}', b'{"x":-Infinity}', b'{"x":1e400}', b'{"x":1e401}', b'{"x":-1e400}',
    b'{"x":1,"x":2}', b'{"x":2,"x":1}', b'{"x":2}', b'{"x":1,"x":1}',
    rb'{"x":"\ud800"}', rb'{"x":"\ud801"}', rb'{"x":"\udc00"}', rb'{"x":"\ud83d\ude00"}',
    b'{"x":"\xff"}', b'{"x":"\xfe"}',
    b'{"x":1', b'{"x":1}}', b"", b" ", b'{"x":"user","y":"a"}', b'{"x":"usery:a"}', b'{"new_parameter":1}',
    '{"x":"é"}'.encode(), '{"x":"e\u0301"}'.encode(), b'{"x":' + b"9" * 5000 + b"}", b'{"x":' + b"9" * 5001 + b"}",
]  # fmt: skip


def test_different_values_differ() -> None:
    """Values that a provider could answer differently never share an identity."""
    assert [] == [pair for pair in combinations(APART, 2) if same(*map(read, pair))]


@pytest.mark.parametrize(
    "raw",
    [b'{"x":NaN}', b'{"x":1e400}', b'{"x":1,"x":1}', b'{"x":"\xff"}', b"not json", b"[" * 100_000],
    ids=["nan", "1e400", "duplicate", "not-utf8", "not-json", "deep"],
)
def test_unfaithful_json_is_bytes(raw: bytes) -> None:
    """What JSON cannot be read back from without loss is identified by its bytes, and is sent as it is."""
    body = read(raw)
    assert body.kind in ("text", "bytes")
    assert raw == body.sent
    assert not same(body, read(raw + b" "))


@given(
    st.binary(max_size=200),
    st.sampled_from([JSON, "multipart/form-data; boundary=b", "", "text/plain", "a/b+json"]),
)
def test_any_bytes_are_read(raw: bytes, content_type: str) -> None:
    """No body makes reading fail, and without controls it is sent as it came."""
    assert raw == read_body(content_type, raw).sent


@pytest.mark.parametrize(
    ("value", "seed"),
    [
        ({"seed": 7}, "7"),
        ({"seed": "7"}, '"7"'),
        ({"seed": None}, "null"),
        ({"random_seed": 7}, "random_seed=7"),
        ({"generationConfig": {"seed": 7}}, "generationConfig.seed=7"),
        ({"options": {"seed": 7}}, "options.seed=7"),
        ({"options": [{"seed": 7}]}, None),
        ({"messages": [{"seed": 7}]}, None),
    ],
)
def test_seed(value: dict[str, Any], seed: str | None) -> None:
    """A seed is kept beside the identity, under the name of its field; any other field of that name is not one."""
    assert seed == read(value).seed


def test_seeds_share_a_question() -> None:
    """All seeds of one question lie under one identity."""
    assert (
        read({"model": "m", "seed": 1}).digest
        == read({"model": "m", "seed": 2}).digest
        == read({"model": "m"}).digest
    )


@pytest.mark.parametrize("name", ["api_key", "apikey", "api-key", "access_token"])
def test_credential_in_body(name: str) -> None:
    """A credential in the body neither identifies nor is kept; it is sent."""
    body = read({"model": "m", name: "sk-SECRET"})
    assert same(read({"model": "m"}), body)
    assert b"SECRET" not in body.canonical
    assert b"SECRET" in body.sent


@pytest.mark.parametrize(
    "inner",
    [
        {"tools": [{"type": "mcp", "authorization": "SECRET"}]},
        {"tools": [{"type": "mcp", "headers": {"Authorization": "Bearer SECRET"}}]},
        {"mcp_servers": [{"url": "u", "authorization_token": "SECRET"}]},
        {"data_sources": [{"parameters": {"authentication": {"type": "api_key", "key": "SECRET"}}}]},
        {"data_sources": [{"parameters": {"authentication": {"type": "connection_string", "x": "SECRET"}}}]},
    ],
)
def test_credentials_of_tools(inner: dict[str, Any]) -> None:
    """A credential that a tool is given is kept as a digest: unread, but never taken for another."""
    body, other = read(inner), read(json.loads(json.dumps(inner).replace("SECRET", "SECRET2")))
    assert b"SECRET" not in body.canonical
    assert b"SECRET" in body.sent
    assert not same(body, other)


def test_secret_word_in_schema() -> None:
    """A parameter of a tool that is called like a credential is part of the question as it stands."""
    body = read({"tools": [{"parameters": {"properties": {"password": {"type": "string"}}}}]})
    assert b'"password":{"type":"string"}' in body.canonical


@pytest.mark.parametrize(
    "raw", [b"api_key=SECRET&x=1", b'{"x":NaN,"api_key":"SECRET"}', b'{"Authorization": "SECRET']
)
def test_unread_text_with_a_credential(raw: bytes) -> None:
    """Text that is not read, and may hold a credential, is kept as a digest."""
    body = read(raw)
    assert b"SECRET" not in body.canonical
    assert not same(body, read(raw.replace(b"SECRET", b"SECRET2")))


@given(objects)
def test_controls_are_stripped(value: dict[str, Any]) -> None:
    """Body fields that are addressed to the cache are read, and neither sent nor part of the question."""
    controls = {"cache_enabled": False, "cache_ttl": 60, "cache_options": {}, "customer_identifier": "c"}
    body = read({**controls, **value} if not controls.keys() & value.keys() else controls)
    rest = value if not controls.keys() & value.keys() else {}
    assert controls == body.controls
    assert rest == json.loads(body.sent)
    assert same(read(rest), body)


@pytest.mark.parametrize(
    "inner", [rb'"x":"\ud800"', b'"api_key":"SECRET"', b'"x":0.1', b'"x":123456789012345678901']
)
def test_stripping_changes_nothing_else(inner: bytes) -> None:
    """Taking controls out leaves all else of the body as it was, also what is no part of the question."""
    assert json.loads(b"{" + inner + b"}") == json.loads(read(b'{"cache_ttl":5,' + inner + b"}").sent)


@pytest.mark.parametrize("inner", [b'"x":NaN', b'"x":1e400', b'"x":1,"x":2'])
def test_controls_beside_what_cannot_be_rewritten(inner: bytes) -> None:
    """Where a control cannot be taken out without changing the rest, it is refused, not ignored."""
    with pytest.raises(ControlError, match=r"cache_ttl: .*x-askonce-"):
        read(b'{"cache_ttl":5,' + inner + b"}")


@pytest.mark.parametrize(("value", "model"), [({"model": "gpt"}, "gpt"), ({"model": 5}, ""), ({}, ""), ([], "")])
def test_model(value: Any, model: str) -> None:
    """The model is the body's, where it is a string."""
    assert model == read(value).model


# --- Multipart ------------------------------------------------------------------------------------------------

FORM: list[tuple[str, str | None, bytes]] = [("model", None, b"whisper-1"), ("file", "a.mp3", b"\xff\x00sound")]


def test_boundary_and_file_name_are_irrelevant() -> None:
    """Neither the random boundary nor the file's name nor the type guessed from it says what is asked."""
    renamed: list[tuple[str, str | None, bytes]] = [FORM[0], ("file", "b.wav", FORM[1][2])]
    assert same(read_form(FORM), read_form(FORM, "0123456789abcdef"))
    assert same(read_form(FORM), read_form(renamed))
    assert same(read_form(FORM[1:]), read_form(FORM[1:], extra="Content-Type: audio/mpeg\r\n"))
    assert same(read_form(FORM[:1]), read_form(FORM[:1], extra="Content-Type: text/plain; charset=utf-8\r\n"))


def test_multipart_is_read() -> None:
    """A form's model is read, and a file's content is kept as a digest."""
    body = read_form(FORM)
    assert ("parts", "whisper-1") == (body.kind, body.model)
    assert b"sound" not in body.canonical


OTHER_FORMS: list[list[tuple[str, str | None, bytes]]] = [
    FORM, FORM[:1], FORM[1:], FORM[::-1], [*FORM, FORM[0]], [*FORM, ("new", None, b"")],
    [("model", None, b"whisper-2"), FORM[1]], [FORM[0], ("file", "a.mp3", b"\xff\x00sounds")],
    [FORM[0], ("file", None, b"\xff\x00sound")], [FORM[0], ("image", "a.mp3", b"\xff\x00sound")],
    [("model", None, b"whisper-1\r\n"), FORM[1]], [("model", "m", b"whisper-1"), FORM[1]], [],
]  # fmt: skip


def test_forms_differ() -> None:
    """Every name, value, file content and the order of parts matter."""
    assert [] == [pair for pair in combinations(OTHER_FORMS, 2) if same(*map(read_form, pair))]


def test_part_headers_matter() -> None:
    """A header of a part that may change its meaning is part of the question."""
    assert not same(read_form(FORM), read_form(FORM, extra="Content-Transfer-Encoding: base64\r\n"))


@given(
    st.lists(
        st.tuples(st.text("ab;= é", max_size=5), st.none() | st.just("f"), st.binary(max_size=30)), max_size=3
    )
)
def test_any_form_ignores_its_boundary(parts: list[tuple[str, str | None, bytes]]) -> None:
    """For any content at all, the boundary does not matter and nothing is lost."""
    long = "----------7d44e178b0434"
    one, other = read_form(parts, long), read_form(parts, long[::-1])
    assert same(one, other)
    assert multipart(parts, long)[1] == one.sent


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"--b--",
        b"preamble\r\n--b\r\n\r\nx\r\n--b--",
        b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\ncut",
        b"--b\r\nno empty line\r\n--b--",
        b"--bc\r\nContent-Disposition: form-data; name=x\r\n\r\nx\r\n--b--",
        b"--b\r\n\r\nx\r\n--b--\r\nepilogue",
    ],
)
def test_malformed_form_is_bytes(raw: bytes) -> None:
    """What is not well-formed is identified by its bytes."""
    body = read_body("multipart/form-data; boundary=b", raw)
    assert body.kind in ("text", "bytes") or raw == b"--b--"
    assert raw == body.sent


def test_controls_in_a_form() -> None:
    """Controls in a form are read and taken out; an SDK's extra body lands there when a file is sent."""
    controls: list[tuple[str, str | None, bytes]] = [
        ("cache_enabled", None, b"false"),
        ("cache_ttl", None, b"60"),
        ("cache_options[cache_by_customer]", None, b"true"),
        ("customer_identifier", None, b"42"),
    ]
    body = read_form([controls[0], *FORM, *controls[1:]])
    expected = {"cache_enabled": False, "cache_ttl": 60, "customer_identifier": "42"}
    assert {**expected, "cache_options": {"cache_by_customer": True}} == body.controls
    assert multipart(FORM)[1] == body.sent
    assert same(read_form(FORM), body)


def test_credential_in_a_form() -> None:
    """A credential in a form neither identifies nor is kept."""
    body = read_form([*FORM, ("api_key", None, b"SECRET")])
    assert same(read_form(FORM), body)
    assert b"SECRET" not in body.canonical
