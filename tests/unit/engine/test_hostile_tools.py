"""What tools, listeners and callers may do to an engine without breaking it."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.types import interrupt
from tests.conftest import EngineFactory

from langchain_assistants import AssistantRunnable
from langchain_assistants.engine.events import EventLog
from langchain_assistants.errors import (
    ConfigurationError,
    InvalidRequestError,
    RunFailed,
)
from langchain_assistants.testing import Reply, ScriptedChatModel, call


def leave() -> str:
    """Leave the process."""
    sys.exit(3)


@tool
async def leave_later() -> str:
    """Leave the process from a coroutine."""
    sys.exit(3)


def find() -> str:
    """Find nothing."""
    return next(iter(()))


def cut_emoji() -> str:
    """Return half of a pair."""
    return "x\ud83dy"


def ask_when() -> str:
    """Ask with what JSON cannot hold."""
    answer: str = interrupt({"when": datetime(2026, 1, 1, tzinfo=UTC)})
    return answer


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        (leave, "SystemExit"),
        (leave_later, "SystemExit"),
        (find, "StopIteration"),
        (cut_emoji, "x?y"),
    ],
    ids=["exit", "exit in a coroutine", "stop iteration", "lone surrogate"],
)
def test_a_hostile_tool_becomes_an_output_and_the_engine_lives_on(
    engine_factory: EngineFactory, function: object, shown: str
) -> None:
    name = getattr(function, "name", getattr(function, "__name__", ""))
    model = ScriptedChatModel([Reply(tool_calls=[call(name, {})]), "Well.", "Again."])
    engine = engine_factory(model)
    agent = AssistantRunnable.create_assistant(
        "A", "i", [function], "scripted", engine=engine, run_tools=True
    )
    given = {"content": "hi", "thread_key": "k"}
    assert agent.invoke(given)[-1].text == "Well."
    assert agent.invoke(given)[-1].text == "Again."
    for asked in model.calls[1:]:
        (output,) = (m for m in asked.messages if isinstance(m, ToolMessage))
        assert shown in output.text


def test_an_interrupt_that_cannot_be_stored_fails_its_run_and_frees_the_thread(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([Reply(tool_calls=[call("ask_when", {})]), "Again."])
    agent = AssistantRunnable.create_assistant(
        "A", "i", [ask_when], "scripted", engine=engine, run_tools=True
    )
    with pytest.raises(RunFailed, match="not JSON serializable"):
        agent.invoke({"content": "hi", "thread_key": "k"})
    assert agent.invoke({"content": "hi", "thread_key": "k"})[-1].text == "Again."


async def test_a_caller_that_is_cancelled_twice_frees_its_thread(
    engine_factory: EngineFactory,
) -> None:
    started = asyncio.Event()

    @tool
    async def tidy_slowly() -> str:
        """Take some time to go."""
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.2)
        return ""

    engine = engine_factory([Reply(tool_calls=[call("tidy_slowly", {})]), "Again."])
    agent = await AssistantRunnable.acreate_assistant(
        "A", "i", [tidy_slowly], "scripted", engine=engine, run_tools=True
    )
    given = {"content": "hi", "thread_key": "k"}
    task = asyncio.create_task(agent.ainvoke(given))
    await started.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await agent.ainvoke(given))[-1].text == "Again."


def test_a_listener_whose_loop_was_closed_does_not_break_the_run() -> None:
    log = EventLog()
    loop = asyncio.new_event_loop()
    stream = log.follow()
    first = loop.create_task(anext(stream))  # type: ignore[arg-type]
    loop.call_soon(log.emit, "thread.run.queued", None)
    assert loop.run_until_complete(first).event == "thread.run.queued"
    loop.close()
    log.emit("thread.run.in_progress", None)
    log.end()
    assert [event.event for event in log.follow_blocking()] == [
        "thread.run.queued",
        "thread.run.in_progress",
    ]


def test_the_history_of_a_short_thread_with_many_tool_calls_is_bounded(
    engine_factory: EngineFactory,
) -> None:
    calls = [Reply(tool_calls=[call("find_again", {})]) for _ in range(150)]
    model = ScriptedChatModel([*calls, "Found.", "Again."])
    engine = engine_factory(model)

    def find_again() -> str:
        """Find it."""
        return "it"

    agent = AssistantRunnable.create_assistant(
        "A", "i", [find_again], "scripted", engine=engine, run_tools=True
    )
    given = {"content": "hi", "thread_key": "k"}
    agent.invoke(given)
    agent.invoke(given)
    outputs = [m for m in model.calls[-1].messages if isinstance(m, ToolMessage)]
    assert len(outputs) == engine.settings.history_messages


def test_an_engine_of_before_a_fork_says_so(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    engine.portal._process += 1
    with pytest.raises(ConfigurationError, match="forked"):
        engine.threads.create()
    engine.portal._process -= 1


def test_a_typo_in_the_constructor_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="did you mean 'as_agent'"):
        AssistantRunnable(assistant_id="asst_x", as_agnt=True)


def test_create_refuses_to_stream(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    assistant = engine.assistants.create(model="scripted")
    thread = engine.threads.create()
    with pytest.raises(InvalidRequestError, match=r"runs\.stream"):
        engine.runs.create(thread.id, assistant_id=assistant.id, stream=True)
    assert list(engine.runs.list(thread.id)) == []
