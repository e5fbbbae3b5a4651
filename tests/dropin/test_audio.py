"""Sound, out and in: every way to get at recorded speech, and uploads that are known by their content."""

from __future__ import annotations

import asyncio
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import askonce.openai as dropin
from askonce.testing import LocalProvider
from tests.dropin.conftest import KEY

SPEECH: Any = {"model": "tts-local", "voice": "alloy", "input": "Hello"}
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt " + b"\r\n--\x00" * 50


def written(response: Any, name: str) -> bytes:
    path = Path(f"{name}.mp3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the SDK's, for `stream_to_file` outside a stream
        getattr(response, name)(path)
    return path.read_bytes()


def by_and_by(client: Any, name: str, **more: Any) -> bytes:
    with client.audio.speech.with_streaming_response.create(**SPEECH, **more) as response:
        if name == "stream_to_file":
            response.stream_to_file("streamed.mp3")
            return Path("streamed.mp3").read_bytes()
        return b"".join(getattr(response, name)())


ACCESS: dict[str, Callable[..., bytes]] = {
    "content": lambda client, **more: client.audio.speech.create(**SPEECH, **more).content,
    "read": lambda client, **more: client.audio.speech.create(**SPEECH, **more).read(),
    "iter_bytes": lambda client, **more: b"".join(client.audio.speech.create(**SPEECH, **more).iter_bytes()),
    "iter_bytes in pieces": lambda client, **more: b"".join(
        client.audio.speech.create(**SPEECH, **more).iter_bytes(100)
    ),
    "write_to_file": lambda client, **more: written(client.audio.speech.create(**SPEECH, **more), "write_to_file"),
    "stream_to_file": lambda client, **more: written(
        client.audio.speech.create(**SPEECH, **more), "stream_to_file"
    ),
    "raw": lambda client, **more: client.audio.speech.with_raw_response.create(**SPEECH, **more).content,
    "streaming iter_bytes": lambda client, **more: by_and_by(client, "iter_bytes", **more),
    "streaming stream_to_file": lambda client, **more: by_and_by(client, "stream_to_file", **more),
}


@pytest.mark.parametrize("access", ACCESS.values(), ids=ACCESS)
@pytest.mark.parametrize("form", ["mp3", "wav"])
def test_speech(client: Any, provider: LocalProvider, access: Callable[..., bytes], form: str) -> None:
    """Recorded speech is the same bytes, whichever way they are taken, and takes a seed."""
    asked = access(client, response_format=form)
    assert asked == access(client, response_format=form)
    seeded = access(client, response_format=form, seed=3)
    assert seeded != asked
    assert {asked, seeded} == {access(client, response_format=form) for _ in range(2)}
    assert 2 == provider.count()
    assert {"audio/mpeg" if form == "mp3" else "audio/wav"} == {
        client.audio.speech.create(**SPEECH, response_format=form).response.headers["content-type"]
    }


def test_speech_async(client: Any, provider: LocalProvider) -> None:
    """The same for an async client, read whole or by and by."""

    async def listen() -> list[bytes]:
        async with dropin.AsyncOpenAI(base_url=client.base_url, api_key=KEY) as asynchronous:
            heard = [(await asynchronous.audio.speech.create(**SPEECH)).content]
            async with asynchronous.audio.speech.with_streaming_response.create(**SPEECH) as response:
                heard.append(b"".join([piece async for piece in response.iter_bytes()]))
            heard.append(await (await asynchronous.audio.speech.create(**SPEECH)).aread())
            return heard

    assert 1 == len(set(asyncio.run(listen())))
    assert 1 == provider.count()


def test_uploads_are_known_by_their_content(client: Any, provider: LocalProvider) -> None:
    """A file's name, handle or place does not matter; one byte more does."""
    path = Path("hello.wav")
    path.write_bytes(WAV)
    Path("other.wav").write_bytes(WAV)
    with path.open("rb") as first, Path("other.wav").open("rb") as second:
        given: list[Any] = [first, second, path, ("third.wav", WAV), ("fourth.wav", io.BytesIO(WAV), "audio/wav")]
        said = [client.audio.transcriptions.create(model="w", file=one).text for one in given]
    assert 1 == len(set(said)) == provider.count()
    other = client.audio.transcriptions.create(model="w", file=("hello.wav", WAV + b"x")).text
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        translated = client.audio.translations.create(model="w", file=("hello.wav", WAV)).text
    assert {__file__} >= {one.filename for one in caught}  # the SDK calls it deprecated, at the caller's line
    assert 3 == len({said[0], other, translated}) == provider.count()


@pytest.mark.parametrize("form", ["json", "verbose_json", "text", "srt", "vtt"])
def test_formats_of_transcriptions(client: Any, provider: LocalProvider, form: Any) -> None:
    """Each format is replayed as what it was, objects and plain texts."""
    asked, again = (
        client.audio.transcriptions.create(model="w", file=("a.wav", WAV), response_format=form) for _ in range(2)
    )
    assert (asked, type(asked)) == (again, type(again))
    assert 1 == provider.count()


def test_a_streamed_transcription(client: Any, provider: LocalProvider) -> None:
    """Its events are the same, and it is a stream of the SDK's."""
    asked, again = (
        list(client.audio.transcriptions.create(model="w", file=("a.wav", WAV), stream=True)) for _ in range(2)
    )
    assert asked == again
    assert "transcript.text.done" == again[-1].type
    assert 1 == provider.count()
