"""An interpreter session in E2B's cloud, on their own SDK.

It adds what the SDK leaves open: a deadline that holds, and what became of the state.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Awaitable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar, cast

from langchain_assistants.errors import ConfigurationError, InterpreterError
from langchain_assistants.interpreters.base import (
    Displayed,
    ExecutionResult,
    FileInfo,
    OnEvent,
    Printed,
    Raised,
    StopReason,
)
from langchain_assistants.interpreters.output import CallbackFailed, Output
from langchain_assistants.interpreters.turns import Turns

if TYPE_CHECKING:
    from e2b_code_interpreter.code_interpreter_async import AsyncSandbox
    from e2b_code_interpreter.models import ExecutionError, OutputMessage, Result

T = TypeVar("T")

HOME = "/home/user"

# After an interruption E2B's server may take the next execution before its interrupt
# has landed, and then never answers it: first let it settle, then see whether it lives.
SETTLING_SECONDS = 1.0
PROBE_SECONDS = 5.0
RESTART_SECONDS = 20.0
_LISTING_DEPTH = 4

_TEXT_FORMS = {
    "text": "text/plain",
    "html": "text/html",
    "markdown": "text/markdown",
    "svg": "image/svg+xml",
    "latex": "text/latex",
    "javascript": "text/javascript",
}
_BINARY_FORMS = {"png": "image/png", "jpeg": "image/jpeg", "pdf": "application/pdf"}


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

    home = HOME
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
    ) -> None:
        """Connect to nothing yet.

        Args:
            api_key: None: the environment's E2B_API_KEY.
            sandbox_id: A running or paused sandbox to go on with.
            template: An E2B template with their code interpreter; None: theirs.
            env_vars: The environment of the code; the model can read it.
            metadata: Labels of the sandbox in E2B's dashboard.
            allow_internet_access: Let the code reach the internet (E2B's own default).
            idle_seconds: E2B ends the sandbox when it was not used for so long.

        Raises:
            ConfigurationError: The SDK is not installed.
        """
        if find_spec("e2b_code_interpreter") is None:
            raise ConfigurationError(
                "E2B's SDK is not installed; pip install 'langchain-assistants[e2b]'."
            )
        self._api_key = api_key
        self._id = sandbox_id
        self._template = template
        self._env_vars = dict(env_vars or {})
        self._metadata = dict(metadata or {})
        self._allow_internet_access = allow_internet_access
        self._idle_seconds = idle_seconds
        self._sandbox: AsyncSandbox | None = None
        self._expires = 0.0
        self._starts = Turns()
        self._executions = Turns()
        self._execution: _Execution | None = None
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
            execution = _Execution(sandbox, on_event)
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
            self._execution.stop("interrupt")

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
        """List the files below /home/user, to a depth of four folders."""
        from e2b import FileType

        sandbox = await self._connected()
        entries = await self._asking(sandbox.files.list(HOME, depth=_LISTING_DEPTH))
        return [
            FileInfo(entry.path, entry.size, entry.modified_time.timestamp())
            for entry in entries
            if entry.type is FileType.FILE
            and not any(
                part.startswith(".")
                for part in entry.path.removeprefix(HOME).split("/")
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

    async def _connected(self) -> AsyncSandbox:
        if self._sandbox is not None:
            return self._sandbox
        async with self._starts.turn():
            if self._sandbox is None:
                sandbox = await self._asking(self._open())
                self._sandbox, self._id = sandbox, sandbox.sandbox_id
                self._expires = time.monotonic() + self._idle_seconds
            return self._sandbox

    async def _open(self) -> AsyncSandbox:
        from e2b_code_interpreter.code_interpreter_async import AsyncSandbox

        if self._id is not None:
            sandbox = await AsyncSandbox.connect(
                self._id, timeout=self._idle_seconds, api_key=self._api_key
            )
            return cast("AsyncSandbox", sandbox)  # they declare its base class
        return await AsyncSandbox.create(
            self._template,
            timeout=self._idle_seconds,
            envs=self._env_vars,
            metadata=self._metadata,
            allow_internet_access=self._allow_internet_access,
            api_key=self._api_key,
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
        except Exception:
            self._forget()

    def _forget(self) -> None:
        self._state_lost = self._state_lost or self._id is not None
        self._sandbox, self._id, self._unsettled = None, None, False

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
        if not gone:
            return InterpreterError(
                f"E2B's sandbox {id} could not be reached ({type(error).__name__}); it "
                "may still have its state, try again."
            )
        self._forget()
        return InterpreterError(
            f"E2B's sandbox {id} has ended, and its variables and files are lost. The "
            "next call starts a new one: load and compute again what you need."
        )

    @staticmethod
    def _absolute(path: str) -> str:
        return path if path.startswith("/") else f"{HOME}/{path}"


class _Execution:
    """One execution: its deadline, and the SDK's events as ours."""

    def __init__(self, sandbox: AsyncSandbox, on_event: OnEvent | None) -> None:
        self._sandbox = sandbox
        self.output = Output(on_event, lambda: self.stop("output_limit"))
        self._loop = asyncio.get_running_loop()
        self._deadline = asyncio.timeout(None)
        self._reason: StopReason = "timeout"
        self._is_over = False

    async def run(self, code: str, timeout: float) -> StopReason | None:
        """Execute the code; return why it was stopped, if it was."""
        try:
            # The SDK's own time-out adds up to twice what it is given, and on Python
            # 3.11 its `wait_for` may swallow a cancellation: it is turned off.
            async with self._deadline:
                self._deadline.reschedule(self._loop.time() + timeout)
                await self._sandbox.run_code(
                    code,
                    timeout=0,
                    on_stdout=self._on_stdout,
                    on_stderr=self._on_stderr,
                    on_result=self._on_result,
                    on_error=self._on_error,
                )
        except TimeoutError:
            if not self._deadline.expired():
                raise
            return self._reason
        finally:
            self._is_over = True
        return None

    def stop(self, reason: StopReason) -> None:
        """End the execution; closing the stream is E2B's interrupt."""

        def expire() -> None:
            if not self._is_over and not self._deadline.expired():
                self._reason = reason
                self._deadline.reschedule(self._loop.time())

        self._loop.call_soon_threadsafe(expire)

    async def _on_stdout(self, message: OutputMessage) -> None:
        await self.output.add(Printed("stdout", message.line))

    async def _on_stderr(self, message: OutputMessage) -> None:
        await self.output.add(Printed("stderr", message.line))

    async def _on_result(self, result: Result) -> None:
        await self.output.add(Displayed(_forms(result), bool(result.is_main_result)))

    async def _on_error(self, error: ExecutionError) -> None:
        await self.output.add(Raised(error.name, error.value, error.traceback))


def _forms(result: Result) -> dict[str, str | bytes]:
    """Sort a result's forms by MIME type; drop what is not what it says."""
    forms: dict[str, str | bytes] = {}
    for name, mime in _TEXT_FORMS.items():
        if isinstance(text := result[name], str):
            forms[mime] = text
    for name, mime in _BINARY_FORMS.items():
        if isinstance(encoded := result[name], str):
            try:
                data = "".join(encoded.split())
                forms[mime] = base64.b64decode(data, validate=True)
            except binascii.Error:
                continue
    if result.json is not None:
        forms["application/json"] = json.dumps(result.json)
    return forms
