"""`python -m askonce` is the command `askonce`."""

from __future__ import annotations

from askonce.cli import main

if __name__ == "__main__":
    main(prog_name="python -m askonce")
