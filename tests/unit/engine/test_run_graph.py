"""How a run asks its model: tools, tool choice, parameters."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from langchain_core.messages import ToolMessage
from tests.conftest import EngineFactory
from tests.dialogue import Dialogue, engine_entry

from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.types.steps import ToolCallsDetails


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


@pytest.mark.parametrize(
    ("choice", "bound"),
    [
        ("required", "any"),
        ({"type": "function", "function": {"name": "add"}}, "add"),
    ],
)
def test_tool_choice_forces_the_first_call_only(
    engine_factory: EngineFactory, choice: Any, bound: str
) -> None:
    _, run, model = run_tools(
        engine_factory, [add], call("add", {"a": 1, "b": 2}), tool_choice=choice
    )
    assert run.status == "completed"
    assert [asked.tool_choice for asked in model.calls] == [bound, None]
    assert [asked.tool_names for asked in model.calls] == [["add"], ["add"]]


def test_tool_choice_is_not_forced_again_after_tool_outputs(
    engine_factory: EngineFactory,
) -> None:
    calls = Reply(tool_calls=[call("ask_user", {"question": "?"}, id="call_q")])
    with ScriptedChatModel([calls, "Done."]) as model:
        engine = engine_factory(model)
        talk = Dialogue(engine, functions=[ask_user])
        waiting = talk.ask("Go", tool_choice="required")
        engine.close()
        talk.engine = engine_factory.reopen(model)
        assert talk.submit(waiting, {"call_q": "yes"}).status == "completed"
    assert [asked.tool_choice for asked in model.calls] == ["any", None]


def test_tool_choice_forces_each_run_anew(engine_factory: EngineFactory) -> None:
    adds = Reply(tool_calls=[call("add", {"a": 1, "b": 2})])
    with ScriptedChatModel([adds, "3", adds, "3"]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        talk.ask("Go", tool_choice="required")
        talk.ask("Go", tool_choice="required")
    assert [asked.tool_choice for asked in model.calls] == ["any", None, "any", None]


def test_tool_choice_none_offers_no_tools(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel(["No tools."]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        assert talk.ask("Go", tool_choice="none").status == "completed"
    assert model.calls[0].tools == []
    assert model.calls[0].tool_choice is None


def test_parallel_tool_calls_false_is_passed_on_and_kept(
    engine_factory: EngineFactory,
) -> None:
    first, second = call("add", {"a": 1, "b": 2}), call("add", {"a": 3, "b": 4})
    talk, run, model = run_tools(
        engine_factory, [add], first, second, parallel_tool_calls=False
    )
    assert run.status == "completed"
    assert [asked.parallel_tool_calls for asked in model.calls] == [False, False]
    assert talk.outputs(run) == ["3"]  # a model that makes more is cut to one


def test_parallel_tool_calls_is_left_out_by_default_and_without_tools(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["1", "2"]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        talk.ask("Go")
        talk.ask("Go", tools=[], parallel_tool_calls=False)
    assert [asked.parallel_tool_calls for asked in model.calls] == [None, None]


def test_a_runs_own_tools_replace_the_assistants(engine_factory: EngineFactory) -> None:
    with ScriptedChatModel(["1"]) as model:
        engine = engine_factory(model, tools=[add, multiply])
        talk = Dialogue(engine, executed=[add])
        talk.ask("Go", tools=[engine_entry(multiply)])
    assert model.calls[0].tool_names == ["multiply"]


def test_a_providers_own_tool_is_passed_to_the_model_only(
    engine_factory: EngineFactory,
) -> None:
    with ScriptedChatModel(["1"]) as model:
        engine = engine_factory(model, middleware=[])
        talk = Dialogue(engine)
        run = talk.ask("Go", tools=[{"type": "web_search"}])
    assert run.status == "completed"
    assert model.calls[0].tool_names == ["web_search"]


@pytest.mark.parametrize("where", ["assistant", "run"])
def test_sampling_parameters_reach_the_model(
    engine_factory: EngineFactory, where: Literal["assistant", "run"]
) -> None:
    params = {"temperature": 0.25, "top_p": 0.5}
    with ScriptedChatModel(["1"]) as model:
        talk = Dialogue(engine_factory(model), **params if where == "assistant" else {})
        run = talk.ask("Go", **params if where == "run" else {})
    assert (run.temperature, run.top_p) == (0.25, 0.5)
    assert model.calls[0].settings == params


def test_max_completion_tokens_limits_each_answer_to_what_is_left(
    engine_factory: EngineFactory,
) -> None:
    adds = Reply(
        tool_calls=[call("add", {"a": 1, "b": 2})],
        usage={"input_tokens": 10, "output_tokens": 100},
    )
    with ScriptedChatModel([adds, "3"]) as model:
        talk = Dialogue(engine_factory(model, tools=[add]), executed=[add])
        run = talk.ask("Go", max_completion_tokens=300)
    assert run.status == "completed"
    assert [asked.settings["max_tokens"] for asked in model.calls] == [300, 200]


def test_the_tools_are_offered_as_the_assistant_describes_them(
    engine_factory: EngineFactory,
) -> None:
    function = {
        "name": "book",
        "description": "Book a table.",
        "parameters": {"type": "object", "properties": {"seats": {"type": "integer"}}},
        "strict": True,
    }
    with ScriptedChatModel(["1"]) as model:
        entry = {"type": "function", "function": function}
        Dialogue(engine_factory(model), tools=[entry]).ask("Go")
    assert model.calls[0].tools == [{"type": "function", "function": function}]


def test_each_call_belongs_to_one_step_of_its_turn(
    engine_factory: EngineFactory,
) -> None:
    calls = [call("add", {"a": n, "b": n}, id=f"call_{n}") for n in range(3)]
    talk, run, _ = run_tools(engine_factory, [add], *calls)
    first, second = talk.steps(run)
    assert first.type == "tool_calls"
    assert isinstance(first.step_details, ToolCallsDetails)
    assert [c.id for c in first.step_details.tool_calls] == [c["id"] for c in calls]
    assert second.type == "message_creation"
    assert run.status == "completed"
