"""Runs the notebooks as Jupyter does, and keeps what they show in their files.

Readers of a repository see what is kept. `make notebooks` writes it where a run shows
something else; ids, times and pixels differ and do not count.
"""

from __future__ import annotations

import asyncio
import copy
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

_VARYING = {
    r"\b(asst|thread|msg|run|step|call)_[A-Za-z0-9]{24}\b": r"\1_…",
    r"\bfile-[A-Za-z0-9]{24}\b": "file-…",
    r"\bvs_[A-Za-z0-9]{24}\b": "vs_…",
    r"\b(\w+_at)=\d{10}\b": r"\1=…",
    r"\bat 0x[0-9a-f]+\b": "at 0x…",
    r"[~^]{2,}": "^^",  # Pythons mark a line's fault in different ways
    # How a chart is drawn depends on the fonts of a machine.
    r"data:image/png;base64,[A-Za-z0-9+/=]+": "data:…",
    r"<time [^>]*>[^<]*</time>": "<time>…</time>",
    r">(&lt; 1|\d+|\d+ min \d+) s<": ">… s<",
}


def read(path: Path) -> NotebookNode:
    """Read a notebook; its source ends lines with a line feed everywhere."""
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


async def execute(
    cells: Iterable[NotebookNode], folder: Path, env: dict[str, str] | None = None
) -> list[NotebookNode]:
    """Execute cells in a fresh kernel, in a folder, and return them with outputs.

    Raises:
        CellExecutionError: A cell raised.
    """
    notebook = nbformat.v4.new_notebook(cells=[copy.deepcopy(cell) for cell in cells])
    client = NotebookClient(
        notebook,
        timeout=60,
        kernel_name="python3",
        coalesce_streams=True,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # it warns of TCP on loopback
        resources={"metadata": {"path": str(folder)}},
    )
    # A profile of its own: nobody's startup files, and no history of anybody's.
    own = {"IPYTHONDIR": str(folder / ".ipython"), "NO_COLOR": "1"}
    await client.async_execute(env={**os.environ, **own, **(env or {})})
    return list(notebook.cells)


def shown(cells: Iterable[NotebookNode]) -> list[Any]:
    """Return what cells show, without what varies from run to run."""
    return [
        (cell.execution_count, [_masked(output) for output in cell.outputs])
        for cell in cells
        if cell.cell_type == "code"
    ]


def _masked(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _masked(value) for key, value in item.items()}
    if isinstance(item, list):
        return [_masked(value) for value in item]
    if isinstance(item, str):
        for pattern, mask in _VARYING.items():
            item = re.sub(pattern, mask, item)
    return item


def main() -> None:
    """Execute every notebook, and write those that show something new."""
    for path in NOTEBOOKS:
        notebook = read(path)
        with tempfile.TemporaryDirectory() as folder:
            cells = asyncio.run(execute(notebook.cells, Path(folder)))
        changed = shown(cells) != shown(notebook.cells)
        if changed:
            notebook.cells = cells
            nbformat.write(notebook, path)
        sys.stdout.write(f"{path.name}: {'written' if changed else 'as it was'}\n")


if __name__ == "__main__":
    main()
