"""What Replicate's SDK can be asked: `run` waits for the answer; a prediction's stream is state, not kept."""

from __future__ import annotations

from typing import Any

from replicate.client import Client

from . import secrets
from .calls import call, shown

MODEL = "someone/llama-local"
INPUT = {"prompt": "What is a café?"}


@call("replicate", "run", "plain", "sync")
def run(url: str) -> Any:
    said = Client(api_token=secrets.REPLICATE_KEY, base_url=url).run(MODEL, input=INPUT)
    assert "".join(said)
    return shown(list(said))


@call("replicate", "run", "plain", "async")
async def run_async(url: str) -> Any:
    said = await Client(api_token=secrets.REPLICATE_KEY, base_url=url).async_run(MODEL, input=INPUT)
    said = said if isinstance(said, list) else [part async for part in said]
    assert "".join(said)
    return shown(said)
