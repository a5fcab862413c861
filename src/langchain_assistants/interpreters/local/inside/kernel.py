"""System calls that the stdlib lacks, by ctypes."""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False  # as `typing` has it, whose import takes long
if TYPE_CHECKING:
    from typing import Any

_MOST_DESCRIPTORS = 65_536  # of whoever started this process
_libc = ctypes.CDLL(None, use_errno=True)


def close_from(first: int) -> None:
    """Close a descriptor and all above it, also those beyond this process's limit."""
    os.closerange(first, _MOST_DESCRIPTORS)


def syscall(number: int, *arguments: Any) -> int:
    """Make a system call.

    Raises:
        OSError: The kernel refused.
    """
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments))


def prctl(option: int, *arguments: Any) -> int:
    """Set or ask something of this process; missing arguments are 0.

    Raises:
        OSError: The kernel refused.
    """
    missing = [0] * (4 - len(arguments))
    words = [
        ctypes.c_ulong(word) if isinstance(word, int) else word
        for word in (*arguments, *missing)
    ]
    return _checked(_libc.prctl(ctypes.c_int(option), *words))


def _checked(answer: int) -> int:
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
