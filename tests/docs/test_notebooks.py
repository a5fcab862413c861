"""Every notebook runs as Jupyter runs it, and shows what is kept in its file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from tests.docs.notebooks import FOLDER, NOTEBOOKS, execute, read, shown
from tests.openai_server import OpenAIServer, tutor

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A scripted OpenAI-compatible server for a kernel of its own."""
    with OpenAIServer(tutor) as running:
        yield running


def twice(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Return each code cell two times, as somebody executes it who tries things out."""
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    return [nbformat.v4.new_code_cell(one) for one in sources for _ in range(2)]


def for_a_real_model(cells: list[NotebookNode]) -> NotebookNode:
    """Return what the last cell says as a cell to execute."""
    (block,) = re.findall(r"```python\n(.*?)```", cells[-1].source, re.DOTALL)
    assert '"openai:gpt-4o"' in block or '"gpt-4o"' in block
    return nbformat.v4.new_code_cell(block)


@each_notebook
async def test_a_notebook_shows_what_its_file_keeps_and_every_cell_runs_again(
    path: Path, server: OpenAIServer, tmp_path: Path
) -> None:
    given = read(path).cells
    data = {"LANGCHAIN_ASSISTANTS_DATABASE_URL": f"sqlite:///{tmp_path}/default.db"}
    cells = await execute(
        [*given, *twice(given), for_a_real_model(given)],
        tmp_path,
        {**server.env, **data},
    )
    assert shown(cells[: len(given)]) == shown(given), "`make notebooks` renews it"
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert "stderr" not in [output.get("name") for output in outputs]


@each_notebook
def test_a_notebook_says_that_its_model_is_scripted(path: Path) -> None:
    (first, *_) = read(path).cells
    assert "scripted model" in first.source
    assert "without a key" in first.source


@each_notebook
def test_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    text = "\n".join(cell.source for cell in read(path).cells)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:].replace("-", " ") in headings
        elif not target.startswith("sandbox:"):  # a model's link to what it wrote
            assert (FOLDER / target).exists(), target


def test_the_index_names_every_notebook() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\(([^)#:]+\.ipynb)\)", index)
    assert sorted(named) == [path.name for path in NOTEBOOKS]
    assert len(NOTEBOOKS) >= 3
