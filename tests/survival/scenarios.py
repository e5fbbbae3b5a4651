"""All the bad days."""

from __future__ import annotations

from tests.survival import clocks, crowds, disks, fuzzing, gateways, kills, networks, noise, shared

_FAMILIES = (kills, gateways, shared, disks, networks, clocks, crowds, noise, fuzzing)

SCENARIOS = [scenario for family in _FAMILIES for scenario in family.SCENARIOS]
