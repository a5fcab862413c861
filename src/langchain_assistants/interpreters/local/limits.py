"""How much of the machine one session may use."""

from __future__ import annotations

from dataclasses import dataclass

_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a session; each holds under every jail.

    Attributes:
        seconds: For one execution, at most; a call may ask for less.
        grace_seconds: How long after an interrupt code may go on before it is killed
            and its variables are lost.
        memory_bytes: Of one process, and of all of the session together.
        file_bytes: Of one file.
        folder_bytes: Of all files, those without a name included; a session that
            exceeds it is lost.
        folder_entries: Files and folders; a session that exceeds it is lost.
        tasks: Processes and threads.
        open_files: Of one process.

    Example:
        >>> Limits(seconds=30).memory_bytes
        2147483648
    """

    seconds: float = 120.0
    grace_seconds: float = 2.0
    memory_bytes: int = 2048 * _MB
    file_bytes: int = 100 * _MB
    folder_bytes: int = 512 * _MB
    folder_entries: int = 20_000
    tasks: int = 64
    open_files: int = 256
