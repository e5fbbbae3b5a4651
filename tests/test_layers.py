"""Imports point inward; what a ring may import is written here."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import askonce

ROOT = Path(askonce.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# The rings: what of askonce a package or module may import, beside itself.
_INNER = {"errors", "forks", "notices"}
_STORED = _INNER | {"_core", "prices", "settings", "storage"}
RINGS: dict[str, set[str]] = {
    "errors": set(),
    "forks": set(),
    "notices": {"errors", "forks"},
    "_core": {"errors"},
    "prices": {"_core"},
    "settings": _INNER | {"_core"},
    "storage": _INNER | {"_core", "settings"},
    "_engine": _STORED,
    "exchange": _STORED | {"_engine"},
    "intercept": _STORED | {"_engine"},
    "gateway": _STORED | {"_engine"},
    "session": _STORED | {"_engine", "intercept"},
    "notebook": _STORED | {"_engine", "session"},
    "bundle": _STORED | {"_engine", "intercept", "session", "_dropin", "openai", ""},
    "": _STORED | {"_engine", "intercept", "notebook", "session", "bundle"},
    "compat": _STORED | {"_engine", "exchange", "session"},
    "suite": _STORED | {"_engine", "exchange", "session"},
    "testing": set(),
    "_dropin": _STORED | {"_engine", "intercept", "session", "bundle"},
    "openai": _STORED | {"_engine", "session", "bundle", "_dropin"},
    "cli": _STORED | {"_engine", "exchange", "gateway", "intercept", "session", "bundle", "testing", ""},
    "__main__": {"cli"},
}
FOREIGN = {
    "cli": {"click", "rich"},
    "gateway": {"aiohttp", "jinja2", "prometheus_client", "uvicorn", "yarl"},
    "prices": {"genai_prices"},
    "_dropin": {"openai", "pydantic"},
    "openai": {"openai"},
}
_IMPURE = {
    "asyncio", "concurrent", "datetime", "io", "multiprocessing", "os", "pathlib", "random", "secrets", "select",
    "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib.request",
}  # fmt: skip


def ring(module: Path) -> str:
    """Return the ring that a module is in; the package's own `__init__` is the empty name."""
    first = module.relative_to(ROOT).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(module: Path) -> Iterator[str]:
    """Yield the full names that a module imports, wherever in it; those for type checkers alone too."""
    package = ["askonce", *module.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def inside(name: str) -> str:
    """Return the ring of a name in askonce."""
    first = name.split(".")[1] if "." in name else ""
    return first if (ROOT / first).is_dir() or (ROOT / f"{first}.py").is_file() else ""


def test_every_module_has_a_ring() -> None:
    """Whoever adds a package says here what it may import."""
    assert set() == {ring(module) for module in MODULES} - RINGS.keys()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_inward(module: Path) -> None:
    """A module imports from its own ring and from those within."""
    here = ring(module)
    found = {inside(name) for name in imports(module) if name.split(".")[0] == "askonce"}
    assert set() == found - RINGS[here] - {here}


@pytest.mark.parametrize("module", [m for m in MODULES if ring(m) == "_core"], ids=lambda path: path.stem)
def test_core_is_pure(module: Path) -> None:
    """The core imports the standard library alone, and nothing of it that does I/O or knows time or chance."""
    found = {name for name in imports(module) if name.split(".")[0] != "askonce"}
    assert set() == {name for name in found if name.split(".")[0] not in sys.stdlib_module_names}
    assert set() == {name for name in found if name.split(".")[0] in _IMPURE or name.rpartition(".")[0] in _IMPURE}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_foreign_imports(module: Path) -> None:
    """Only command line and gateway import what is not of the standard library, demo and drop-in alone SDKs.

    A file format's library is imported where its extra is named.
    """
    allowed = set(FOREIGN.get(ring(module), ()))
    if module.name in ("demo_program.py", "gateway_demo.py"):
        allowed |= {"anthropic", "openai", "uvicorn"}
    if ring(module) == "suite":
        allowed |= {"pytest"}
    libraries = {"plain_yaml.py": {"yaml"}, "table.py": {"pyarrow"}, "redis_server.py": {"redis"}}
    libraries["postgres_server.py"] = {"psycopg"}
    libraries["telemetry.py"] = {"opentelemetry"}
    allowed |= libraries.get(module.name, set())
    found = {name.split(".")[0] for name in imports(module)} - sys.stdlib_module_names - {"askonce"}
    assert set() == found - allowed


@pytest.mark.parametrize(
    "module", [m for m in MODULES if ring(m) != "settings"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_environment(module: Path) -> None:
    """Only the settings read the environment; the demo hands its own on to the program that it starts."""
    if module.name == "demo.py":
        return
    tree = ast.parse(module.read_text(encoding="utf-8"))
    found = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    assert [] == found
