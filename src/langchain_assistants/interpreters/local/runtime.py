"""What of this machine a session's Python needs to see: paths, and its environment."""

from __future__ import annotations

import compileall
import os
import site
import sys
from functools import cache
from pathlib import Path

INSIDE = Path(__file__).resolve().parent / "inside"
"""The program that runs in the jail."""

MATPLOTLIB = "matplotlib"
"""The folder of temporary files that matplotlib keeps its own in."""

# Never a whole /usr: containers keep applications in /usr/src, with their secrets.
_SYSTEM = (
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/bin",
    "/usr/share/fonts",
    "/usr/share/fontconfig",
    "/usr/share/zoneinfo",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/nix/store",
)
# Libraries that start a thread for each core would use up the tasks of a session.
_THREADS = ("OPENBLAS", "OMP", "MKL", "NUMEXPR")


def executable() -> str:
    """Return the interpreter beneath a virtual environment, without links."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


@cache
def packages() -> tuple[str, ...]:
    """Return the folders that hold installed packages, and nothing of a project."""
    known = {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(
        dict.fromkeys(
            os.path.realpath(path)
            for path in sys.path
            if os.path.isdir(path)
            and (path in known or Path(path).name in {"site-packages", "dist-packages"})
        )
    )


@cache
def readable() -> tuple[str, ...]:
    """Return what a session can read besides its own files; no path lies in another."""
    paths = [
        *(path for path in _SYSTEM if os.path.exists(path)),
        str(INSIDE),
        executable(),
        os.path.realpath(Path(os.__file__).parents[1]),  # the stdlib, libpython
        *packages(),
    ]
    return tuple(
        path
        for path in dict.fromkeys(paths)
        if not any(is_below(path, other) for other in paths)
    )


def is_below(path: str, other: str) -> bool:
    """Return whether a path lies in another one."""
    return path.startswith(other.rstrip("/") + "/")


def is_open_to_all(path: str) -> bool:
    """Return whether any user can reach a path: no folder above it is private."""
    return all(folder.stat().st_mode & 0o001 for folder in Path(path).parents)


def program() -> list[str]:
    """Return the command of the jail's process, without its arguments."""
    # -S: `site` would run the hooks of the host's packages, and add its projects.
    return [executable(), "-I", "-S", "-B", str(INSIDE / "__main__.py")]


def compile_inside() -> None:
    """Compile what runs in the jail, which itself can write nothing there."""
    compileall.compile_dir(INSIDE, quiet=2)


def environment(data: str, temporary: str) -> dict[str, str]:
    """Return the whole environment of a session, by where its folders are."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": temporary,
        "DATA_FOLDER": data,
        "TMPDIR": temporary,
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://inside.backend",
        "MPLCONFIGDIR": f"{temporary}/{MATPLOTLIB}",
        "PYTHONDONTWRITEBYTECODE": "1",
        **{f"{name}_NUM_THREADS": "1" for name in _THREADS},
    }
