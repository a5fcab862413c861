"""Landlock: the files that a process may reach from now on, and no network.

It does not watch over metadata, signals (before ABI 6), sockets with a path and, on
ABI 1 and 2, truncation: `seccomp` does. https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from .kernel import syscall

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_ABI_1 = (1 << 13) - 1
_ADDED = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}  # refer, truncate, devices' ioctl
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15
_BIND_AND_CONNECT_TCP = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def abi() -> int:
    """Return the kernel's version of Landlock; 0: it has none, or it is off."""
    try:
        return syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_ASK_VERSION))
    except OSError:
        return 0


class Ruleset:
    """Rules that are gathered first and then come into force."""

    def __init__(self, version: int) -> None:
        """Forbid whatever this ABI version can forbid."""
        self._rights = _ABI_1
        for since, right in _ADDED.items():
            self._rights |= right if version >= since else 0
        network = _BIND_AND_CONNECT_TCP if version >= 4 else 0
        scoped = _ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0
        attributes = struct.pack("QQQ", self._rights, network, scoped)
        size = 24 if version >= 6 else 16 if version >= 4 else 8
        self._fd = syscall(_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))

    def allow_reading(self, paths: Iterable[str]) -> None:
        """Let files, or folders with all in them, be read; never executed."""
        self._allow(paths, _READ_FILE | _READ_DIR)

    def allow_writing(self, paths: Iterable[str]) -> None:
        """Let files, or folders with all in them, be changed; never executed."""
        self._allow(paths, self._rights & ~_EXECUTE)

    def enforce(self) -> None:
        """Bring the rules into force, for good; needs no-new-privileges."""
        syscall(_RESTRICT, ctypes.c_int(self._fd), ctypes.c_uint(0))
        os.close(self._fd)

    def _allow(self, paths: Iterable[str], rights: int) -> None:
        for path in paths:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
            granted = rights & self._rights & (-1 if is_folder else _OF_FILES)
            rule = struct.pack("=Qi", granted, fd)
            syscall(
                _ADD,
                ctypes.c_int(self._fd),
                ctypes.c_int(_PATH_BENEATH),
                rule,
                ctypes.c_uint(0),
            )
            os.close(fd)
