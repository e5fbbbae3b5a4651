"""Programs that are run in a process of their own, with and without us, to compare what they leave behind."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]

PRELUDE = """
import asyncio, gc, os, signal, sys, threading, time
import httpx2

signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
url, store = sys.argv[1:3]
if store != "-":
    import askonce
    cache = askonce.enable(store, domains=[url])

HEADERS = {"authorization": "Bearer sk-test-SECRET-script-77f1a2"}
held = []


def body(content="Hello?", stream=True):
    return {"model": "gpt-local", "messages": [{"role": "user", "content": content}], "stream": stream}


def client():
    return httpx2.Client(headers=HEADERS, timeout=20, verify=False)


def async_client():
    return httpx2.AsyncClient(headers=HEADERS, timeout=20, verify=False)


def opened(one, content="Hello?"):
    request = one.build_request("POST", url + "/v1/chat/completions", json=body(content))
    response = one.send(request, stream=True)
    return response, response.iter_raw()


async def opened_async(one, content="Hello?"):
    request = one.build_request("POST", url + "/v1/chat/completions", json=body(content))
    response = await one.send(request, stream=True)
    return response, response.aiter_raw()


def is_whole(answer):
    return answer.endswith(b"[DONE]\\n\\n")


def is_ending(piece):
    return b'"finish_reason":"stop"' in piece
"""


class Ended:
    """How a program ended: its code, what it printed, and what it complained of."""

    def __init__(self, code: int, output: str, errors: str) -> None:
        self.code = code
        self.output = output.splitlines()
        errors = re.sub(r"<.*?>|0x[0-9a-f]+|Thread-\d+|task: .*", "N", errors)
        self.complaints = {line for line in errors.splitlines() if line and not _NO_COMPLAINT.match(line)}


# Frames; and asyncio's remark, where it debugs, on what took long.
_NO_COMPLAINT = re.compile(r"\s|Traceback|Executing N")


def run(script: str, url: str, store: Path | None, *, seconds: float = 30, python: str = sys.executable) -> Ended:
    """Run a program where every warning is an error and every leak is told."""
    done = subprocess.run(
        [python, "-W", "error", "-X", "dev", "-c", PRELUDE + textwrap.dedent(script), url, str(store or "-")],
        capture_output=True,
        text=True,
        timeout=seconds,
        cwd=ROOT,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
