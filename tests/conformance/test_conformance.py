"""A slice of what `make conformance` does: the methods that most programs call; and the page about the rest."""

from __future__ import annotations

import asyncio
import re
import warnings

import pytest

from tests.conformance import runs
from tests.conformance.__main__ import PAGE
from tests.conformance.server import Server
from tests.conformance.walk import methods

SLICE = {
    "openai": {"chat.completions.create", "embeddings.create", "audio.transcriptions.create", "models.list"},
    "anthropic": {"messages.create", "messages.count_tokens", "models.list"},
    "google-genai": {"models.generate_content", "models.generate_content_stream", "models.get"},
}


@pytest.mark.parametrize("sdk", runs.SDKS)
def test_slice(sdk: str) -> None:
    """No two calls that differ in an argument share an answer, and replayed results are those without askonce."""

    async def run() -> runs.Report:
        with Server() as server, warnings.catch_warnings(action="ignore"):
            client, roots = runs.client_of(sdk, server.url, is_async=False)
            report = runs.Report(sdk, "sync")
            for method in methods(client, roots):
                if method.name in SLICE[sdk]:
                    report = await runs.run_method(report, server, client, method)
            return report

    report = asyncio.run(run())
    assert SLICE[sdk] == {*report.generation, *report.others}
    assert 1 == len(report.others)
    assert report.pairs > 10
    assert ((), ()) == (report.merged, report.differing)


def test_the_page() -> None:
    """What was counted last has every SDK in it, sync and async, and nothing merged or differing."""
    rows = re.findall(r"^\| (\S+) \S+ \| (sync|async) \|(.*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [(sdk, how) for sdk in runs.SDKS for how in ("sync", "async")] == [row[:2] for row in rows]
    for _, _, counts in rows:
        _, _, calls, _, merged, differing, *_ = (int(n.replace(",", "")) for n in counts.split("|"))
        assert calls > 50
        assert (0, 0) == (merged, differing)
