"""The known faults of cached_openai, none of which may be ours. (Those of its files are met by bundles.)"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

import askonce
import askonce.openai as dropin
from askonce.errors import AskonceWarning
from askonce.testing import LocalProvider
from tests.dropin.conftest import KEY, MODEL, QUESTION, plain
from tests.scan import unfolded

SECRET = "SECRET77d0e2a1b3c4d5e6f7"


def stream(client: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)


def test_no_key_in_the_file(client: Any, store: Path) -> None:
    """Speech and file content take no key along into the file that is meant for students."""
    client.audio.speech.create(model="tts", voice="alloy", input="x")
    file = client.files.create(file=("a.txt", b"hello"), purpose="user_data")
    assert b"hello" == client.files.content(file.id).content
    dropin._state.current().close()
    written = b"".join(path.read_bytes() for path in store.parent.glob("cache.db*"))
    assert KEY.encode() not in written
    assert b"Bearer" not in written


@pytest.mark.parametrize("form", ["file", "module", "package"])
def test_no_secret_in_what_is_handed_out(
    client: Any, provider: LocalProvider, store: Path, tmp_path: Path, form: Any
) -> None:
    """No key, organization, project, signed address or local path is in a form, unfolded to the last block."""
    own = client.with_options(organization=f"org-{SECRET}", project=f"proj_{SECRET}")
    plain(own)
    sound = tmp_path / f"{SECRET}.mp3"
    own.audio.speech.create(model="tts", voice="alloy", input="x").write_to_file(sound)
    with sound.open("rb") as file:
        own.audio.transcriptions.create(model="whisper-1", file=file)
    url = own.images.generate(model="dall-e-3", prompt="x", response_format="url").data[0].url
    assert "sig=" in url
    own.images.generate(model="dall-e-3", prompt="x", response_format="url")  # waits for the image
    dropin._state.current().close()
    path = tmp_path / {"file": "x.askonce", "module": "x.py", "package": "dist"}[form]
    for made in askonce.materialize(path, store, form=form, name="x").paths:
        pieces = [made.read_bytes(), *unfolded(made.read_bytes())]
        assert any(b"data:image/png;base64," in piece for piece in pieces), "it is unfolded to the answers"
        for word in (SECRET, KEY, urlsplit(url).query, str(tmp_path)):
            assert not any(word.encode() in piece for piece in pieces), word


def test_hashing_leaves_the_process_as_it_was(client: Any, provider: LocalProvider, tmp_path: Path) -> None:
    """After digests were handed out, the process still finds its answers and keeps new ones."""
    before = plain(client)
    dropin.materialize(hash_keys=True)
    assert before == plain(client)
    assert plain(client, temperature=1) == plain(client, temperature=1)
    assert 2 == provider.count()


def test_async_streams_at_the_first_pass(client: Any, provider: LocalProvider) -> None:
    """An async stream works when it is recorded, and when it is replayed."""

    async def ask() -> list[list[Any]]:
        async with dropin.AsyncOpenAI(base_url=client.base_url, api_key=KEY) as asynchronous:
            return [[chunk async for chunk in await stream(asynchronous)] for _ in range(2)]

    first, second = asyncio.run(ask())
    assert first == second
    assert 1 == provider.count()


def test_a_streamed_hit_is_a_stream(client: Any) -> None:
    """It is the SDK's own class, has its response, and can be closed and used in `with`."""
    asked = list(stream(client))
    hit = stream(client)
    assert isinstance(hit, openai.Stream)
    assert "text/event-stream" in hit.response.headers["content-type"]
    with hit:
        assert asked[0] == next(hit)
    assert hit.response.is_closed


def test_with_streaming_response(client: Any) -> None:
    """It works for a hit, by lines and by bytes, and has the headers that came."""
    chat = client.chat.completions.with_streaming_response
    seen = []
    for _ in range(2):
        with chat.create(model=MODEL, messages=QUESTION, stream=True) as response:
            seen.append((response.headers["x-request-id"], response.status_code, list(response.iter_lines())))
    assert seen[0] == seen[1]


def test_with_raw_response(client: Any) -> None:
    """A raw hit has headers, status, request id, and parses."""
    raws = [client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION) for _ in range(2)]
    first, second = raws
    assert first.headers["x-request-id"] == second.headers["x-request-id"] == second.request_id
    assert first.headers["openai-processing-ms"] == second.headers["openai-processing-ms"]
    assert (200, first.parse(), first.content) == (second.status_code, second.parse(), second.content)


def test_exceptions_and_options() -> None:
    """Exceptions are the SDK's, also by the drop-in's name; clients take every option."""
    assert dropin.RateLimitError is openai.RateLimitError
    assert 3 == dropin.OpenAI(api_key=KEY, timeout=3).timeout
    assert 0 == dropin.AzureOpenAI(azure_endpoint="https://x.test", api_version="1", max_retries=0).max_retries


def test_streams_do_not_sleep(client: Any, provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """No delay was asked for, so none is made."""
    provider.pace = 0.01
    list(stream(client))

    def refuse(seconds: float) -> None:
        raise AssertionError(f"slept {seconds} s")

    monkeypatch.setattr(time, "sleep", refuse)
    list(stream(client))


def test_objects_are_fresh(client: Any) -> None:
    """Whoever changes what was returned changes no later hit."""
    asked = plain(client)
    for _ in range(2):
        answer = client.chat.completions.create(model=MODEL, messages=QUESTION)
        assert asked == answer.choices[0].message.content
        answer.choices[0].message.content = "changed"
        answer.choices.clear()
        vectors = client.embeddings.create(model="e", input="x").data[0].embedding
        assert 0 not in vectors
        vectors[:] = [0.0]


def test_all_takes_of_a_used_question(client: Any, store: Path) -> None:
    """What is used goes along with all its answers, also those that the rotation did not reach."""
    for seed in (1, 2, 3):
        plain(client, seed=seed)
    client.embeddings.create(model="e", input="unused")
    storage = askonce.open_storage(store)
    assert isinstance(storage, askonce.storage.Marks)
    storage.set_mark(time.time())
    dropin.configure(mode="replay")
    plain(client)
    mark = storage.mark()
    (entry,) = storage.entries(askonce.Filter(used=mark))
    assert ["1", "2", "3"] == [take.seed for take in entry.takes]
    storage.close()


def test_embeddings_are_plain(client: Any) -> None:
    """Replayed vectors are lists of floats, the very same, also where they came in base64."""
    for form in ("float", "base64", None):
        more = {} if form is None else {"encoding_format": form}
        asked, again = (client.embeddings.create(model="e", input=["a", "b"], **more) for _ in range(2))
        assert asked == again
        if form != "base64":
            assert {float} == {type(value) for one in again.data for value in one.embedding}
            assert list is type(again.data[0].embedding)


def test_a_truncated_file(client: Any, provider: LocalProvider, store: Path) -> None:
    """A torn store breaks neither the import nor a call: one warning says what to do, and the call is asked."""
    plain(client)
    dropin._state.reset()
    store.write_bytes(store.read_bytes()[:5000])
    for path in store.parent.glob("cache.db-*"):
        path.unlink()
    with pytest.warns(AskonceWarning, match="damaged"):
        dropin.configure(store)
    assert plain(client)
    assert 2 == provider.count()


def test_many_writers(client: Any, store: Path) -> None:
    """Of what many write at once, nothing is lost."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: client.embeddings.create(model="e", input=f"text {n}"), range(60)))
    assert 60 == askonce.open_storage(store).totals().takes


def test_the_import_alters_nothing(provider: LocalProvider) -> None:
    """After the import, the SDK's own clients still ask, and raise without a key."""
    program = f"""
import openai
before = (dict(vars(openai.OpenAI)), openai.OpenAI.__init__, openai.resources.chat.completions.Completions.create)
import askonce.openai
askonce.openai.OpenAI(api_key="x").chat.completions
assert before == (dict(vars(openai.OpenAI)), openai.OpenAI.__init__,
    openai.resources.chat.completions.Completions.create)
client = openai.OpenAI(api_key="sk-x", base_url="{provider.url}/v1")
ask = lambda: client.chat.completions.create(model="m", messages=[dict(role="user", content="x")]).id
assert ask() != ask()
try:
    openai.OpenAI()
except openai.OpenAIError:
    pass
else:
    raise AssertionError
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert ("", 0) == (done.stderr, done.returncode)
