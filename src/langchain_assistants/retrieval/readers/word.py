"""Word documents (.docx): body, tables, text boxes, headers, footers, notes.

python-docx opens the package; its paragraphs would leave out text boxes, content
controls and insertions, so the text is taken from the elements themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE as RELATION
from docx.oxml import parse_xml
from docx.oxml.ns import qn

from langchain_assistants.retrieval.documents import DocumentWriter, ParsedDocument
from langchain_assistants.retrieval.readers.archive import check_archive

_TEXT, _TAB, _BREAK, _RETURN = qn("w:t"), qn("w:tab"), qn("w:br"), qn("w:cr")
_PARAGRAPH, _CELL, _ROW, _RUN = qn("w:p"), qn("w:tc"), qn("w:tr"), qn("w:r")
_HYPHEN = qn("w:noBreakHyphen")
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_READ = (_TEXT, _TAB, _BREAK, _RETURN, _PARAGRAPH, _CELL, _ROW, _HYPHEN)
_BEFORE = (RELATION.HEADER,)
_AFTER = (RELATION.FOOTNOTES, RELATION.ENDNOTES, RELATION.FOOTER)


def read(path: Path) -> ParsedDocument:
    """Read a .docx file: its headers first, notes and footers last.

    Raises:
        RefusedFile: It is none, or too large.
    """
    check_archive(path)
    document = docx.Document(str(path))
    writer = DocumentWriter()
    for root in _related(document.part, _BEFORE):
        _write(root, writer)
    _write(document.element.body, writer)
    for root in _related(document.part, _AFTER):
        _write(root, writer)
    return writer.document()


def _related(part: Any, kinds: tuple[str, ...]) -> Iterator[Any]:
    for kind in kinds:
        for relation in part.rels.values():
            if relation.reltype == kind and not relation.is_external:
                yield parse_xml(relation.target_part.blob)


def _write(root: Any, writer: DocumentWriter) -> None:
    """Write the text under an element; depth costs nothing, as nothing recurses."""
    # What separates the text so far from the text to come.
    gap, begun = "", False
    for element in root.iter(*_READ):
        tag, text = element.tag, ""
        if tag == _PARAGRAPH:
            in_cell = element.getparent().tag == _CELL
            gap = (in_cell and gap) or "\n"
        elif tag == _ROW:
            gap = "\n"
        elif tag == _CELL:
            previous = element.getprevious()
            follows = previous is not None and previous.tag == _CELL
            gap = gap + "\t" if follows else "\n"
        elif tag == _TEXT:
            text = element.text or ""
        elif tag == _HYPHEN:
            text = "-"
        elif element.getparent().tag == _RUN:  # else a tab stop of a style
            text = "\t" if tag == _TAB else "\n"
        if text and not _is_repeated(element):
            writer.write(gap + text if begun else text)
            gap, begun = "", True
    if begun:
        writer.write("\n")


def _is_repeated(element: Any) -> bool:
    """Tell whether older readers find here what newer ones have found above."""
    return next(element.iterancestors(_FALLBACK), None) is not None
