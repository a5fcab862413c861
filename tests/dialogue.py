"""One assistant and one thread with it, as most tests of runs need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from tests.conversations import TIMEOUT

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.toolset import ToolLike, to_tool
from langchain_assistants.types.events import RunEvent
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import Run
from langchain_assistants.types.steps import FunctionCall, RunStep, ToolCallsDetails


class Dialogue:
    """An assistant on an engine, with a thread of its own or a given one.

    Args:
        engine: Where it lives.
        executed: Engine tools to offer; the engine has been opened with them.
        functions: Tools or functions that the caller executes.
        thread_id: An existing thread; None: a new one.
        **assistant: Further fields of the assistant.
    """

    def __init__(
        self,
        engine: AssistantsEngine,
        *,
        executed: Sequence[ToolLike] = (),
        functions: Sequence[Any] = (),
        thread_id: str | None = None,
        thread: dict[str, Any] | None = None,
        **assistant: Any,
    ) -> None:
        self.engine = engine
        tools = [engine_entry(tool) for tool in executed]
        tools += [convert_to_openai_tool(tool) for tool in functions]
        self.assistant = engine.assistants.create(
            **{"model": "scripted", "tools": tools, **assistant}
        )
        self.thread_id = thread_id or engine.threads.create(**(thread or {})).id

    def _fields(self, content: Any, run: dict[str, Any]) -> dict[str, Any]:
        fields = {"assistant_id": self.assistant.id, **run}
        if content is not None:
            message = {"role": "user", "content": content}
            fields["additional_messages"] = [message]
        return fields

    def ask(self, content: Any = "Hi", **run: Any) -> Run:
        """Run on a new user message; return the run at its stop."""
        fields = self._fields(content, run)
        return self.wait(self.engine.runs.create(self.thread_id, **fields))

    def begin(self, content: Any = "Hi", **run: Any) -> Run:
        """Start a run and do not wait for it."""
        return self.engine.runs.create(self.thread_id, **self._fields(content, run))

    def hear(self, content: Any = "Hi", **run: Any) -> list[RunEvent]:
        """Run while somebody listens; return every event."""
        fields = self._fields(content, run)
        return list(self.engine.runs.stream(self.thread_id, **fields))

    def wait(self, run: Run) -> Run:
        """Wait for a run's stop."""
        return self.engine.runs.wait(run.id, timeout=TIMEOUT)

    def submit(self, run: Run, outputs: dict[str, Any]) -> Run:
        """Submit outputs by call id (or interrupt id); return the next stop."""
        given = [{"tool_call_id": key, "output": out} for key, out in outputs.items()]
        return self.wait(
            self.engine.runs.submit_tool_outputs(run.id, tool_outputs=given)
        )

    @property
    def messages(self) -> list[Message]:
        """The thread's messages, oldest first."""
        return list(self.engine.messages.list(self.thread_id, order="asc"))

    @property
    def texts(self) -> list[str]:
        """Their texts."""
        return [message.text for message in self.messages]

    def steps(self, run: Run) -> list[RunStep]:
        """A run's steps, oldest first."""
        return list(self.engine.steps.list(run.id, order="asc"))

    def calls(self, run: Run) -> list[FunctionCall]:
        """A run's function calls, in order."""
        return [
            call
            for step in self.steps(run)
            if isinstance(step.step_details, ToolCallsDetails)
            for call in step.step_details.tool_calls
            if isinstance(call, FunctionCall)
        ]

    def outputs(self, run: Run) -> list[str | None]:
        """The outputs of a run's function calls."""
        return [call.function.output for call in self.calls(run)]


def engine_entry(tool: ToolLike) -> dict[str, Any]:
    """Describe an engine tool as an assistant's tool entry."""
    made: BaseTool = to_tool(tool)
    return {"run_on": "engine", **convert_to_openai_tool(made)}


def open_calls(run: Run) -> list[str]:
    """The ids of the calls that a run waits for."""
    assert run.required_action is not None
    assert run.required_action.submit_tool_outputs is not None
    return [call.id for call in run.required_action.submit_tool_outputs.tool_calls]


def ended(events: Sequence[RunEvent]) -> Run:
    """The run as the last of its events shows it."""
    run = events[-1].data
    assert isinstance(run, Run)
    return run


def names(events: Sequence[RunEvent]) -> list[str]:
    """The names of events."""
    return [event.event for event in events]


def heard_text(events: Sequence[RunEvent]) -> str:
    """What the message deltas add up to."""
    return "".join(
        event.data.text for event in events if event.event == "thread.message.delta"
    )


def assert_paired(messages: Sequence[BaseMessage]) -> None:
    """Check that outputs follow their calls at once, and none is left open."""
    waiting: list[str | None] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            assert message.tool_call_id in waiting
            waiting.remove(message.tool_call_id)
            continue
        assert waiting == []
        if isinstance(message, AIMessage):
            assert message.invalid_tool_calls == []
            waiting = [made["id"] for made in message.tool_calls]
    assert waiting == []


def assert_all_ended(events: Sequence[RunEvent]) -> None:
    """Check that every step and message that was heard to begin was heard to end."""
    for kind in ("run.step", "message"):
        begun = [e.data.id for e in events if e.event == f"thread.{kind}.created"]
        ends = [
            event.data.id
            for event in events
            if event.event.startswith(f"thread.{kind}.")
            and not event.event.endswith(("created", "in_progress", "delta"))
        ]
        assert sorted(begun) == sorted(ends)
