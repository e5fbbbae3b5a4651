"""The lesson in examples/classroom, from the teacher's folder to students who have no key, in every form."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from askonce.testing import LocalProvider
from tests.bundle.classroom import LESSON, ROOT, Environment, Output, code_of
from tests.bundle.server import FileServer
from tests.scan import unfolded

KERNEL = "ipykernel"  # what runs the cells of a notebook
TEACHERS_KEY = "sk-SECRET-teacher-41d0"


class Course(NamedTuple):
    """What a teacher hands out, how the lesson came out, and where the provider was, which is gone."""

    folder: Path
    wheels: Path
    output: Output
    url: str


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """Prepare the lesson as its README says."""
    wheels = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheels), str(ROOT)]
    subprocess.run(pip, check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("teacher")
    desk = Environment(tmp_path_factory.mktemp("desk"), "openai", "click", "rich", KERNEL)
    desk.install(*map(str, wheels.iterdir()))
    with LocalProvider() as provider:
        url = f"{provider.url}/v1"
        asked = desk.lesson(folder, OPENAI_BASE_URL=url, OPENAI_API_KEY=TEACHERS_KEY, ASKONCE_MODE="record")
        requests = len(provider.received)
    assert 11 == requests, "nine questions, and the picture twice: for the store, and by the lesson itself"
    seen = desk.lesson(folder, OPENAI_BASE_URL=url)
    assert asked == seen
    for form in ("lesson.askonce", "lesson_1.py", "dist --as package --name lesson-1"):
        made = desk.run("askonce", "pack", *form.split(), folder=folder)
        assert 0 == made.returncode, made.stderr
    return Course(folder, wheels, seen, url)


@pytest.fixture
def desk(course: Course, tmp_path: Path) -> Environment:
    """Return a student's environment: openai, a notebook's kernel, and askonce as its wheel installs it."""
    fresh = Environment(tmp_path / "venv", "openai", "click", "rich", KERNEL)
    fresh.install(*map(str, course.wheels.iterdir()))
    return fresh


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """Return a student's folder."""
    folder = tmp_path / "student"
    folder.mkdir()
    return folder


@pytest.fixture
def served(course: Course) -> Iterator[FileServer]:
    """Return a web server with the bundle on it."""
    with FileServer((course.folder / "lesson.askonce").read_bytes()) as server:
        yield server


def test_what_the_teacher_sees(course: Course) -> None:
    """The lesson has something of everything in it, and says the same as a script and as a notebook."""
    lines = course.output.script.splitlines()
    assert course.output.script == course.output.notebook
    numbers = [line.partition(" ")[2].split(" ", 2)[-1] for line in lines if line.startswith("Seed")]
    assert 3 == len(set(numbers))
    assert [*numbers, numbers[0]] == [line.removeprefix("Next: ") for line in lines if line.startswith("Next")]
    assert {".png", ".mp3"} == {Path(name).suffix for name in course.output.files}
    assert ["Embedding", "Embedding", "Picture:", "Heard:"] == [line.split()[0] for line in lines[-4:]]


def test_a_file(course: Course, desk: Environment, empty: Path) -> None:
    """The bundle lies in the student's folder."""
    (empty / "lesson.askonce").write_bytes((course.folder / "lesson.askonce").read_bytes())
    assert course.output == desk.lesson(empty, OPENAI_BASE_URL=course.url)


def test_an_address(course: Course, desk: Environment, empty: Path, served: FileServer) -> None:
    """The bundle is at an address, which a variable names."""
    url = f"{served.url}/lesson.askonce"
    assert course.output == desk.lesson(empty, OPENAI_BASE_URL=course.url, ASKONCE_CACHE_URL=url)
    assert [None] == served.asked, "fetched once, for the script; the notebook found it there"


def test_an_address_that_is_fetched_from(
    course: Course, desk: Environment, empty: Path, served: FileServer
) -> None:
    """The student fetches the bundle with one command."""
    done = desk.run("askonce", "fetch", f"{served.url}/lesson.askonce", folder=empty)
    assert 0 == done.returncode, done.stderr
    assert course.output == desk.lesson(empty, OPENAI_BASE_URL=course.url)


def test_a_package(course: Course, desk: Environment, empty: Path) -> None:
    """The student installs a package."""
    desk.install("--find-links", str(course.folder / "dist"), "lesson-1")
    assert course.output == desk.lesson(empty, OPENAI_BASE_URL=course.url)


def test_a_module(course: Course, empty: Path, tmp_path: Path) -> None:
    """The student imports one file in place of openai, where nothing but openai is installed."""
    bare = Environment(tmp_path / "venv", "openai", KERNEL)
    assert "No module named 'askonce'" in bare.run("python", "-c", "import askonce", folder=empty).stderr
    (empty / "lesson_1.py").write_bytes((course.folder / "lesson_1.py").read_bytes())
    assert course.output == bare.lesson(empty, "lesson_1", OPENAI_BASE_URL=course.url)


def test_a_question_of_ones_own(course: Course, desk: Environment, empty: Path) -> None:
    """What the teacher has not asked needs a key, and says so."""
    (empty / "lesson.askonce").write_bytes((course.folder / "lesson.askonce").read_bytes())
    own = 'print(openai.OpenAI().embeddings.create(model="text-embedding-3-small", input="cocoa"))'
    done = desk.run("python", "-c", f"import askonce.openai as openai; {own}", folder=empty)
    assert 1 == done.returncode
    assert "this question was not recorded, and there is no API key to ask it with" in done.stderr


def test_no_form_holds_a_secret(course: Course) -> None:
    """The teacher's key, folder and computer are in nothing that is handed out, unfolded to the last byte."""
    forms = [course.folder / "lesson.askonce", course.folder / "lesson_1.py", *(course.folder / "dist").iterdir()]
    assert 4 == len(forms)
    for form in forms:
        pieces = [form.read_bytes(), *unfolded(form.read_bytes())]
        assert any(b"Answer 1" in piece for piece in pieces), "it is unfolded to the answers"
        for word in (b"SECRET", b"authorization", str(course.folder).encode()):
            assert not any(word in piece for piece in pieces if b"def " not in piece)


def test_the_package_is_fit_for_an_index(course: Course) -> None:
    """Twine finds no fault in wheel and sdist, and the wheel that pip builds from the sdist holds the same."""
    dist = course.folder / "dist"
    check = [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *map(str, dist.iterdir())]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout
    assert 2 == done.stdout.count("PASSED")
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    built = course.folder / "built"
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", built, sdist], check=True)
    again = built / wheel.name
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(again) as theirs:
        carried = [name for name in ours.namelist() if ".dist-info/" not in name]
        assert carried == [name for name in theirs.namelist() if ".dist-info/" not in name]
        assert [ours.read(name) for name in carried] == [theirs.read(name) for name in carried]


def test_the_notebook_is_the_script() -> None:
    """Notebook and script are one lesson."""
    script = (LESSON / "lesson.py").read_text(encoding="utf-8").partition('"""\n')[2]
    notebook = code_of(LESSON / "lesson.ipynb").partition("\n")[2]
    assert " ".join(script.split()) == " ".join(notebook.split())
