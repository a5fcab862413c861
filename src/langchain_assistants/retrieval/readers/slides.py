"""Presentations (.pptx), slide by slide, with their tables and the speaker's notes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pptx

from langchain_assistants.retrieval.documents import DocumentWriter, ParsedDocument
from langchain_assistants.retrieval.readers.archive import check_archive


def read(path: Path) -> ParsedDocument:
    """Read a .pptx file; its slides count as pages.

    Raises:
        RefusedFile: It is none, or too large.
    """
    check_archive(path)
    writer = DocumentWriter()
    for slide in pptx.Presentation(str(path)).slides:
        writer.begin_page()
        written = False
        for text in _texts(slide):
            writer.write(text + "\n")
            written = True
        if written:
            writer.write("\n")
    return writer.document()


def _texts(slide: Any) -> Iterator[str]:
    for shape in _shapes(slide.shapes):
        if shape.has_text_frame and shape.text_frame.text.strip():
            yield _lines(shape.text_frame.text)
        if getattr(shape, "has_table", False):
            for row in shape.table.rows:
                yield "\t".join(_lines(cell.text) for cell in row.cells)
    if slide.has_notes_slide:
        frame = slide.notes_slide.notes_text_frame
        if frame is not None and frame.text.strip():
            yield _lines(frame.text)


def _shapes(shapes: Any) -> Iterator[Any]:
    """Yield all shapes, those in groups too; a stack, for groups may be deep."""
    waiting = list(shapes)[::-1]
    while waiting:
        shape = waiting.pop()
        if hasattr(shape, "shapes"):
            waiting.extend(list(shape.shapes)[::-1])
        else:
            yield shape


def _lines(text: str) -> str:
    return text.replace("\v", "\n")
