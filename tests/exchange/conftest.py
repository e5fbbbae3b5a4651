"""A way to run commands."""

from tests.cli.conftest import run as run
