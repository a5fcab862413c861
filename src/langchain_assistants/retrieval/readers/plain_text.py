"""Plain text, source code and data that are text: a matter of charsets only."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from langchain_assistants.retrieval.documents import (
    MAX_CHARACTERS,
    ParsedDocument,
    RefusedFile,
    invalid,
    too_long,
)

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    # UTF-32's begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHERS = (
    (b"%PDF-", "a PDF", ".pdf"),
    (b"PK\x03\x04", "a ZIP archive or an Office document", ".docx, .pptx or .xlsx"),
    (b"\xd0\xcf\x11\xe0", "an old or encrypted Office document", ".docx"),
)
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MOST_CONTROLS = 0.01
_MOST_BYTES_A_CHARACTER = 4


def read(path: Path) -> ParsedDocument:
    """Read a text file.

    Raises:
        RefusedFile: It is no text, or too long.
    """
    return ParsedDocument(decode(read_bytes(path)))


def read_bytes(path: Path) -> bytes:
    """Read a file that can be short enough to be text.

    Raises:
        RefusedFile: It cannot, or it is really something else.
    """
    if path.stat().st_size > MAX_CHARACTERS * _MOST_BYTES_A_CHARACTER:
        raise too_long()
    data = path.read_bytes()
    for magic, kind, extension in _OTHERS:
        if data.startswith(magic):
            raise invalid(
                f"The file is {kind}, not text. Upload it with its own extension, such "
                f"as {extension}."
            )
    return data


def decode(data: bytes, declared: str | None = None) -> str:
    r"""Return text with "\n" for line ends.

    By its byte order mark; else UTF-8, where it is valid; else what the file itself
    declares; else Windows-1252, and Latin-1 where that has no character.

    Raises:
        RefusedFile: It is no text, or too long.
    """
    text = _decoded(data, declared)
    if len(text) > MAX_CHARACTERS:
        raise too_long()
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def _decoded(data: bytes, declared: str | None) -> str:
    for bom, charset in _BOMS:
        if data.startswith(bom):
            try:
                return str(memoryview(data)[len(bom) :], charset)
            except UnicodeDecodeError:
                raise invalid(
                    f"The file begins as {charset.upper()} text, but is not valid. "
                    "Save it as UTF-8."
                ) from None
    if b"\x00" in data:
        raise _not_text()
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    text = _legacy(data, declared)
    if len(_CONTROLS.findall(text)) > len(text) * _MOST_CONTROLS:
        raise _not_text()
    return text


def _legacy(data: bytes, declared: str | None) -> str:
    for charset in (declared, "cp1252"):
        try:
            if charset is not None:
                return data.decode(charset)
        except (LookupError, UnicodeError):
            continue
    return data.decode("latin-1")


def _not_text() -> RefusedFile:
    return invalid(
        "The file is not text. Upload it with its own extension, or as UTF-8."
    )
