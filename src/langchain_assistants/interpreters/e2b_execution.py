"""One execution in an E2B sandbox: the SDK's events as ours, up to a deadline."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from langchain_assistants.interpreters.base import (
    Displayed,
    OnEvent,
    Printed,
    Raised,
    StopReason,
)
from langchain_assistants.interpreters.deadline import Deadline
from langchain_assistants.interpreters.output import Output

if TYPE_CHECKING:
    from e2b_code_interpreter.code_interpreter_async import AsyncSandbox
    from e2b_code_interpreter.models import ExecutionError, OutputMessage, Result

_TEXT_FORMS = {
    "text": "text/plain",
    "html": "text/html",
    "markdown": "text/markdown",
    "svg": "image/svg+xml",
    "latex": "text/latex",
    "javascript": "text/javascript",
}
_BINARY_FORMS = {"png": "image/png", "jpeg": "image/jpeg", "pdf": "application/pdf"}


class E2BExecution:
    """Code that a sandbox executes, and what it has put out so far.

    Attributes:
        deadline: Stops it; there is no other way to interrupt E2B's interpreter.
        output: What it put out.
    """

    def __init__(self, sandbox: AsyncSandbox, on_event: OnEvent | None) -> None:
        """Execute nothing yet."""
        self._sandbox = sandbox
        self.deadline = Deadline()
        self.output = Output(on_event, lambda: self.deadline.stop("output_limit"))

    async def run(self, code: str, timeout: float) -> StopReason | None:
        """Execute the code; return why it was stopped, if it was."""
        # The SDK's own time-out adds up to twice what it is given, and on Python 3.11
        # its `wait_for` may swallow a cancellation: it is turned off. At the deadline
        # the stream is closed, which is E2B's interrupt.
        work = self._sandbox.run_code(
            code,
            timeout=0,
            on_stdout=self._on_stdout,
            on_stderr=self._on_stderr,
            on_result=self._on_result,
            on_error=self._on_error,
        )
        return await self.deadline.limit(work, timeout)

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
