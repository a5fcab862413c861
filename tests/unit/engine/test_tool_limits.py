"""What a tool may take and return, and who may still record what it returned."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from tests.conftest import EngineFactory
from tests.conversations import TIMEOUT, Gate, function, thread_with, wait
from tests.stored import broken_invariants, rows

from langchain_assistants import AssistantsEngine
from langchain_assistants.settings import Settings
from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.types.runs import Run


def ask(engine: AssistantsEngine, *names: str, **settings: Any) -> Run:
    """Run an assistant with these engine tools to its end."""
    entries = [function(name) | {"run_on": "engine"} for name in names]
    assistant = engine.assistants.create(model="m", tools=entries)
    thread = thread_with(engine, "go")
    run = engine.runs.create(thread.id, assistant_id=assistant.id, **settings)
    return wait(engine, run)


def seen(model: ScriptedChatModel) -> list[str]:
    """The outputs that the model was shown last."""
    asked = model.calls[-1].messages
    return [str(m.content) for m in asked if isinstance(m, ToolMessage)]


def sleeper(hung: threading.Event) -> BaseTool:
    """A synchronous tool that hangs."""

    def sleep(q: str = "") -> str:
        """Sleep."""
        hung.wait(TIMEOUT)
        return "too late"

    return StructuredTool.from_function(sleep)


def deaf() -> BaseTool:
    """A coroutine that hangs, and takes no notice of being cancelled."""

    async def sleep(q: str = "") -> str:
        """Sleep."""
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0)
        return "too late"

    return StructuredTool.from_function(coroutine=sleep)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_tool_that_takes_too_long_is_an_error_that_the_model_sees(
    engine_factory: EngineFactory, kind: str
) -> None:
    hung = threading.Event()
    tool = sleeper(hung) if kind == "sync" else deaf()
    model = ScriptedChatModel([Reply(tool_calls=[call("sleep")]), "Well."])
    engine = engine_factory(model, tools=[tool], settings=Settings(tool_timeout=0.01))
    assert ask(engine, "sleep").status == "completed"
    assert seen(model) == ["Error: TimeoutError: no result within 0.01 s"]
    hung.set()
    assert broken_invariants(engine) == []


def test_a_tool_says_how_long_it_may_take(engine_factory: EngineFactory) -> None:
    hung = threading.Event()
    tool = sleeper(hung)
    tool.metadata = {"timeout": 0.02}
    model = ScriptedChatModel([Reply(tool_calls=[call("sleep")]), "Well."])
    engine = engine_factory(model, tools=[tool], settings=Settings(tool_timeout=60))
    assert ask(engine, "sleep").status == "completed"
    assert seen(model) == ["Error: TimeoutError: no result within 0.02 s"]
    hung.set()


def test_a_run_fails_where_tools_may_not_take_too_long(
    engine_factory: EngineFactory,
) -> None:
    hung = threading.Event()
    engine = engine_factory(
        [Reply(tool_calls=[call("sleep")])],
        tools=[sleeper(hung)],
        settings=Settings(tool_timeout=0.01),
    )
    run = ask(engine, "sleep", tool_errors="fail")
    assert run.status == "failed"
    assert run.last_error is not None
    assert "TimeoutError" in run.last_error.message
    hung.set()


def test_a_tool_that_returns_far_too_much_is_an_error_that_the_model_sees(
    engine_factory: EngineFactory,
) -> None:
    def dump(q: str = "") -> str:
        """Dump."""
        return "x" * 100_000_000

    model = ScriptedChatModel([Reply(tool_calls=[call("dump")]), "Well."])
    engine = engine_factory(model, tools=[dump])
    assert ask(engine, "dump").status == "completed"
    assert seen(model) == [
        "Error: The tool returned 100000000 characters; it may return 1000000."
    ]
    stored = sum(len(str(row)) for row in rows(engine, "SELECT * FROM run_steps"))
    assert stored < 10_000


def test_a_tool_may_return_as_much_as_is_allowed(
    engine_factory: EngineFactory,
) -> None:
    def dump(q: str = "") -> str:
        """Dump."""
        return "x" * 10

    model = ScriptedChatModel([Reply(tool_calls=[call("dump")]), "Well."])
    engine = engine_factory(model, tools=[dump], settings=Settings(max_tool_output=10))
    ask(engine, "dump")
    assert seen(model) == ["x" * 10]


@pytest.mark.parametrize("artifact", [b"x" * 200_000, threading.Lock()])
def test_an_artifact_that_cannot_be_kept_undoes_no_tool(
    engine_factory: EngineFactory, artifact: Any
) -> None:
    def draw(q: str = "") -> tuple[str, Any]:
        """Draw."""
        return "drawn", artifact

    tool = StructuredTool.from_function(draw, response_format="content_and_artifact")
    model = ScriptedChatModel([Reply(tool_calls=[call("draw")]), "Well."])
    engine = engine_factory(
        model, tools=[tool], settings=Settings(max_tool_output=1000)
    )
    assert ask(engine, "draw").status == "completed"
    assert seen(model) == ["drawn"]


def test_an_output_is_not_recorded_for_a_run_that_another_worker_has(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()

    def work(q: str = "") -> str:
        """Work."""
        gate.pass_through()
        return "late"

    engine = engine_factory([Reply(tool_calls=[call("work")])], tools=[work])
    entry = function("work") | {"run_on": "engine"}
    assistant = engine.assistants.create(model="m", tools=[entry])
    thread = thread_with(engine, "go")
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    sql = "UPDATE runs SET attempt = 2, worker = 'another' WHERE id = ?"
    rows(engine, sql, run.id)
    gate.open()
    while run.id in engine.conductor.executor.running:
        time.sleep(0)
    assert rows(engine, "SELECT * FROM tool_outputs") == []
    [step] = rows(engine, "SELECT * FROM run_steps")
    assert step["status"] == "in_progress"
    assert "late" not in step["details"]
