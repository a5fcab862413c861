"""Who executes a tool call, and what a tool may do."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Annotated, Any

import pytest
from langchain.tools import ToolRuntime
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import (
    BaseTool,
    InjectedToolCallId,
    StructuredTool,
    ToolException,
    tool,
)
from langgraph.prebuilt import InjectedState, InjectedStore
from langgraph.store.base import BaseStore
from langgraph.types import Command
from pydantic import Field
from tests.conftest import EngineFactory
from tests.conversations import TIMEOUT
from tests.dialogue import Dialogue, open_calls

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.settings import Settings
from langchain_assistants.testing import Reply, ScriptedChatModel, call


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def explode(word: str) -> str:
    """Explode."""
    raise RuntimeError(f"boom {word}")


def ask_user(question: str) -> str:
    """Ask the user."""
    raise AssertionError("the caller executes it")


def run_tools(
    engine_factory: EngineFactory, tools: list[Any], *calls: Any, **run: Any
) -> tuple[Dialogue, Any, ScriptedChatModel]:
    """Have a model call engine tools once, then say "Done."."""
    with ScriptedChatModel([Reply(tool_calls=calls), "Done."]) as model:
        talk = Dialogue(engine_factory(model, tools=tools), executed=tools)
        made = talk.ask("Go", **run)
    return talk, made, model


def tool_messages(model: ScriptedChatModel) -> list[ToolMessage]:
    """The outputs that the model was last shown."""
    return [m for m in model.calls[-1].messages if isinstance(m, ToolMessage)]


# Who executes a call, and how many at once.


def test_sync_and_async_tools_are_executed(engine_factory: EngineFactory) -> None:
    talk, run, model = run_tools(
        engine_factory,
        [add, multiply],
        call("add", {"a": 2, "b": 3}),
        call("multiply", {"a": 2, "b": 3}),
    )
    assert run.status == "completed"
    assert talk.outputs(run) == ["5", "6"]
    assert [m.text for m in tool_messages(model)] == ["5", "6"]
    assert len(talk.steps(run)) == 2


def test_eight_sync_tools_overlap(engine_factory: EngineFactory) -> None:
    barrier = threading.Barrier(8)

    def meet(number: int) -> int:
        """Wait for the seven others."""
        barrier.wait(TIMEOUT)
        return number

    calls = [call("meet", {"number": number}) for number in range(8)]
    talk, run, _ = run_tools(engine_factory, [meet], *calls)
    assert run.status == "completed"
    assert talk.outputs(run) == [str(number) for number in range(8)]


def test_eight_async_tools_overlap(engine_factory: EngineFactory) -> None:
    barrier = asyncio.Barrier(8)

    async def meet(number: int) -> int:
        """Wait for the seven others."""
        async with asyncio.timeout(TIMEOUT):
            await barrier.wait()
        return number

    calls = [call("meet", {"number": number}) for number in range(8)]
    talk, run, _ = run_tools(engine_factory, [meet], *calls)
    assert talk.outputs(run) == [str(number) for number in range(8)]


def test_a_tool_class_with_only_run_does_not_block_the_loop(
    engine_factory: EngineFactory,
) -> None:
    barrier = threading.Barrier(2)

    class Meet(BaseTool):
        name: str = "meet"
        description: str = "Wait for another."
        met: list[str] = Field(default_factory=list)

        def _run(self, who: str) -> str:
            barrier.wait(TIMEOUT)
            self.met.append(who)
            return who

    meet = Meet()
    talk, run, _ = run_tools(
        engine_factory, [meet], call("meet", {"who": "a"}), call("meet", {"who": "b"})
    )
    assert talk.outputs(run) == ["a", "b"]
    assert sorted(meet.met) == ["a", "b"]  # the given object did it


def test_engine_tools_and_the_callers_functions_in_one_turn(
    engine_factory: EngineFactory,
) -> None:
    counted: list[int] = []

    def count(number: int) -> int:
        """Count."""
        counted.append(number)
        return number

    both = Reply(
        tool_calls=[
            call("ask_user", {"question": "a?"}, id="call_a"),
            call("count", {"number": 7}, id="call_n"),
            call("ask_user", {"question": "b?"}, id="call_b"),
        ]
    )
    with ScriptedChatModel([both, "Done."]) as model:
        talk = Dialogue(
            engine_factory(model, tools=[count]), executed=[count], functions=[ask_user]
        )
        waiting = talk.ask("Go")
        assert waiting.status == "requires_action"
        assert open_calls(waiting) == ["call_a", "call_b"]
        (step,) = talk.steps(waiting)
        assert step.status == "in_progress"
        assert talk.outputs(waiting) == [None, "7", None]
        run = talk.submit(waiting, {"call_b": "B", "call_a": "A"})
    assert run.status == "completed"
    assert counted == [7]
    assert talk.outputs(run) == ["A", "7", "B"]
    assert [m.text for m in tool_messages(model)] == ["A", "7", "B"]


def test_an_engine_tool_serves_only_an_entry_that_says_so(
    engine_factory: EngineFactory,
) -> None:
    calls = Reply(tool_calls=[call("add", {"a": 1, "b": 2})])
    with ScriptedChatModel([calls]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), functions=[add])
        assert talk.ask("Go").status == "requires_action"


def test_an_engine_tool_that_is_not_there_fails_the_run_and_says_what_to_do(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel([]) as model:
        run = Dialogue(engine_factory(model), executed=[add]).ask("Go")
    assert run.status == "failed"
    assert run.last_error is not None
    assert "AssistantsEngine(tools=)" in run.last_error.message


def test_a_hosted_tool_without_a_provider_fails_the_run_and_names_it(
    engine_factory: EngineFactory,
) -> None:
    kind = "code_interpreter"
    with ScriptedChatModel([]) as model:
        run = Dialogue(engine_factory(model), tools=[{"type": kind}]).ask("Go")
    assert run.status == "failed"
    assert run.last_error is not None
    assert kind in run.last_error.message


def test_two_engine_tools_may_not_share_a_name(engine_factory: EngineFactory) -> None:
    with pytest.raises(ConfigurationError, match="Two tools are named 'add'"):
        engine_factory([], tools=[add, add])


def test_a_schema_is_no_engine_tool(engine_factory: EngineFactory) -> None:
    with pytest.raises(ConfigurationError, match="cannot be executed"):
        engine_factory([], tools=[{"type": "function"}])


# What a tool may do.


def test_a_tool_that_raises_is_an_output_that_the_model_sees(
    engine_factory: EngineFactory,
) -> None:
    talk, run, model = run_tools(
        engine_factory, [explode, add], call("explode", {"word": "x"}), call("add", {})
    )
    assert run.status == "completed"
    raised, wrong = tool_messages(model)
    assert raised.text == "Error: RuntimeError: boom x"
    assert raised.status == "error"
    assert wrong.status == "error"
    assert talk.outputs(run) == [raised.text, wrong.text]


def test_a_tool_that_raises_ends_the_run_where_asked(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(
        [Reply(tool_calls=[call("explode", {"word": "x"}, id="call_x")]), "Hi."]
    ) as model:
        talk = Dialogue(engine_factory(model, tools=[explode]), executed=[explode])
        run = talk.ask("Go", tool_errors="fail")
        assert run.status == "failed"
        assert run.last_error is not None
        assert run.last_error.code == "server_error"
        assert "explode" in run.last_error.message
        assert "call_x" in run.last_error.message
        (step,) = talk.steps(run)
        assert step.status == "failed"
        assert step.last_error is not None
        assert talk.ask("Again").status == "completed"


def test_tool_errors_may_be_the_engines_default(engine_factory: EngineFactory) -> None:
    calls = Reply(tool_calls=[call("explode", {"word": "x"})])
    with ScriptedChatModel([calls]) as model:
        engine = engine_factory(
            model, tools=[explode], settings=Settings(tool_errors="fail")
        )
        assert Dialogue(engine, executed=[explode]).ask("Go").status == "failed"


def test_a_tools_own_error_handling_is_respected(engine_factory: EngineFactory) -> None:
    def refuse() -> str:
        """Refuse."""
        raise ToolException("not today")

    handled = StructuredTool.from_function(refuse, handle_tool_error=True)
    talk, run, model = run_tools(engine_factory, [handled], call("refuse"))
    assert talk.outputs(run) == ["not today"]
    assert tool_messages(model)[0].status == "error"


def test_an_unknown_tool_is_answered_with_the_names_of_the_others(
    engine_factory: EngineFactory,
) -> None:
    talk, run, _ = run_tools(engine_factory, [add], call("subtract", {"a": 1}))
    assert run.status == "completed"
    (output,) = talk.outputs(run)
    assert "subtract" in str(output)
    assert "add" in str(output)


def test_an_unknown_tool_of_an_assistant_without_tools_is_answered(
    engine_factory: EngineFactory,
) -> None:
    calls = Reply(tool_calls=[call("subtract", {"a": 1})])
    with ScriptedChatModel([calls, "Sorry."]) as model:
        talk = Dialogue(engine_factory(model))
        run = talk.ask("Go")
    assert run.status == "completed"
    assert "subtract" in str(talk.outputs(run)[0])


def test_an_unknown_tool_beside_a_function_of_the_caller(
    engine_factory: EngineFactory,
) -> None:
    both = Reply(
        tool_calls=[call("nobody"), call("ask_user", {"question": "?"}, id="call_q")]
    )
    with ScriptedChatModel([both, "Done."]) as model:
        talk = Dialogue(engine_factory(model), functions=[ask_user])
        waiting = talk.ask("Go")
        assert open_calls(waiting) == ["call_q"]
        run = talk.submit(waiting, {"call_q": "yes"})
    assert run.status == "completed"


def test_wrong_arguments_are_answered_without_calling_the_tool(
    engine_factory: EngineFactory,
) -> None:
    called: list[int] = []

    def square(number: int) -> int:
        """Square a number."""
        called.append(number)
        return number**2

    talk, run, _ = run_tools(engine_factory, [square], call("square", {"number": "x"}))
    assert run.status == "completed"
    assert called == []
    assert "number" in str(talk.outputs(run)[0])


def test_arguments_of_the_callers_functions_are_not_checked(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel([Reply(tool_calls=[call("add", {"x": "?"})])]) as model:
        waiting = Dialogue(engine_factory(model), functions=[add]).ask("Go")
    assert waiting.required_action is not None
    assert waiting.required_action.submit_tool_outputs is not None
    (made,) = waiting.required_action.submit_tool_outputs.tool_calls
    assert json.loads(made.function.arguments) == {"x": "?"}


def test_a_tool_may_return_a_command(engine_factory: EngineFactory) -> None:
    @tool
    def remember(
        fact: str, tool_call_id: Annotated[str, InjectedToolCallId]
    ) -> Command[Any]:
        """Remember a fact."""
        noted = ToolMessage(f"noted {fact}", tool_call_id=tool_call_id)
        return Command(update={"messages": [noted]})

    talk, run, model = run_tools(
        engine_factory, [remember], call("remember", {"fact": "x"})
    )
    assert run.status == "completed"
    assert talk.outputs(run) == ["noted x"]
    assert [m.text for m in tool_messages(model)] == ["noted x"]


def test_a_tool_may_return_a_tool_message_with_an_artifact(
    engine_factory: EngineFactory,
) -> None:
    @tool
    def fetch(tool_call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
        """Fetch."""
        return ToolMessage("short", artifact={"long": 1}, tool_call_id=tool_call_id)

    talk, run, model = run_tools(engine_factory, [fetch], call("fetch"))
    assert talk.outputs(run) == ["short"]
    assert tool_messages(model)[0].artifact == {"long": 1}


def test_content_and_artifact_are_kept_apart(engine_factory: EngineFactory) -> None:
    @tool(response_format="content_and_artifact")
    def fetch() -> tuple[str, list[int]]:
        """Fetch."""
        return "three numbers", [1, 2, 3]

    talk, run, model = run_tools(engine_factory, [fetch], call("fetch"))
    assert talk.outputs(run) == ["three numbers"]
    assert tool_messages(model)[0].artifact == [1, 2, 3]


def test_an_artifact_that_cannot_be_stored_does_not_undo_the_tool(
    engine_factory: EngineFactory,
) -> None:
    @tool(response_format="content_and_artifact")
    def fetch() -> tuple[str, Any]:
        """Fetch."""
        return "a lock", threading.Lock()

    talk, run, _ = run_tools(engine_factory, [fetch], call("fetch"))
    assert run.status == "completed"
    assert talk.outputs(run) == ["a lock"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": 1}, '{"a": 1}'),
        ([1, 2], "[1, 2]"),
        (None, "null"),
        ("", ""),
        ("žluťoučký", "žluťoučký"),
    ],
)
def test_whatever_a_tool_returns_becomes_text(
    engine_factory: EngineFactory, value: Any, shown: str
) -> None:
    def give() -> Any:
        """Give."""
        return value

    talk, run, model = run_tools(engine_factory, [give], call("give"))
    assert run.status == "completed"
    assert talk.outputs(run) == [shown]
    assert [m.text for m in tool_messages(model)] == [shown]


def test_a_tool_sees_the_state_and_the_runtime(engine_factory: EngineFactory) -> None:
    seen: dict[str, Any] = {}

    @tool
    def look(
        word: str,
        state: Annotated[dict[str, Any], InjectedState],
        runtime: ToolRuntime[Any, Any],
    ) -> str:
        """Look around."""
        seen["humans"] = [
            m.text for m in state["messages"] if isinstance(m, HumanMessage)
        ]
        seen["id"] = runtime.tool_call_id
        seen["store"] = runtime.store
        return word

    talk, run, model = run_tools(
        engine_factory, [look], call("look", {"word": "x"}, id="call_look")
    )
    assert run.status == "completed"
    assert seen == {"humans": ["Go"], "id": "call_look", "store": None}
    (offered,) = model.calls[0].tools
    assert list(offered["function"]["parameters"]["properties"]) == ["word"]
    assert talk.outputs(run) == ["x"]


def test_an_async_tool_sees_the_runtime(engine_factory: EngineFactory) -> None:
    @tool
    async def look(runtime: ToolRuntime[Any, Any]) -> str:
        """Look around."""
        return runtime.tool_call_id or ""

    talk, run, _ = run_tools(engine_factory, [look], call("look", id="call_look"))
    assert talk.outputs(run) == ["call_look"]


def test_a_tool_that_needs_a_store_is_answered_with_an_error(
    engine_factory: EngineFactory,
) -> None:
    @tool
    def keep(store: Annotated[BaseStore, InjectedStore()]) -> str:
        """Keep."""
        raise AssertionError("there is no store")

    talk, run, _ = run_tools(engine_factory, [keep], call("keep"))
    assert run.status == "completed"
    assert "store" in str(talk.outputs(run)[0])


def test_a_tool_that_returns_directly_ends_the_run(
    engine_factory: EngineFactory,
) -> None:
    @tool(return_direct=True)
    def final() -> str:
        """Finish."""
        return "final"

    with ScriptedChatModel([Reply(tool_calls=[call("final")])]) as model:
        talk = Dialogue(engine_factory(model, tools=[final]), executed=[final])
        run = talk.ask("Go")
    assert run.status == "completed"
    assert talk.outputs(run) == ["final"]
    assert {step.status for step in talk.steps(run)} == {"completed"}
