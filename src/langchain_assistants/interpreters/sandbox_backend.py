"""Sandboxes that implement deepagents' protocol, as an interpreter without state.

So Docker, Daytona, Modal, Runloop and others come by their packages. deepagents itself
is not needed.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from shlex import join, quote
from typing import Any, Protocol, TypeVar, get_args

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters import single_run
from langchain_assistants.interpreters.base import (
    ExecutionResult,
    FileInfo,
    OnEvent,
    StopReason,
)
from langchain_assistants.interpreters.local.runtime import INSIDE
from langchain_assistants.interpreters.local.worker_events import EventReader
from langchain_assistants.interpreters.output import CallbackFailed, Output
from langchain_assistants.interpreters.single_run import GRACE_SECONDS
from langchain_assistants.interpreters.turns import Turns

G = TypeVar("G")
T = TypeVar("T")

EVENT_BYTES = 32_000_000
"""What one execution may tell, pictures included."""

_TOOLS = ".interpreter"
_SUFFIXES = ("json", "events", "stop")
_SLACK_SECONDS = 10
_TRANSFER_SECONDS = 120
# Names may hold anything but NUL, and what a command prints may be cut.
_LIST = """
import json, os, sys
home, answer = sys.argv[1:]
files = []
for folder, folders, names in os.walk(home):
    folders[:] = [name for name in folders if not name.startswith(".")]
    for name in names:
        path = os.path.join(folder, name)
        if not name.startswith(".") and os.path.isfile(path):
            about = os.stat(path)
            files.append([path, about.st_size, about.st_mtime])
with open(answer, "w") as file:
    json.dump(files, file)
"""


class Executed(Protocol):
    """What came of a command: deepagents' `ExecuteResponse`."""

    @property
    def output(self) -> str:
        """Stdout and stderr together."""
        ...

    @property
    def exit_code(self) -> int | None:
        """The exit status; None: unknown."""
        ...


class Transferred(Protocol):
    """What came of a file: deepagents' `FileUploadResponse`."""

    @property
    def error(self) -> str | None:
        """What went wrong."""
        ...


class Downloaded(Transferred, Protocol):
    """What came of a file: deepagents' `FileDownloadResponse`."""

    @property
    def content(self) -> bytes | None:
        """The content; None with an error."""
        ...


class SandboxBackend(Protocol):
    """What is used of deepagents' `SandboxBackendProtocol`."""

    @property
    def id(self) -> str:
        """The id by which its package finds it again."""
        ...

    async def aexecute(self, command: str, *, timeout: int | None = None) -> Executed:
        """Execute a shell command."""
        ...

    async def aupload_files(
        self, files: list[tuple[str, bytes]]
    ) -> Sequence[Transferred]:
        """Write files, by absolute paths."""
        ...

    async def adownload_files(self, paths: list[str]) -> Sequence[Downloaded]:
        """Read files, by absolute paths."""
        ...


class SandboxBackendInterpreter:
    """Execute code in sandboxes of deepagents' packages.

    Every execution is a new process: variables do not stay, files do. Its output is
    told when it has ended. A sandbox needs `python3` and a POSIX shell.

    Warning:
        Their protocol cannot end a sandbox: without `close` it lives on as its package
        decides, and is paid for.

    Example:
        >>> def open_sandbox(id: str | None):
        ...     return DockerSandbox(id)  # of a package for deepagents
        >>> SandboxBackendInterpreter(open_sandbox, name="docker").name
        'docker'
    """

    def __init__(
        self,
        open_sandbox: Callable[
            [str | None], SandboxBackend | Awaitable[SandboxBackend]
        ],
        *,
        close: Callable[[Any], object] | None = None,
        name: str = "sandbox",
        home: str = "/mnt/data",
        python: str = "python3",
    ) -> None:
        """Open no sandbox yet.

        Args:
            open_sandbox: Finds the sandbox of an id, or makes a new one for None and
                for an id that is gone; plain or async.
            close: Ends a sandbox; plain or async.
            name: The name that it is shown by.
            home: The folder of the code, which is made.
            python: The sandbox's Python, at least 3.9.
        """
        self.name = name
        self._open = open_sandbox
        self._close = close
        self._home = home.rstrip("/")
        self._python = python
        self._held: set[SandboxBackendSession] = set()

    def session(self, session_id: str | None = None) -> SandboxBackendSession:
        """Return a new session, or that of a sandbox."""
        return SandboxBackendSession(
            self._open,
            self._close,
            session_id,
            home=self._home,
            python=self._python,
            held=self._held,
        )

    def check(self) -> list[str]:
        """Find nothing: only a sandbox could tell, and none is opened to ask."""
        return []

    async def aclose(self) -> None:
        """End the sandboxes that its sessions have open, if it was told how."""
        ends = [session.close() for session in list(self._held)]
        for failure in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(failure, BaseException):
                raise failure


class SandboxBackendSession:
    """An `InterpreterSession` in one sandbox of a deepagents package."""

    stateful = False

    def __init__(
        self,
        open_sandbox: Callable[
            [str | None], SandboxBackend | Awaitable[SandboxBackend]
        ],
        close: Callable[[Any], object] | None,
        id: str | None,
        *,
        home: str,
        python: str,
        held: set[SandboxBackendSession],
    ) -> None:
        """Open no sandbox yet; in `held` it is found while it has one."""
        self.id = id
        self.home = home
        self._open = open_sandbox
        self._end = close
        self._tools = f"{home}/{_TOOLS}"
        self._python = quote(python)
        self._held = held
        self._sandbox: SandboxBackend | None = None
        self._files_lost = False
        self._starts = Turns()
        self._executions = Turns()
        self._stop: str | None = None
        self._litter: list[str] = []

    async def start(self) -> str:
        """Open the sandbox unless it is open, and return its id."""
        return (await self._opened()).id

    async def run(
        self, code: str, *, timeout: float, on_event: OnEvent | None = None
    ) -> ExecutionResult:
        """Execute code in a new process, for at most `timeout` seconds."""
        async with self._executions.turn():
            sandbox = await self._opened()
            name = f"{self._tools}/{uuid.uuid4().hex}"
            self._stop = f"{name}.stop"
            try:
                events = await self._executed(sandbox, name, code, timeout)
            except asyncio.CancelledError:
                # Nothing else tells the process in the sandbox.
                with suppress(InterpreterError, TimeoutError):
                    await asyncio.wait_for(self.interrupt(), _SLACK_SECONDS)
                raise
            finally:
                self._stop = None
                self._litter += [f"{name}.{suffix}" for suffix in _SUFFIXES]
            output = Output(on_event)
            try:
                for event in map(EventReader().read, events):
                    if event is not None:
                        await output.add(event)
            except CallbackFailed as failure:
                raise failure.cause from None
            lost, self._files_lost = self._files_lost, False
            return output.result(_stop_reason(events[-1]), state_lost=lost)

    async def interrupt(self) -> None:
        """Stop the code that is executing, if any."""
        if (stop := self._stop) is not None and self._sandbox is not None:
            await self._write(self._sandbox, [(stop, b"")])

    async def upload(self, path: str, data: bytes) -> str:
        """Write a file and return its absolute path."""
        absolute = self._absolute(path)
        await self._write(await self._opened(), [(absolute, data)])
        return absolute

    async def download(self, path: str) -> bytes:
        """Read a file."""
        return await self._read(await self._opened(), self._absolute(path))

    async def remove(self, path: str) -> None:
        """Delete a file; one that is gone already is no error."""
        sandbox = await self._opened()
        await self._command(sandbox, f"rm -f -- {quote(self._absolute(path))}")

    async def list_files(self) -> list[FileInfo]:
        """List the files below `home`, without hidden ones."""
        sandbox = await self._opened()
        answer = f"{self._tools}/{uuid.uuid4().hex}.list"
        await self._command(
            sandbox,
            f"{self._python} -I -c {quote(_LIST)} {quote(self.home)} {quote(answer)}",
        )
        listed = await self._read(sandbox, answer)
        self._litter.append(answer)
        return [FileInfo(*file) for file in json.loads(listed)]

    async def release(self) -> None:
        """End it: nothing could wake it."""
        await self.close()

    async def close(self) -> None:
        """End the sandbox, if it is known how; the next call would open another."""
        sandbox, self._sandbox = self._sandbox, None
        if self.id is None:
            return
        if self._end is not None:
            if sandbox is None:
                sandbox = await self._asking(_called(self._open, self.id))
            await self._asking(_called(self._end, sandbox))
        self.id, self._files_lost = None, True
        self._held.discard(self)

    async def _opened(self) -> SandboxBackend:
        async with self._starts.turn():
            if self._sandbox is None:
                sandbox = await self._asking(_called(self._open, self.id))
                await self._prepare(sandbox)
                if self.id not in (None, sandbox.id):
                    self._files_lost = True
                self._sandbox, self.id = sandbox, sandbox.id
                self._held.add(self)
            return self._sandbox

    async def _prepare(self, sandbox: SandboxBackend) -> None:
        """Make the folders and bring what executes the code."""
        await self._command(sandbox, f"mkdir -p -- {quote(self._tools)}/inside")
        await self._write(
            sandbox,
            [(f"{self._tools}/{name}", data) for name, data in _programs().items()],
        )

    async def _executed(
        self, sandbox: SandboxBackend, name: str, code: str, timeout: float
    ) -> list[dict[str, Any]]:
        """Execute code; return the worker's events, the last being our own `end`."""
        asked = {"code": code, "timeout": timeout, "limit": EVENT_BYTES}
        await self._write(sandbox, [(f"{name}.json", json.dumps(asked).encode())])
        files = [f"{name}.{suffix}" for suffix in _SUFFIXES]
        program = [f"{self._tools}/single_run.py", f"{self._tools}/inside", *files]
        await self._command(
            sandbox,
            f"cd -- {quote(self.home)} && {self._python} -I {join(program)}",
            timeout=timeout + GRACE_SECONDS,
        )
        told = await self._read(sandbox, files[1])
        events = [_parsed(line) for line in told.splitlines()]
        if not events or events[-1].get("type") != "end":
            raise InterpreterError(
                f"The sandbox {sandbox.id} did not say what came of the code."
            )
        if events[-1].get("status") is not None and not events[-1].get("stopped"):
            error = {"name": "InterpreterDied", "message": "The interpreter ended."}
            events.insert(-1, {"type": "done", "error": error})
        return events

    async def _command(
        self, sandbox: SandboxBackend, command: str, timeout: float = 0
    ) -> None:
        limit = math.ceil(timeout) + _SLACK_SECONDS
        if self._litter:
            litter, self._litter = self._litter, []
            command = f"rm -f -- {join(litter)}; {command}"
        done = await self._asking(sandbox.aexecute(command, timeout=limit), limit)
        if done.exit_code:
            raise InterpreterError(
                f"A command ended with {done.exit_code} in the sandbox {sandbox.id}. "
                f"There must be {self._python} and a POSIX shell, and a folder "
                f"{self.home} that is writable (else pass home=)."
            )

    async def _write(
        self, sandbox: SandboxBackend, files: list[tuple[str, bytes]]
    ) -> None:
        for written in await self._asking(sandbox.aupload_files(files)):
            if written.error is not None:
                raise InterpreterError(
                    f"The sandbox {sandbox.id} could not take a file."
                )

    async def _read(self, sandbox: SandboxBackend, path: str) -> bytes:
        (read,) = await self._asking(sandbox.adownload_files([path]))
        if read.error is not None or read.content is None:
            raise InterpreterError(
                f"There is no such file in the sandbox {sandbox.id}, or it cannot be "
                "read."
            )
        return read.content

    async def _asking(
        self, answer: Awaitable[T], limit: float = _TRANSFER_SECONDS
    ) -> T:
        """Await the package, for a while, and put its errors into ours."""
        try:
            async with asyncio.timeout(limit + _SLACK_SECONDS):
                return await answer
        except InterpreterError:
            raise
        except Exception as error:
            self._sandbox = None  # the next call asks for it again
            raise InterpreterError(
                f"The sandbox {self.id or '(a new one)'} could not be used "
                f"({type(error).__name__}); try again."
            ) from error

    def _absolute(self, path: str) -> str:
        return path if path.startswith("/") else f"{self.home}/{path}"


async def _called(act: Callable[[G], T | Awaitable[T]], given: G) -> T:
    """Call a function that is async, or plain and perhaps slow."""

    def call() -> T | Awaitable[T]:
        return act(given)

    is_async = inspect.iscoroutinefunction(act)
    answer = call() if is_async else await asyncio.to_thread(call)
    return await answer if inspect.isawaitable(answer) else answer


def _parsed(line: bytes) -> dict[str, Any]:
    """Read an event; code can forge them, so it may be anything."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _stop_reason(end: dict[str, Any]) -> StopReason | None:
    reasons: dict[object, StopReason] = {one: one for one in get_args(StopReason)}
    return reasons.get(end.get("stopped"))


@cache
def _programs() -> dict[str, bytes]:
    """Return what is needed in a sandbox, by relative path."""
    files = {f"inside/{file.name}": file.read_bytes() for file in INSIDE.glob("*.py")}
    runner = Path(single_run.__file__)
    return {**files, runner.name: runner.read_bytes()}
