"""Which bundles a program finds that names none, and in which order they count."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from askonce._core.entry import Entry
from askonce.bundle import discovery
from askonce.bundle.discovery import chosen_delays, find_bundles, greet, person
from askonce.errors import AskonceWarning
from askonce.storage.bundle import BundleStorage
from tests.bundle.server import FileServer
from tests.storage.bundles import bundle
from tests.storage.conftest import ask, take


def make(path: Path, **told: object) -> BundleStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    return bundle(path, [Entry(ask(1), (take(path.stem.encode()),))], **told)


def names(found: list[BundleStorage]) -> list[str]:
    return [one.path.name for one in found]


def install(folder: Path, name: str, *, module: str | None = None, code: str = "") -> None:
    """Install a package with a bundle in a folder of packages."""
    module = module or f"askonce_bundle_{name}"
    make(folder / module / f"{name}.askonce")
    (folder / module / "__init__.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[askonce.bundles]\n{name} = {module}\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def test_the_order(packages: Path, tmp_path: Path) -> None:
    """Files of the folder by name come first, then packages by name; other files are none."""
    install(packages, "zoo")
    install(packages, "apes")
    for name in ("b.askonce", "a.askonce"):
        make(tmp_path / name)
    (tmp_path / "c.txt").write_text("")
    (tmp_path / "folder.askonce").mkdir()
    assert ["a.askonce", "b.askonce", "apes.askonce", "zoo.askonce"] == names(find_bundles())


def test_no_code_of_a_package_runs(packages: Path) -> None:
    """Finding a package's bundle does not import it; a package that is not there is passed over."""
    install(packages, "trap", code="raise SystemExit('it ran')")
    install(packages, "nested", module="os.path")
    install(packages, "gone")
    (packages / "askonce_bundle_gone" / "gone.askonce").unlink()
    assert ["trap.askonce"] == names(find_bundles())
    assert "askonce_bundle_trap" not in sys.modules


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """A damaged file is warned of; the others are found."""
    make(tmp_path / "b.askonce")
    (tmp_path / "a.askonce").write_bytes(b"<html>")
    with pytest.warns(AskonceWarning, match=r"a\.askonce is no bundle.*It is left out"):
        assert ["b.askonce"] == names(find_bundles())


def test_a_url_that_fails(tmp_path: Path) -> None:
    """A URL that cannot be fetched is warned of; what is there is found."""
    make(tmp_path / "b.askonce")
    with pytest.warns(AskonceWarning, match="cannot be reached .*looked for elsewhere"):
        assert ["b.askonce"] == names(find_bundles(url="http://127.0.0.1:1/a.askonce"))


def test_a_person_is_asked_only_where_there_is_none(tmp_path: Path) -> None:
    """Whoever sits there is asked for a URL when no bundle is found, and that is used; Enter is no URL."""
    prompts: list[str] = []
    content = make(tmp_path / "x").path.read_bytes()
    with FileServer(content) as server:

        def reply(prompt: str) -> str:
            prompts.append(prompt)
            return f" {server.url}/lesson.askonce\n" if len(prompts) > 1 else ""

        assert [] == find_bundles(ask=reply)
        assert ["lesson.askonce"] == names(find_bundles(ask=reply))
        assert ["lesson.askonce"] == names(find_bundles(ask=reply))
    assert 2 == len(prompts)
    assert "paste it; else press Enter" in prompts[0]


class Terminal:
    def __init__(self, is_one: bool) -> None:
        self.is_one = is_one

    def isatty(self) -> bool:
        return self.is_one


@pytest.mark.parametrize(
    ("stdin", "stderr", "is_there"),
    [(True, True, True), (False, True, False), (True, False, False)],
)
def test_where_a_person_is(monkeypatch: pytest.MonkeyPatch, stdin: bool, stderr: bool, is_there: bool) -> None:
    """A person is there where a terminal is read and written; one who ends the input gives no URL."""
    monkeypatch.setattr(sys, "stdin", Terminal(stdin))
    monkeypatch.setattr(sys, "stderr", Terminal(stderr))
    asks = person()
    assert is_there == (asks is not None)

    def ends(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", ends)
    assert asks is None or "" == asks("?")


def test_a_notebook_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook there is a person, though no terminal; where there is no input at all there is none."""
    monkeypatch.setattr(sys, "stdin", None)
    assert person() is None
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert person() is input


def test_delays_are_those_of_the_first_that_says(tmp_path: Path) -> None:
    """The first bundle that says how delays are replayed decides, also that there are none."""
    assert chosen_delays([make(tmp_path / "a.askonce")]) is None
    found = [make(tmp_path / f"{n}.askonce", delays=scale) for n, scale in enumerate((None, 0.0, 1.0))]
    assert 0.0 == chosen_delays(found)


def test_titles_are_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle's title and note are written to standard error once, and cannot drive the terminal."""
    discovery._greeted.clear()
    one = make(tmp_path / "a.askonce", title="Lesson\x1b[2J", note="Read this.\nTwice.")
    greet([one, make(tmp_path / "b.askonce")])
    greet([one])
    assert "Lesson�[2J\nRead this.\nTwice.\n" == capsys.readouterr().err
