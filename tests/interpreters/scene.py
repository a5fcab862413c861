"""The scene of attacks: what there is to steal, and how sessions come through."""

from __future__ import annotations

import asyncio
import os
import secrets
import select
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters.local import Limits, LocalInterpreter
from langchain_assistants.interpreters.local.inside import seccomp
from langchain_assistants.interpreters.local.processes import Processes
from langchain_assistants.interpreters.local.runtime import readable
from langchain_assistants.interpreters.local.session import LocalSession
from langchain_assistants.interpreters.local.worker_process import WorkerProcess

MARKER = "SECRET_OF_THE_HOST"
SMALL = Limits(
    grace_seconds=0.5,
    memory_bytes=512 << 20,
    file_bytes=1 << 20,
    folder_bytes=8 << 20,
    folder_entries=1_000,
    tasks=24,
)
HELD = "held"


class Scene:
    """The host's side: what there is to steal, and who would notice."""

    def __init__(self, jail: Any, folder: Path, stack: ExitStack) -> None:
        self.jail = jail
        self.secret = folder / "secret"
        self.secret.write_text("secret")
        self.sockets = {
            "port": _bound(stack, socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "udp": _bound(stack, socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "unix": _bound(stack, socket.AF_UNIX, socket.SOCK_STREAM, f"{folder}/u"),
            "unix_datagram": _bound(
                stack, socket.AF_UNIX, socket.SOCK_DGRAM, f"{folder}/d"
            ),
            "abstract": _bound(
                stack, socket.AF_UNIX, socket.SOCK_STREAM, f"\0{secrets.token_hex()}"
            ),
            "abstract_datagram": _bound(
                stack, socket.AF_UNIX, socket.SOCK_DGRAM, f"\0{secrets.token_hex()}"
            ),
        }
        self.large = LocalInterpreter(jail=jail, limits=Limits(grace_seconds=20))
        self.small = LocalInterpreter(jail=jail, limits=SMALL)

    def facts(self, other: LocalSession) -> dict[str, object]:
        lodging = other.lodging
        assert lodging is not None
        assert lodging.worker is not None
        names = {name: bound.getsockname() for name, bound in self.sockets.items()}
        return {
            "jail": self.jail,
            "secret": str(self.secret),
            "folder": str(self.secret.parent),
            "home": str(Path.home()),
            "shown": [part for path in readable() for part in Path(path).parts],
            "ssh": str(Path.home() / ".ssh" / "id_rsa"),
            "project": str(Path(__file__).parents[2] / "pyproject.toml"),
            "inside": str(Path(seccomp.__file__).parent),
            "marker": os.environ[MARKER],
            "pid": os.getpid(),
            "other": str(lodging.folder.path),
            "other_pid": lodging.worker.pid,
            "port": names.pop("port")[1],
            "udp": names.pop("udp")[1],
            **{
                name: value.decode() if isinstance(value, bytes) else value
                for name, value in names.items()
            },
        }

    def visitors(self) -> list[str]:
        """Name the sockets that somebody reached."""
        reached = []
        for name, bound in self.sockets.items():
            try:
                if bound.type == socket.SOCK_STREAM:
                    bound.accept()[0].close()
                else:
                    bound.recv(1)
            except BlockingIOError:
                continue
            reached.append(name)
        return reached


def _bound(stack: ExitStack, family: int, kind: int, address: Any) -> socket.socket:
    bound = stack.enter_context(socket.socket(family, kind))
    bound.bind(address)
    if kind == socket.SOCK_STREAM:
        bound.listen()
    bound.setblocking(False)
    return bound


async def survives(session: LocalSession, code: str, **expected: object) -> str:
    """Run code that does its worst; the session has to work after it.

    Args:
        session: Where; its variable `kept` is 1 before.
        code: What.
        **expected: Attributes of the result, and `error`: the exception's name.
    """
    await session.run("kept = 1", timeout=30)
    result = await session.run(code, timeout=expected.pop("timeout", 60.0))  # type: ignore[arg-type]
    error = result.error.name if result.error else None
    found = {name: getattr(result, name) for name in expected if name != "error"}
    if "error" in expected:
        found["error"] = error
    if found != expected:
        return f"{found} {error} {result.error and result.error.message}"
    after = await session.run("kept", timeout=30)
    name = after.error.name if after.error else None
    if (name == "NameError") != result.state_lost or after.state_lost:
        return f"afterwards: {after}"
    return HELD


async def loses(scene: Scene, code: str) -> str:
    """Run code that exceeds what a session may keep; the next call starts anew."""
    async with closing(scene.small.session()) as session:
        first = await session.start()
        folder = session.lodging.folder.path if session.lodging else None
        try:
            result = await session.run(code, timeout=60)
        except InterpreterError as error:
            if first not in str(error) or folder is None or folder.exists():
                return f"{error} {folder}"
            again = await session.run("1", timeout=30)
            if again.state_lost and session.id != first:
                return HELD
            return f"afterwards: {again}"
        return f"not stopped: {result}"


@asynccontextmanager
async def closing(session: LocalSession) -> AsyncIterator[LocalSession]:
    try:
        yield session
    finally:
        await session.close()


@contextmanager
def end_of(worker: WorkerProcess) -> Iterator[Callable[[], Awaitable[bool]]]:
    """Wait for a worker's end as often as asked, a minute at most."""
    watched = os.pidfd_open(worker.pid)

    async def ended() -> bool:
        ready, _, _ = await asyncio.to_thread(select.select, [watched], [], [], 60)
        return bool(ready)

    try:
        yield ended
    finally:
        os.close(watched)


@contextmanager
def scene_of(jail: str) -> Iterator[Scene]:
    os.environ[MARKER] = secrets.token_hex()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        yield Scene(jail, folder, stack)


def left_over(pids: list[int]) -> list[int]:
    """Return which processes still live; zombies do not."""
    alive = {process.pid for pid in pids for process in Processes().tree(pid)}
    return sorted(alive & set(pids))
