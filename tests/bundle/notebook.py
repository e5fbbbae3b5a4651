"""Run the notebook in the working directory in a kernel of another Python: `notebook.py NOTEBOOK PYTHON`.

Prints what its cells print. In a process of its own, since kernels' clients leave sockets behind.
"""

from __future__ import annotations

import sys

import nbclient
import nbformat
from jupyter_client.manager import AsyncKernelManager


def main(path: str, python: str) -> None:
    notebook = nbformat.read(path, as_version=4)
    manager = AsyncKernelManager()
    manager.kernel_spec.argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    nbclient.NotebookClient(notebook, km=manager, resources={"metadata": {"path": "."}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    sys.stdout.write("".join(output.text for output in outputs if output.get("name") == "stdout"))


if __name__ == "__main__":
    main(*sys.argv[1:])
