"""A bundle as a Python package: a wheel and an sdist, ready for an index, found through an entry point."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from askonce.errors import SettingsError
from askonce.storage.bundle import SUFFIX, Manifest

GROUP = "askonce.bundles"
"""The entry points of packages that carry bundles; each names a module whose folder has them."""

_NAME = re.compile(r"[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*")  # of the core metadata, less what no index takes
_VERSION = re.compile(
    r"(?:\d+!)?\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?(?:\.post\d+)?(?:\.dev\d+)?"
)  # PEP 440, normal form
_EPOCH = (1980, 1, 1, 0, 0, 0)  # so that the same content makes the same file
_READ = 1 << 20


def check_names(name: str, version: str) -> None:
    """Raise SettingsError unless a package can have this name and version."""
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"name: {name!r} is no name of a package. Letters, digits and single - . _ between make one."
        )
    if not _VERSION.fullmatch(version):
        raise SettingsError(f"version: {version!r} is no version of a package. Write 1.0 or 2026.1.2.")


def write_package(folder: Path, bundle: Path, name: str, version: str, manifest: Manifest) -> tuple[Path, Path]:
    """Write the wheel and the sdist of a package that carries a bundle; return where they are."""
    distribution = re.sub(r"[-_.]+", "_", name).lower()
    module = f"askonce_bundle_{distribution}"
    metadata = _metadata(name, version, manifest)
    wheel = folder / f"{distribution}-{version}-py3-none-any.whl"
    sdist = folder / f"{distribution}-{version}.tar.gz"
    files = {f"{module}/__init__.py": f'"""Recorded answers, for askonce: {name} {version}."""\n'}
    data = f"{module}/{distribution}{SUFFIX}"
    info = f"{distribution}-{version}.dist-info"
    entry_points = f"[{GROUP}]\n{distribution} = {module}\n"
    wheel_files = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: askonce\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": entry_points,
    }
    sdist_files = {
        "PKG-INFO": metadata,
        "README.md": _readme(name, manifest),
        "pyproject.toml": _project(name, version, manifest, module, distribution),
        **{f"src/{path}": text for path, text in files.items()},
    }
    try:
        _write_wheel(_part(wheel), wheel_files, data, bundle, f"{info}/RECORD")
        _write_sdist(_part(sdist), sdist_files, f"src/{data}", bundle, f"{distribution}-{version}")
        for path in (wheel, sdist):
            _part(path).replace(path)
    finally:
        for path in (wheel, sdist):
            _part(path).unlink(missing_ok=True)
    return wheel, sdist


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _write_wheel(path: Path, files: Mapping[str, str], data: str, bundle: Path, record: str) -> None:
    lines = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(_member(name), text, zipfile.ZIP_DEFLATED)
            lines.append(f"{name},{_record_digest(hashlib.sha256(text.encode()).digest())},{len(text.encode())}")
        member = _member(data)
        member.file_size = size = bundle.stat().st_size
        state = hashlib.sha256()
        with bundle.open("rb") as source, archive.open(member, "w") as target:  # stored: it is compressed already
            while piece := source.read(_READ):
                state.update(piece)
                target.write(piece)
        lines.append(f"{data},{_record_digest(state.digest())},{size}")
        archive.writestr(_member(record), "\n".join([*lines, f"{record},,", ""]), zipfile.ZIP_DEFLATED)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.external_attr = 0o100644 << 16
    return member


def _record_digest(digest: bytes) -> str:
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _write_sdist(path: Path, files: Mapping[str, str], data: str, bundle: Path, top: str) -> None:
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, text in files.items():
            content = text.encode()
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        member = tarfile.TarInfo(f"{top}/{data}")
        member.size = bundle.stat().st_size
        with bundle.open("rb") as source:
            archive.addfile(member, source)


def _metadata(name: str, version: str, manifest: Manifest) -> str:
    return (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {_summary(manifest)}\n"
        "Requires-Python: >=3.11\nRequires-Dist: askonce\nDescription-Content-Type: text/markdown\n\n"
        f"{_readme(name, manifest)}"
    )


def _project(name: str, version: str, manifest: Manifest, module: str, distribution: str) -> str:
    return f"""[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = {_toml(name)}
version = {_toml(version)}
description = {_toml(_summary(manifest))}
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["askonce"]

[project.entry-points."{GROUP}"]
{distribution} = "{module}"

[tool.hatch.build.targets.wheel]
packages = ["src/{module}"]
"""


def _summary(manifest: Manifest) -> str:
    return " ".join((manifest.title or f"{manifest.takes:,} recorded answers of language models").split())[:512]


def _readme(name: str, manifest: Manifest) -> str:
    lines = [f"# {_summary(manifest)}", ""]
    if manifest.note:
        lines += [manifest.note, ""]
    lines += [
        f"{manifest.takes:,} answers to {manifest.entries:,} questions to language models, for",
        "[askonce](https://pypi.org/project/askonce/): with this package installed, a program that begins with",
        "`import askonce.openai as openai` has them from here instead of asking.",
        "",
    ]
    return "\n".join(lines)


def _toml(text: str) -> str:
    """Return a TOML string; TOML's escapes are those of JSON, but for the delete character."""
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
