"""A store made to be handed out, and found by those who have it. `materialize` makes one of each form."""

from __future__ import annotations

from askonce.bundle.packing import Packed, materialize

__all__ = ["Packed", "materialize"]
