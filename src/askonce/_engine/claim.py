"""An answer that this process asks for, as the other processes that share its store see it."""

from __future__ import annotations

from askonce._core.body import canonical_json
from askonce._engine.flight import Name
from askonce._engine.guard import Guard


class Claim:
    """Whether some process asks for an answer, and whether it is reading just now.

    Entered while this process waits for the provider: who holds a claim and reads no more is not waited for.
    """

    def __init__(self, guard: Guard, name: Name) -> None:
        key, seed, slot = name
        self._guard = guard
        self._name = key + canonical_json([seed, slot]).encode()
        self._reading = self._name + b" reading"

    def take(self) -> bool:
        """Claim the answer for this process; False while another has it."""
        return self._guard.claim(self._name)

    def release(self) -> None:
        """Let others ask."""
        self._guard.release(self._name)

    def is_free(self) -> bool:
        """Tell whether no other process has it."""
        return self._is_free(self._name)

    def is_being_read(self) -> bool:
        """Tell whether the process that has it waits for the provider at this moment."""
        return not self._is_free(self._reading)

    def _is_free(self, name: bytes) -> bool:
        if not self._guard.claim(name):
            return False
        self._guard.release(name)
        return True

    def __enter__(self) -> None:
        self._guard.claim(self._reading)

    def __exit__(self, *trouble: object) -> None:
        self._guard.release(self._reading)
