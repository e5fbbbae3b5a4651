"""How calls through the drop-in are answered: modes, several answers, keys, delays."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import openai
import pytest

import askonce
import askonce.openai as dropin
from askonce.testing import LocalProvider
from tests.dropin.conftest import KEY, MODEL, QUESTION, WAYS, Ask, plain


def answers(ask: Ask, client: Any, seeds: list[int | None]) -> list[str]:
    return [ask(client) if seed is None else ask(client, seed=seed) for seed in seeds]


def test_the_manuals_example(client: Any, ask: Ask, provider: LocalProvider) -> None:
    """The rotation example of cached_openai's manual, to the letter: three are asked, and come round."""
    asked = answers(ask, client, [None, 1, 2])
    assert 3 == len(set(asked)) == provider.count()
    first, second, third = asked
    assert [third, first, second, third, first] == answers(ask, client, [2, None, None, None, None])
    assert 3 == provider.count()


def test_the_turn_is_the_processs(client: Any, provider: LocalProvider) -> None:
    """Clients share the rotation, and `configure` does not begin it anew."""
    asked = answers(plain, client, [None, 1, 2])
    assert asked[0] == plain(client)
    with dropin.OpenAI(base_url=client.base_url, api_key=KEY) as other:
        assert asked[1] == plain(other)
        dropin.configure(delays=0)
        assert asked[2] == plain(client)
        assert asked[0] == plain(other)
    assert 3 == provider.count()


def test_recorded_with_seeds_alone(client: Any, ask: Ask, provider: LocalProvider) -> None:
    """A question that was recorded only with seeds answers a call without one."""
    asked = answers(ask, client, [1, 2])
    assert [*asked, *asked] == answers(ask, client, [None] * 4)
    assert 2 == provider.count()


def test_seeds_that_the_api_has_are_sent(client: Any, provider: LocalProvider) -> None:
    """`seed` goes to the provider where the API has one, and nowhere else; nor do the other keywords."""
    plain(client, seed=7, delay=True, overwrite_cache=True)
    assert b'"seed":7' in provider.received[-1].body.replace(b" ", b"")
    calls: dict[str, Any] = {
        "embeddings": lambda **more: client.embeddings.create(model="e", input="x", **more).data[0].embedding,
        "speech": lambda **more: client.audio.speech.create(model="s", voice="alloy", input="x", **more).content,
        "responses": lambda **more: client.responses.create(model="r", input="x", **more).output_text,
        "images": lambda **more: client.images.generate(prompt="x", **more).data[0].b64_json,
        "moderations": lambda **more: client.moderations.create(input="x", **more).id,
        "transcriptions": lambda **more: (
            client.audio.transcriptions.create(model="w", file=("a.wav", b"RIFF"), **more).text
        ),
    }
    for call in calls.values():
        given = [call(seed=seed, delay=0, overwrite_cache=False) for seed in (1, 2, 1)]
        assert given[0] == given[2] != given[1]
        assert [given[0], given[1], given[0]] == [call() for _ in range(3)]
        for received in provider.received[-2:]:
            assert b"seed" not in received.body
            assert b"delay" not in received.body
            assert not [name for name, _ in received.headers if "askonce" in name]
    assert 1 + 2 * len(calls) == provider.count()


def test_production_mode(client: Any, ask: Ask, provider: LocalProvider) -> None:
    """In production mode what is recorded is answered, what is not is asked and not kept."""
    recorded = ask(client)
    dropin.configure(mode="replay")
    assert recorded == ask(client)
    assert ask(client, temperature=0.5) != ask(client, temperature=0.5)
    assert 3 == provider.count()


def test_production_mode_is_the_default(provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word nothing is recorded; cached_openai's variable makes it dev mode, whatever its value."""
    with dropin.OpenAI(base_url=f"{provider.url}/v1", api_key=KEY) as client:
        assert plain(client) != plain(client)
    assert not Path(".askonce").exists()
    dropin._state.reset()
    monkeypatch.setenv("CACHED_OPENAI_DEV_MODE", "0")
    with dropin.OpenAI(base_url=f"{provider.url}/v1", api_key=KEY) as client:
        assert plain(client) == plain(client)
    assert Path(".askonce/cache.db").exists()


def test_overwriting(client: Any, ask: Ask, provider: LocalProvider) -> None:
    """`overwrite_cache` has a new answer: in dev mode it replaces the old one, in production nothing is kept."""
    first = ask(client)
    second = ask(client, overwrite_cache=True)
    assert first != second == ask(client)
    dropin.configure(mode="replay")
    assert ask(client, overwrite_cache=True) not in (first, second)
    assert second == ask(client)
    dropin.configure(mode="offline")
    assert second == ask(client, overwrite_cache=True)
    assert 3 == provider.count()


def test_no_key(client: Any, ask: Ask, provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded answers need no key; others say that they are not recorded, and what to set. Nothing is asked."""
    recorded = ask(client)
    with dropin.OpenAI(base_url=client.base_url) as keyless:
        assert recorded == ask(keyless)
        with pytest.raises(openai.AuthenticationError, match=r"was not recorded, .* Set OPENAI_API_KEY"):
            ask(keyless, temperature=1)
        with pytest.raises(openai.AuthenticationError, match="OPENAI_API_KEY"):
            keyless.models.list()
    assert 1 == provider.count()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with dropin.OpenAI(base_url=client.base_url) as keyed:
        ask(keyed, temperature=1)
    assert f"Bearer {KEY}" == provider.received[-1].header("authorization")


@pytest.mark.parametrize("name", ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID"])
def test_an_organization_is_part_of_the_question(
    provider: LocalProvider, store: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What was asked under an organization or a project does not answer those who have none."""
    dropin.configure(store, mode="record")
    monkeypatch.setenv(name, "own-1")
    with dropin.OpenAI(base_url=f"{provider.url}/v1", api_key=KEY) as teacher:
        assert plain(teacher) == plain(teacher)
    monkeypatch.delenv(name)
    with (
        dropin.OpenAI(base_url=f"{provider.url}/v1") as student,
        pytest.raises(openai.AuthenticationError, match="not recorded"),
    ):
        plain(student)
    assert 1 == provider.count()


def test_no_key_for_azure(provider: LocalProvider, store: Path) -> None:
    """The same for Azure, sync and async."""
    dropin.configure(store, mode="record")
    where = {"azure_endpoint": provider.url, "api_version": "2026-01-01"}
    with dropin.AzureOpenAI(**where, api_key=KEY) as keyed, dropin.AzureOpenAI(**where) as keyless:
        recorded = plain(keyed)
        assert recorded == plain(keyless)
        with pytest.raises(openai.AuthenticationError, match="OPENAI_API_KEY"):
            plain(keyless, temperature=1)

    async def ask() -> str:
        async with dropin.AsyncAzureOpenAI(**where) as client:
            answer = await client.chat.completions.create(model=MODEL, messages=QUESTION)
            return str(answer.choices[0].message.content)

    assert recorded == asyncio.run(ask())
    assert 1 == provider.count()


def test_a_wrong_key_is_the_providers_to_refuse(client: Any) -> None:
    """A key that is there is sent, and the provider's own error comes back."""
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        plain(client.with_options(api_key="wrong-key"))


@pytest.mark.parametrize("stream", [False, True])
def test_delays(provider: LocalProvider, store: Path, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers come at once; with a delay asked for, per call or for all, in the recorded time, once."""
    ask = WAYS["stream" if stream else "plain"]
    slept: list[float] = []
    provider.latency, provider.pace = 0.05, 0.01
    dropin.configure(store, mode="record")
    with dropin.OpenAI(base_url=f"{provider.url}/v1", api_key=KEY) as client:
        ask(client)
        monkeypatch.setattr(time, "sleep", slept.append)
        ask(client)
        assert [] == slept
        took = next(askonce.open_storage(store).entries()).takes[0].answer.seconds
        for change in (lambda: ask(client, delay=True), lambda: (dropin.configure(delays=True), ask(client))):
            slept.clear()
            change()
            assert pytest.approx(took, abs=1e-4) == sum(slept)
        slept.clear()
        ask(client, delay=False)
        assert [] == slept
    assert 1 == provider.count()


def test_offline(client: Any, provider: LocalProvider) -> None:
    """Offline, the SDK's own error names the nearest recorded question."""
    plain(client)
    dropin.configure(mode="offline")
    with pytest.raises(openai.NotFoundError, match="temperature"):
        plain(client, temperature=1)
    assert 1 == provider.count()


def test_verbose(provider: LocalProvider, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line a call says what was recorded, found, or asked and not kept."""
    dropin.configure(store, mode="record", debug=True)
    with dropin.OpenAI(base_url=f"{provider.url}/v1", api_key=KEY) as client:
        plain(client)
        plain(client)
        dropin.configure(mode="replay")
        plain(client, seed=5)
    lines = capsys.readouterr().err.splitlines()
    assert ["recorded", "hit", "asked"] == [line.split()[1] for line in lines]
    assert all(line.startswith("askonce ") and MODEL in line for line in lines)


@pytest.mark.parametrize("mode", ["record", "replay"])
def test_verbose_without_a_key(
    provider: LocalProvider, store: Path, capsys: pytest.CaptureFixture[str], mode: Any
) -> None:
    """What cannot be asked for want of a key is not said to be asked, nor counted as such."""
    dropin.configure(store, mode=mode, debug=True)
    with dropin.OpenAI(base_url=f"{provider.url}/v1") as keyless, pytest.raises(openai.AuthenticationError):
        plain(keyless)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("askonce refused")
    assert line.endswith("not recorded yet, and there is no API key to ask it with")
    assert (0, 1, 0) == (dropin.stats().misses, dropin.stats().refused, provider.count())


def test_offline_with_a_final_bundle(client: Any, store: Path, tmp_path: Path) -> None:
    """An offline miss says of which bundles no question can be named, and only of those."""
    plain(client)
    (tmp_path / "made").mkdir()  # where none is found but the one that is named
    askonce.materialize(tmp_path / "made" / "open.askonce", store)
    askonce.materialize(tmp_path / "made" / "final.askonce", store, final=True)
    for name, is_final in (("open.askonce", False), ("final.askonce", True)):
        dropin.configure(tmp_path / "made" / name, mode="offline")
        with pytest.raises(openai.NotFoundError) as caught:
            plain(client, temperature=1)
        said = f"Questions in {name} are only digests: none can be named as near."
        assert is_final == (said in str(caught.value))
        assert is_final != ("temperature" in str(caught.value))


def test_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is none is told where the client is made, and by `configure`, which then changes nothing."""
    dropin.configure("memory:dropin", mode="offline")
    with pytest.raises(askonce.SettingsError, match="record, replay, offline"):
        dropin.configure(mode="fast")  # type: ignore[arg-type]
    assert "offline" == dropin._state.current().settings.mode
    dropin._state.reset()
    monkeypatch.setenv("ASKONCE_MODE", "fast")
    with pytest.raises(askonce.SettingsError, match="ASKONCE_MODE"):
        dropin.OpenAI(api_key=KEY)


def test_options_and_bypass(client: Any, provider: LocalProvider) -> None:
    """`askonce.options` and `askonce.bypass` hold for the drop-in too."""
    first = plain(client)
    with askonce.options(seed="Ada"):
        named = plain(client)
        assert named == plain(client) != first
    with askonce.bypass():
        assert plain(client) not in (first, named)
    assert 3 == provider.count()
    assert 1 == dropin.stats().bypassed


def test_what_one_door_records_the_other_answers(client: Any, provider: LocalProvider, store: Path) -> None:
    """`enable` answers what the drop-in recorded; with both, a call is recorded once."""
    recorded = plain(client)
    with (
        askonce.caching(store, domains=[provider.url]) as cache,
        openai.OpenAI(base_url=client.base_url, api_key=KEY) as theirs,
    ):
        assert recorded == plain(theirs) == plain(client)
        plain(client, temperature=1)
        assert (1, 0) == (cache.stats.hits, cache.stats.misses)
    assert 2 == provider.count()
