"""Files and pictures that a tool hands over, and names that are safe to show."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass, field

# Shells, terminals and file systems read meaning into these.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069:*?<>|\"]"
)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or a picture that code made.

    Attributes:
        name: A bare file name; no part of it is a folder.
        mime_type: By the interpreter, or guessed by the name.
        data: The content.
        path: Where it is in the interpreter's session; None for a shown picture.

    Example:
        >>> Artifact("sales.png", "image/png", b"...").is_picture
        True
    """

    name: str
    mime_type: str
    data: bytes = field(repr=False)
    path: str | None = None

    @property
    def is_picture(self) -> bool:
        """Whether it is an image."""
        return self.mime_type.startswith("image/")


def bare_name(path: str) -> str:
    """Return the last part of anybody's path as a name that is safe to use."""
    name = _UNSAFE.sub("_", re.split(r"[/\\]", path)[-1]).strip()[-150:]
    return name if name.strip(".") else "file"


def mime_type(name: str) -> str:
    """Guess a MIME type by the name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def shortened(text: str, limit: int) -> str:
    """Return the beginning and the end of a long text, and say what is left out."""
    if len(text) <= limit:
        return text
    half = limit // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n[... {left_out} characters left out ...]\n{text[-half:]}"
