"""A hostile program that tries a jail before anything else runs in it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import tempfile
from pathlib import Path

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters.base import InterpreterSession
from langchain_assistants.interpreters.local.limits import Limits

_SECONDS = 30.0

_PROGRAM = """
import json, os, signal, socket

done = []

def attempt(name, act):
    try:
        act()
    except OSError:
        return
    done.append(name)

def unix():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect({unix!r})

def fork():
    children = []
    try:
        while len(children) <= {tasks}:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

def overwrite():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{{pid}}/status") as status:
            confined = "Seccomp:\\t2" in status.read()
        if not confined:
            open(f"/proc/{{pid}}/mem", "r+b").close()
            return
    raise PermissionError

attempt("read a file of yours", lambda: open({secret!r}).close())
attempt("list a folder of yours", lambda: os.listdir({folder!r}))
attempt("write next to your files", lambda: open({secret!r} + "2", "w").close())
attempt("connect to a port", lambda: socket.create_connection({address!r}, 1).close())
attempt("connect to a socket of yours", unix)
attempt("start processes without end", fork)
attempt("change a process that is not confined", overwrite)
if {pid} > 2:  # a namespace has processes of those numbers too
    attempt("signal this process", lambda: os.kill({pid}, 0))
if set(os.environ) & set({environment!r}):
    done.append("read your environment")
print(json.dumps(done))
"""


async def weaknesses(session: InterpreterSession, limits: Limits) -> list[str]:
    """Try to break out of a session; return what went wrong, in words.

    It reads a secret, connects, signals, forks and more; each has to fail.
    """
    with tempfile.TemporaryDirectory() as name, socket.socket() as port:
        folder = Path(name)
        secret = folder / "secret"
        secret.write_text(secrets.token_hex())
        port.bind(("127.0.0.1", 0))
        port.listen()
        port.setblocking(False)
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(folder / "socket"))
            unix.listen()
            code = _PROGRAM.format(
                secret=str(secret),
                folder=str(folder),
                unix=str(folder / "socket"),
                address=port.getsockname(),
                tasks=limits.tasks,
                pid=os.getpid(),
                environment=_own_environment(),
            )
            try:
                result = await session.run(code, timeout=_SECONDS)
            except InterpreterError as error:
                return [str(error)]
        if result.error is not None or result.stopped is not None:
            why = result.error.name if result.error else result.stopped
            return [f"the self-test could not run ({why})"]
        done: list[str] = await asyncio.to_thread(json.loads, result.stdout)
        return [f"code in it can {deed}" for deed in done]


def _own_environment() -> list[str]:
    """Return the names of what this process has in its environment and others not."""
    from langchain_assistants.interpreters.local.runtime import environment

    # bubblewrap names the working folder, and Python an encoding.
    given = {*environment("", ""), "PWD", "LC_CTYPE"}
    return sorted(set(os.environ) - given)
