"""Each form, from the teacher's store to a student's empty folder: no key, no provider, the same output."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest

import askonce
from askonce.bundle.packing import Form, Packed
from askonce.storage.bundle import BundleStorage
from askonce.testing import LocalProvider
from tests.bundle.conftest import here
from tests.bundle.server import FileServer
from tests.scan import unfolded

SITE = Path(openai.__file__).parent.parent
PROGRAM = """
import {module} as openai

client = openai.OpenAI({key}base_url="{url}/v1")
question = {{"role": "user", "content": "A number?"}}


def number(**more):
    return client.chat.completions.create(model="gpt-5", messages=[question], **more)


print(number(seed=1).choices[0].message.content)
print(number(seed=2).choices[0].message.content)
print("".join(c.choices[0].delta.content or "" for c in number(stream=True) if c.choices))
print([round(v, 2) for v in client.embeddings.create(model="e", input="x").data[0].embedding])
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what a teacher has: the output of the program, its store, and where the provider was."""
    folder = tmp_path_factory.mktemp("teacher")
    with LocalProvider() as provider:
        text = PROGRAM.format(module="askonce.openai", key="api_key='sk-teacher', ", url=provider.url)
        done = run(folder, text, ASKONCE_MODE="record", ASKONCE_STORE=str(folder / "cache.db"))
        assert 4 == len(provider.received)
    assert (0, "") == (done.returncode, done.stderr)
    return SimpleNamespace(output=done.stdout, store=folder / "cache.db", url=provider.url)


def run(folder: Path, text: str, *flags: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, without a key."""
    (folder / "program.py").write_text(text)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASKONCE_", "OPENAI_"))}
    return subprocess.run(
        [sys.executable, *flags, "program.py"],
        cwd=folder,
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def pack(course: Any, path: str, **options: Any) -> Packed:
    return askonce.materialize(path, course.store, half_embeddings=True, **options)


def student(course: Any, folder: Path, *flags: str, module: str = "askonce.openai", **environ: str) -> str:
    """Return what the program writes in a student's folder."""
    done = run(folder, PROGRAM.format(module=module, key="", url=course.url), *flags, **environ)
    assert 0 == done.returncode, done.stderr
    assert course.output == done.stdout
    return done.stderr


def test_a_file_in_the_folder(course: Any, tmp_path: Path) -> None:
    """A file that lies in the working directory is found; its title and note are shown."""
    pack(course, "lesson.askonce", final=True, title="Lesson 1", note="Numbers.")
    assert "Lesson 1\nNumbers.\n" == student(course, tmp_path)


def test_a_module(course: Any, tmp_path: Path) -> None:
    """One file is imported instead of openai where no askonce is; it needs openai alone, and writes nothing."""
    pack(course, "lesson.py")
    # Without `site`, links among the installed packages are not followed: askonce, which is one, is not there.
    without = run(tmp_path, "import askonce", "-S", PYTHONPATH=str(SITE))
    assert "No module named 'askonce'" in without.stderr
    assert "" == student(course, tmp_path, "-S", module="lesson", PYTHONPATH=str(SITE))
    assert {"program.py", "lesson.py"} == set(here()) - {"__pycache__"}


def test_a_module_beside_askonce(course: Any, tmp_path: Path) -> None:
    """Where askonce is installed, or imported already, the module uses that one."""
    pack(course, "lesson.py")
    program = PROGRAM.format(module="lesson", key="", url=course.url)
    done = run(
        tmp_path, f"import askonce.openai\naskonce.openai.stats()\n{program}\nprint(openai is askonce.openai)"
    )
    assert (f"{course.output}True\n", "") == (done.stdout, done.stderr)


def test_a_module_in_a_hurry(course: Any, tmp_path: Path) -> None:
    """A module that was cut, or whose askonce is too old, says so; run as a program it says what it is for."""
    pack(course, "lesson.py")
    text = Path("lesson.py").read_bytes()
    Path("cut.py").write_bytes(text[:-50] + b"\n")
    Path("torn.py").write_bytes(text.replace(b"# UEsD", b"# \xc3\xa4ssD"))
    (tmp_path / "askonce").mkdir()
    (tmp_path / "askonce" / "__init__.py").write_text('__version__ = "0.0.1"\n')
    done = run(tmp_path, "import askonce\nimport lesson", "-S", PYTHONPATH=str(SITE))
    assert f"needs askonce {askonce.__version__}, and 0.0.1 is in use. Update it" in done.stderr
    assert "is cut or was edited" in run(tmp_path, "import cut", "-S", PYTHONPATH=str(SITE)).stderr
    assert "its code cannot be read" in run(tmp_path, "import torn", "-S", PYTHONPATH=str(SITE)).stderr
    done = subprocess.run([sys.executable, "lesson.py"], capture_output=True, text=True, check=True)
    assert "It is no program" in done.stdout


def test_a_package(course: Any, tmp_path: Path) -> None:
    """A wheel that is installed is found, and another one beside it."""
    wheels = []
    for name, title in (("lesson-1", "One"), ("lesson.two", "Two")):
        made = askonce.materialize("dist", course.store, form="package", name=name, title=title, version="2026.1")
        wheels.append(str(made.paths[0]))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", "site"]
    subprocess.run([*pip, *wheels], check=True, capture_output=True)
    (tmp_path / "class").mkdir()
    stderr = student(course, tmp_path / "class", PYTHONPATH=str(tmp_path / "site"))
    assert "One\nTwo\n" == stderr
    made_here = {path.name for path in Path("dist").iterdir()}
    assert {"lesson_1-2026.1-py3-none-any.whl", "lesson_1-2026.1.tar.gz"} <= made_here


def test_a_wheel_is_as_the_specification_has_it(course: Any) -> None:
    """The wheel's record names every file with its digest; metadata, entry point and sdist say the same."""
    import base64
    import hashlib

    made = pack(course, "dist", form="package", name="My.Lesson-1", title="Zwei\nZeilen “é”", note="A note.")
    again = pack(course, "dist2", form="package", name="My.Lesson-1", title="Zwei\nZeilen “é”", note="A note.")
    wheel, sdist = made.paths
    assert "my_lesson_1-1.0-py3-none-any.whl" == wheel.name == again.paths[0].name
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        record = [
            line.split(",") for line in archive.read("my_lesson_1-1.0.dist-info/RECORD").decode().splitlines()
        ]
        assert sorted(archive.namelist()) == sorted(name for name, _, _ in record)
        for name, digest, size in record[:-1]:
            data = archive.read(name)
            assert (
                f"sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()}" == digest
            )
            assert str(len(data)) == size
        metadata = archive.read("my_lesson_1-1.0.dist-info/METADATA")
        points = archive.read("my_lesson_1-1.0.dist-info/entry_points.txt").decode()
    told = message_from_bytes(metadata)
    assert ("My.Lesson-1", "1.0", "askonce") == (told["Name"], told["Version"], told["Requires-Dist"])
    assert "Zwei Zeilen “é”" == metadata.decode().partition("Summary: ")[2].partition("\n")[0]
    assert "[askonce.bundles]\nmy_lesson_1 = askonce_bundle_my_lesson_1\n" == points
    with tarfile.open(sdist) as source:
        names = source.getnames()
        project = source.extractfile("my_lesson_1-1.0/pyproject.toml")
        assert project is not None
        text = project.read().decode()
    import tomllib

    assert "my_lesson_1-1.0/PKG-INFO" in names
    assert "my_lesson_1-1.0/src/askonce_bundle_my_lesson_1/my_lesson_1.askonce" in names
    parsed = tomllib.loads(text)["project"]
    assert ("My.Lesson-1", "Zwei Zeilen “é”", ["askonce"]) == (
        parsed["name"],
        parsed["description"],
        parsed["dependencies"],
    )
    assert {"askonce.bundles": {"my_lesson_1": "askonce_bundle_my_lesson_1"}} == parsed["entry-points"]


def test_a_url(course: Any, tmp_path: Path) -> None:
    """A bundle at ASKONCE_CACHE_URL is fetched into the folder once, and there from then on."""
    made = pack(course, "made.askonce")
    content = made.paths[0].read_bytes()
    made.paths[0].unlink()
    with FileServer(content) as server:
        url = f"{server.url}/course/lesson.askonce"
        student(course, tmp_path, ASKONCE_CACHE_URL=url)
        assert [None] == server.asked
    student(course, tmp_path, ASKONCE_CACHE_URL=url)
    assert content == Path("lesson.askonce").read_bytes()


def test_nothing_is_asked_of_a_script(course: Any, tmp_path: Path) -> None:
    """A script without a terminal that finds no bundle asks for no URL: it says that a key is needed."""
    done = run(tmp_path, PROGRAM.format(module="askonce.openai", key="", url=course.url))
    assert 1 == done.returncode
    assert "paste it" not in done.stdout + done.stderr
    assert "not recorded" in done.stderr


@pytest.mark.parametrize("form", ["file", "module", "package"])
def test_no_form_holds_a_secret_or_a_path(course: Any, form: Form) -> None:
    """Unfolded to the last block, no form holds the key, a path of this computer, or, when final, a question."""
    path = {"file": "x.askonce", "module": "x.py", "package": "dist"}[form]
    made = askonce.materialize(path, course.store, form=form, final=True, name="x")
    for file in made.paths:
        pieces = [file.read_bytes(), *unfolded(file.read_bytes())]
        assert any(b"Answer 1" in piece for piece in pieces), "it is unfolded to the answers"
        pieces = [piece for piece in pieces if b"Answer 1" in piece or piece.startswith((b"\x89", b"{"))]
        for word in (b"sk-teacher", b'"messages"', str(Path.cwd()).encode(), str(course.store.parent).encode()):
            assert not any(word in piece for piece in pieces)


def test_materialize_of_the_original(course: Any, tmp_path: Path) -> None:
    """`openai.materialize` takes the arguments of cached_openai's, and makes a file or a module."""
    program = (
        "import askonce.openai as openai\n"
        "print(openai.materialize(True, True, True, False, True).paths[0])\n"
        "print(openai.materialize(self_contained=False, compress=False, hash_keys=False, used_keys_only=False,"
        " compress_embeddings=False).paths[0])\n"
    )
    done = run(tmp_path, program, ASKONCE_STORE=str(course.store))
    assert (0, "") == (done.returncode, done.stderr)
    module, file = map(Path, done.stdout.split())
    assert module.stem.startswith("cached_openai_20")
    assert module.stem.isidentifier()
    manifest = BundleStorage(file).manifest
    assert (3, 4, False, False, 0.0) == (
        manifest.entries,
        manifest.takes,
        manifest.final,
        manifest.half,
        manifest.delays,
    )
