"""What nobody has thought of: the API by its own description, and the proxy with any head and any body."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as some

from askonce.gateway.api import describe
from askonce.testing import LocalProvider
from tests.gateway.conftest import KEY

FEW = settings(
    max_examples=40, database=None, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
_VALUES = (
    some.text(max_size=20) | some.integers().map(str) | some.floats().map(str) | some.sampled_from(["", "hit"])
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Serve one gateway, with a few calls in it, for all examples."""
    from tests.gateway.served import serving

    folder = tmp_path_factory.mktemp("fuzz")
    with LocalProvider() as provider:
        begin = serving(folder, provider.url)
        gateway = next(begin)("--no-check-credentials", "--cache")
        for text in "abc":
            gateway.post({"model": "m", "messages": [{"role": "user", "content": text}]})
        yield gateway.url
        next(begin, None)


def _operations() -> list[tuple[str, str, list[str]]]:
    found = []
    for path, methods in describe()["paths"].items():
        for method, said in methods.items():
            names = [one["name"] for one in said.get("parameters", ()) if one.get("in") == "query"]
            found.append((method.upper(), path, names))
    return found


@seed(1)
@FEW
@given(some.data())
def test_the_api(url: str, data: some.DataObject) -> None:
    """Whatever its parameters are, the API answers with JSON: what was asked for, or what is wrong with it."""
    method, path, names = data.draw(some.sampled_from(_operations()))
    query = {name: data.draw(_VALUES) for name in names if data.draw(some.booleans())}
    filled = re.sub(r"\{\w+\}", lambda _: httpx.URL("", params={"x": data.draw(_VALUES)}).query.decode()[2:], path)
    if method == "DELETE" and query.get("all") == "true":
        query["all"] = "no"
    answer = httpx.request(method, url + filled, params=query, timeout=20, trust_env=False)
    assert answer.status_code in (200, 400, 404, 405), (method, filled, query, answer.text)
    assert isinstance(answer.json(), dict)


_JSON: some.SearchStrategy[Any] = some.recursive(
    some.none() | some.booleans() | some.integers(-(10**20), 10**20) | some.text(some.characters(), max_size=12),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = (
    "cache_enabled", "cache_ttl", "cache_options", "customer_identifier", "customer_params", "cache", "seed",
    "model", "messages", "stream", "tensorzero::cache_options", "omit_logs",
)  # fmt: skip


@seed(2)
@FEW
@given(some.dictionaries(some.sampled_from(_FIELDS), _JSON, max_size=5), some.text(max_size=20))
def test_any_body(url: str, fields: dict[str, Any], tail: str) -> None:
    """Any JSON, and what is almost JSON, is answered by the provider, or with what is wrong with it."""
    body = (json.dumps(fields) + tail).encode("utf-8", "surrogatepass")
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    answer = httpx.post(f"{url}/v1/chat/completions", content=body, headers=headers, timeout=20, trust_env=False)
    assert answer.status_code < 500, answer.text
    health = httpx.get(f"{url}/askonce/health", timeout=20, trust_env=False)
    assert {"live": True, "ready": True} == health.json()


@seed(3)
@FEW
@given(some.binary(max_size=200), some.sampled_from([b"GET", b"POST", b"HEAD", b"BREW"]), some.booleans())
def test_any_head(url: str, noise: bytes, method: bytes, is_first: bool) -> None:
    """Whatever comes over a connection, the gateway answers it or closes it, and serves the next one."""
    port = int(url.rpartition(":")[2])
    line = method + b" /v1/models HTTP/1.1\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(noise + line if is_first else line + noise + b"\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            try:
                chunk = sock.recv(65536)
            except ConnectionResetError:
                break
            if not chunk:
                break
            got += chunk
    assert b" 500 " not in got[:20]
    assert 200 == httpx.get(f"{url}/askonce/health", timeout=20, trust_env=False).status_code
