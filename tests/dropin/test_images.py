"""Images: recorded with the answers that refer to them, and replayed as files."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

import askonce
import askonce.openai as dropin
from askonce._core.entry import Take
from askonce._core.media import as_url, media_type, pictures
from askonce._core.messages import Answer, Chunk, Head, Headers
from askonce._engine import images
from askonce.errors import AskonceWarning
from askonce.testing import Fault, LocalProvider
from askonce.testing.content import png
from tests.dropin.conftest import KEY


def draw(client: Any, **more: Any) -> Any:
    return client.images.generate(model="image-local", prompt="a café", response_format="url", **more)


def settled(client: Any, **more: Any) -> None:
    """Draw, and wait until the images are kept or given up."""
    draw(client, **more)
    dropin._state.current().images.settle()


def file(url: str) -> Path:
    """Return the file of a file: URL."""
    assert url.startswith("file:///")
    return Path(url2pathname(urlsplit(url).path))


def test_images_are_recorded(client: Any, provider: LocalProvider, store: Path) -> None:
    """The first call has the provider's addresses, every other files that are there and are the same images."""
    asked = draw(client, n=3)
    assert all(one.url.startswith(provider.url) for one in asked.data)
    provider_count = None
    for _ in range(2):
        found = draw(client, n=3)
        provider_count = provider_count or provider.count()
        files = [file(one.url) for one in found.data]
        assert [png(10), png(11), png(12)] == [path.read_bytes() for path in files]
        assert {Path.cwd() / "images"} == {path.parent for path in files}
        assert {".png"} == {path.suffix for path in files}
        assert [one.revised_prompt for one in asked.data] == [one.revised_prompt for one in found.data]
        assert asked.usage == found.usage
        assert asked._request_id == found._request_id
        for path in files:
            path.unlink()
    assert 4 == provider_count == provider.count()
    assert 1 == provider.count("/images/generations")


def test_async(client: Any, provider: LocalProvider) -> None:
    """Async clients wait neither for the images nor for another's."""

    async def ask() -> tuple[Any, Any]:
        async with dropin.AsyncOpenAI(base_url=client.base_url, api_key=KEY) as asynchronous:
            return await draw(asynchronous), await draw(asynchronous)

    first, second = asyncio.run(ask())
    assert first.data[0].url.startswith(provider.url)
    assert png(10) == file(second.data[0].url).read_bytes()
    assert 1 == provider.count("/images/generations")


def test_nothing_of_a_signed_address_is_stored(client: Any, provider: LocalProvider, store: Path) -> None:
    """Neither address nor signature is in the store, however it is compressed."""
    url = draw(client).data[0].url
    draw(client)
    dropin._state.current().close()
    with sqlite3.connect(store) as db:
        (stored,) = db.execute("SELECT answer FROM takes").fetchone()
    text = stored if stored.startswith(b"AO1") else zlib.decompress(stored)
    assert b"data:image/png;base64," in text
    for secret in (urlsplit(url).query, url.rpartition("sig=")[2], "sig=", provider.url):
        assert secret.encode() not in text


def test_base64_is_left_alone(client: Any) -> None:
    """An answer in base64 is what it was, and no file is made."""
    asked = client.images.generate(model="image-local", prompt="a café")
    again = client.images.generate(model="image-local", prompt="a café")
    assert asked == again
    assert png(10) == base64.b64decode(again.data[0].b64_json)
    assert not Path("images").exists()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault.STATUS(404), "status 404"),
        (Fault.HTML, "it is no image but text/html"),
        (Fault.CUT(), r"it broke off|IncompleteRead|incomplete"),
        (Fault.EMPTY, "it is no image"),
    ],
    ids=["404", "html", "cut", "empty"],
)
def test_an_image_that_cannot_be_fetched(client: Any, provider: LocalProvider, fault: Any, said: str) -> None:
    """What is no image is never saved as one: the answer is not kept, one warning says why, the next call asks."""
    provider.fail_next(fault, "/files/images/")
    with pytest.warns(AskonceWarning, match=f"not recorded: an image .* from 127.0.0.1 .*({said})"):
        settled(client, n=2)
    assert 0 == dropin.stats().recorded
    draw(client, n=2)
    assert png(30) != file(draw(client, n=2).data[0].url).read_bytes()
    assert 2 == provider.count("/images/generations")
    assert not list(Path("images").glob(".*"))


def test_a_size_limit(client: Any, provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image beyond the limit is not kept."""
    monkeypatch.setattr(images, "_LARGEST", 20)
    with pytest.warns(AskonceWarning, match="larger than"):
        settled(client)
    assert 0 == dropin.stats().recorded


def test_another_place(client: Any) -> None:
    """The folder is a setting; a path with spaces makes a URL that opens."""
    dropin.configure(images="my pictures/of café")
    draw(client)
    path = file(draw(client).data[0].url)
    assert Path.cwd() / "my pictures" / "of café" == path.parent
    assert png(10) == path.read_bytes()


def test_a_folder_that_cannot_be_made(client: Any, provider: LocalProvider) -> None:
    """Where no file can be written, one warning says so, and the image is in the URL itself."""
    Path("images").write_text("a file")
    draw(client)
    with pytest.warns(AskonceWarning, match="images cannot be written"):
        url = draw(client).data[0].url
    assert as_url(png(10), "image/png") == url


def test_a_file_that_was_changed(client: Any) -> None:
    """A file of another content is put right, and a link is replaced, not followed."""
    draw(client)
    path = file(draw(client).data[0].url)
    path.write_bytes(b"x" * len(png(10)))
    assert png(10) == file(draw(client).data[0].url).read_bytes()
    path.unlink()
    elsewhere = Path("elsewhere.png")
    elsewhere.write_text("mine")
    path.symlink_to(elsewhere.absolute())
    assert png(10) == file(draw(client).data[0].url).read_bytes()
    assert "mine" == elsewhere.read_text()


HOSTILE = [
    "data:image/../../x;base64,AAAA",
    "data:image/svg+xml;base64," + base64.b64encode(b"<svg onload='x'/>").decode(),
    "data:text/html;base64," + base64.b64encode(b"<script>").decode(),
    "data:image/png;base64,not base64",
    "file:///etc/passwd",
    "images/../../../x.png",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_answers(client: Any, store: Path, url: str) -> None:
    """Whatever a store says of an image, no file is made of what is none, and none outside the folder."""
    settled(client)
    storage = askonce.open_storage(store)
    entry = next(storage.entries())
    body = json.dumps({"created": 1, "data": [{"url": url}]}).encode()
    head = Head(200, Headers(((b"content-type", b"application/json"),)))
    storage.add(entry.question, Take(Answer(head, 0.1, (Chunk(body, 0.1),)), 1.0), replace=True)
    storage.close()
    before = set(Path.cwd().parent.rglob("*"))
    assert url == draw(client).data[0].url
    assert before == {path for path in Path.cwd().parent.rglob("*") if "cache.db" not in path.name} | {
        path for path in before if "cache.db" in path.name
    }


def test_names_are_made_of_content() -> None:
    """A file's name says nothing that anybody wrote; what bytes are decides, not what they are said to be."""
    jpeg = b"\xff\xd8\xff\xe0 a picture"
    url = as_url(jpeg, "image/png")
    head = Head(200, Headers(((b"content-type", b"application/json"),)))
    answer = Answer(head, 0.0, (Chunk(json.dumps({"data": [{"url": url}]}).encode(), 0.0),))
    (picture,) = pictures(answer)
    assert (jpeg, url) == (picture.content, picture.url)
    assert picture.name.removesuffix(".jpg").isalnum()
    assert "image/jpeg" == media_type(jpeg, "application/octet-stream")
    assert None is media_type(jpeg, "text/html")
    assert None is media_type(b"<html>", "image/png")


def test_one_who_asks_meanwhile_waits(client: Any, provider: LocalProvider) -> None:
    """A call that asks the same while images are on their way has the recorded answer, and asks nobody."""
    provider.fail_next(Fault.STALL(0, 0.3), "/files/images/")
    draw(client)
    assert png(10) == file(draw(client).data[0].url).read_bytes()
    assert 1 == provider.count("/images/generations")


def test_enable_can_do_it_too(provider: LocalProvider, store: Path) -> None:
    """`images=` does for `enable` what it does for the drop-in; without it an answer is kept as it came."""
    import openai

    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key=KEY) as client:
        with askonce.caching(store, domains=[provider.url], images="pictures"):
            draw(client)
            assert Path.cwd() / "pictures" == file(draw(client).data[0].url).parent
        with askonce.caching("memory:plain", domains=[provider.url]):
            assert draw(client) == draw(client)
