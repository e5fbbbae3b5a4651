"""The journal, the API, health and metrics, and who may see them."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from askonce._core.messages import Headers
from askonce.gateway.calls import Call
from askonce.gateway.journal import Journal
from askonce.gateway.ledger import BUCKETS, CallFilter
from askonce.gateway.ledger_sqlite import SQLiteLedger
from askonce.gateway.reports import percentile
from askonce.testing import LocalProvider
from tests.engine.stepped import until
from tests.gateway.conftest import KEY, Running, Start
from tests.gateway.test_proxy import CHAT, chat

ADMIN = "/askonce/api"


def ask(gateway: Running, content: str = "hi", **more: Any) -> httpx.Response:
    return gateway.post(chat(content, **more))


def calls(gateway: Running, query: str = "") -> list[dict[str, Any]]:
    """Return the calls that the API lists, the oldest first."""
    found: list[dict[str, Any]] = gateway.get(f"{ADMIN}/calls?{query}").json()["calls"]
    return found[::-1]


def test_calls(gateway: Running) -> None:
    """Each call is a line: how it was answered, for whom, how long it took, what it used, cost and saved."""
    ask(gateway, "one", customer_identifier="ada", model="gpt-4o")
    ask(gateway, "one", customer_identifier="bob", model="gpt-4o")
    ask(gateway, "two", cache_enabled=False, model="gpt-4o")
    gateway.get("/v1/models")
    ask(gateway, cache_ttl="soon")
    lines = calls(gateway)
    assert ["miss", "hit", "bypass", "bypass", "refused"] == [line["outcome"] for line in lines]
    assert ["ada", "bob", "", "", ""] == [line["customer"] for line in lines]
    assert ["one", "one", "two", "", ""] == [line["gist"] for line in lines]
    assert [200, 200, 200, 200, 400] == [line["status"] for line in lines]
    miss, hit, bypass = lines[:3]
    assert miss["key"] == hit["key"]
    assert (miss["input_tokens"], miss["output_tokens"]) == (hit["input_tokens"], hit["output_tokens"])
    assert bypass["output_tokens"] > 0
    assert miss["cost"] == hit["saved"] > 0
    assert (None, None) == (miss["saved"], hit["cost"])
    assert hit["saved_seconds"] > 0 == miss["saved_seconds"]
    assert 0 < hit["first"] <= hit["seconds"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("outcome=hit", ["b"]),
        ("customer=ada", ["a", "b"]),
        ("model=M2", ["c"]),
        ("provider=openai&status=200", ["a", "b", "c"]),
        ("status=404", []),
        ("text=C", ["c"]),
        ("text=%25", []),
        ("until=1", []),
        ("limit=1", ["c"]),
        ("before=2", ["a"]),
        ("after=2", ["c"]),
    ],
)
def test_filters(gateway: Running, query: str, expected: list[str]) -> None:
    """Filters narrow the list, and pages go by the id of the last line."""
    noted = (("a", "ada", "miss", "m"), ("b", "ada", "hit", "m"), ("c", "bob", "miss", "m2"))
    for name, customer, outcome, model in noted:
        call = Call("POST", CHAT, "openai", outcome, 200, customer)
        call.question = _question(name, model)
        gateway.app.journal.note(call)
    assert expected == [line["gist"] for line in calls(gateway, query)]


def _question(content: str, model: str) -> Any:
    from askonce._core.messages import Request
    from askonce._engine.cache import Cache
    from askonce.settings import read_settings

    cache = Cache(read_settings({"store": "memory:questions"}, environ={}))
    origin = ("POST", "https", "api.openai.com", None, CHAT)
    match = cache.match(*origin)
    body = f'{{"model":"{model}","messages":[{{"role":"user","content":"{content}"}}]}}'.encode()
    assert match is not None
    call: Any = cache.begin(Request(*origin, Headers(((b"content-type", b"application/json"),)), body), match)
    return call.question


@pytest.mark.parametrize("query", ["status=x", "since=-1", "outcome=what", "since=nan", "before=1e400"])
def test_bad_queries(gateway: Running, query: str) -> None:
    """A malformed parameter is 400 and a sentence, in the API and on the page."""
    for path in (f"{ADMIN}/calls", "/askonce/"):
        answer = gateway.get(f"{path}?{query}")
        assert 400 == answer.status_code
        assert query.partition("=")[0] in answer.text


def test_omit_log(gateway: Running) -> None:
    """What is not to be logged leaves nothing but a count."""
    ask(gateway, "hush-hush", cache_options={"omit_log": True})
    assert [] == calls(gateway)
    assert 1 == gateway.get(f"{ADMIN}/summary").json()["calls"]
    gateway.app.journal.flush()
    assert b"hush-hush" not in Path(str(gateway.app.settings.journal)).read_bytes()


def test_savings(gateway: Running) -> None:
    """The summary and the series say what was answered and what that saved."""
    for _ in range(3):
        ask(gateway, model="gpt-4o")
    summary = gateway.get(f"{ADMIN}/summary").json()
    assert (3, 2, 1) == (summary["calls"], summary["hits"], summary["misses"])
    assert pytest.approx(2 * summary["spent"]) == summary["saved"]
    assert summary["tokens_saved"] > 0 < summary["saved_seconds"]
    points = gateway.get(f"{ADMIN}/series?points=5").json()["points"]
    assert (2, 1) == (sum(p["hits"] for p in points), sum(p["misses"] for p in points))
    assert points[-1]["miss_p50"] in BUCKETS


def test_entries(gateway: Running, provider: LocalProvider) -> None:
    """Entries can be listed and read, and removed by key, customer, model, or all of them."""
    own = {"cache_options": {"cache_by_customer": True}}
    ask(gateway, "a", model="m1")
    ask(gateway, "b", model="m2", customer_identifier="ada", **own)
    ask(gateway, "b", model="m2", customer_identifier="ada/customer=bob", **own)
    ask(gateway, "c", model="m3")
    entries = gateway.get(f"{ADMIN}/entries").json()["entries"]
    assert ["c", "b", "b", "a"] == [entry["question_gist"] for entry in entries]
    whole = gateway.get(f"{ADMIN}/entries/{entries[0]['key']}").json()
    assert ["c", 1] == [whole["question"][-1]["text"], len(whole["takes"])]

    def remove(query: str) -> int:
        headers = {"authorization": f"Bearer {KEY}"}
        removed: int = httpx.delete(f"{gateway.url}{ADMIN}/entries{query}", headers=headers).json()["removed"]
        return removed

    assert [1, 1, 1, 1, 0] == [
        remove(q) for q in (f"/{entries[0]['key']}", "?customer=ada", "?model=m1", "?all=true", "?all=true")
    ]
    assert 400 == httpx.delete(f"{gateway.url}{ADMIN}/entries").status_code
    assert "miss" == ask(gateway, "a", model="m1").headers["x-askonce-cache"]


def test_description(gateway: Running) -> None:
    """The API describes itself, and each path it names is there."""
    described = gateway.get(f"{ADMIN}/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    for path, methods in described["paths"].items():
        for method in methods:
            answer = httpx.request(method, gateway.url + path.replace("{id}", "1").replace("{key}", "0" * 64))
            assert answer.headers["content-type"] == "application/json"
            assert answer.status_code in (200, 400, 404)
            assert "There is no GET" not in answer.text


def test_health_and_metrics(gateway: Running) -> None:
    """Health says live and ready; the metrics count calls by outcome, with latencies."""
    for _ in range(2):
        ask(gateway)
    assert {"live": True, "ready": True} == gateway.get("/askonce/health").json()
    text = gateway.get("/askonce/metrics").text
    assert 'askonce_calls_total{outcome="hit"} 1.0' in text
    assert 'askonce_seconds_bucket{le="+Inf",outcome="miss"} 1.0' in text


# --- Who may ------------------------------------------------------------------------------------------------


def test_without_keys_only_this_machine(gateway: Running) -> None:
    """Without keys the pages answer only those who call them by this machine's own names: no rebound name."""
    for path in ("/askonce/", f"{ADMIN}/calls", "/askonce/metrics"):
        assert gateway.get(path, host="evil.example").status_code in (401, 403)
        assert 200 == gateway.get(path, host="localhost:9").status_code


def test_admin_key(gateway: Running) -> None:
    """With keys the pages, the API and the metrics want an admin key, in a header or a cookie."""
    admin = gateway.app.keys.add("me", admin=True)
    plain = gateway.app.keys.add("ci", admin=False)
    gateway.app.keys._look_again = 0.0
    for path in ("/askonce/", f"{ADMIN}/calls", "/askonce/metrics"):
        for key, expected in (("", 401), (plain, 401), (admin, 200)):
            headers = {"authorization": f"Bearer {key}"} if key else {}
            assert expected == httpx.get(gateway.url + path, headers=headers).status_code
    with httpx.Client(base_url=gateway.url, trust_env=False) as browser:
        assert 401 == browser.post("/askonce/login", data={"key": plain}).status_code
        entered = browser.post("/askonce/login", data={"key": admin})
        assert 303 == entered.status_code
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert 200 == browser.get("/askonce/").status_code
    assert 200 == httpx.get(f"{gateway.url}/askonce/health").status_code


def test_forms_of_other_sites(gateway: Running) -> None:
    """What changes something is done for a form of our own page alone, and for nothing from elsewhere."""
    ask(gateway)
    key = calls(gateway)[0]["key"]
    page = gateway.get("/askonce/calls/1").text
    seal = page.partition('name="seal" value="')[2].partition('"')[0]

    def purge(seal: str, **headers: str) -> int:
        form = {"key": key, "seal": seal}
        return httpx.post(f"{gateway.url}/askonce/purge", data=form, headers=headers).status_code

    assert 403 == purge("")
    assert 403 == purge("0" * 64)
    assert 403 == purge(seal, origin="http://evil.example")
    assert 403 == purge(seal, **{"sec-fetch-site": "cross-site"})
    other = {"origin": "http://evil.example"}
    assert 403 == httpx.delete(f"{gateway.url}{ADMIN}/entries?all=true", headers=other).status_code
    assert 1 == gateway.app.cache.guard.storage.totals().entries
    assert 303 == purge(seal, origin=gateway.url)
    assert 0 == gateway.app.cache.guard.storage.totals().entries


def test_a_held_key_is_not_for_other_sites(start: Start, provider: LocalProvider, tmp_path: Path) -> None:
    """Where the gateway holds the provider's key and has none of its own, no web page can spend it."""
    held = tmp_path / "held"
    held.write_text("sk-held-SECRET-8c11")
    gateway = start(upstreams={"openai": {"url": provider.url, "key_file": str(held)}})
    assert 200 == ask(gateway).status_code
    assert 403 == gateway.post(chat("new"), host="evil.example").status_code
    assert 403 == gateway.post(chat("new"), sec_fetch_site="cross-site").status_code
    assert 403 == gateway.post(chat("new"), origin="http://evil.example").status_code
    assert 1 == provider.count(CHAT)


def test_nothing_is_markup(gateway: Running) -> None:
    """Nothing of a question, an answer, a name or a query is ever read as HTML."""
    evil = '"><script>alert(1)</script>'
    ask(gateway, evil, customer_identifier=evil, model=evil)
    pages = [gateway.get(f"/askonce/{path}") for path in ("", "calls/1", "rows?after=0")]
    pages.append(httpx.get(f"{gateway.url}/askonce/", params={"text": evil, "model": evil}))
    for page in pages:
        assert 200 == page.status_code
        assert "<script>alert" not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "&lt;script&gt;alert(1)" in pages[0].text


# --- The journal itself -------------------------------------------------------------------------------------


def test_retention(tmp_path: Path) -> None:
    """Lines go when they are too old, or when the file is too large; sums stay."""
    journal = Journal(tmp_path / "journal.db", keep=100, most=1 << 30)
    for age in (1000, 1):
        call = Call("GET", "/v1/models", "openai", "bypass", 200)
        call.at = time.time() - age
        journal.note(call)
    assert 1 == len(journal.lines())
    assert 2 == sum(row.calls for row in journal.hours())
    journal._most = 1
    journal._tidied = -1e9
    journal.note(Call("GET", "/v1/models", "openai", "bypass", 200))
    journal.flush()
    assert len(journal.lines()) <= 2
    journal.close()


def test_a_locked_journal(gateway: Running) -> None:
    """A journal that cannot be written holds up no request; page and metrics say so; and it catches up."""
    ask(gateway)
    gateway.settle()
    journal = gateway.app.journal
    journal.flush()
    assert isinstance(journal.ledger, SQLiteLedger)
    journal.ledger._open().execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(str(gateway.app.settings.journal), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "hit" == ask(gateway).headers["x-askonce-cache"]
    until(lambda: journal.trouble)
    assert "could not be written" in gateway.get("/askonce/").text
    assert 1 == len(calls(gateway, "outcome=miss"))
    assert "askonce_trouble 1.0" in gateway.get("/askonce/metrics").text
    other.close()
    until(lambda: not journal.trouble)
    assert 1 == len(calls(gateway, "outcome=hit"))
    assert 0 == journal.lost


def test_percentiles() -> None:
    """A percentile is the bound of the class in which it lies; of nothing there is none."""
    counts = [0] * (len(BUCKETS) + 1)
    assert percentile(counts, 0.5) is percentile(None, 0.5) is None
    counts[2], counts[5] = 9, 1
    assert (BUCKETS[2], BUCKETS[5]) == (percentile(counts, 0.5), percentile(counts, 0.95))


def test_names(tmp_path: Path) -> None:
    """The values of a column are found one by one, however many lines there are."""
    journal = Journal(tmp_path / "journal.db", keep=100, most=1 << 30)
    for customer in ("b", "a", "", "b"):
        journal.note(Call("GET", "/", "openai", "bypass", 200, customer))
    assert ["a", "b"] == journal.names("customer")
    assert ["a"] == [line.customer for line in journal.lines(CallFilter(customer="a"))]
    journal.close()


def test_tags(start: Start, provider: LocalProvider) -> None:
    """What was recorded under a tag is listed, and removed, by it; no provider sees the tag, no key holds it."""
    gateway = start(check_credentials=False)
    bodies = [
        {"model": "m", "messages": [{"role": "user", "content": text}], "cache_enabled": True} for text in "abc"
    ]
    for body, tags in zip(bodies, ("nightly, eu", "nightly", ""), strict=True):
        gateway.post(body, x_askonce_tags=tags)
    assert not any(request.header("x-askonce-tags") for request in provider.received)
    found = gateway.get("/askonce/api/entries?tag=nightly").json()["entries"]
    assert [["nightly"], ["eu", "nightly"]] == [entry["tags"] for entry in found]
    assert 1 == len(gateway.get("/askonce/api/entries?tag=eu").json()["entries"])
    assert "hit" == gateway.post(bodies[0]).headers["x-askonce-cache"]
    gone = httpx.delete(f"{gateway.url}/askonce/api/entries?tag=nightly", timeout=20, trust_env=False)
    assert {"removed": 2} == gone.json()
    states = [gateway.post(body).headers["x-askonce-cache"] for body in bodies]
    assert ["miss", "miss", "hit"] == states
    refused = gateway.post(bodies[0], x_askonce_tags="x" * 101)
    assert (400, True) == (refused.status_code, "is no tag: at most 100 characters" in refused.text)
