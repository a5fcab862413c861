"""From a file to its text: the reader is chosen by the extension of its name.

It reads in the process that calls it; hostile files are the matter of `parser`, which
has this done in another one, under limits.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path, PurePath

from langchain_assistants.retrieval.documents import (
    ParsedDocument,
    RefusedFile,
    invalid,
)

_PLAIN = "plain_text"
_READERS = {
    ".c": _PLAIN,
    ".cpp": _PLAIN,
    ".cs": _PLAIN,
    ".css": _PLAIN,
    ".csv": _PLAIN,
    ".docx": "word",
    ".go": _PLAIN,
    ".htm": "web_page",
    ".html": "web_page",
    ".java": _PLAIN,
    ".js": _PLAIN,
    ".json": _PLAIN,  # as it is: parsing it could only lose or overflow
    ".md": _PLAIN,
    ".pdf": "pdf",
    ".php": _PLAIN,
    ".pptx": "slides",
    ".py": _PLAIN,
    ".rb": _PLAIN,
    ".sh": _PLAIN,
    ".tex": _PLAIN,
    ".ts": _PLAIN,
    ".txt": _PLAIN,
    ".xlsx": "sheets",
}
EXTENSIONS = tuple(_READERS)
"""The extensions that are read: the original's but `.doc`, and `.csv .htm .xlsx`."""

_SHOWN = re.compile(r"\.[a-z0-9]{1,10}", re.ASCII)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def extension_of(filename: str) -> str:
    """Return the extension of a name, in lower case; empty where it has none."""
    return PurePath(filename).suffix.lower()


def is_plain(filename: str) -> bool:
    """Tell whether a file of this name only needs to be decoded."""
    return _READERS.get(extension_of(filename)) == _PLAIN


def check_extension(filename: str) -> None:
    """Refuse a file by its name.

    Raises:
        RefusedFile: Its extension is none that is read.
    """
    extension = extension_of(filename)
    if extension in _READERS:
        return
    shown = extension if _SHOWN.fullmatch(extension) else "none that is known"
    advice = (
        "Save it as .docx or .pdf."
        if extension == ".doc"
        else f"Supported are {', '.join(EXTENSIONS)}."
    )
    raise RefusedFile(
        "unsupported_file",
        f"Files with extensions [{shown}] are not supported for retrieval. {advice}",
    )


def parse(path: Path, filename: str) -> ParsedDocument:
    """Read a file's text, in this process.

    Args:
        path: Where its content lies.
        filename: What its owner calls it: its extension says what it is.

    Raises:
        RefusedFile: It is not supported, broken, hostile or without text.
    """
    check_extension(filename)
    extension = extension_of(filename)
    module = f"{__package__}.readers.{_READERS[extension]}"
    try:
        document: ParsedDocument = import_module(module).read(path)
    except RefusedFile:
        raise
    except ImportError as error:
        raise RefusedFile(
            "server_error",
            f"Reading {extension} files needs the package {error.name}: pip install "
            "'langchain-assistants[files]'.",
        ) from error
    except MemoryError:
        raise invalid(
            "The file needs more memory to be read than it may have. Split it."
        ) from None
    # The libraries raise whatever they run into: a broken file is the reason.
    except Exception as error:
        raise invalid(
            f"The file is no valid {extension} document, or is damaged "
            f"({type(error).__name__})."
        ) from error
    return _checked(document)


def _checked(document: ParsedDocument) -> ParsedDocument:
    if not document.text or document.text.isspace():
        raise invalid(
            "The file has no text. If it was scanned, recognise its text (OCR) first."
        )
    # One character for one: the offsets of the pages stay true.
    return document._replace(text=_UNSTORABLE.sub("\ufffd", document.text))
