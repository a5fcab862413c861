"""The command `ingest`: a folder becomes a vector store that can be searched."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import EngineFactory

from langchain_assistants import AssistantsEngine
from langchain_assistants.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two good files, a broken one and what is hidden."""
    root = tmp_path / "manuals"
    for name, text in {
        "lamp.md": "# The lamp\nIt tells that the device is ready.",
        "deeper/turtle.txt": "The turtle sleeps.",
        "broken.pdf": "no PDF",
        ".hidden.txt": "hidden",
        ".git/config.txt": "hidden too",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "link.txt").symlink_to(root / "lamp.md")
    return root


def found(engine: AssistantsEngine, query: str) -> list[tuple[str, object]]:
    [store] = engine.vector_stores.list()
    results = engine.vector_stores.search(store.id, query=query).data
    return [(result.filename, (result.attributes or {})["path"]) for result in results]


def test_a_folder_is_indexed_and_again_without_doubling(
    engine_factory: EngineFactory, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = engine_factory()
    command = ["ingest", str(folder), "--store", "Manuals", "--database", engine.url]
    assert main(command) == 1
    shown = capsys.readouterr().out
    assert "broken.pdf: The file is no valid .pdf document" in shown
    assert "2 of 3 files are indexed in vs_" in shown
    assert "hidden" not in shown
    assert found(engine, "turtles") == [("turtle.txt", "deeper/turtle.txt")]
    (folder / "broken.pdf").unlink()
    (folder / "lamp.md").write_text("The lamp is a hare now.")
    assert main(command) == 0
    assert "which now holds 2 (" in capsys.readouterr().out
    assert found(engine, "hares") == [("lamp.md", "lamp.md")]
    assert found(engine, "device") == []
    assert len(list(engine.files.list())) == 2


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_files_is_an_error(
    engine_factory: EngineFactory,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    (tmp_path / "empty").mkdir()
    engine = engine_factory()
    folder = str(tmp_path / name)
    assert main(["ingest", folder, "--store", "x", "--database", engine.url]) == 1
    assert folder in capsys.readouterr().err.replace("\n", "")
    assert list(engine.vector_stores.list()) == []
