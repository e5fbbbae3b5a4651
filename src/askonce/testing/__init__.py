"""A local LLM provider that speaks the real wire formats: what the tests and the demo ask."""

from __future__ import annotations

from .exchange import Received
from .faults import Fault
from .provider import LocalProvider

__all__ = ["Fault", "LocalProvider", "Received"]
