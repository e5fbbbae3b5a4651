"""What cached_openai recorded is imported as the exchanges that it stands for, and its pickles run nothing."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from openai.types import CreateEmbeddingResponse, ImagesResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import askonce
from askonce.exchange.unpickled import plain, unpickle
from askonce.storage import open_storage
from tests.cli.conftest import Run

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def key(stem: str, **kwargs: Any) -> str:
    """Return the key that cached_openai gives a call."""
    return json.dumps({"stem": stem.split("."), "kwargs": kwargs}, sort_keys=True)


def chat(text: str) -> ChatCompletion:
    return ChatCompletion.construct(
        id="c1",
        object="chat.completion",
        created=1,
        model="gpt-5",
        choices=[{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    )


def entry(out: Any, **more: Any) -> dict[str, Any]:
    return {"out": out, "time_saved": 1_700_000_000.5, "run_time": 0.25, **more}


ASKED: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "a number"}]}
CHAT = key("chat.completions.create", **ASKED)


def seeded(seed: int) -> str:
    return key("chat.completions.create", **ASKED, seed=seed)


def stream() -> list[tuple[float, ChatCompletionChunk]]:
    pieces: list[dict[str, Any]] = [{"role": "assistant", "content": "Hel"}, {"content": "lo"}, {}]
    return [
        (
            0.1,
            ChatCompletionChunk.construct(
                id="s1",
                object="chat.completion.chunk",
                created=1,
                model="gpt-5",
                choices=[{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}],
            ),
        )
        for delta in pieces
    ]


def vector(values: Any) -> CreateEmbeddingResponse:
    return CreateEmbeddingResponse.construct(
        object="list",
        model="e",
        data=[{"object": "embedding", "index": 0, "embedding": values}],
        usage={"prompt_tokens": 1, "total_tokens": 1},
    )


CALLS: dict[str, Any] = {
    seeded(1): [entry(chat("25"))],
    seeded(2): [entry(chat("126"))],
    CHAT: [entry(chat("42")), {"TARGET": seeded(1)}, {"TARGET": seeded(2)}],
    key("chat.completions.create", **ASKED, stream=True): [entry(stream())],
    key("embeddings.create", model="e", input="x"): [entry(vector([0.5, 0.25, -1.0] * 8))],
    key("images.generate", model="i", prompt="a dot"): [
        entry(
            ImagesResponse.construct(created=1, data=[{"url": "https://gone.test/x.png?sig=1"}]),
            saved_images=[PNG],
        )
    ],
    key("audio.speech.create", model="tts-1", voice="alloy", input="hi"): [
        entry(None, audio_file=("old", base64.b64encode(b"\xff\xf3" + bytes(500)).decode()))
    ],
    key("files.delete", file_id="f"): [entry({"deleted": True})],
    key("chat.completions.parse", **ASKED, response_format={"title": "X"}): [
        entry({"parsed_chat_completion_data": {}})
    ],
    "0123456789abcdef0123456789abcdef": [entry(chat("of a digest"))],
    key("images.generate", model="i", prompt="gone"): [
        entry(
            ImagesResponse.construct(created=1, data=[{"url": "https://gone.test"}]), saved_images=[b"<html>404"]
        )
    ],
    key("moderations.create", input="x"): [{"weird": 1}],
    "no JSON": [entry(chat("?"))],
    key("completions.create", model="m", prompt="x"): "no list",
}


def permanent(calls: Any = None) -> bytes:
    return pickle.dumps((False, CALLS if calls is None else calls))


def frame(name: str, value: Any) -> bytes:
    data = pickle.dumps([name, value])
    return struct.pack("I", len(data)) + data


FILES = {
    "plain": permanent,
    "gzip": lambda: gzip.compress(permanent()),
    "temporary": lambda: b"".join(frame(name, value) for name, value in CALLS.items()),
}


@pytest.mark.parametrize("shape", FILES)
def test_what_was_recorded_answers_the_sdk(shape: str, run: Run, store: Path) -> None:
    """Chats with their seeds, streams, embeddings, images and speech answer the SDK's own calls, offline."""
    Path("openai.cache").write_bytes(FILES[shape]())
    done = run("import", "openai.cache", "--into", store)
    assert 0 == done.exit_code, done.output
    assert "cached_openai's file, 7 imported, 7 skipped" in done.stdout
    client = OpenAI(api_key="sk-x")
    with askonce.caching(store, mode="offline"):
        texts = [
            client.chat.completions.create(**ASKED, **more).choices[0].message.content
            for more in ({}, {"seed": 1}, {"seed": 2})
        ]
        assert ["42", "25", "126"] == texts
        pieces = client.chat.completions.create(**ASKED, stream=True)
        assert "Hello" == "".join(piece.choices[0].delta.content or "" for piece in pieces)
        assert [0.5, 0.25, -1.0] * 8 == client.embeddings.create(model="e", input="x").data[0].embedding
        image = client.images.generate(model="i", prompt="a dot").data
        assert image is not None
        assert (image[0].url or "").startswith("data:image/png;base64,")
        assert 502 == len(client.audio.speech.create(model="tts-1", voice="alloy", input="hi").content)
    with askonce.caching(store, mode="offline", repeat="all"):
        texts = [client.chat.completions.create(**ASKED).choices[0].message.content for _ in range(4)]
        assert ["42", "25", "126", "42"] == texts
    client.close()


def test_what_is_not_carried_over_is_listed(run: Run, store: Path) -> None:
    """Each call that is left out is named with the reason, and times are kept."""
    Path("openai.cache").write_bytes(permanent())
    value = json.loads(run("import", "openai.cache", "--into", store, "--json").stdout)
    reasons = " | ".join(f"{one['what']}: {one['reason']}" for one in value["files"][0]["skipped"])
    for reason in (
        "files.delete: not generation",
        "chat.completions.parse: a schema that it does not keep as it was sent",
        "key 0123456789abcdef0123456789abcdef: of its question there is only a digest",
        "images.generate i: not as cached_openai writes it (an image that is none",
        "moderations.create: not as cached_openai writes it",
        "a call: not as cached_openai writes it",
        "completions.create m: not as cached_openai writes it",
    ):
        assert reason in reasons
    take = next(one for one in open_storage(store).entries() if one.question.model == "e").takes[0]
    assert (1_700_000_000.5, 0.25) == (take.recorded, take.answer.seconds)


def test_a_torn_temporary_file(run: Run, store: Path) -> None:
    """Of a file that was cut while it was written, what is whole is imported, and the rest is said to be cut."""
    whole = frame(CHAT, [entry(chat("old"))]) + frame(CHAT, [entry(chat("42"))])
    for cut in (2, 40):
        Path("openai_cache_temp.bin").write_bytes(whole + frame(seeded(1), [entry(chat("25"))])[:cut])
        done = run("import", "openai_cache_temp.bin", "--into", store, "--on-conflict", "replace")
        assert "it was cut off while it was written" in done.stdout
    body = [json.loads(one.takes[0].answer.body) for one in open_storage(store).entries()]
    assert ["42"] == [one["choices"][0]["message"]["content"] for one in body]


# ruff: noqa: E501 (what is pickled is one text)
# What numpy 2.4.6 pickles: [0.5, 0.25, -1.0] four times as an array, and the first two as a list of scalars.
ARRAYS = {
    "float16, protocol 4": "gASVoQAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZS"
    "TlEsAhZRDAWKUh5RSlChLAUsMhZRoA4wFZHR5cGWUk5SMAmYylImIh5RSlChLA4wBPJROTk5K/////0r/////SwB0lGKJQxgAOAA0ALwAOAA0AL"
    "wAOAA0ALwAOAA0ALyUdJRiLg==",
    "float16, protocol 5": "gAWVjAAAAAAAAACME251bXB5Ll9jb3JlLm51bWVyaWOUjAtfZnJvbWJ1ZmZlcpSTlCiWGAAAAAAAAAAAOAA0ALwAOAA0ALwA"
    "OAA0ALwAOAA0ALyUjAVudW1weZSMBWR0eXBllJOUjAJmMpSJiIeUUpQoSwOMATyUTk5OSv////9K/////0sAdJRiSwyFlIwBQ5R0lFKULg==",
    "float32, protocol 4": "gASVuQAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZS"
    "TlEsAhZRDAWKUh5RSlChLAUsMhZRoA4wFZHR5cGWUk5SMAmY0lImIh5RSlChLA4wBPJROTk5K/////0r/////SwB0lGKJQzAAAAA/AACAPgAAgL"
    "8AAAA/AACAPgAAgL8AAAA/AACAPgAAgL8AAAA/AACAPgAAgL+UdJRiLg==",
    "scalars": "gASVdQAAAAAAAABdlCiMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAZzY2FsYXKUk5SMBW51bXB5lIwFZHR5cGWUk5SMAmYylImIh"
    "5RSlChLA4wBPJROTk5K/////0r/////SwB0lGJDAgA4lIaUUpRoA2gJQwIANJSGlFKUZS4=",
}


@pytest.mark.parametrize("name", ARRAYS)
def test_embeddings_of_numpy(name: str) -> None:
    """Embeddings that were reduced to numpy arrays come back as floats, without numpy."""
    expected = [0.5, 0.25] if name == "scalars" else [0.5, 0.25, -1.0] * 4
    assert expected == plain(unpickle(base64.b64decode(ARRAYS[name])))


class Hostile:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.made = (call, arguments)

    def __reduce__(self) -> Any:
        return self.made


class Persistent(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return "elsewhere" if value == "it" else None


def persistent() -> bytes:
    file = io.BytesIO()
    Persistent(file).dump((False, {"key": "it"}))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (lambda: permanent({"k": [Hostile(os.system, "touch ran")]}), "posix.system|nt.system"),
        (lambda: permanent({"k": [Hostile(eval, "open('ran', 'w')")]}), "builtins.eval"),
        (lambda: permanent({"k": [Hostile(getattr, "x", "upper")]}), "builtins.getattr"),
        (lambda: permanent({"k": [Path("x")]}), "pathlib"),
        (lambda: frame("k", [Hostile(exec, "open('ran', 'w')")]), "builtins.exec"),
        (lambda: gzip.compress(permanent({"k": [Hostile(os.system, "touch ran")]})), "posix.system|nt.system"),
        (persistent, "an object that is kept elsewhere"),
        (lambda: b"\x80\x04\x8c\x09importlib\x8c\rimport_module\x93\x8c\x04evil\x85R.", "importlib.import_module"),
    ],
)
def test_a_hostile_pickle_runs_nothing(content: Any, named: str, run: Run, store: Path) -> None:
    """A pickle that asks for anything but data is refused by the name of what it asked for; nothing runs."""
    Path("openai.cache").write_bytes(content())
    done = run("import", "openai.cache", "--into", store)
    assert 1 == done.exit_code
    assert any(one in done.stderr for one in named.split("|"))
    assert "nothing was run" in done.stderr
    assert not Path("ran").exists()
    assert not store.exists()


@pytest.mark.parametrize(
    "content",
    [
        lambda: permanent()[:-20],
        lambda: gzip.compress(permanent())[:-20],
        lambda: pickle.dumps([1, 2]),
        lambda: pickle.dumps((False, {1: 2})),
        lambda: struct.pack("I", len(pickle.dumps(5))) + pickle.dumps(5),
        lambda: gzip.compress(b"\x80\x04\xff"),
        lambda: b"\x80\x04" + b"\xff" * 50,
        lambda: b"\x80\x04cnumpy\nevil\n(I1\ntR}b0.",
    ],
)
def test_a_broken_file_is_refused(content: Any, run: Run, store: Path) -> None:
    """A file that is cut, or no cache at all, is refused with a reason, and nothing of it is imported."""
    Path("openai.cache").write_bytes(content())
    done = run("import", "openai.cache", "--into", store)
    assert 1 == done.exit_code
    assert "openai.cache" in done.stderr
    assert not store.exists()


def test_types_of_libraries_do_nothing(run: Run, store: Path) -> None:
    """Names of the libraries that it pickled become records that cannot be called to any effect."""
    content = permanent({"k": [Hostile(__import__("openai").OpenAI, "x")], CHAT: [entry(chat("42"))]})
    Path("openai.cache").write_bytes(content)
    done = run("import", "openai.cache", "--into", store)
    assert "1 imported, 1 skipped" in done.stdout


def test_a_bundle_is_imported_and_a_final_one_is_not(run: Run, store: Path) -> None:
    """What was handed out can be added to by whoever imports it; one of digests alone cannot."""
    Path("openai.cache").write_bytes(permanent({CHAT: [entry(chat("42"))]}))
    run("import", "openai.cache", "--into", store)
    run("pack", "lesson.askonce", "--store", store)
    assert "1 imported" in run("import", "lesson.askonce", "--into", "mine.db").stdout
    run("pack", "final.askonce", "--store", store, "--final")
    done = run("import", "final.askonce", "--into", "other.db")
    assert 1 == done.exit_code
    assert "is final: of its questions there are the digests alone" in done.stderr
