"""Running a test's program as another user, whom Python must be open to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
USER = 12_345
USERS = ["user", "root"] if os.geteuid() == 0 else ["user"]
"""Whom programs can be run as: root too, where the tests themselves are root's."""
# https://docs.docker.com/engine/security/#linux-kernel-capabilities
_OF_A_CONTAINER = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid"),
    *("setpcap", "net_bind_service", "net_raw", "sys_chroot", "mknod"),
    *("audit_write", "setfcap"),
)


def command(user: str, module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of the tests as somebody.

    Args:
        user: `root`, a `user`, or the `container`'s root, who may do less.
        module: The module.
        *arguments: Its arguments.
    """
    program = [sys.executable, "-m", module, *arguments]
    if user == "root" or os.geteuid() != 0:
        return program
    drop = ["--reuid", str(USER), "--regid", str(USER), "--clear-groups"]
    if user == "container":
        kept = ",".join(f"+{capability}" for capability in _OF_A_CONTAINER)
        drop = ["--bounding-set", f"-all,{kept}"]
    mounts = [*_with_open_folders(), "--chdir", str(ROOT)]
    return [*mounts, "setpriv", *drop, *program]


def _with_open_folders() -> list[str]:
    """Show the machine as it is, but Python and the project where all can reach them.

    Folders that root keeps to itself are replaced by ones with nothing else in them.
    """
    mounts = ["bwrap", "--dev-bind", "/", "/"]
    emptied: list[Path] = []
    for needed in sorted({Path(sys.base_prefix), Path(sys.prefix), ROOT}):
        folders = [*needed.parents][-2::-1]
        closed = next((f for f in folders if not f.stat().st_mode & 0o001), None)
        if closed is None:
            continue
        if closed not in emptied:
            mounts += ["--perms", "0755", "--tmpfs", str(closed)]
            emptied.append(closed)
        for folder in folders:
            if folder.is_relative_to(closed) and folder != closed:
                mounts += ["--perms", "0755", "--dir", str(folder)]
        mounts += ["--ro-bind", str(needed), str(needed)]
    return mounts
