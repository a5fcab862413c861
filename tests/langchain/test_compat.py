"""Code that was written for LangChain's OpenAIAssistantRunnable runs on ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_classic.agents import AgentExecutor
from langchain_classic.agents.openai_assistant import base as classic
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.tools import BaseTool
from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add, calls, multiply
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of
from tests.stored import seed_files

from langchain_assistants import OpenAIAssistantRunnable, compat
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.testing import ScriptedChatModel


@pytest.fixture
def default_engine(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> ScriptedChatModel:
    """The engine of code that names none, with a model to script."""
    model = ScriptedChatModel(
        [
            calls((add, 10, 4)),
            "14.",
            calls((multiply, 14, 2), (add, 1, 1)),
            "28.",
        ]
    )
    engine = engine_factory(model)
    monkeypatch.setattr("langchain_assistants.engine.default._engine", engine)
    return model


def test_the_names_of_the_old_module_are_there() -> None:
    assert compat.OpenAIAssistantAction is compat.AssistantAction
    assert compat.OpenAIAssistantFinish is compat.AssistantFinish
    for ours, theirs, base in (
        (compat.OpenAIAssistantAction, classic.OpenAIAssistantAction, AgentAction),
        (compat.OpenAIAssistantFinish, classic.OpenAIAssistantFinish, AgentFinish),
    ):
        assert issubclass(ours, base)
        assert ours.model_fields.keys() == theirs.model_fields.keys()
    old = classic.OpenAIAssistantRunnable.model_fields.keys()
    assert old <= OpenAIAssistantRunnable.model_fields.keys()


def test_the_old_constructors_arguments_are_taken(
    engine_factory: EngineFactory,
) -> None:
    agent = OpenAIAssistantRunnable(
        client=None,
        async_client=None,
        assistant_id="asst_1",
        check_every_ms=500.0,
        as_agent=True,
        engine=engine_factory(),
    )
    assert (agent.check_every_ms, agent.as_agent) == (500.0, True)


async def test_the_old_constructors_arguments_are_taken_by_create_assistant(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    agent = OpenAIAssistantRunnable.create_assistant(
        name="A",
        instructions="B",
        tools=[add],
        model="m",
        client=None,
        check_every_ms=500.0,
        as_agent=True,
        engine=engine,
    )
    assert (agent.check_every_ms, agent.as_agent) == (500.0, True)
    other = await OpenAIAssistantRunnable.acreate_assistant(
        "A", "B", [], "m", async_client=None, engine=engine, extra_keys="error"
    )
    assert (other.check_every_ms, other.extra_keys) == (1000.0, "error")


@pytest.mark.parametrize("option", ["client", "async_client"])
def test_what_is_no_client_is_refused(
    engine_factory: EngineFactory, option: str
) -> None:
    engine = engine_factory()
    given: dict[str, Any] = {option: object()}
    for also, error in (({}, f"{option}= takes"), ({"engine": engine}, "two places")):
        with pytest.raises(ConfigurationError, match=error):
            OpenAIAssistantRunnable(assistant_id="asst_1", **given, **also)
        with pytest.raises(ConfigurationError, match=error):
            OpenAIAssistantRunnable.create_assistant("A", "B", [], "m", **given, **also)
    assert list(engine.assistants.list()) == []


async def test_ainvoke_answers(make_assistant: MakeAssistant) -> None:
    # classic 1.0.8 raises AttributeError for every completed run.
    agent = make_assistant(["Hello."], cls=OpenAIAssistantRunnable, as_agent=True)
    finish = await agent.ainvoke({"content": "Hi"})
    assert finish.return_values["output"] == "Hello."


async def test_run_metadata_is_stored(make_assistant: MakeAssistant, ask: Ask) -> None:
    # The original documents it and raises TypeError on a new thread.
    agent = make_assistant(["Hello."], cls=OpenAIAssistantRunnable, as_agent=True)
    finish = await ask(agent, {"content": "Hi", "run_metadata": {"k": "v"}})
    assert engine_of(agent).runs.retrieve(finish.run_id).metadata == {"k": "v"}


async def test_additional_instructions_reach_a_new_threads_run(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    # The original drops them: the run of a new thread never heard of the user.
    model = ScriptedChatModel(["Hello, Ada."])
    agent = make_assistant(model, cls=OpenAIAssistantRunnable)
    await ask(agent, {"content": "Hi", "additional_instructions": "She is Ada."})
    assert model.calls[0].messages[0].text == "You teach arithmetic.\n\nShe is Ada."


BOTH = ["file_search", "code_interpreter"]


@pytest.mark.parametrize("thread", ["new", "existing"])
async def test_attachments_and_file_ids_join_the_message(
    make_assistant: MakeAssistant, ask: Ask, thread: str
) -> None:
    agent = make_assistant(["Hello.", "Bound."], cls=OpenAIAssistantRunnable)
    seed_files(engine_of(agent), "file-1", "file-2", "file-3")
    given: dict[str, Any] = {
        "content": "Hi",
        "attachments": [{"file_id": "file-1", "tools": [{"type": "file_search"}]}],
    }
    if thread == "existing":
        given["thread_id"] = engine_of(agent).threads.create().id

    async def attached(runnable: Any, given: Any) -> Any:
        (message,) = await ask(runnable, given)
        newest = engine_of(agent).messages.list(message.thread_id)
        (_, user, *_) = newest
        return {a.file_id: [t.type for t in a.tools] for a in user.attachments}

    expected = {"file-1": ["file_search"], "file-2": BOTH}
    assert await attached(agent, {**given, "file_ids": ["file-2"]}) == expected
    bound = agent.bind(file_ids=["file-3"])
    del given["attachments"]
    assert await attached(bound, given) == {"file-3": BOTH}


# The code of LangChain's page, with only the import changed.


def execute_agent(agent: Any, tools: Sequence[BaseTool], input: Any) -> Any:
    tool_map = {tool.name: tool for tool in tools}
    response = agent.invoke(input)
    while not isinstance(response, AgentFinish):
        tool_outputs = []
        for action in response:
            tool_output = tool_map[action.tool].invoke(action.tool_input)
            tool_outputs.append(
                {
                    "output": tool_output,
                    "tool_call_id": action.tool_call_id,
                }
            )
        response = agent.invoke(
            {
                "tool_outputs": tool_outputs,
                "run_id": action.run_id,
                "thread_id": action.thread_id,
            }
        )

    return response


def test_the_pages_custom_execution_and_existing_thread(
    default_engine: ScriptedChatModel,
) -> None:
    tools = [add, multiply]
    agent = OpenAIAssistantRunnable.create_assistant(
        name="langchain assistant",
        instructions="You are a personal math tutor.",
        tools=tools,
        model="gpt-4-1106-preview",
        as_agent=True,
    )
    response = execute_agent(agent, tools, {"content": "What's 10 + 4"})
    assert response.return_values["output"] == "14."
    next_response = execute_agent(
        agent, tools, {"content": "now double it", "thread_id": response.thread_id}
    )
    assert next_response.return_values["output"] == "28."
    default_engine.assert_consumed()


def test_the_pages_agent_executor_and_existing_assistant(
    default_engine: ScriptedChatModel,
) -> None:
    tools = [add, multiply]
    made = OpenAIAssistantRunnable.create_assistant(
        name="langchain assistant",
        instructions="You are a personal math tutor.",
        tools=tools,
        model="gpt-4-1106-preview",
    )
    agent = OpenAIAssistantRunnable(assistant_id=made.assistant_id, as_agent=True)
    agent_executor = AgentExecutor(agent=agent, tools=tools)
    response = agent_executor.invoke({"content": "What's 10 + 4"})
    assert response["output"] == "14."
    response = agent_executor.invoke(
        {"content": "now double it", "thread_id": response["thread_id"]}
    )
    assert response["output"] == "28."
    default_engine.assert_consumed()
