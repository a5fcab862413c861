"""An interpreter provider without processes: code runs here, files are in a dict."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import traceback
from typing import Any

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters.base import (
    Displayed,
    ExecutionResult,
    FileInfo,
    OnEvent,
    OutputEvent,
    Printed,
    Raised,
    StopReason,
)

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)


class Sandbox:
    """A session. Code has `write`, `read`, `show`, `hang` and `die` besides Python."""

    home = "/mnt/data"
    stateful = True

    def __init__(self, provider: Sandboxes, session_id: str | None) -> None:
        self.id = session_id
        self.files: dict[str, tuple[bytes, int]] = {}
        self.closed = False
        self.interrupted = False
        self._provider = provider
        self._lost = False
        self._variables: dict[str, Any] = {}
        self._shown: list[OutputEvent] = []

    async def start(self) -> str:
        if self.id is None or self._provider.living.get(self.id) is not self:
            self._lost = self.id is not None
            self.id = f"sandbox-{len(self._provider.started)}"
            self._provider.started.append(self.id)
            self._provider.living[self.id] = self
            self.files, self._variables = {}, self._functions()
        return self.id

    async def run(
        self, code: str, *, timeout: float, on_event: OnEvent | None = None
    ) -> ExecutionResult:
        await self.start()
        lost, self._lost = self._lost, False
        events, stopped = await self._events(code, timeout)
        for event in events:
            if on_event is not None:
                await on_event(event)
        return ExecutionResult(tuple(events), stopped=stopped, state_lost=lost)

    async def _events(
        self, code: str, timeout: float
    ) -> tuple[list[OutputEvent], StopReason | None]:
        self._provider.executed.append(code)
        if code == "hang()" and self._provider.hangs:
            try:
                async with asyncio.timeout(timeout):
                    await asyncio.Event().wait()
            except TimeoutError:
                return [], "timeout"
            except asyncio.CancelledError:
                self.interrupted = True
                raise
        if code == "die()":
            self._provider.living.pop(self.id or "")
            raise InterpreterError("the sandbox is gone")
        self._shown, printed = [], io.StringIO()
        raised: list[OutputEvent] = []
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile(code, "<cell>", "exec"), self._variables)
            except Exception as error:
                text = "".join(traceback.format_exception_only(error))
                raised = [Raised(type(error).__name__, str(error), text)]
        said = printed.getvalue()
        before: list[OutputEvent] = [Printed("stdout", said)] if said else []
        return [*before, *self._shown, *raised], None

    def _functions(self) -> dict[str, Any]:
        def write(path: str, content: str | bytes) -> None:
            data = content if isinstance(content, bytes) else content.encode()
            self.files[path] = data, self.files.get(path, (b"", 0))[1] + 1

        def read(path: str) -> str:
            return self.files[path][0].decode()

        def show(data: bytes = PNG) -> None:
            self._shown.append(Displayed({"image/png": data, "text/plain": "<plot>"}))

        def hang() -> None:
            print("It went on.")

        return {"write": write, "read": read, "show": show, "hang": hang}

    async def interrupt(self) -> None: ...

    async def upload(self, path: str, data: bytes) -> str:
        self.files[path] = data, 0
        return path

    async def download(self, path: str) -> bytes:
        return self.files[path][0]

    async def remove(self, path: str) -> None:
        self.files.pop(path, None)

    async def list_files(self) -> list[FileInfo]:
        return [
            FileInfo(path, len(data), float(version))
            for path, (data, version) in self.files.items()
        ]

    async def close(self) -> None:
        self.closed = True
        self._provider.living.pop(self.id or "", None)


class Sandboxes:
    """The provider; sessions outlive their engine, unless it closes them."""

    name = "in-process"

    def __init__(self) -> None:
        self.started: list[str] = []
        self.living: dict[str, Sandbox] = {}
        self.executed: list[str] = []
        self.hangs = True
        self.problems: list[str] = []
        self.closed = False

    def session(self, session_id: str | None = None) -> Sandbox:
        return self.living.get(session_id or "") or Sandbox(self, session_id)

    def check(self) -> list[str]:
        return self.problems

    async def aclose(self) -> None:
        self.closed = True
