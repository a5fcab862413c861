"""The locks of multiprocessing: they keep their names, by which the host sees them.

Each is a file in memory, and a pool of processes makes many; the size of one without a
name is told to root alone.
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress

TYPE_CHECKING = False  # as `typing` has it, whose import takes long
if TYPE_CHECKING:
    from typing import Self


def keep_names() -> None:
    """Let locks that code makes from now on have names as long as they are used."""
    try:
        import _multiprocessing  # type: ignore[import-not-found]
    except ImportError:  # this Python was built without it
        return

    class SemLock(_multiprocessing.SemLock):  # type: ignore[misc]
        """One that is not unlinked at once."""

        def __new__(
            cls, kind: int, value: int, maxvalue: int, name: str, unlink: bool
        ) -> Self:
            """Make it under its name."""
            made: Self = super().__new__(cls, kind, value, maxvalue, name, False)
            if unlink:
                weakref.finalize(made, _unlink, name, os.getpid())
            return made

    _multiprocessing.SemLock = SemLock


def _unlink(name: str, pid: int) -> None:
    import _multiprocessing

    if os.getpid() == pid:  # children use it too
        with suppress(OSError):
            _multiprocessing.sem_unlink(name)
