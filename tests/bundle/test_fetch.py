"""A bundle is fetched whole, and is the one that was meant, or is not kept."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from askonce._core.entry import Entry
from askonce.bundle import fetch as module
from askonce.bundle.fetch import fetch, name_of
from askonce.errors import FetchError
from askonce.storage.bundle import BundleStorage
from tests.bundle.conftest import here
from tests.bundle.server import FileServer
from tests.storage.bundles import bundle
from tests.storage.conftest import ask, take


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """Return a bundle of some 200 KB."""
    path = tmp_path / "made"
    rng = random.Random(5)
    bundle(path, [Entry(ask(number), (take(rng.randbytes(5000)),)) for number in range(40)])
    data = path.read_bytes()
    path.unlink()
    return data


@pytest.fixture
def server(content: bytes) -> Iterator[FileServer]:
    with FileServer(content) as running:
        yield running


def test_it_is_fetched(server: FileServer, content: bytes) -> None:
    """The file is in the working directory under its own name, and progress was told in bytes."""
    told: list[tuple[int, int | None]] = []
    path = fetch(f"{server.url}/course/lesson.askonce", progress=lambda at, total: told.append((at, total)))
    assert Path.cwd() / "lesson.askonce" == path
    assert content == path.read_bytes()
    assert (len(content), len(content)) == told[-1]
    assert ["lesson.askonce"] == here()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h.test/lesson.askonce", "lesson.askonce"),
        ("https://h.test/a/lesson.askonce.gz?dl=1#x", "lesson.askonce"),
        ("https://h.test/a/lesson", "lesson.askonce"),
        ("https://h.test/", "answers.askonce"),
        ("https://h.test", "answers.askonce"),
        ("https://h.test/..%2f..%2fetc%2fpasswd", "passwd.askonce"),
        ("https://h.test/..", "answers.askonce"),
        ("https://h.test/a%00b%0a.askonce", "a-b.askonce"),
        ("https://h.test/..%5c..%5cboot.ini", "boot.ini.askonce"),
        ("https://h.test/Le%C3%A7on 1.askonce", "Leçon-1.askonce"),
    ],
)
def test_its_name_stays_in_the_folder(url: str, name: str) -> None:
    """Whatever a URL ends in, the file's name is one of the folder's."""
    assert name == name_of(url)


def test_a_cut_is_gone_on_with(server: FileServer, content: bytes) -> None:
    """An answer that breaks off is asked for from there, and no byte twice."""
    server.cut_after = [30_000, 50_000]
    path = fetch(f"{server.url}/x.askonce")
    assert content == path.read_bytes()
    assert [None, "bytes=30000-", "bytes=80000-"] == server.asked


def test_a_later_fetch_goes_on(server: FileServer, content: bytes) -> None:
    """Where it broke off for good, the next fetch begins there."""
    server.cut_after = [70_000, 0, 0, 0]
    with pytest.raises(FetchError, match=r"broke off after 70,000 bytes .*Fetch it again: it goes on from there"):
        fetch(f"{server.url}/x.askonce")
    assert not Path("x.askonce").exists()
    server.cut_after = []
    assert content == fetch(f"{server.url}/x.askonce").read_bytes()
    assert "bytes=70000-" == server.asked[-1]
    assert ["x.askonce"] == here()


def test_another_file_is_begun_anew(server: FileServer, content: bytes, tmp_path: Path) -> None:
    """Where the file at the URL has changed meanwhile, nothing of the old one is in the new one."""
    server.cut_after = [70_000, 0, 0, 0]
    with pytest.raises(FetchError):
        fetch(f"{server.url}/x.askonce")
    bundle(tmp_path / "other", [Entry(ask(1), (take(b"new"),))])
    server.content = (tmp_path / "other").read_bytes()
    server.cut_after = []
    assert server.content == fetch(f"{server.url}/x.askonce").read_bytes()


def test_a_server_without_ranges(server: FileServer, content: bytes) -> None:
    """A server that sends all of it again is understood."""
    server.ranges = False
    server.cut_after = [30_000]
    assert content == fetch(f"{server.url}/x.askonce").read_bytes()


def test_all_of_it_was_there(server: FileServer, content: bytes) -> None:
    """Where only the last step was missing, nothing is sent again."""
    url = f"{server.url}/x.askonce"
    Path(".x.askonce.part").write_bytes(content)
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    note = {"url": hashlib.sha256(url.encode()).hexdigest(), "validator": etag}
    Path(".x.askonce.part.json").write_text(__import__("json").dumps(note))
    assert content == fetch(url).read_bytes()
    assert [f"bytes={len(content)}-"] == server.asked


def test_it_may_be_compressed_once_more(content: bytes) -> None:
    """A file that is gzip is unpacked; its digest is that of what was sent."""
    packed = gzip.compress(content)
    with FileServer(packed) as server:
        digest = hashlib.sha256(packed).hexdigest()
        assert content == fetch(f"{server.url}/x.askonce.gz#sha256={digest}").read_bytes()
    assert ["x.askonce"] == here()


@pytest.mark.parametrize("in_url", [True, False])
def test_the_digest_is_compared(server: FileServer, content: bytes, in_url: bool) -> None:
    """With its digest in the URL, or beside it, the file is kept when it has it, and another is not."""
    url = f"{server.url}/x.askonce"
    for digest in (hashlib.sha256(content).hexdigest(), "0" * 64):
        given = (f"{url}#sha256={digest}", "") if in_url else (url, digest)
        if digest == "0" * 64:
            Path("x.askonce").unlink()
            with pytest.raises(
                FetchError, match=f"is not the file that was meant: its SHA-256 is .*, not {digest}"
            ):
                fetch(given[0], sha256=given[1])
        else:
            fetch(given[0], sha256=given[1])
    assert [] == here(), "not even a part of it is kept"


@pytest.mark.parametrize(
    ("status", "advice"), [(404, "nothing at this URL"), (403, "not open to everybody"), (503, "later")]
)
def test_an_error_is_said(server: FileServer, status: int, advice: str) -> None:
    """An error is named, with what to do."""
    server.status = status
    with pytest.raises(FetchError, match=f"answered {status} .*{advice}"):
        fetch(f"{server.url}/x.askonce")
    assert [] == here()


PACKED_PAGE = gzip.compress(b"<html>", mtime=0)  # a name of a test holds it: no time may be in it


@pytest.mark.parametrize(
    ("content_sent", "kind", "message"),
    [
        (b"<!DOCTYPE html><p>Sign in", "text/html; charset=utf-8", "is a web page.*downloads the file itself"),
        (b"  <html>", "application/octet-stream", "is a web page"),
        (b"\x80\x04\x95pickle", "application/octet-stream", "is application/octet-stream, and no bundle"),
        (PACKED_PAGE, "application/gzip", "is no bundle of askonce's: it begins with b'<html>'"),
        (gzip.compress(b"x" * 99, mtime=0)[:-9], "application/gzip", "cannot be unpacked"),
        (b"", "application/octet-stream", "is no bundle of askonce's"),
    ],
)  # fmt: skip
def test_what_is_no_bundle_is_refused(content_sent: bytes, kind: str, message: str) -> None:
    """A page, or anything else, is refused as what it is, and not kept."""
    with FileServer(content_sent, kind=kind) as server, pytest.raises(FetchError, match=message):
        fetch(f"{server.url}/x.askonce")
    assert [] == [name for name in here() if not name.endswith((".part", ".json"))]


def test_a_damaged_one_is_refused(content: bytes) -> None:
    """A bundle that was damaged on its way is told by its own digests, also without one in the URL."""
    damaged = bytearray(content)
    damaged[100_000] ^= 4
    with FileServer(bytes(damaged)) as server:
        with pytest.raises(FetchError, match=r"x\.askonce is damaged: block .* It was not kept"):
            fetch(f"{server.url}/x.askonce")
        with FileServer(content[:-10]) as cut, pytest.raises(FetchError, match="is damaged: it has"):
            fetch(f"{cut.url}/x.askonce")
    assert [] == here()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "is no URL to fetch from"),
        ("ftp://host/x", "is no URL to fetch from"),
        ("lesson.askonce", "is no URL to fetch from"),
        ("https://", "is no URL to fetch from"),
        ("https://h.test/x#sha256=12", "what follows # is no digest"),
        ("http://127.0.0.1:1/x.askonce", "cannot be reached"),
    ],
)
def test_a_url_that_is_none(url: str, message: str) -> None:
    """Only http and https are asked, and what is wrong with a URL is said."""
    with pytest.raises(FetchError, match=message):
        fetch(url)


def test_a_folder_that_cannot_be_written(server: FileServer) -> None:
    """Where the file cannot be written, that is said."""
    with pytest.raises(FetchError, match="cannot be written"):
        fetch(f"{server.url}/x.askonce", Path("nowhere"))


def test_no_space(server: FileServer, content: bytes) -> None:
    """Where the file has no room, that is said; with room again, the next fetch goes on from there."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, hard))
    try:
        with pytest.raises(FetchError, match=r"x\.askonce cannot be written"):
            fetch(f"{server.url}/x.askonce")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "x.askonce" not in here()
    assert content == fetch(f"{server.url}/x.askonce").read_bytes()


def test_a_bar_is_shown_at_a_terminal(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where somebody looks, how far it is is shown, and gone in the end; elsewhere nothing is."""
    fetch(f"{server.url}/x.askonce", shown=True)
    assert "" == capsys.readouterr().err
    monkeypatch.setattr(module, "_is_terminal", lambda: True)
    fetch(f"{server.url}/x.askonce", shown=True)
    shown = capsys.readouterr().err
    assert "\rFetching x.askonce: 0.2 of 0.2 MB, 100%" in shown
    assert shown.endswith(" \r")


def test_it_can_be_used_at_once(server: FileServer) -> None:
    """What was fetched answers."""
    storage = BundleStorage(fetch(f"{server.url}/x.askonce"))
    assert 1 == len(storage.takes(ask(7).key))
