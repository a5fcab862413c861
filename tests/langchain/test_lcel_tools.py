"""An assistant is a tool that other agents call."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import BaseMessage, HumanMessage
from pydantic import BaseModel, Field
from tests.langchain.arithmetic import add, calls
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of, place_of

from langchain_assistants import AssistantRunnable
from langchain_assistants.errors import ConfigurationError, RunFailed
from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.testing.script import ModelCall


def asks(*contents: str, name: str = "consult") -> Reply:
    """A reply that asks the expert, in parallel."""
    return Reply(tool_calls=[call(name, {"content": text}) for text in contents])


def echo(messages: list[BaseMessage], asked: ModelCall) -> str:
    return f"You said {messages[-1].text}"


def consult_of(expert: Any, **options: Any) -> Any:
    return expert.as_tool(name="consult", description="Ask the expert.", **options)


async def test_the_tool_has_one_argument_and_answers_in_text(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((add, 1, 2), text="Let me add."), "3."]
    expert = make_assistant(steps, [add], run_tools=True, as_agent=True)
    consult = consult_of(expert)
    assert (consult.name, consult.description) == ("consult", "Ask the expert.")
    schema = consult.tool_call_schema.model_json_schema()
    assert schema["required"] == ["content"]
    assert schema["properties"].keys() == {"content"}
    assert "sees nothing else" in schema["properties"]["content"]["description"]
    assert await ask(consult, {"content": "1 + 2?"}) == "3."
    assert expert.as_agent


def test_a_tool_goes_by_the_runnables_name(make_assistant: MakeAssistant) -> None:
    made = make_assistant([])
    named = AssistantRunnable(
        assistant_id=made.assistant_id, **place_of(made), name="tutor"
    )
    assert named.as_tool().name == "tutor"


async def test_langchains_agent_calls_an_assistant(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    expert = make_assistant(ScriptedChatModel(respond=echo))
    with ScriptedChatModel([asks("One", "Two"), "Done."]) as model:
        agent = create_agent(model, [consult_of(expert)])
        state = await ask(agent, {"messages": [HumanMessage("Go")]})
    assert [m.text for m in state["messages"]] == [
        "Go",
        "",
        "You said One",
        "You said Two",
        "Done.",
    ]
    # Each call ran on a thread of its own.
    assert len(list(engine_of(expert).threads.list())) == 2


async def test_an_assistant_calls_assistants(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    deepest = make_assistant(ScriptedChatModel(respond=echo))
    steps = [asks("6 * 7?", name="ask_deepest"), "It is 42."]
    middle = make_assistant(
        steps, [deepest.as_tool(name="ask_deepest")], run_tools=True
    )
    model = ScriptedChatModel([asks("6 * 7, please?"), "42."])
    outer = make_assistant(model, [consult_of(middle)], run_tools=True)
    (message,) = await ask(outer, "6 * 7?")
    assert message.text == "42."
    assert model.calls[-1].messages[-1].text == "It is 42."


async def test_assistants_of_one_engine_call_each_other_in_parallel(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    # More calls than asyncio's default pool has threads: none waits for another.
    contents = [f"Number {number}" for number in range(40)]

    def respond(messages: list[BaseMessage], asked: ModelCall) -> Any:
        if not asked.tools:
            return echo(messages, asked)
        if messages[-1].type == "tool":
            return " ".join(m.text for m in messages if m.type == "tool")
        return asks(*contents)

    expert = make_assistant(ScriptedChatModel(respond=respond))
    outer = AssistantRunnable.create_assistant(
        "Outer",
        "You ask.",
        [consult_of(expert)],
        "scripted",
        **place_of(expert),
        run_tools=True,
        as_message=True,
    )
    answer = await ask(outer, "Go")
    assert answer.text == " ".join(f"You said {text}" for text in contents)
    assert len(list(engine_of(expert).threads.list())) == 41


class Question(BaseModel):
    """Ask the expert about a customer."""

    content: str
    thread_key: str = Field(description="The customer's number.")


@pytest.mark.parametrize(
    "options",
    [
        {"args_schema": Question},
        {"arg_types": {"content": str, "thread_key": str}},
    ],
)
async def test_a_tool_may_be_given_a_thread(
    make_assistant: MakeAssistant, ask: Ask, options: dict[str, Any]
) -> None:
    model = ScriptedChatModel(respond=echo)
    expert = make_assistant(model)
    consult = consult_of(expert, **options)
    for _ in range(2):
        given = {"content": "Hi", "thread_key": "customer:42"}
        assert await ask(consult, given) == "You said Hi"
    (thread,) = engine_of(expert).threads.list()
    assert thread.key == "customer:42"
    assert len(model.calls[-1].messages) == 4


async def test_a_failure_of_the_nested_run_is_seen_by_the_model(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    expert = make_assistant([ValueError("no")] * 2)
    with pytest.raises(RunFailed):
        await ask(consult_of(expert), {"content": "Hi"})
    model = ScriptedChatModel([asks("Hi"), "I could not ask."])
    outer = make_assistant(model, [consult_of(expert)], run_tools=True)
    (message,) = await ask(outer, "Hi")
    assert message.text == "I could not ask."
    assert "failed" in model.calls[-1].messages[-1].text


async def test_functions_that_nobody_executes_are_named(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    expert = make_assistant([calls((add, 1, 2))], [add])
    with pytest.raises(ConfigurationError, match="requires add; give that assistant"):
        await ask(consult_of(expert), {"content": "1 + 2?"})
