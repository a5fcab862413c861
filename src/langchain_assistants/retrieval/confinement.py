"""What a process that reads hostile files may use: memory, time, no files, no network.

Linux does all of it, macOS all but the network and the memory, Windows nothing: there
remain the wall clock and the limits of what is read.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
import time

MEMORY_BYTES = 2**30
CPU_SECONDS = 60

# Of Linux: prctl(2), seccomp(2), bpf(4); numbers of system calls by architecture.
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_FILTER = 2
_SYSTEM_CALLS = {
    # Its number for the filter, then those of socket, execve, execveat.
    "x86_64": (0xC000003E, (41, 59, 322)),
    "aarch64": (0xC00000B7, (198, 221, 281)),
}
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
_X32 = 0x40000000  # another numbering of the same calls


def confine() -> None:
    """Give up, for good, what reading a file does not need."""
    _limit()
    if sys.platform == "linux":
        _refuse_network()


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, limit in (
        ("RLIMIT_AS", MEMORY_BYTES),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_CORE", 0),
    ):
        try:
            resource.setrlimit(getattr(resource, name), (limit, limit))
        except (ValueError, OSError):  # macOS knows no limit of memory
            continue


def renew_cpu_time() -> None:
    """Give the next file its own time of the processor."""
    try:
        import resource
    except ImportError:
        return
    used = int(time.process_time()) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_SECONDS, hard))


def _refuse_network() -> None:
    """Refuse new sockets and programs, with a filter of system calls.

    It needs no privilege; where the system has none the process goes on without.
    """
    known = _SYSTEM_CALLS.get(platform.machine())
    if known is None or sys.maxsize < 2**32:
        return
    architecture, refused = known
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 0, len(refused) + 2, architecture)]
    program += [(_LOAD, 0, 0, 0), (_AT_LEAST, len(refused), 0, _X32)]
    program += [
        (_EQUAL, len(refused) - place, 0, number)
        for place, number in enumerate(refused)
    ]
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    code = b"".join(struct.pack("=HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: how many lines, and where they are.
    loaded = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        libc.prctl(_PR_SET_SECCOMP, _FILTER, loaded, 0, 0)
