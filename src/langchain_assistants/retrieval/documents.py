"""What a file's text is to file search, and why a file has none.

Imported by the process that reads hostile files: nothing but the standard library.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Literal, NamedTuple

MAX_CHARACTERS = 50_000_000
"""Of one file: some 5 to 50 times what its 5,000,000 tokens need."""
MAX_PAGES = 10_000
MAX_TOKENS = 5_000_000
"""The original's limit of one file in file search."""

Refusal = Literal["server_error", "unsupported_file", "invalid_file"]
"""The wire's codes of a file's `last_error`."""


class RefusedFile(Exception):
    """A file cannot be searched; its owner reads why.

    Attributes:
        code: The wire's code.
        message: What is wrong with it, and what to do; nothing of its content.
    """

    def __init__(self, code: Refusal, message: str) -> None:
        """Keep the code and the message."""
        super().__init__(message)
        self.code: Refusal = code
        self.message = message


def invalid(message: str) -> RefusedFile:
    """Return the refusal of a file that is broken, hostile or empty."""
    return RefusedFile("invalid_file", message)


class ParsedDocument(NamedTuple):
    r"""The text of a file.

    Attributes:
        text: All of it, with "\n" for line ends.
        pages: Where each page (of a PDF) or slide begins in it; None: it has none.
    """

    text: str
    pages: Sequence[int] | None = None


class DocumentWriter:
    """Collects the text of one file, and stops where it gets too long."""

    def __init__(self) -> None:
        """Begin without text."""
        self._parts: list[str] = []
        self._length = 0
        self._pages = array("l")

    def write(self, text: str) -> None:
        """Add text.

        Raises:
            RefusedFile: The file has too much of it.
        """
        self._length += len(text)
        if self._length > MAX_CHARACTERS:
            raise too_long()
        self._parts.append(text)

    def begin_page(self) -> None:
        """Let the next page begin here.

        Raises:
            RefusedFile: The file has too many.
        """
        if len(self._pages) == MAX_PAGES:
            raise invalid(
                f"The file has more than {MAX_PAGES:,} pages. Split it into several."
            )
        self._pages.append(self._length)

    def document(self) -> ParsedDocument:
        """Return what was written."""
        return ParsedDocument("".join(self._parts), self._pages or None)


def too_long() -> RefusedFile:
    """Return the refusal of a file with too much text."""
    return invalid(
        f"The file has more than {MAX_CHARACTERS:,} characters of text. Split it into "
        "several."
    )
