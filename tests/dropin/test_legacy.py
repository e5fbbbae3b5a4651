"""The drop-in on the SDK's older generation, which is on httpx."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.sdks.runs import LEGACY, ROOT


def test_openai_2() -> None:
    """The drop-in's tests pass with openai 2 too."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *("tests/dropin", "--deselect", "tests/dropin/test_legacy.py", "-k", "not async or raw or clients"),
        ],
        env={**os.environ, "PYTHONPATH": str(LEGACY)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout[-4000:]
