"""Walking and deleting a stranger's folder: no link is followed, no depth too deep."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

AS_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DEEPEST = 64
"""Folders within folders; no more are looked into."""
_TICK = 10_000_000  # nanoseconds that the clock of a file system may be late


class Unsteady(Exception):
    """What somebody does meanwhile keeps us from seeing it: he has to be stopped."""


def walk(
    top: Path, *, since: int | None = None
) -> Iterator[tuple[tuple[str, ...], os.stat_result]]:
    """Yield all that is below a folder, a moving target, without following a link.

    Args:
        top: The folder.
        since: When everything must have come to rest, in nanoseconds of the clock:
            what moves could be missed; None: nothing can move.

    Raises:
        PermissionError: Somebody is closing folders while they are walked.
        Unsteady: Something has changed since then.
    """
    try:
        fd = os.open(top, AS_FOLDER)
    except FileNotFoundError:
        return
    yield from _walk_in(fd, (), None if since is None else since - _TICK)


def _walk_in(
    fd: int, above: tuple[str, ...], since: int | None
) -> Iterator[tuple[tuple[str, ...], os.stat_result]]:
    try:
        for name in os.listdir(fd):
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            parts = (*above, name)
            # A file may have given its content to one that was passed already.
            if since is not None and info.st_ctime_ns >= since:
                raise Unsteady
            yield parts, info
            if stat.S_ISDIR(info.st_mode) and len(parts) < DEEPEST:
                inner = _opened(fd, name)
                if inner is not None:
                    yield from _walk_in(inner, parts, since)
        # Unlike the time of the content, nobody can set that of the change.
        if since is not None and os.fstat(fd).st_ctime_ns >= since:
            raise Unsteady
    finally:
        os.close(fd)


def _opened(folder: int, name: str) -> int | None:
    """Open a folder in a folder, even one that its owner closed; None: it is gone."""
    try:
        fd = os.open(name, os.O_PATH | AS_FOLDER, dir_fd=folder)
    except OSError:
        return None
    try:
        own = f"/proc/self/fd/{fd}"  # the folder itself, whatever its name leads to now
        if os.fstat(fd).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(own, stat.S_IRWXU)
        return os.open(own, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(fd)


def delete_tree(top: Path) -> None:
    """Delete a folder in which no process is left; it may be gone already.

    It goes down and up again by one descriptor: no depth is too deep, and nothing is
    made on the way, for which a full disk would have no room.

    Raises:
        OSError: It belongs to somebody else, or is not left alone.
    """
    try:
        fd = os.open(top, AS_FOLDER)
    except FileNotFoundError:
        return
    try:
        left, above = os.listdir(fd), list[tuple[str, list[str], os.stat_result]]()
        while left or above:
            if left:
                name = left.pop()
                try:
                    os.unlink(name, dir_fd=fd)
                    continue
                except (IsADirectoryError, PermissionError):
                    inner = _opened(fd, name)
                if inner is None:
                    here = os.readlink(f"/proc/self/fd/{fd}")
                    raise OSError(f"A folder below {here} is locked")
                above.append((name, left, os.fstat(fd)))
                fd = instead_of(fd, inner)
                left = os.listdir(fd)
            else:
                fd = instead_of(fd, os.open("..", AS_FOLDER, dir_fd=fd))
                name, left, folder = above.pop()
                if not os.path.samestat(folder, os.fstat(fd)):
                    raise OSError(f"Somebody moves folders below {top}")
                os.rmdir(name, dir_fd=fd)
    finally:
        os.close(fd)
    top.rmdir()


def instead_of(fd: int, other: int) -> int:
    """Close a descriptor and return another, which takes its place."""
    os.close(fd)
    return other
