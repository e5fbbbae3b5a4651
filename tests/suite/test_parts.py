"""The parts of the plugin that need no pytest of their own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from askonce._core.entry import Take
from askonce._core.leaks import find_leak
from askonce._core.messages import Answer
from askonce.errors import SettingsError
from askonce.storage.jsonl import JSONLStorage
from askonce.suite import network
from askonce.suite.layout import cassette_files, orphans, place_of, usual_files
from askonce.suite.redaction import Redaction
from askonce.suite.shelf import Shelf
from askonce.suite.telling import tell
from tests.core.building import JSON, SSE, question, record

A = "aB3" * 14


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"sk-{A}", "OpenAI key"), (f"sk-proj-{A}", "OpenAI key"), (f"sk-ant-api03-{A}", "Anthropic key"),
        (f"sk-or-v1-{A}", "OpenRouter key"), ("AIza" + "x" * 35, "Google key"), ("AKIA" + "ABCD" * 4, "AWS key"),
        ("ghp_" + A, "GitHub token"), ("github_pat_" + A, "GitHub token"), ("hf_" + A, "Hugging Face token"),
        ("xai-" + A, "xAI key"), ("gsk_" + A, "Groq key"), ("r8_" + A, "Replicate token"),
        ("xoxb-123456789012-x", "Slack token"), ("-----BEGIN RSA PRIVATE KEY-----", "private key"),
    ],
)  # fmt: skip
def test_keys_are_recognised(text: str, kind: str) -> None:
    """Each provider's form of a key is recognised, in JSON as anywhere, and told by its ends alone."""
    for written in (text, f'key="{text}"', json.dumps({"a": f"line\n{text}\n"}), f"({text})"):
        leak = find_leak(written)
        assert leak is not None
        assert kind == leak.kind
        assert text not in str(leak)


@pytest.mark.parametrize(
    "text",
    [
        "a task-force-of-twenty-people-or-more",
        "sk-short",
        "sha256:" + "ab" * 32,
        "AIza",
        "hf_model",
        "chatcmpl-" + A,
        "",
    ],
)
def test_what_is_no_key(text: str) -> None:
    """Words, digests and numbers of answers are no keys."""
    assert find_leak(text) is None


def test_a_key_in_pieces(tmp_path: Path) -> None:
    """A key that a stream says in several pieces is found when they are put together."""
    pieces = [f"sk-{A[:9]}", A[9:20], A[20:]]
    events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    answer = record([f"data: {json.dumps(event)}\n\n".encode() for event in events], SSE).finish()
    assert isinstance(answer, Answer)
    shelf = Shelf(JSONLStorage(tmp_path / "x.jsonl"), Redaction())
    assert not shelf.add(question({"model": "m"}), Take(answer, 1.0))
    assert "OpenAI key" == shelf.leaks[0][1].kind
    assert not (tmp_path / "x.jsonl").exists()


@pytest.mark.parametrize("is_packed", [False, True])
def test_redaction_of_answers(is_packed: bool) -> None:
    """What a pattern matches goes out of a body, compressed or not, and out of headers; the rest stays."""
    body = json.dumps({"said": "Dear Jane, 42", "of": [1, 2]}).encode()
    sent = gzip.compress(body) if is_packed else body
    fields = {
        "content-length": str(len(sent)),
        "x-user": "jane",
        **({"content-encoding": "gzip"} if is_packed else {}),
    }
    answer = record([sent], JSON, fields=fields).finish()
    assert isinstance(answer, Answer)
    kept = Redaction(["(?i)jane"]).take(Take(answer, 1.0)).answer
    assert {"said": "Dear [redacted], 42", "of": [1, 2]} == json.loads(kept.body)
    headers = kept.head.headers
    assert (None, str(len(kept.body)), "[redacted]") == (
        headers.get(b"content-encoding"), headers.get(b"content-length"), headers.get(b"x-user")
    )  # fmt: skip
    assert answer == Redaction(["nobody"]).take(Take(answer, 1.0)).answer
    assert answer == Redaction().take(Take(answer, 1.0)).answer


def test_redaction_of_streams_and_bytes() -> None:
    """A stream is cut into its events again; what is no text is left alone."""
    stream = record([b'data: {"t":"Ja', b'ne","finish_reason":"stop"}\n\ndata: [DONE]\n\n'], SSE).finish()
    sound = record([b"\xff\xf3Jane"], "audio/mpeg", fields={"content-length": "6"}).finish()
    assert isinstance(stream, Answer)
    kept = Redaction(["Jane"]).take(Take(stream, 1.0)).answer
    assert [b'data: {"t":"[redacted]","finish_reason":"stop"}\n\n', b"data: [DONE]\n\n"] == [
        chunk.data for chunk in kept.chunks
    ]
    if isinstance(sound, Answer):
        assert sound == Redaction(["Jane"]).take(Take(sound, 1.0)).answer
    asked = question({"model": "m", "messages": [{"role": "user", "content": "I am Jane"}]})
    clean = Redaction(["Jane"]).question(asked)
    assert (asked.key, False) == (clean.key, b"Jane" in clean.body)


@pytest.mark.parametrize(("pattern", "said"), [("[", "no regular expression"), ("x*", "matches everywhere")])
def test_bad_patterns(pattern: str, said: str) -> None:
    """A pattern that is none, or that would fill everything, is refused."""
    with pytest.raises(SettingsError, match=said):
        Redaction([pattern])


def test_layout(tmp_path: Path) -> None:
    """A file a module, or a test; names that no file may have get others, each its own."""
    module = tmp_path / "test_a.py"
    assert tmp_path / "recordings/test_a.jsonl" == place_of(module, "test_x[1]", {"per": "module"}).path
    assert tmp_path / "recordings/test_a/test_x[1].jsonl" == place_of(module, "test_x[1]", {"per": "test"}).path
    assert (tmp_path / "own.jsonl", False) == place_of(module, "test_x", {"per": "module", "path": "own.jsonl"})
    odd = [
        place_of(module, name, {"per": "test"}).path.name for name in ("C::test[a/b]", "C::test[a:b]", "x" * 300)
    ]
    assert 3 == len(set(odd))
    assert [] == [name for name in odd if set(name) & set('/\\:*?"<>|') or len(name) > 100]


def test_files_of_modules(tmp_path: Path) -> None:
    """What belongs to a module is told from what belongs to none any more."""
    for name in (
        "test_a.py",
        "recordings/test_a.jsonl",
        "recordings/test_a/test_x.jsonl",
        "recordings/test_b.jsonl",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    module = tmp_path / "test_a.py"
    assert ["test_a.jsonl", "test_x.jsonl"] == [path.name for path in usual_files(module)]
    assert ["test_b.jsonl"] == [path.name for path in orphans(module)]


@pytest.mark.parametrize("name", ["test_a/test_x.yaml", "test_a/C.test_x.yaml", "test_x.yml", "test_a.yaml"])
def test_cassettes_are_found(tmp_path: Path, name: str) -> None:
    """A cassette is found where vcrpy's plugins for pytest put theirs, or where a mark says."""
    module = tmp_path / "test_a.py"
    assert cassette_files(module, "C::test_x", {}) is None
    path = tmp_path / "cassettes" / name
    path.parent.mkdir(parents=True)
    path.touch()
    assert path == cassette_files(module, "C::test_x", {})
    assert tmp_path / "other.yaml" == cassette_files(module, "C::test_x", {"cassette": "other.yaml"})


HERE = [
    ("socket.connect", (None, ("127.0.0.1", 80))), ("socket.connect", (None, ("::1", 80, 0, 0))),
    ("socket.connect", (None, "/run/x.sock")), ("socket.connect", (None, b"/run/x.sock")),
    ("socket.getaddrinfo", ("localhost", 80)), ("socket.getaddrinfo", (None, 80)), ("open", ("api.openai.com",)),
]  # fmt: skip
ELSEWHERE = [
    ("socket.connect", (None, ("192.0.2.1", 443))), ("socket.connect", (None, ("2001:db8::1", 443, 0, 0))),
    ("socket.getaddrinfo", ("api.openai.com", 443)), ("socket.getaddrinfo", (b"api.openai.com", 443)),
    ("socket.gethostbyname", ("api.openai.com",)), ("socket.sendto", (None, ("8.8.8.8", 53))),
]  # fmt: skip


def test_network() -> None:
    """While it is blocked, nothing reaches beyond this machine; blocks nest, and end."""
    for event, arguments in ELSEWHERE:
        network._watch(event, arguments)
    asked, inner = network.block(), network.block()
    network.unblock(inner)
    try:
        for event, arguments in HERE:
            network._watch(event, arguments)
        for event, arguments in ELSEWHERE:
            with pytest.raises(network.NetworkBlockedError, match="askonce is offline in this test"):
                network._watch(event, arguments)
    finally:
        network.unblock(asked)
    assert ["192.0.2.1", "2001:db8::1", "api.openai.com", "8.8.8.8"] == list(dict.fromkeys(asked))
    for event, arguments in ELSEWHERE:
        network._watch(event, arguments)


def test_telling() -> None:
    """Without anything near, the message says so; many and long differences are cut."""
    asked = question({"model": "m", "messages": [{"role": "user", "content": "x" * 300}]})
    message = "askonce is offline and this request is not recorded: POST u\nNothing like it."
    message += "\nRecord it once with mode='record' (ASKONCE_MODE=record), or mend the difference."
    assert "This request is not recorded: POST u\nNothing like it." == tell(asked, message, [])
    near = question(
        {
            "model": "m",
            "messages": [{"role": "user", "content": "x" * 299 + "y"}],
            **dict.fromkeys("abcdefghijklmn", 1),
        }
    )
    lines = tell(asked, message, [near]).splitlines()
    assert "  and 3 more" == lines[-1]
    assert "    now       (nothing)" in lines
    assert max(map(len, lines)) < 130
