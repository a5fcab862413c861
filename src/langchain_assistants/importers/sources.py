"""Where saved data lies: a file, a folder or a zip archive; what it says is not here.

Names in an archive never become paths: its members are read where they are.
"""

from __future__ import annotations

import codecs
import io
import os
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Self, TextIO

from langchain_assistants.errors import ConfigurationError

DOCUMENTS = (".json", ".jsonl", ".ndjson")
"""How the names of files end that are read for objects; all others are contents."""

UNREADABLE = (OSError, EOFError, UnicodeError, zipfile.BadZipFile, zlib.error)
"""What reading a source may raise."""

_ENCRYPTED = 0x1
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",  # what PowerShell writes
    codecs.BOM_UTF16_BE: "utf-16",
}


class Entry(NamedTuple):
    """A file of a source.

    Attributes:
        name: Relative to the source, with slashes.
        size: In bytes, as the source says.
    """

    name: str
    size: int

    @property
    def is_document(self) -> bool:
        """Whether objects are looked for in it."""
        return self.name.lower().endswith(DOCUMENTS)

    @property
    def base(self) -> str:
        """Its name without folders."""
        return PurePosixPath(self.name).name


class Unreadable(NamedTuple):
    """A file of a source that is left alone."""

    name: str
    why: str


class Source(ABC):
    """Files that may be opened by their entries; use it in a `with` block."""

    def __init__(self) -> None:
        """Begin without entries."""
        self.entries: list[Entry] = []
        self.unreadable: list[Unreadable] = []

    @property
    def documents(self) -> Sequence[Entry]:
        """The files in which objects are looked for."""
        return [entry for entry in self.entries if entry.is_document]

    @abstractmethod
    def open(self, entry: Entry) -> IO[bytes]:
        """Open a file.

        Raises:
            OSError, zipfile.BadZipFile: It cannot be read; see `UNREADABLE`.
        """

    def close(self) -> None:  # noqa: B027 - most have nothing open
        """Let go of what is open."""

    def __enter__(self) -> Self:
        """Return the source."""
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of what is open."""
        self.close()


class Folder(Source):
    """A folder with all that is below it, or one file of it."""

    def __init__(self, root: Path, files: Iterator[Path]) -> None:
        """Look at the files."""
        super().__init__()
        self._root = root
        inside = root.resolve()
        for path in files:
            name = path.relative_to(root).as_posix()
            try:
                found = path.stat()
                outside = not path.resolve().is_relative_to(inside)
            except OSError as error:
                self.unreadable.append(Unreadable(name, error.strerror or "unreadable"))
                continue
            if outside:
                self.unreadable.append(Unreadable(name, "it leads out of the folder"))
            elif not stat.S_ISREG(found.st_mode):
                self.unreadable.append(Unreadable(name, "it is no regular file"))
            else:
                self.entries.append(Entry(name, found.st_size))

    def open(self, entry: Entry) -> IO[bytes]:
        """Open a file; see `Source.open`."""
        return (self._root / entry.name).open("rb")


class Archive(Source):
    """A zip archive."""

    def __init__(self, path: Path) -> None:
        """Open the archive and look at its members.

        Raises:
            ConfigurationError: It is no zip archive.
        """
        super().__init__()
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise ConfigurationError(
                f"{path} cannot be read as a zip archive: {error}."
            ) from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            if member.is_dir():
                continue
            why = self._refusal(member)
            if why is not None:
                self.unreadable.append(Unreadable(member.filename, why))
                continue
            self._members[member.filename] = member
            self.entries.append(Entry(member.filename, member.file_size))
        self.entries.sort()

    def _refusal(self, member: zipfile.ZipInfo) -> str | None:
        name = member.orig_filename
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or parts[0] == "/" or ":" in parts[0]:
            return "its name leads out of the archive"
        if "\0" in name or member.filename in self._members:
            return "its name is another file's too"
        if stat.S_ISLNK(member.external_attr >> 16):
            return "it is a link"
        if member.flag_bits & _ENCRYPTED:
            return "it is encrypted"
        return None

    def open(self, entry: Entry) -> IO[bytes]:
        """Open a member; see `Source.open`."""
        try:
            return self._zip.open(self._members[entry.name])
        except (NotImplementedError, RuntimeError) as error:
            raise zipfile.BadZipFile(str(error)) from error

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()


def open_source(path: Path) -> Source:
    """Open what a path leads to.

    Raises:
        ConfigurationError: There is nothing, or it cannot be read.
    """
    if path.is_dir():
        return Folder(path, _files_below(path))
    if not path.is_file():
        raise ConfigurationError(
            f"There is no file and no folder {path}; name what was saved."
        )
    if path.suffix.lower() == ".zip":
        return Archive(path)
    return Document(path)


class Document(Folder):
    """One file of objects, whatever its name ends in."""

    def __init__(self, path: Path) -> None:
        """Look at the file."""
        super().__init__(path.parent, iter([path]))

    @property
    def documents(self) -> Sequence[Entry]:
        """The file."""
        return self.entries


def as_text(file: IO[bytes]) -> TextIO:
    """Return the text of an open file, whatever its encoding."""
    buffered = io.BufferedReader(file)  # type: ignore[type-var]
    head = buffered.peek(4)
    encoding = next(
        (name for mark, name in _BYTE_ORDER_MARKS.items() if head.startswith(mark)),
        "utf-8",
    )
    return io.TextIOWrapper(buffered, encoding=encoding, errors="surrogateescape")


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of those in it, by name; no link to a folder."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(parent, name)
