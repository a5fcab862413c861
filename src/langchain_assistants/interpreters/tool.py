"""Any LangChain tool that takes code, as an interpreter: code in, text out."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable
from typing import NoReturn

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool

from langchain_assistants.errors import ConfigurationError, InterpreterError
from langchain_assistants.interpreters.base import (
    Displayed,
    ExecutionResult,
    FileInfo,
    OnEvent,
    Printed,
    Raised,
)
from langchain_assistants.interpreters.deadline import Deadline
from langchain_assistants.interpreters.output import CallbackFailed, Output
from langchain_assistants.interpreters.turns import Turns

_USUAL_ARGUMENTS = ("python_code", "code", "query", "command")


class ToolInterpreter:
    """Execute code by calling a LangChain tool.

    What the tool answers is what the code printed; images of its answer are shown.
    There are no files: to give it one is an error, and none is found.

    Warning:
        It is as safe as the tool. At a deadline the call is cancelled, and a tool
        without a coroutine goes on in its thread.

    Example:
        >>> from langchain_core.tools import tool
        >>> @tool
        ... async def calculate(code: str) -> str:
        ...     "Execute a line of a language of our own."
        ...     return "42"
        >>> ToolInterpreter(calculate).name
        'calculate'
    """

    def __init__(
        self,
        tool: BaseTool | Callable[[], BaseTool],
        *,
        stateful: bool = False,
        argument: str | None = None,
    ) -> None:
        """Call no tool yet.

        Args:
            tool: The tool, or what makes one for each session.
            stateful: Whether a tool keeps variables from one call to the next.
            argument: The name of the tool's argument that takes the code; None: the
                only one, or the one with a usual name.

        Raises:
            ConfigurationError: It is not clear which argument takes the code, or
                sessions would share the variables of one tool.
        """
        if stateful and isinstance(tool, BaseTool):
            raise ConfigurationError(
                f"All threads would share the variables of the tool {tool.name!r}. "
                "Pass a function that makes one for each session."
            )
        self._make = _always(tool) if isinstance(tool, BaseTool) else tool
        first = self._make()
        self.name = first.name
        self._argument = argument or _argument(first)
        self._stateful = stateful
        self._sessions: dict[str, ToolSession] = {}

    def session(self, session_id: str | None = None) -> ToolSession:
        """Return a new session, or one of this process that was not closed."""
        if session_id in self._sessions:
            return self._sessions[session_id]
        return ToolSession(
            self._make,
            self._argument,
            self._sessions,
            stateful=self._stateful,
            replaces=session_id,
        )

    def check(self) -> list[str]:
        """Find nothing: how the tool is only a call could tell."""
        return []

    async def aclose(self) -> None:
        """Forget the sessions; what a tool holds itself ends with the tool."""
        self._sessions.clear()


class ToolSession:
    """An `InterpreterSession` whose code goes to one tool."""

    home = "."

    def __init__(
        self,
        make: Callable[[], BaseTool],
        argument: str,
        sessions: dict[str, ToolSession],
        *,
        stateful: bool,
        replaces: str | None,
    ) -> None:
        """Call nothing yet; in `sessions` it is found by its id from the start on."""
        self.id: str | None = None
        self.stateful = stateful
        self._make = make
        self._tool = make()
        self._argument = argument
        self._sessions = sessions
        self._state_lost = stateful and replaces is not None
        self._turns = Turns()
        self._deadline: Deadline | None = None

    async def start(self) -> str:
        """Give the session an id; the tool is not called."""
        if self.id is None:
            self.id = f"tool-{uuid.uuid4().hex}"
            self._sessions[self.id] = self
        return self.id

    async def run(
        self, code: str, *, timeout: float, on_event: OnEvent | None = None
    ) -> ExecutionResult:
        """Call the tool after what waits already, for at most `timeout` seconds."""
        await self.start()
        async with self._turns.turn():
            deadline = self._deadline = Deadline()
            output = Output(on_event, lambda: deadline.stop("output_limit"))
            try:
                stopped = await deadline.limit(self._call(code, output), timeout)
            except CallbackFailed as failure:
                raise failure.cause from None
            finally:
                self._deadline = None
            # Nobody knows how far a tool came that was stopped, or if it stopped.
            unsure = self.stateful and stopped is not None
            state_lost, self._state_lost = self._state_lost or unsure, False
            return output.result(stopped, state_lost=state_lost)

    async def interrupt(self) -> None:
        """Cancel the call of the tool, if there is one."""
        if (deadline := self._deadline) is not None:
            deadline.stop("interrupt")

    async def upload(self, path: str, data: bytes) -> str:
        """Refuse: a tool takes code only.

        Raises:
            InterpreterError: Always.
        """
        self._no_files()

    async def download(self, path: str) -> bytes:
        """Refuse: a tool gives text only.

        Raises:
            InterpreterError: Always.
        """
        self._no_files()

    async def remove(self, path: str) -> None:
        """Do nothing: there is no such file."""

    async def list_files(self) -> list[FileInfo]:
        """Find no files."""
        return []

    async def close(self) -> None:
        """Let the tool go; the next call would have a new one."""
        if self.id is not None:
            self._sessions.pop(self.id, None)
            self.id, self._tool = None, self._make()
            self._state_lost = self.stateful

    async def _call(self, code: str, output: Output) -> None:
        from langgraph.errors import GraphBubbleUp

        call = {
            "type": "tool_call",
            "id": f"call_{uuid.uuid4().hex}",
            "name": self._tool.name,
            "args": {self._argument: code},
        }
        try:
            answer = await self._tool.ainvoke(call)
        except GraphBubbleUp:  # an interrupt of LangGraph is no failure
            raise
        except Exception as error:
            return await output.add(Raised(type(error).__name__, str(error)))
        if not isinstance(answer, ToolMessage):
            raise InterpreterError(
                f"The tool {self._tool.name!r} answered with a {type(answer).__name__}"
                ", which is no output of code."
            )
        if answer.status == "error":
            return await output.add(Raised("ToolException", answer.text))
        for block in answer.content_blocks:
            if block["type"] == "text":
                await output.add(Printed("stdout", block["text"]))
            elif block["type"] == "image" and "base64" in block:
                mime = block.get("mime_type", "image/png")
                try:
                    data = base64.b64decode(block["base64"], validate=True)
                except binascii.Error:
                    continue
                await output.add(Displayed({mime: data}))
        return None

    def _no_files(self) -> NoReturn:
        raise InterpreterError(
            f"The tool {self._tool.name!r} executes code but has no files. Put the "
            "data into the code, or use an interpreter with files."
        )


def _always(tool: BaseTool) -> Callable[[], BaseTool]:
    return lambda: tool


def _argument(tool: BaseTool) -> str:
    names = list(tool.args)
    if len(names) == 1:
        return names[0]
    usual = [name for name in _USUAL_ARGUMENTS if name in names]
    if len(usual) != 1:
        raise ConfigurationError(
            f"Which argument of the tool {tool.name!r} takes the code? Pass argument= "
            f"with one of {names}."
        )
    return usual[0]
