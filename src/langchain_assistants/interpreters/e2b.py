"""Interpreter sessions in E2B's cloud, on their own SDK.

It adds what the SDK leaves open: a deadline that holds, and what became of the state.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar, cast

from langchain_assistants.errors import ConfigurationError, InterpreterError
from langchain_assistants.interpreters.base import (
    ExecutionResult,
    FileInfo,
    OnEvent,
)
from langchain_assistants.interpreters.e2b_execution import E2BExecution
from langchain_assistants.interpreters.output import CallbackFailed
from langchain_assistants.interpreters.turns import Turns

if TYPE_CHECKING:
    from e2b_code_interpreter.code_interpreter_async import AsyncSandbox

T = TypeVar("T")

HOME = "/home/user"
"""Where E2B's own tool works."""
DATA = "/mnt/data"
"""Where the hosted code interpreter works."""

_INSTALL = "E2B's SDK is not installed; pip install 'langchain-assistants[e2b]'."

# After an interruption E2B's server may take the next execution before its interrupt
# has landed, and then never answers it: first let it settle, then see whether it lives.
SETTLING_SECONDS = 1.0
PROBE_SECONDS = 5.0
RESTART_SECONDS = 20.0
_LISTING_DEPTH = 4

# E2B's files are written by an ordinary user and its code may be root: both may here.
_ENTER = """
try:
    __import__('os').makedirs({home!r}, exist_ok=True)
    __import__('os').chmod({home!r}, 0o777)
except PermissionError:
    __import__('subprocess').run(
        ['sudo', '-n', 'install', '-d', '-m', '777', {home!r}], check=True)
__import__('os').chdir({home!r})
"""


class E2BSession:
    """An `InterpreterSession` in an E2B sandbox, which starts when it is first used.

    A sandbox belongs to the session while it is used, and is paid for until `close`
    or `idle_seconds` after the last use. It has no internet unless it is given one.

    Example:
        >>> async def answer() -> str:
        ...     session = E2BSession()
        ...     result = await session.run("print(6 * 7)", timeout=30)
        ...     await session.close()
        ...     return result.stdout
    """

    stateful = True

    def __init__(
        self,
        *,
        api_key: str | None = None,
        sandbox_id: str | None = None,
        template: str | None = None,
        env_vars: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        allow_internet_access: bool = False,
        idle_seconds: int = 1200,
        pause: bool = False,
        home: str = HOME,
        held: set[E2BSession] | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            api_key: None: the environment's E2B_API_KEY.
            sandbox_id: A running or paused sandbox to go on with. If it is gone, a new
                one takes its place, and the first result says `state_lost`.
            template: An E2B template with their code interpreter; None: theirs.
            env_vars: The environment of the code; the model can read it.
            metadata: Labels of the sandbox in E2B's dashboard.
            allow_internet_access: Let the code reach the internet (E2B's own default).
            idle_seconds: E2B ends the sandbox when it was not used for so long.
            pause: Let E2B pause it then instead of ending it: the next use goes on
                with it, from any process. A paused sandbox stays until `close`.
            home: The folder of the code; another than E2B's own is made.
            held: Where the session is found while it has a sandbox.

        Raises:
            ConfigurationError: The SDK is not installed.
        """
        if not _is_installed():
            raise ConfigurationError(_INSTALL)
        self._api_key = api_key
        self._id = sandbox_id
        self._template = template
        self._env_vars = dict(env_vars or {})
        self._metadata = dict(metadata or {})
        self._allow_internet_access = allow_internet_access
        self._idle_seconds = idle_seconds
        self._pauses = pause
        self.home = home
        self._held = set() if held is None else held
        self._sandbox: AsyncSandbox | None = None
        self._expires = 0.0
        self._starts = Turns()
        self._executions = Turns()
        self._execution: E2BExecution | None = None
        self._unsettled = False
        self._state_lost = False

    def __repr__(self) -> str:
        return f"E2BSession(sandbox_id={self._id!r})"

    @property
    def id(self) -> str | None:
        """The sandbox's id; None before the start."""
        return self._id

    async def start(self) -> str:
        """Start or reconnect unless it is connected, and return the sandbox's id."""
        sandbox = await self._connected()
        return sandbox.sandbox_id

    async def run(
        self, code: str, *, timeout: float, on_event: OnEvent | None = None
    ) -> ExecutionResult:
        """Execute code after what waits already, for at most `timeout` seconds."""
        async with self._executions.turn():
            if self._unsettled:  # a caller went away in the middle of its execution
                await self._settle()
            sandbox = await self._connected()
            await self._asking(self._stay_alive(sandbox, timeout))
            execution = E2BExecution(sandbox, on_event)
            self._execution, self._unsettled = execution, True
            try:
                stopped = await self._asking(execution.run(code, timeout))
            except CallbackFailed as failure:
                raise failure.cause from None
            finally:
                self._execution = None
            if stopped is not None:
                await self._settle()
            self._unsettled = False
            state_lost, self._state_lost = self._state_lost, False
            return execution.output.result(stopped, state_lost=state_lost)

    async def interrupt(self) -> None:
        """Stop the code that is executing, if any."""
        if self._execution is not None:
            self._execution.deadline.stop("interrupt")

    async def upload(self, path: str, data: bytes) -> str:
        """Write a file and return its absolute path."""
        sandbox = await self._connected()
        written = await self._asking(sandbox.files.write(self._absolute(path), data))
        return written.path

    async def download(self, path: str) -> bytes:
        """Read a file."""
        sandbox = await self._connected()
        data = await self._asking(
            sandbox.files.read(self._absolute(path), format="bytes")
        )
        return bytes(data)

    async def remove(self, path: str) -> None:
        """Delete a file; one that is gone already is no error."""
        from e2b import FileNotFoundException

        sandbox = await self._connected()

        async def remove() -> None:
            try:
                await sandbox.files.remove(self._absolute(path))
            except FileNotFoundException:
                return

        await self._asking(remove())

    async def list_files(self) -> list[FileInfo]:
        """List the files below `home`, to a depth of four folders."""
        from e2b import FileType

        sandbox = await self._connected()
        listing = sandbox.files.list(self.home, depth=_LISTING_DEPTH)
        return [
            FileInfo(entry.path, entry.size, entry.modified_time.timestamp())
            for entry in await self._asking(listing)
            if entry.type is FileType.FILE
            and not any(
                part.startswith(".")
                for part in entry.path.removeprefix(self.home).split("/")
            )
        ]

    async def close(self) -> None:
        """End the sandbox; the next call would start a new one."""
        from e2b_code_interpreter.code_interpreter_async import AsyncSandbox

        if (id := self._id) is None:
            return
        await self._asking(AsyncSandbox.kill(id, api_key=self._api_key))
        if self._id == id:
            self._forget()

    async def release(self) -> None:
        """Let go of the sandbox if it is connected: it ends, or rests with `pause`."""
        from e2b_code_interpreter.code_interpreter_async import AsyncSandbox

        if self._sandbox is None or (id := self._id) is None:
            return
        if not self._pauses:
            return await self.close()
        self._sandbox = None
        self._held.discard(self)
        await self._asking(AsyncSandbox.pause(id, api_key=self._api_key))

    async def _connected(self) -> AsyncSandbox:
        if self._sandbox is not None:
            return self._sandbox
        async with self._starts.turn():
            if self._sandbox is None:
                sandbox = await self._asking(self._open())
                self._sandbox, self._id = sandbox, sandbox.sandbox_id
                self._expires = time.monotonic() + self._idle_seconds
                self._held.add(self)
            return self._sandbox

    async def _open(self) -> AsyncSandbox:
        from e2b import SandboxNotFoundException
        from e2b_code_interpreter.code_interpreter_async import AsyncSandbox

        if self._id is not None:
            try:
                found = await AsyncSandbox.connect(
                    self._id, timeout=self._idle_seconds, api_key=self._api_key
                )
                return cast("AsyncSandbox", found)  # they declare its base class
            except SandboxNotFoundException:
                self._forget()
        sandbox = await AsyncSandbox.create(
            self._template,
            timeout=self._idle_seconds,
            envs=self._env_vars,
            metadata=self._metadata,
            allow_internet_access=self._allow_internet_access,
            api_key=self._api_key,
            lifecycle={"on_timeout": "pause"} if self._pauses else None,
        )
        try:
            await self._enter_home(sandbox)
        except BaseException:
            await asyncio.shield(sandbox.kill())
            raise
        return sandbox

    async def _enter_home(self, sandbox: AsyncSandbox) -> None:
        """Make the folder of the code, and let a fresh interpreter begin in it."""
        if self.home == HOME:
            return
        async with asyncio.timeout(RESTART_SECONDS):
            done = await sandbox.run_code(_ENTER.format(home=self.home), timeout=0)
        if done.error is not None:
            raise InterpreterError(
                f"E2B's sandbox {sandbox.sandbox_id} could not make the folder "
                f"{self.home} ({done.error.name}); use another `home`."
            )

    async def _stay_alive(self, sandbox: AsyncSandbox, timeout: float) -> None:
        """Put the sandbox's end off, once half of its time is over."""
        left = self._expires - time.monotonic()
        if left < max(self._idle_seconds / 2, timeout):
            seconds = max(self._idle_seconds, int(timeout) + 60)
            await sandbox.set_timeout(seconds)
            self._expires = time.monotonic() + seconds

    async def _settle(self) -> None:
        """See whether the interpreter survived an interruption; restart it if not."""
        sandbox = self._sandbox
        if sandbox is None:
            return
        await asyncio.sleep(SETTLING_SECONDS)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await sandbox.run_code("None", timeout=0)
        except Exception:
            await self._restart(sandbox)
        self._unsettled = False

    async def _restart(self, sandbox: AsyncSandbox) -> None:
        """Give the sandbox a fresh interpreter, or the session a fresh sandbox."""
        self._state_lost = True
        try:
            async with asyncio.timeout(RESTART_SECONDS):
                for context in await sandbox.list_code_contexts():
                    if context.language == "python":
                        await sandbox.restart_code_context(context)
                await sandbox.run_code("None", timeout=0)
                await self._enter_home(sandbox)
        except Exception:
            self._forget()

    def _forget(self) -> None:
        self._state_lost = self._state_lost or self._id is not None
        self._sandbox, self._id, self._unsettled = None, None, False
        self._held.discard(self)

    async def _asking(self, answer: Awaitable[T]) -> T:
        """Await the SDK and put its errors into ours.

        Theirs are of several families, and a sandbox that sends garbage raises from
        their parser; none of their texts is passed on, they may quote the code.
        """
        try:
            return await answer
        except (CallbackFailed, InterpreterError):
            raise
        except Exception as error:
            raise await self._failure(error) from error

    async def _failure(self, error: Exception) -> InterpreterError:
        from e2b import (
            AuthenticationException,
            FileNotFoundException,
            NotEnoughSpaceException,
            RateLimitException,
            SandboxNotFoundException,
        )

        known = {
            AuthenticationException: "E2B refused the API key, or got none: set "
            "E2B_API_KEY or pass api_key=.",
            FileNotFoundException: "There is no such file in the sandbox.",
            NotEnoughSpaceException: "The sandbox's disk is full.",
            RateLimitException: "E2B's rate limit is exceeded; try again later.",
        }
        for kind, text in known.items():
            if isinstance(error, kind):
                return InterpreterError(text)
        sandbox, id = self._sandbox, self._id
        if id is None:
            return InterpreterError(
                f"E2B could not start a sandbox ({type(error).__name__}); try again."
            )
        gone = isinstance(error, SandboxNotFoundException)
        if sandbox is not None and not gone:
            try:
                gone = not await sandbox.is_running(request_timeout=PROBE_SECONDS)
            except Exception:  # unreachable, which says nothing about its state
                gone = False
        if not gone or self._pauses:
            if gone:  # or paused, which looks the same until it is connected
                self._sandbox = None
            return InterpreterError(
                f"E2B's sandbox {id} could not be reached ({type(error).__name__}); it "
                "may still have its state, try again."
            )
        self._forget()
        return InterpreterError(
            f"E2B's sandbox {id} has ended, and its variables and files are lost. The "
            "next call starts a new one: load and compute again what you need."
        )

    def _absolute(self, path: str) -> str:
        return path if path.startswith("/") else f"{self.home}/{path}"


class E2BInterpreter:
    """The provider of E2B's sandboxes: each session is one, found again by its id.

    Warning:
        A sandbox is paid for until it is closed or was idle for `idle_seconds`.
        `aclose` ends those of this provider, or pauses them with `pause=True`.

    Example:
        >>> E2BInterpreter(pause=True).name
        'e2b'
    """

    name = "e2b"

    def __init__(
        self,
        *,
        api_key: str | None = None,
        template: str | None = None,
        env_vars: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        allow_internet_access: bool = False,
        idle_seconds: int = 1200,
        pause: bool = False,
        home: str = DATA,
    ) -> None:
        """Keep what every session is made with; see `E2BSession`."""
        self._api_key = api_key
        self._held: set[E2BSession] = set()
        self._make = partial(
            E2BSession,
            api_key=api_key,
            template=template,
            env_vars=env_vars,
            metadata=metadata,
            allow_internet_access=allow_internet_access,
            idle_seconds=idle_seconds,
            pause=pause,
            home=home,
            held=self._held,
        )

    def session(self, session_id: str | None = None) -> E2BSession:
        """Return a new session, or that of a sandbox, whichever process started it.

        Raises:
            ConfigurationError: The SDK is not installed.
        """
        return self._make(sandbox_id=session_id)

    def check(self) -> list[str]:
        """Look for the SDK and a key; E2B is not asked."""
        problems = []
        if not _is_installed():
            problems.append(_INSTALL)
        if not (self._api_key or os.environ.get("E2B_API_KEY")):
            problems.append("There is no API key: set E2B_API_KEY or pass api_key=.")
        return problems

    async def aclose(self) -> None:
        """End the sandboxes of this provider's sessions, or pause them."""
        failures = await asyncio.gather(
            *(session.release() for session in list(self._held)),
            return_exceptions=True,
        )
        for failure in failures:
            if isinstance(failure, BaseException):
                raise failure


def _is_installed() -> bool:
    return find_spec("e2b_code_interpreter") is not None
