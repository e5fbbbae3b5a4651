"""The same snippet from elsewhere: from curl, and from the SDK for JavaScript."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from askonce.testing import LocalProvider
from tests.gateway.conftest import KEY, Running

MODULES = Path(__file__).parents[2] / ".envs" / "node" / "node_modules"
SNIPPET: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Hi, how are you?"}],
    "customer_identifier": "a_model_customer",
    "cache_enabled": True,
    "cache_ttl": 600,
    "cache_options": {"cache_by_customer": True},
}
_SCRIPT = """
import OpenAI from "openai";
const [url, key, snippet] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: key });
const said = [];
for (const stream of [false, false, true, true]) {
  const asked = client.chat.completions.create({ ...JSON.parse(snippet), stream });
  const { data, response } = await asked.withResponse();
  let text = "";
  if (stream) for await (const chunk of data) text += chunk.choices[0]?.delta?.content ?? "";
  else text = data.choices[0].message.content;
  said.push([response.headers.get("x-askonce-cache"), text]);
}
console.log(JSON.stringify(said));
"""


def curl(gateway: Running, **changes: Any) -> tuple[str, str]:
    """Return what is said of the cache, and the body."""
    done = subprocess.run(
        [
            *(
                "curl",
                "--silent",
                "--show-error",
                "--noproxy",
                "*",
                "--include",
                f"{gateway.url}/v1/chat/completions",
            ),
            *("--header", "content-type: application/json", "--header", f"authorization: Bearer {KEY}"),
            *("--data", json.dumps(SNIPPET | changes)),
        ],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    states = [line.partition(": ")[2] for line in head.splitlines() if line.startswith("x-askonce-cache:")]
    assert head.startswith("HTTP/1.1 200")
    assert 1 == len(states)
    return states[0], body


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(gateway: Running, provider: LocalProvider) -> None:
    """First a miss, then hits with the same body; a time to live ends; two customers share nothing."""
    first, *again = [curl(gateway) for _ in range(3)]
    assert ["miss", "hit", "hit"] == [state for state, _ in (first, *again)]
    assert {first[1]} == {body for _, body in again}
    assert "miss" == curl(gateway, customer_identifier="another")[0]
    assert ["miss", "hit"] == [curl(gateway, model="other", cache_ttl=1)[0] for _ in range(2)]
    time.sleep(1.1)
    assert "miss" == curl(gateway, model="other", cache_ttl=1)[0]
    assert not any(b"cache" in one.body or b"customer" in one.body for one in provider.received)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(not MODULES.is_dir(), reason="the npm package openai is not here: make sdks")
def test_javascript(gateway: Running, provider: LocalProvider, tmp_path: Path) -> None:
    """The SDK for JavaScript has its misses and hits, plain and as streams."""
    (tmp_path / "node_modules").symlink_to(MODULES)
    script = tmp_path / "ask.mjs"
    script.write_text(_SCRIPT)
    command = ["node", str(script), f"{gateway.url}/v1", KEY, json.dumps(SNIPPET)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stderr
    (one, said), (two, same), (three, streamed), (four, again) = json.loads(done.stdout)
    assert ["miss", "hit", "miss", "hit"] == [one, two, three, four]
    assert (said, streamed) == (same, again)
    assert 2 == provider.count("/chat/completions")
    assert not any(b"cache_" in one.body for one in provider.received)
