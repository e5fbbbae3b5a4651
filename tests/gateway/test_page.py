"""The Logs page in a real Chromium: filtered, opened, purged, live, dark, narrow, by keyboard, without scripts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from askonce.testing import LocalProvider
from tests.gateway.conftest import Running
from tests.gateway.test_proxy import chat

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
SHOTS = os.environ.get("PAGE_SHOTS")  # a folder, to look at what the tests see

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")


complaints: list[str] = []
"""What the browser's console had to say."""


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    """See to it that the console has nothing to say: no script fails, and the policy forbids nothing we do."""
    complaints.clear()
    yield
    assert [] == complaints


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Return a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, gateway: Running) -> Iterator[Any]:
    """Return the Logs page after three calls: a miss, a hit, and another question's miss."""
    for content in ("Why is the sky blue?", "Why is the sky blue?", "Write a haiku about <b>caches</b>"):
        gateway.post(chat(content, model="gpt-5", customer_identifier="ada"))
    made = open_page(chromium, gateway)
    yield made
    made.context.close()


def open_page(chromium: Any, gateway: Running, **options: Any) -> Any:
    """Open the page; whatever its console has to say fails the test."""
    gateway.settle()
    page = chromium.new_context(**options).new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_default_timeout(10_000)
    page.goto(f"{gateway.url}/askonce/")
    return page


def rows(page: Any) -> list[str]:
    """Return how the calls that are shown were answered."""
    texts: list[str] = page.locator("tbody tr .badge").all_inner_texts()
    return texts


def test_filter(page: Any, gateway: Running) -> None:
    """Filtering by cache hit leaves the hits, and the address says so: it can be sent to others."""
    assert ["miss", "hit", "miss"] == rows(page)
    assert "askonce/cache" in page.locator("tr.hit").inner_text()
    page.select_option("select[name=outcome]", "hit")
    page.click("text=Filter")
    assert ["hit"] == rows(page)
    assert "outcome=hit" in page.url
    page.goto(page.url)
    assert ["hit"] == rows(page)


def test_open_and_purge(page: Any, gateway: Running, provider: LocalProvider) -> None:
    """A row opens to the conversation, the raw request and answer and a curl; purging asks it anew."""
    page.click("tr.hit .question a")
    assert "Why is the sky blue?" in page.locator(".turn.user").inner_text()
    assert "un café" in page.locator(".turn.assistant").inner_text()
    page.click("summary:has-text('curl')")
    assert page.locator("#curl").inner_text().startswith("curl 'http://")
    page.click("summary:has-text('Raw answer')")
    assert '"choices"' in page.locator("[aria-label=Raw]").inner_text()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("text=Copy as curl")
    page.wait_for_selector("text=Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("curl 'http://")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("text=Purge")
    page.wait_for_selector("text=1 entry removed")
    assert "miss" == gateway.post(chat("Why is the sky blue?", model="gpt-5")).headers["x-askonce-cache"]


def test_live(page: Any, gateway: Running) -> None:
    """New calls appear by themselves, the newest first."""
    gateway.post(chat("something new"))
    page.wait_for_selector("tr.fresh:has-text('something new')")
    assert 4 == len(rows(page))


def test_empty_then_live(chromium: Any, gateway: Running) -> None:
    """An empty page says what to do, and shows the first call when it comes."""
    page = open_page(chromium, gateway)
    assert page.locator("text=No calls yet").is_visible()
    gateway.post(chat("the first"))
    page.wait_for_selector("tr:has-text('the first')")
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_dark_and_narrow(page: Any, chromium: Any, gateway: Running, scheme: Any, width: int) -> None:
    """In the dark it is dark, and on a phone nothing is wider than the screen, opened rows included."""
    other = open_page(chromium, gateway, color_scheme=scheme, viewport={"width": width, "height": 844})
    ground = other.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 200) == (scheme == "dark")
    for name in ("logs", "call"):
        assert other.evaluate("document.documentElement.scrollWidth") <= width
        if SHOTS:
            other.screenshot(path=Path(SHOTS) / f"{name}-{scheme}-{width}.png", full_page=width < 500)
        if name == "logs":
            other.click("tr.hit .question a")
            other.wait_for_load_state()
    other.context.close()


def test_keyboard(page: Any, gateway: Running) -> None:
    """Everything can be reached by keys: j and k walk the rows, / searches, Enter opens."""
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert "haiku" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Conversation")
    page.go_back()
    page.keyboard.press("/")
    page.keyboard.type("haiku")
    page.keyboard.press("Enter")
    page.wait_for_url("**text=haiku**")
    assert ["miss"] == rows(page)


def test_without_javascript(page: Any, chromium: Any, gateway: Running) -> None:
    """All can be read, filtered and purged without JavaScript."""
    plain = open_page(chromium, gateway, java_script_enabled=False)
    assert ["miss", "hit", "miss"] == rows(plain)
    assert 3 == plain.locator("figure svg").count()
    plain.click("tr.hit .question a")
    plain.click("text=Purge")
    assert plain.locator("text=1 entry removed").is_visible()
    plain.context.close()


def test_nothing_from_elsewhere(page: Any, gateway: Running, chromium: Any) -> None:
    """Everything the page needs comes from the gateway."""
    asked: list[str] = []
    other = chromium.new_context().new_page()
    other.on("request", lambda request: asked.append(request.url))
    other.goto(f"{gateway.url}/askonce/")
    other.wait_for_load_state("networkidle")
    assert {gateway.url} == {url.partition("/askonce")[0] for url in asked}
    other.context.close()


def test_sign_in(chromium: Any, gateway: Running) -> None:
    """With keys in force the page asks for the admin key, once."""
    gateway.app.keys.add("other", admin=False)
    key = gateway.app.keys.add("me", admin=True)
    gateway.app.keys._look_again = 0.0
    page = chromium.new_context().new_page()
    page.set_default_timeout(10_000)
    page.goto(f"{gateway.url}/askonce/")
    page.fill("input[name=key]", "ask-wrong")
    page.click("main button")
    assert page.locator("text=That is no admin key").is_visible()
    page.fill("input[name=key]", key)
    page.click("main button")
    page.wait_for_selector("text=No calls yet")
    page.click("text=Sign out")
    page.wait_for_selector("text=Sign in")
    page.context.close()
