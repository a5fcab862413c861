"""A session on this machine: variables in a worker's process, files in a folder."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeVar

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters.base import (
    ExecutionResult,
    FileInfo,
    OnEvent,
    Raised,
)
from langchain_assistants.interpreters.local.execution import Ending, Execution
from langchain_assistants.interpreters.local.folder import HOME, SessionFolder
from langchain_assistants.interpreters.local.keeper import Keeper, Lodging
from langchain_assistants.interpreters.local.worker_process import Excess, WorkerProcess
from langchain_assistants.interpreters.output import CallbackFailed
from langchain_assistants.interpreters.turns import Turns

T = TypeVar("T")

_DYING_SECONDS = 0.5
_EXCESSES = {
    "time": "did not stop in time",
    "memory": "used too much memory",
    "secrecy": "hid what it uses",
    "mappings": "used memory in too many pieces",
    "channels": "opened too many pipes and sockets",
    "tasks": "started too many processes or threads",
}


class LocalSession:
    """An `InterpreterSession` in a jail on this machine; see `LocalInterpreter`.

    When code kills its interpreter, or has to be killed, the variables are lost and
    the files stay; the result says so. When its files grow beyond the limit, the
    session is lost as a whole.

    Example:
        >>> async def answer() -> str:
        ...     async with LocalInterpreter() as interpreter:
        ...         session = interpreter.session()
        ...         return (await session.run("print(6 * 7)", timeout=30)).stdout
    """

    home = HOME
    stateful = True

    def __init__(
        self, keeper: Callable[[], Awaitable[Keeper]], *, state_lost: bool = False
    ) -> None:
        """Start nothing yet.

        Args:
            keeper: Asked for lodgings when the session is first used.
            state_lost: Whether it stands in for one that had a state.
        """
        self.lodging: Lodging | None = None
        self._keeper = keeper
        self._starts = Turns()
        self._executions = Turns()
        self._numbers = itertools.count(1)
        self._execution: Execution | None = None
        self._unsettled: Execution | None = None
        self._closing = False
        self._had_state = False
        self._state_lost = state_lost

    def __repr__(self) -> str:
        return f"LocalSession(id={self.id!r})"

    @property
    def id(self) -> str | None:
        """The session's id; None before the start."""
        lodging = self.lodging
        return lodging.folder.id if lodging is not None else None

    async def start(self) -> str:
        """Start unless it is running, and return the id."""
        return (await self._lodged()).folder.id

    async def run(
        self, code: str, *, timeout: float, on_event: OnEvent | None = None
    ) -> ExecutionResult:
        """Execute code after what waits already, for at most `timeout` seconds."""
        async with self._executions.turn():
            await self._settle()
            worker = await self._working()
            keeper = await self._keeper()
            execution = Execution(next(self._numbers), worker, keeper.limits, on_event)
            self._execution = self._unsettled = execution
            try:
                ending = await execution.run(code, timeout)
                self._unsettled = None
                if ending != "done":
                    await self._bury(execution, ending)
            except CallbackFailed as failure:
                execution.abandon()
                raise failure.cause from None
            except BaseException:
                execution.abandon()
                raise
            finally:
                self._execution = None
                self._had_state = True
            keeper.fonts.look(worker.folder, lambda: _session_of(keeper))
            state_lost, self._state_lost = self._state_lost, False
            return execution.output.result(execution.stopped, state_lost=state_lost)

    async def interrupt(self) -> None:
        """Stop the code that is executing, if any."""
        if (execution := self._execution) is not None:
            execution.stop("interrupt")

    async def upload(self, path: str, data: bytes) -> str:
        """Write a file and return its absolute path."""
        limit = (await self._keeper()).limits.file_bytes
        if len(data) > limit:
            raise InterpreterError(
                f"The file has {len(data)} bytes; a session takes at most {limit}."
            )
        return await self._in_folder(lambda folder: folder.write(path, data))

    async def download(self, path: str) -> bytes:
        """Read a file."""
        limit = (await self._keeper()).limits.file_bytes
        return await self._in_folder(lambda folder: folder.read(path, limit))

    async def remove(self, path: str) -> None:
        """Delete a file; one that is gone already is no error."""
        await self._in_folder(lambda folder: folder.remove(path))

    async def list_files(self) -> list[FileInfo]:
        """List the files below /mnt/data: at most 1,000, the newest."""
        most = (await self._keeper()).limits.folder_entries
        return await self._in_folder(lambda folder: folder.files(most))

    async def release(self) -> None:
        """End it: nothing could wake it."""
        await self.close()

    async def close(self) -> None:
        """End the session and everything in it; the next call would start anew."""
        if (lodging := self.lodging) is None:
            return
        self._closing = True
        try:
            keeper = await self._keeper()
            await asyncio.wrap_future(keeper.kill_worker(lodging))
            async with self._executions.turn(), self._starts.turn():
                await self._lose()
        finally:
            self._closing = False

    async def _lodged(self) -> Lodging:
        """Return the lodging; with a new one, wait until its worker is ready."""
        async with self._starts.turn():
            lodging = self.lodging
            if lodging and lodging.worker and lodging.worker.excess == "folder":
                await self._lose()
                lodging = None
            if lodging is None or lodging.worker is None:
                keeper = await self._keeper()
                await asyncio.wrap_future(keeper.lodge(self))
                lodging = self.lodging
                assert lodging is not None
                await self._greeted(lodging)
            return lodging

    async def _greeted(self, lodging: Lodging) -> None:
        worker = lodging.worker
        assert worker is not None
        if not await worker.ready():
            complaint = worker.complaint
            await self._lose()
            raise InterpreterError(
                f"The session's process did not start ({worker.ended_by}): {complaint}"
            )

    async def _working(self) -> WorkerProcess:
        """Return a living worker, a new one if the last has died meanwhile."""
        while True:
            if self._closing:
                raise _closed(self.id)
            worker = (await self._lodged()).worker
            if worker is not None and worker.alive and not worker.is_struck:
                return worker
            await self._replace()

    async def _settle(self) -> None:
        """Wait for the end of code whose caller went away."""
        if (execution := self._unsettled) is not None:
            ending = await execution.settle()
            self._unsettled = None
            if ending != "done":
                self._state_lost = True
                await self._replace()

    async def _bury(self, execution: Execution, ending: Ending) -> None:
        """After a worker's death: say what happened, and keep the files."""
        worker = execution.worker
        if self._closing:
            raise _closed(self.id)
        # Who is gone may still be on the way out, and says how only then.
        id, patience = self.id, _DYING_SECONDS if ending == "died" else 0.0
        if await self._replace(patience) == "folder":
            raise InterpreterError(
                f"Session {id} has written more than it may keep, and is lost with its "
                "variables and files. The next call starts a new one: load again what "
                "you need, and write less."
            )
        self._state_lost = True
        if ending == "died" and execution.stopped is None:
            reason = _EXCESSES.get(worker.excess or "", f"ended: {worker.ended_by}")
            await execution.output.add(
                Raised("InterpreterDied", f"The interpreter {reason}.")
            )

    async def _replace(self, patience: float = 0.0) -> Excess | None:
        """Drop the worker; return its excess.

        The next execution gets another in the same folder, unless that held too much.
        """
        if (lodging := self.lodging) is None:
            return None
        keeper = await self._keeper()
        excess = await keeper.stop_worker(lodging, patience=patience)
        self._state_lost = self._had_state or self._state_lost
        if excess == "folder":
            async with self._starts.turn():
                await self._lose()
        return excess

    async def _lose(self) -> None:
        lodging, self.lodging, self._unsettled = self.lodging, None, None
        if lodging is not None:
            self._state_lost = True
            keeper = await self._keeper()
            await asyncio.shield(keeper.clear(lodging))

    async def _in_folder(self, act: Callable[[SessionFolder], T]) -> T:
        folder = (await self._lodged()).folder
        try:
            return await asyncio.to_thread(act, folder)
        except OSError as error:
            raise InterpreterError(
                f"The files of session {folder.id} could not be reached "
                f"({error.strerror}); try again."
            ) from error


def _session_of(keeper: Keeper) -> LocalSession:
    """Return a session of this keeper, also when the provider has a new one."""

    async def this() -> Keeper:
        return keeper

    return LocalSession(this)


def _closed(id: str | None) -> InterpreterError:
    return InterpreterError(
        f"Session {id} was closed while it was in use; the next call starts a new one."
    )
