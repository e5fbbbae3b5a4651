"""The drop-in on the SDK's older generation, which is on httpx."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.sdks.runs import LEGACY, ROOT


def test_openai_2() -> None:
    """Clients, exports, the fast path and the manual's example are the same with openai 2."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *(f"tests/dropin/test_{name}.py" for name in ("clients", "exports", "fast")),
            "tests/dropin/test_calls.py::test_the_manuals_example",
        ],
        env={**os.environ, "PYTHONPATH": str(LEGACY)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout[-4000:]
