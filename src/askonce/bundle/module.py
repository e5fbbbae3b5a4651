"""A bundle as one importable file: askonce's own code, the answers, and a loader of some lines.

The file is Python up to its last lines, which are comments: one holds askonce's code (a zip in base64), one the
bundle (base64 too, read in place), and the last says where they are. What is in it is data here as everywhere.
"""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path
from typing import IO

from askonce.storage.bundle import Manifest

_ROOT = Path(__file__).parent.parent
_LEFT_OUT = ("cli", "testing", "gateway", "exchange", "__main__.py", "__pycache__")
_PIECE = 3 << 16  # bytes; of three, so that pieces of base64 can be joined
_LOADER = _ROOT / "bundle" / "loader.py"
_LAST = """

if __name__ == "__main__":
    print(__doc__)
    print("It is no program: put it beside yours, and import it there instead of openai.")
else:
    sys.modules[__name__] = load(__name__, __file__, {version!r})
"""
_DIRECTORY = "# askonce-data code={:020d}+{:020d} bundle={:020d}+{:020d}\n"


def write_module(target: Path, bundle: Path, manifest: Manifest) -> None:
    """Write the module that carries a bundle, whole or not at all."""
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as file:
            place = file.write(_code(manifest).encode())
            sources = io.BytesIO(_sources())
            with bundle.open("rb") as answers:
                spans = []
                for content in (sources, answers):
                    place += file.write(b"# ")
                    length = _write_base64(content, file)
                    spans += [place, length]
                    place += length + file.write(b"\n")
            file.write(_DIRECTORY.format(*spans).encode())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _code(manifest: Manifest) -> str:
    from askonce import __version__

    lines = [
        manifest.title or "Recorded answers of language models.",
        "",
        "Import this file instead of openai. It was made by askonce and carries its code (Apache-2.0):",
        f"{manifest.takes:,} answers to {manifest.entries:,} questions are in it, as data at its end.",
    ]
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''").replace("\0", "")
    loader = _LOADER.read_text(encoding="utf-8").partition('"""\n\n')[2]
    return f'# ruff: noqa\n"""{text}\n"""\n\n{loader}{_LAST.format(version=__version__)}'


def _sources() -> bytes:
    """Return askonce's own modules, but for those that serve the command line, tests and teams, as a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(_ROOT.rglob("*.py")):
            name = path.relative_to(_ROOT)
            if name.parts[0] not in _LEFT_OUT and "__pycache__" not in name.parts:
                member = zipfile.ZipInfo(f"askonce/{name.as_posix()}", (1980, 1, 1, 0, 0, 0))
                archive.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _write_base64(source: IO[bytes], target: IO[bytes]) -> int:
    length = 0
    while piece := source.read(_PIECE):
        length += target.write(base64.b64encode(piece))
    return length
