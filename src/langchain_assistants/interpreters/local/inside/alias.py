"""/mnt/data where nothing can be mounted: functions take it for another folder.

A convenience, and no part of the jail. It covers `open`, `os`, `shutil`, `pathlib`,
sqlite3 and what is built on them (pandas, numpy, matplotlib, PIL); a library that opens
files in C by itself needs a relative path or the folder named by $DATA_FOLDER.
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import sys
from collections.abc import Callable
from typing import Any

_ONE = (
    *("access", "chdir", "chmod", "chown", "lchown", "listdir", "listxattr", "lstat"),
    *("mkdir", "mkfifo", "open", "readlink", "remove", "rmdir", "scandir", "stat"),
    *("statvfs", "truncate", "unlink", "utime"),
)
_TWO = ("link", "rename", "replace", "symlink")


class Alias:
    """Another name for a folder."""

    def __init__(self, name: str, folder: str) -> None:
        """Know both; nothing is replaced yet."""
        self._name = name
        self._folder = folder

    def install(self) -> None:
        """Make Python's functions know the name."""
        for module, name, count in (
            (builtins, "open", 1),
            (io, "open", 1),
            (io, "open_code", 1),
            *((os, name, 1) for name in _ONE),
            *((os, name, 2) for name in _TWO),
        ):
            setattr(module, name, self._taking(getattr(module, name), count))
        # os asks by identity which functions take descriptors and folders.
        for known in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks):
            known.update(getattr(os, f.__name__, f) for f in list(known))
        sys.meta_path.insert(0, _WhenImported("sqlite3", self._take_over_sqlite))

    def real(self, path: Any) -> Any:
        """Return the path that is meant; what is no path stays as it is."""
        if isinstance(path, os.PathLike):
            path = os.fspath(path)
        name: Any = self._name
        folder: Any = self._folder
        if isinstance(path, bytes):
            name, folder = name.encode(), folder.encode()
        elif not isinstance(path, str):
            return path
        slash = name[:1]
        if path == name or path.startswith(name + slash):
            return folder + path[len(name) :]
        return path

    def _taking(self, function: Callable[..., Any], count: int) -> Callable[..., Any]:
        @functools.wraps(function)
        def taking(*paths: Any, **options: Any) -> Any:
            real = [self.real(path) for path in paths[:count]]
            for name in ("path", "file", "src", "dst", "database"):
                if name in options:
                    options[name] = self.real(options[name])
            return function(*real, *paths[count:], **options)

        return taking

    def _take_over_sqlite(self, module: Any) -> None:
        module.connect = self._taking(module.connect, 1)


class _WhenImported:
    """Change a module right after its import."""

    def __init__(self, name: str, change: Callable[[Any], None]) -> None:
        self._name = name
        self._change = change

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self._name:
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                self._change(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
