"""PDF, page by page, with pypdf: it limits what a stream may inflate to."""

from __future__ import annotations

from pathlib import Path

from pypdf import PdfReader
from pypdf.errors import DependencyError

from langchain_assistants.retrieval.documents import (
    DocumentWriter,
    ParsedDocument,
    RefusedFile,
    invalid,
)


def read(path: Path) -> ParsedDocument:
    """Read a PDF with its page numbers.

    Raises:
        RefusedFile: It is encrypted, broken, or has no text.
    """
    with path.open("rb") as file:
        reader = PdfReader(file, strict=False)
        if reader.is_encrypted:
            _decrypt(reader)
        writer = DocumentWriter()
        for page in reader.pages:
            writer.begin_page()
            text = page.extract_text().strip()
            if text:
                writer.write(text + "\n\n")
        return writer.document()


def _decrypt(reader: PdfReader) -> None:
    """Open what everybody may read: an owner's password only forbids to print."""
    try:
        if reader.decrypt(""):
            return
    except DependencyError:
        raise RefusedFile(
            "server_error",
            "Reading an encrypted PDF needs the package cryptography: pip install "
            "cryptography.",
        ) from None
    raise invalid("The PDF is encrypted. Remove its password and upload it again.")
