"""Spreadsheets (.xlsx): a heading per sheet, a line per row, a tab between cells."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl

from langchain_assistants.retrieval.documents import DocumentWriter, ParsedDocument
from langchain_assistants.retrieval.readers.archive import check_archive


def read(path: Path) -> ParsedDocument:
    """Read an .xlsx file: the values that its formulas had when it was saved.

    Raises:
        RefusedFile: It is none, or too large.
    """
    check_archive(path)
    writer = DocumentWriter()
    # Opened here: of a path it wants to see the extension.
    with path.open("rb") as file:
        book = openpyxl.load_workbook(
            file, read_only=True, data_only=True, keep_links=False
        )
        for sheet in book.worksheets:
            # What a sheet says of its size is not to be believed, nor filled up.
            sheet.reset_dimensions()
            heading = f"# {sheet.title}\n"
            for row in sheet.iter_rows(values_only=True):
                cells = [_cell(value) for value in row]
                while cells and not cells[-1]:
                    cells.pop()
                if cells:
                    writer.write(heading + "\t".join(cells) + "\n")
                    heading = ""
            if not heading:
                writer.write("\n")
    return writer.document()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ").removesuffix(" 00:00:00")
    return " ".join(str(value).split()) if isinstance(value, str) else str(value)
