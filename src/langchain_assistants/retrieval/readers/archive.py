"""The budget of a ZIP archive, as Office documents are: checked before it is opened.

What the archive says of its members binds its reader: zipfile reads no byte more.
Archives inside it are never opened.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from langchain_assistants.retrieval.documents import RefusedFile, invalid

MAX_BYTES = 512 * 2**20
MAX_MEMBERS = 10_000
MAX_RATIO = 200
_HARMLESS_BYTES = 16 * 2**20
"""Small archives may be as compact as they like: many blank cells are."""


def check_archive(path: Path) -> None:
    """Refuse an archive that would inflate to too much.

    Raises:
        RefusedFile: It is none, is encrypted, or is over the budget.
    """
    if not zipfile.is_zipfile(path):
        raise invalid(
            "The file is not what its extension says: no Office Open XML document, or "
            "one with a password."
        )
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise _bomb(f"{len(members):,} members")
    inflated = sum(member.file_size for member in members)
    packed = max(1, path.stat().st_size)
    if inflated > MAX_BYTES:
        raise _bomb(f"{inflated:,} bytes")
    if inflated > _HARMLESS_BYTES and inflated / packed > MAX_RATIO:
        raise _bomb(f"{inflated // packed:,} times its size")


def _bomb(amount: str) -> RefusedFile:
    return invalid(
        f"The document would unpack to {amount}, more than is read. Split it, or save "
        "it as PDF."
    )
