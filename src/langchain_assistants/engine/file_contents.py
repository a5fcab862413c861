"""What a caller may give as a file: a path, bytes, something to read; nothing is kept.

Text is refused: it could be a path or a content, and guessing wrong would upload the
wrong thing.
"""

from __future__ import annotations

import ntpath
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias, cast

from anyio.to_thread import run_sync

from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.storage.blobs import CHUNK

FileContent: TypeAlias = (
    PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | AsyncIterable[bytes]
)
"""A path on this machine, the bytes themselves, or something that yields them."""
FileInput: TypeAlias = (
    FileContent
    | tuple[str | None, FileContent]
    | tuple[str | None, FileContent, str | None]
)
"""A content, with a file name and a MIME type if they are given as a tuple."""

_UNNAMED = "upload"


class NamedContent(NamedTuple):
    """A content that nothing has been read of yet.

    Attributes:
        filename: Without folders.
        content: The content.
        mime_type: As the caller says, if he does.
    """

    filename: str
    content: FileContent
    mime_type: str | None = None


def named_content(file: FileInput) -> NamedContent:
    """Take a file apart.

    Raises:
        TypeError: It is nothing that holds bytes.
    """
    if not isinstance(file, tuple):
        return NamedContent(base_name(_name_of(file)), _checked(file))
    if not 2 <= len(file) <= 3:
        raise TypeError(
            "A file that is a tuple is (name, content) or (name, content, MIME type)."
        )
    name, content, *rest = file
    for text in (name, *rest):
        if text is not None and not isinstance(text, str):
            raise TypeError("A file's name and MIME type are strings, or None.")
    given = name if name is not None else _name_of(content)
    mime_type = rest[0] if rest else None
    return NamedContent(base_name(given), _checked(content), mime_type)


def _checked(content: Any) -> FileContent:
    if isinstance(content, str):
        raise TypeError(
            "A file is not given as text: pass pathlib.Path(...) for a file on this "
            "machine, or bytes for its content."
        )
    known = (PathLike, bytes, bytearray, memoryview, AsyncIterable)
    if not isinstance(content, known) and not hasattr(content, "read"):
        raise TypeError(
            "A file is a path, bytes, a binary file object or an async iterable of "
            f"bytes, not a Python {type(content).__name__}."
        )
    return cast("FileContent", content)


def _name_of(content: object) -> str:
    """Return what a path or an open file is called."""
    if isinstance(content, PathLike):
        return str(fspath(content))
    name = getattr(content, "name", None)
    return name if isinstance(name, str) else _UNNAMED


def base_name(name: str) -> str:
    """Drop the folders of a name, in the spelling of whatever system."""
    base = ntpath.basename(name)  # it knows both separators
    return _UNNAMED if base in ("", ".", "..") else base


@asynccontextmanager
async def read_in_pieces(content: FileContent) -> AsyncIterator[AsyncIterable[bytes]]:
    """Yield the pieces of a content; what blocks is read on another thread.

    Raises:
        OSError: It cannot be read.
        TypeError: It was opened as text.
    """
    if isinstance(content, PathLike):
        file = await run_sync(Path(content).open, "rb", 0)
        try:
            async with aclosing(_pieces(file)) as pieces:
                yield pieces
        finally:
            file.close()
    else:
        async with aclosing(_pieces(content)) as pieces:
            yield pieces


async def _pieces(content: Any) -> AsyncGenerator[bytes, None]:
    if isinstance(content, bytes | bytearray | memoryview):
        view = memoryview(content).cast("B")
        for start in range(0, len(view), CHUNK):
            yield bytes(view[start : start + CHUNK])
    elif isinstance(content, AsyncIterable):
        async for piece in content:
            yield _bytes(piece)
    else:
        while piece := await run_sync(content.read, CHUNK):
            yield _bytes(piece)


def _bytes(piece: Any) -> bytes:
    if isinstance(piece, str):
        raise TypeError("The file was opened as text; open it with mode 'rb'.")
    return cast("bytes", piece)


def required(file: object, param: str) -> None:
    """Refuse a missing file.

    Raises:
        InvalidRequestError: It is None.
    """
    if file is None:
        raise InvalidRequestError(
            f"Missing required parameter: '{param}'.",
            code="missing_required_parameter",
            param=param,
        )
