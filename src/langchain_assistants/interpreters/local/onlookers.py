"""Seeing what another user's processes hold, where root alone may not."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

_GET_DUMPABLE, _SET_DUMPABLE = 3, 4
_CAPABILITY_VERSION = 0x20080522


@contextmanager
def eyes_of(uid: int) -> Iterator[None]:
    """Let this thread of a root process look at files as a user; others stay root.

    Into a process may look who is its user, or has CAP_SYS_PTRACE, which containers
    do not have; what counts is the user for files, which a thread has for itself
    (ptrace(2), PTRACE_MODE_READ_FSCREDS; setfsuid(2)).
    """
    libc = ctypes.CDLL(None)
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    capabilities = ctypes.create_string_buffer(24)
    libc.capget(header, capabilities)
    is_dumpable = libc.prctl(_GET_DUMPABLE)
    libc.setfsgid(uid)
    libc.setfsuid(uid)
    # That took some away, and nobody looks into a process that has more than he has.
    libc.capset(header, capabilities)
    try:
        yield
    finally:
        libc.setfsuid(os.geteuid())
        libc.setfsgid(os.getegid())
        # The kernel takes this from a process whose users change.
        libc.prctl(_SET_DUMPABLE, is_dumpable)
