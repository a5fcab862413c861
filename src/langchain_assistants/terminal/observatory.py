"""The demo's observatory: two functions with outside effects, and who executes them.

The script that plays its model orders both at once, then says what they returned.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId

from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.terminal.tutor import SCRIPTED
from langchain_assistants.testing import (
    ModelCall,
    Reply,
    ScriptedChatModel,
    Step,
    call,
)

NAME = "Observatory"
INSTRUCTIONS = (
    "You serve a school's observatory. Do what you are asked with your functions, each "
    "once, in parallel, and say in one sentence what they returned."
)
ORDER = "Book the telescope for 22:00, and print 30 star charts."
QUICK, SLOW = "book_telescope", "print_charts"
SECONDS = {QUICK: 0.2, SLOW: 1.5}
"""How long each function takes."""

LEASE = 1.0
"""After how many silent seconds a process counts as dead."""


class Execution(NamedTuple):
    """A function began: for which call, and in which process."""

    function: str
    call_id: str
    process: int


class Functions:
    """The observatory's functions; each tells that it begins, then takes its time."""

    def __init__(self, begins: Callable[[Execution], None]) -> None:
        """Take who is told."""
        self._begins = begins

    def all(self) -> list[Callable[..., Any]]:
        """Return the functions; the id of their call is not the model's to choose."""

        def book_telescope(
            hour: int, tool_call_id: Annotated[str, InjectedToolCallId]
        ) -> str:
            """Book the telescope for an hour of the night."""
            return f"booked for {hour}:00 by {self._served(QUICK, tool_call_id)}"

        def print_charts(
            copies: int, tool_call_id: Annotated[str, InjectedToolCallId]
        ) -> str:
            """Print copies of tonight's star chart."""
            return f"{copies} charts printed by {self._served(SLOW, tool_call_id)}"

        return [book_telescope, print_charts]

    def _served(self, function: str, call_id: str) -> str:
        """Take as long as the service would, and name the process."""
        execution = Execution(function, call_id, os.getpid())
        self._begins(execution)
        time.sleep(SECONDS[function])
        return f"process {execution.process}"


def assistant(
    engine: AssistantsEngine, functions: Functions, model: str
) -> AssistantRunnable:
    """Find the observatory's assistant in the file, or store it."""
    return AssistantRunnable.get_or_create_assistant(
        NAME, INSTRUCTIONS, functions.all(), model, engine=engine, run_tools=True
    )


def scripted_model() -> ScriptedChatModel:
    """Return the model that stands in for an LLM when none is asked for."""
    return ScriptedChatModel(respond=_answer, model=SCRIPTED, delay=0.15, record=False)


def _answer(messages: list[BaseMessage], asked: ModelCall) -> Step:
    outputs = [m.text for m in messages[-2:] if isinstance(m, ToolMessage)]
    if outputs:
        return f"Done: {' and '.join(outputs)}."
    arguments: dict[str, dict[str, Any]] = {QUICK: {"hour": 22}, SLOW: {"copies": 30}}
    return Reply(tool_calls=[call(name, given) for name, given in arguments.items()])
