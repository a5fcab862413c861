"""Who executes a tool: the caller, the runnable (`run_tools`), or the engine."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from langchain_core.tools import StructuredTool
from pydantic import BaseModel
from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add, calls, multiply, subtract
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of, place_of

from langchain_assistants import AssistantRunnable
from langchain_assistants.errors import ConfigurationError, RunFailed
from langchain_assistants.testing import Reply, ScriptedChatModel, call

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        },
    },
}


class Divide(BaseModel):
    """Divide a number by another."""

    a: int
    b: int


def double(a: int, b: int = 2) -> int:
    """Double a number."""
    return a * b


async def halve(a: int, b: int = 2) -> float:
    """Halve a number."""
    return a / b


async def test_tools_are_schemas_whose_calls_come_back(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    model = ScriptedChatModel([calls((add, 1, 2))])
    tools = [add, double, Divide, {"type": "code_interpreter"}, ADD]
    assistant = make_assistant(model, [add, double, Divide])
    (required,) = await ask(assistant, "1 + 2?")
    assert required.function.name == "add"
    assert model.calls[0].tool_names == ["add", "double", "Divide"]
    stored = (
        engine_of(assistant)
        .assistants.create(model="m", tools=[tools[3], tools[4]])
        .tools
    )
    assert [tool.type for tool in stored] == ["code_interpreter", "function"]


async def test_run_tools_executes_the_given_tools(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    made = [
        call(name, {"a": 8, "b": 2})
        for name in ("add", "subtract", "double", "halve", "triple")
    ]
    model = ScriptedChatModel([Reply(tool_calls=made), "Done."])
    triple = StructuredTool.from_function(
        lambda a, b: 3 * a, name="triple", description="Triple a number."
    )
    tools = [add, subtract, double, halve, triple]
    assistant = make_assistant(model, tools, run_tools=True)
    (message,) = await ask(assistant, "Sums?")
    assert message.text == "Done."
    outputs = [m.text for m in model.calls[-1].messages if m.type == "tool"]
    assert outputs == ["10", "6", "16", "4.0", "24"]


async def test_a_list_of_run_tools_executes_those(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    model = ScriptedChatModel([calls((add, 1, 2), (multiply, 3, 4)), "3 and 12."])
    agent = make_assistant(model, [ADD, multiply], run_tools=[add], as_agent=True)
    actions = await ask(agent, "1 + 2 and 3 * 4?")
    assert [action.tool for action in actions] == ["multiply"]
    finish = await ask(agent, {"intermediate_steps": [(actions[0], 12)]})
    assert finish.return_values["output"] == "3 and 12."
    outputs = [m.text for m in model.calls[-1].messages if m.type == "tool"]
    assert outputs == ["3", "12"]


async def test_run_tools_of_a_runnable_never_alter_the_assistant(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    plain = make_assistant([calls((add, 1, 2)), "3.", calls((add, 1, 2))], [add])
    before = engine_of(plain).assistants.retrieve(plain.assistant_id)
    bound = AssistantRunnable(
        assistant_id=plain.assistant_id, **place_of(plain), run_tools=[add]
    )
    (message,) = await ask(bound, "1 + 2?")
    assert message.text == "3."
    (required,) = await ask(plain, "1 + 2?")
    assert required.function.name == "add"
    assert engine_of(plain).assistants.retrieve(plain.assistant_id) == before


async def test_run_tools_bind_when_a_run_goes_on(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    model = ScriptedChatModel([calls((multiply, 3, 4)), calls((add, 12, 1)), "13."])
    agent = make_assistant(model, [add, multiply], run_tools=[add], as_agent=True)
    (action,) = await ask(agent, "3 * 4 + 1?")
    outputs = [{"tool_call_id": action.tool_call_id, "output": 12}]
    finish = await ask(agent, {"run_id": action.run_id, "tool_outputs": outputs})
    assert finish.return_values["output"] == "13."
    assert model.calls[-1].messages[-1].text == "13"


async def test_tools_of_one_run_are_executed_by_name(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((multiply, 3, 4)), "12."]
    assistant = make_assistant(steps, [add], run_tools=[add, multiply])
    (message,) = await ask(assistant, {"content": "3 * 4?", "tools": [multiply]})
    assert message.text == "12."


async def test_a_run_tool_that_the_assistant_has_not_got_is_logged(
    make_assistant: MakeAssistant, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    assistant = make_assistant(["Hello."], [add], run_tools=[add, multiply])
    with caplog.at_level(logging.WARNING):
        await ask(assistant, "Hi")
    assert caplog.records[0].__dict__["tools"] == ["multiply"]


@pytest.mark.parametrize("schema", [Divide, ADD])
async def test_run_tools_needs_implementations(
    engine_factory: EngineFactory, schema: Any
) -> None:
    engine = engine_factory()
    for options in ({"run_tools": True}, {"run_tools": [schema]}):
        with pytest.raises(ConfigurationError, match="only describe"):
            AssistantRunnable.create_assistant(
                "A", "B", [schema], "m", engine=engine, **options
            )
    assert list(engine.assistants.list()) == []


async def test_hosted_tools_need_no_implementation(
    engine_factory: EngineFactory,
) -> None:
    tools = [add, {"type": "web_search"}]
    engine = engine_factory()
    made = AssistantRunnable.create_assistant(
        "A", "B", tools, "m", engine=engine, run_tools=True
    )
    assert made.run_tools == [add]


async def test_two_run_tools_of_one_name_are_refused(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant([], [add], run_tools=[add, add])
    with pytest.raises(ConfigurationError, match="Two tools are named 'add'"):
        await ask(assistant, "Hi")


async def test_engine_tools_serve_only_entries_that_ask_for_them(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    model = ScriptedChatModel([calls((add, 1, 2), (multiply, 3, 4))])
    options = {"tools": [add, multiply]}
    agent = make_assistant(
        model,
        [{**ADD, "run_on": "engine"}, multiply],
        engine_options=options,
        as_agent=True,
    )
    actions = await ask(agent, "Sums?")
    assert [action.tool for action in actions] == ["multiply"]
    (step,) = engine_of(agent).steps.list(actions[0].run_id)
    outputs = [made.function.output for made in step.step_details.tool_calls]
    assert outputs == ["3", None]


async def test_an_engine_without_the_tool_says_so(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant([], [{**ADD, "run_on": "engine"}])
    with pytest.raises(RunFailed, match=r"pass it in AssistantsEngine\(tools=\)"):
        await ask(assistant, "1 + 2?")


async def test_get_or_create_finds_the_same_content_and_never_updates(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(ScriptedChatModel([calls((add, 1, 2)), "3."]))

    async def get(instructions: str = "You teach.", **options: Any) -> Any:
        arguments = ("Tutor", instructions, [add], "m")
        if ask.__name__ == "sync":
            return AssistantRunnable.get_or_create_assistant(
                *arguments, engine=engine, **options
            )
        return await AssistantRunnable.aget_or_create_assistant(
            *arguments, engine=engine, **options
        )

    first = await get()
    again = await get(run_tools=True)
    other = await get("You preach.")
    assert first.assistant_id == again.assistant_id != other.assistant_id
    assert len(list(engine.assistants.list())) == 2
    stored = engine.assistants.retrieve(first.assistant_id)
    assert stored.instructions == "You teach."
    (message,) = await ask(again, "1 + 2?")
    assert message.text == "3."


async def test_further_fields_of_the_assistant_are_stored(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    fields: dict[str, Any] = {
        "description": "A tutor.",
        "metadata": {"team": "a"},
        "temperature": 0.5,
    }
    made = await AssistantRunnable.acreate_assistant(
        "Tutor", "You teach.", [], "m", engine=engine, **fields
    )
    stored = engine.assistants.retrieve(made.assistant_id)
    assert {name: getattr(stored, name) for name in fields} == fields
