"""The pytest plugin, as the suites of others meet it: in a pytest of its own."""

from __future__ import annotations

from tests.suite.conftest import Project, section

ONE = """
pytestmark = pytest.mark.askonce


@pytest.fixture(scope="module")
def greeting():
    return ask("Say hello.")


def test_first(greeting):
    assert greeting == greeting.strip()
    assert ask("Name a river.").startswith("Answer")


def test_loop():
    assert len({ask("Roll a die.") for _ in range(3)}) == 3


def test_same_question():
    assert ask("Name a river.")
"""


def test_record_then_offline(project: Project) -> None:
    """What was recorded once is replayed offline, in order, by several workers too, and nothing is written."""
    project.write("test_one.py", ONE)
    said = project.run(passed=3)
    assert 5 == project.asked == len(project.lines())
    assert "recorded 5 answers in recordings/test_one.jsonl" in section(said.replace("=", "-"), "askonce")
    assert [0, 0, 0, 1, 2] == sorted(line.get("slot", 0) for line in project.lines())
    before = (project.path / "recordings/test_one.jsonl").read_bytes()
    assert {"recorded", "ms"}.isdisjoint(project.lines()[0])
    project.run(ci=True, passed=3)
    said = project.run("-n", "2", "--dist", "load", ci=True, passed=3)
    assert "= askonce =" not in said
    assert 5 == project.asked
    assert before == (project.path / "recordings/test_one.jsonl").read_bytes()
    assert ["test_one.jsonl"] == [path.name for path in (project.path / "recordings").iterdir()]


def test_workers_record_together(project: Project) -> None:
    """Workers that record into one file at once leave it sorted, with each answer once."""
    tests = "".join(f"def test_{n}():\n    assert ask('Question {n % 6}')\n" for n in range(12))
    project.write("test_one.py", f"pytestmark = pytest.mark.askonce\n{tests}")
    said = project.run("-n", "2", "--dist", "load", passed=12)
    assert "recorded 6 answers in recordings/test_one.jsonl" in said
    keys = [line["key"] for line in project.lines()]
    assert (6, keys) == (len(set(keys)), sorted(keys))


def test_recording_again_changes_nothing(project: Project) -> None:
    """Asking everything anew leaves the file as it is where the answers are the same; so does making it again."""
    project.write("test_one.py", "@pytest.mark.askonce\ndef test_one():\n    assert ask('Hello?', seed=7)\n")
    project.run(passed=1)
    before = project.lines()
    project.run("--askonce=refresh", passed=1)
    after = project.lines()
    assert 2 == project.asked
    assert [line["asked"] for line in before] == [line["asked"] for line in after]


def test_failing_look_up(project: Project) -> None:
    """Offline, a changed prompt fails its test, and the report says what differs and how to record it."""
    text = "@pytest.mark.askonce\ndef test_poem():\n    assert ask('Write a haiku about rain.', temperature=0.2)\n"
    test = project.write("test_one.py", text)
    project.run(passed=1)
    test.write_text(test.read_text().replace("rain", "snow").replace("0.2", "0.3"))
    told = section(project.run(ci=True, failed=1), "askonce: not in recordings/test_one.jsonl")
    assert f"""\
This request is not recorded:
  POST {project.provider.url}/v1/chat/completions, model gpt-local
The nearest that is ({project.lines()[0]["key"][:12]}) differs in:
  messages[0].content
    now       "Write a haiku about snow."
    recorded  "Write a haiku about rain."
  temperature
    now       0.3
    recorded  0.2

If the change is meant, record it:
  pytest --askonce=record 'test_one.py::test_poem'""" == told.strip()
    assert 1 == project.asked


def test_once_more_than_recorded(project: Project) -> None:
    """A call more than were recorded is refused too, and told."""
    test = project.write(
        "test_one.py", "@pytest.mark.askonce\ndef test_one():\n    [ask('A') for _ in range(2)]\n"
    )
    project.run(passed=1)
    test.write_text(test.read_text().replace("range(2)", "range(3)"))
    told = section(project.run(ci=True, failed=1), "askonce: not in")
    assert "This is call 3 of this run that asks just this; 2 answers are recorded." in told


def test_the_network_is_blocked(project: Project) -> None:
    """Offline, nothing beyond this machine is connected to while a marked test runs; an unmarked test is free."""
    project.write(
        "test_one.py",
        """
import socket

def resolve():
    try:
        socket.getaddrinfo("askonce.invalid", 443)
    except OSError:
        return "free"

@pytest.mark.askonce
def test_marked():
    socket.getaddrinfo("localhost", 443)
    resolve()

def test_unmarked():
    assert resolve() == "free"
""",
    )
    said = project.run("--askonce=offline", passed=1, failed=1)
    assert "NetworkBlockedError: askonce is offline in this test, and something asked for askonce.invalid." in said
    assert "Offline, no connection was made to askonce.invalid." in section(said, "askonce: not in")


TWO = """
pytestmark = pytest.mark.askonce

@pytest.mark.parametrize("word", ["rain", "snow", "hail"])
def test_words(word):
    assert ask(f"Write about {word}.")
"""


def test_unused_recordings(project: Project) -> None:
    """What no test uses is told and, if wanted, removed: but only when all tests of the module ran and passed."""
    test = project.write("test_one.py", TWO)
    project.write("test_gone.py", TWO)
    project.run(passed=6)
    (project.path / "test_gone.py").unlink()
    test.write_text(test.read_text().replace('"hail"', '"HAIL"') + "\ndef test_odd():\n    pass\n")
    for arguments, outcomes in (
        (("-k", "rain"), {"passed": 1, "deselected": 3}),
        (("test_one.py::test_words[snow]",), {"passed": 1}),
        (("--askonce=offline",), {"passed": 3, "failed": 1}),
    ):
        said = project.run("--askonce-prune", *arguments, **outcomes)
        assert "used by no test" not in said
        assert "removed" not in said
    told = section(project.run("-n", "2", "--dist", "load", passed=4).replace("=", "-"), "askonce")
    assert "1 answer in recordings/test_one.jsonl was used by no test:" in told
    assert 'gpt-local  "Write about hail."' in told
    assert "3 answers in recordings/test_gone.jsonl were used by no test:" in told
    assert told.endswith("Remove what no test uses with --askonce-prune.")
    assert 4 == len(project.lines())
    said = project.run("--askonce-prune", passed=4)
    assert "removed 1 answer from recordings/test_one.jsonl" in said
    assert "removed 3 answers from recordings/test_gone.jsonl" in said
    assert ["test_one.jsonl"] == [path.name for path in (project.path / "recordings").iterdir()]
    assert 3 == len(project.lines())


def test_a_file_for_each_test(project: Project) -> None:
    """With a file for each test, the names of tests become those of files; files that no test has any more go."""
    project.configure("askonce_per = test\n")
    test = project.write("test_one.py", TWO.replace('"rain", "snow"', '"rain/sun", "snow"'))
    project.run(passed=3)
    names = sorted(path.name for path in (project.path / "recordings/test_one").iterdir())
    assert ["test_words[hail", "test_words[rain", "test_words[snow"] == [name[:15] for name in names]
    test.write_text(test.read_text().replace(', "hail"', ""))
    assert "removed 1 answer from recordings/test_one/" in project.run("--askonce-prune", ci=True, passed=2)
    assert 2 == len(list((project.path / "recordings/test_one").iterdir()))


def test_fixture(project: Project) -> None:
    """The fixture needs no mark, and tells what the calls have come to."""
    project.write(
        "test_one.py",
        """
def test_one(askonce):
    ask("A")
    assert (askonce.path.name, askonce.mode) == ("test_one.jsonl", "record")
    assert (askonce.stats.misses, askonce.stats.hits) == (1, 0)
""",
    )
    project.run(passed=1)
    assert 1 == len(project.lines())


MISTAKES = {
    "repeats='x'": "@pytest.mark.askonce(repeats=…): there is no such option. There are cassette, delays,",
    "'test'": "@pytest.mark.askonce takes names only, not 'test'.",
    "per='class'": "per: 'class' is neither 'module' nor 'test'.",
    "repeat='often'": "repeat: 'often' is no way to repeat.",
    "redact='['": "redact: '[' is no regular expression",
    "redact='x*'": "redact: 'x*' matches everywhere",
    "cassette='none.yaml'": "none.yaml is not there.",
}


def test_mistakes(project: Project) -> None:
    """A mistake in a mark is an error of its test, in a line, with what would be right."""
    tests = [f"@pytest.mark.askonce({mark})\ndef test_{n}():\n    pass\n" for n, mark in enumerate(MISTAKES)]
    project.write("test_one.py", "\n".join(tests))
    said = project.run(errors=len(MISTAKES))
    assert [] == [told for told in MISTAKES.values() if told not in said]
    assert "Traceback" not in said


def test_off(project: Project) -> None:
    """Off, calls go to the provider, and nothing is written."""
    project.write("test_one.py", "@pytest.mark.askonce\ndef test_one(askonce):\n    ask('A')\n    ask('A')\n")
    project.run("--askonce=off", passed=1)
    assert (2, []) == (project.asked, project.lines())


def test_redaction(project: Project) -> None:
    """What a pattern matches is written nowhere, neither of question nor answer; the question is found."""
    project.configure("askonce_redact =\n    jane@[a-z.]+\n    4711\\d*\n")
    project.write(
        "test_one.py",
        """
@pytest.mark.askonce(redact="Acme")
def test_one(askonce):
    askonce.redact("Berlin")
    assert ask("Write to jane@example.org, account 4711088, at Acme in Berlin.")
""",
    )
    project.run(passed=1)
    text = (project.path / "recordings/test_one.jsonl").read_text()
    assert [] == [word for word in ("jane", "4711", "Acme", "Berlin") if word in text]
    assert text.count("[redacted]") > 4
    project.run(ci=True, passed=1)


def test_keys_are_not_written(project: Project) -> None:
    """What looks like a key is not written; the test says so, and what to do."""
    key = "sk-proj-abcdefghijklmnopqrstuvwx"
    project.write("test_one.py", f"@pytest.mark.askonce\ndef test_one():\n    assert ask('My key:\\n{key}')\n")
    said = project.run(failed=1)
    assert "holds what looks like an OpenAI key (sk-proj…wx)" in said
    assert "askonce_redact" in said
    assert [] == project.lines()
    project.run("-o", r"askonce_redact=sk-proj-\w+", passed=1)
    assert 1 == len(project.lines())


ASYNC = """
import asyncio
import os

import httpx2

pytestmark = pytest.mark.askonce


async def ask_async(client, content):
    body = {"model": "gpt-local", "messages": [{"role": "user", "content": content}], "stream": True}
    headers = {"authorization": "Bearer sk-test-SECRET-suite-9f31c4"}
    response = await client.post(os.environ["URL"] + "/v1/chat/completions", json=body, headers=headers)
    assert response.status_code == 200
    return response.text


async def tell():
    async with httpx2.AsyncClient() as client:
        return await asyncio.gather(*(ask_async(client, f"Word {n % 3}") for n in range(6)))


@pytest.mark.asyncio
async def test_asyncio():
    assert len(set(await tell())) == 6


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_anyio(anyio_backend):
    assert len(set(await tell())) == 6
"""


def test_async_tests(project: Project) -> None:
    """Tests that are coroutines, of pytest-asyncio or anyio, are recorded and replayed like any others."""
    project.write("test_one.py", ASYNC)
    project.run(passed=2)
    assert 6 == project.asked == len(project.lines())
    project.run(ci=True, passed=2)
    assert 6 == project.asked


def test_cassettes_play(project: Project) -> None:
    """A cassette of vcrpy plays as it is; what it does not hold is recorded beside it, and the cassette stays."""
    body = '{"model":"gpt-local","messages":[{"role":"user","content":"Hello?"}]}'
    answer = '{"choices":[{"message":{"content":"from the cassette"},"finish_reason":"stop"}]}'
    cassette = project.path / "cassettes/test_one/test_one.yaml"
    cassette.parent.mkdir(parents=True)
    cassette.write_text(f"""\
interactions:
- request:
    body: '{body}'
    headers: {{content-type: [application/json]}}
    method: POST
    uri: {project.provider.url}/v1/chat/completions
  response:
    body: {{string: '{answer}'}}
    headers: {{content-type: [application/json], content-length: ['{len(answer)}']}}
    status: {{code: 200, message: OK}}
version: 1
""")
    text = "@pytest.mark.askonce\ndef test_one():\n    assert ask('Hello?') == 'from the cassette'\n"
    text += "    ask('More?')\n"
    project.write("test_one.py", text)
    before = cassette.read_bytes()
    project.run(passed=1)
    assert (1, 1, before) == (project.asked, len(project.lines()), cassette.read_bytes())
    project.run(ci=True, passed=1)


def test_nothing_is_done_where_it_is_not_used(project: Project) -> None:
    """A suite that does not ask for it gets no folder, no output, and no import of askonce."""
    project.write("test_one.py", "import sys\ndef test_one():\n    assert 'askonce' not in sys.modules\n")
    said = project.run(passed=1)
    assert "= askonce =" not in said
    assert not (project.path / "recordings").exists()
