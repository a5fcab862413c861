"""What an assistant returns: messages or calls, a finish or actions, or an error."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.tools import tool
from pydantic import BaseModel
from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add, calls, multiply
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of

from langchain_assistants import AssistantAction, AssistantFinish, AssistantRunnable
from langchain_assistants.errors import (
    AssistantsError,
    RunCancelled,
    RunError,
    RunExpired,
    RunFailed,
    RunIncomplete,
)
from langchain_assistants.settings import Settings
from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import RequiredToolCall


async def test_messages_of_the_run_are_the_answer(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant(["4.", "5."])
    (first,) = await ask(assistant, "2 + 2?")
    answer = await ask(assistant, {"content": "2 + 3?", "thread_id": first.thread_id})
    assert [type(message) for message in answer] == [Message]
    (message,) = answer
    assert (message.role, message.text, message.status) == (
        "assistant",
        "5.",
        "completed",
    )
    assert message.assistant_id == assistant.assistant_id
    (run, _) = engine_of(assistant).runs.list(first.thread_id)
    assert message.run_id == run.id
    assert message == engine_of(assistant).messages.retrieve(message.id)


async def test_required_calls_are_the_answer(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant([calls((add, 1, 2), (multiply, 3, 4))], [add, multiply])
    answer = await ask(assistant, "1 + 2 and 3 * 4?")
    assert [type(required) for required in answer] == [RequiredToolCall] * 2
    assert [(c.type, c.function.name, c.function.arguments) for c in answer] == [
        ("function", "add", '{"a": 1, "b": 2}'),
        ("function", "multiply", '{"a": 3, "b": 4}'),
    ]


async def test_actions_carry_what_is_needed_to_answer_them(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant([calls((add, 1, 2))], [add], as_agent=True)
    (action,) = await ask(agent, {"content": "1 + 2?"})
    assert isinstance(action, AssistantAction)
    assert isinstance(action, AgentAction)
    assert (action.tool, action.tool_input, action.log) == ("add", {"a": 1, "b": 2}, "")
    run = engine_of(agent).runs.retrieve(action.run_id)
    assert run.thread_id == action.thread_id
    assert run.required_action is not None
    assert run.required_action.submit_tool_outputs is not None
    (required,) = run.required_action.submit_tool_outputs.tool_calls
    assert required.id == action.tool_call_id


async def test_one_unnamed_argument_is_unwrapped(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    reply = Reply(tool_calls=[call("add", {"__arg1": "1 + 2"})])
    agent = make_assistant([reply], [add], as_agent=True)
    (action,) = await ask(agent, "1 + 2?")
    assert action.tool_input == "1 + 2"


async def test_a_finish_has_all_return_values(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant(["4."], as_agent=True)
    finish = await ask(agent, {"content": "2 + 2?"})
    assert isinstance(finish, AssistantFinish)
    assert isinstance(finish, AgentFinish)
    assert finish.return_values == {
        "output": "4.",
        "thread_id": finish.thread_id,
        "run_id": finish.run_id,
        "attachments": [],
    }
    assert finish.log == ""
    assert engine_of(agent).runs.retrieve(finish.run_id).thread_id == finish.thread_id
    assert not finish.is_lc_serializable()


async def test_parts_other_than_text_are_returned_as_parts(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant([Reply(refusal="I will not.")], as_agent=True)
    finish = await ask(agent, "Do harm.")
    (part,) = finish.return_values["output"]
    assert (part.type, part.refusal) == ("refusal", "I will not.")


async def test_what_was_said_before_a_call_belongs_to_the_runs_messages(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((add, 1, 2), text="Let me add."), "3."] * 2
    agent = make_assistant(steps, [add], as_agent=True)
    hosted = make_assistant(steps, [add], run_tools=True)
    for _ in range(2):
        (action,) = await ask(agent, {"content": "1 + 2?", "thread_key": "sums"})
        finish = await ask(agent, {"intermediate_steps": [(action, 3)]})
        assert finish.return_values["output"] == "Let me add.\n3."
        answer = await ask(hosted, {"content": "1 + 2?", "thread_key": "sums"})
        assert [message.text for message in answer] == ["Let me add.", "3."]


# Structured output.


class Sum(BaseModel):
    """A sum."""

    value: int


SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "Sum", "schema": Sum.model_json_schema()},
}


@pytest.fixture
def structured() -> Reply:
    """A model without structured output of its own answers by a tool call."""
    return Reply(tool_calls=[call("Sum", {"value": 3})])


@pytest.mark.parametrize(
    ("response_format", "expected"), [(Sum, Sum(value=3)), (SCHEMA, {"value": 3})]
)
async def test_structured_output_is_parsed(
    make_assistant: MakeAssistant,
    ask: Ask,
    structured: Reply,
    response_format: Any,
    expected: Any,
) -> None:
    assistant = make_assistant([structured, structured])
    given = {"content": "1 + 2?", "response_format": response_format}
    (message,) = await ask(assistant, given)
    assert message.parsed == expected
    assert json.loads(message.text) == {"value": 3}
    agent = assistant.model_copy(update={"as_agent": True})
    finish = await ask(agent, given)
    assert finish.return_values["parsed"] == expected
    assert json.loads(finish.return_values["output"]) == {"value": 3}


async def test_structured_output_of_the_assistant_itself_is_parsed(
    make_assistant: MakeAssistant, ask: Ask, structured: Reply
) -> None:
    steps = [calls((add, 1, 2)), structured]
    agent = make_assistant(steps, [add], as_agent=True, response_format=SCHEMA)
    (action,) = await ask(agent, "1 + 2?")
    finish = await ask(agent, {"intermediate_steps": [(action, 3)]})
    assert finish.return_values["parsed"] == {"value": 3}


async def test_an_answer_that_does_not_follow_its_format_is_an_error(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    class Word(BaseModel):
        """A word of one letter."""

        letter: str

    reply = Reply(tool_calls=[call("Word", {"number": 3})])
    assistant = make_assistant([reply])
    with pytest.raises(AssistantsError, match="does not follow its response_format"):
        await ask(assistant, {"content": "A?", "response_format": Word})


async def test_an_answer_without_a_schema_has_nothing_parsed(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant(['{"value": 3}'], as_agent=True)
    given = {"content": "1 + 2?", "response_format": {"type": "json_object"}}
    assert "parsed" not in (await ask(agent, given)).return_values


# Runs that end without an answer.


async def failure_of(ask: Ask, assistant: Any, given: Any) -> RunError:
    with pytest.raises(RunError) as caught:
        await ask(assistant, given)
    error = caught.value
    assert error.run == engine_of(assistant).runs.retrieve(error.run.id)
    return error


async def test_a_failed_run_is_an_error_with_its_run(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant([ValueError("no such model")])
    error = await failure_of(ask, assistant, "Hi")
    assert type(error) is RunFailed
    assert error.run.last_error is not None
    assert error.run.last_error.code == "server_error"


async def test_an_exhausted_budget_is_an_error_with_its_run(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant(
        [Reply("Long.", usage={"input_tokens": 1, "output_tokens": 300})]
    )
    given = {"content": "Hi", "max_completion_tokens": 256}
    error = await failure_of(ask, assistant, given)
    assert type(error) is RunIncomplete
    assert error.run.incomplete_details is not None
    assert error.run.incomplete_details.reason == "max_completion_tokens"


async def test_a_cancelled_run_is_an_error_with_its_run(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    @tool
    def stop() -> None:
        """Cancel the active run, as another thread of the program may."""
        (thread,) = engine_of(assistant).threads.list()
        (run,) = engine_of(assistant).runs.list(thread.id)
        engine_of(assistant).runs.cancel(run.id)

    reply = Reply(tool_calls=[call("stop")])
    assistant = make_assistant([reply], [stop], run_tools=True)
    error = await failure_of(ask, assistant, "Hi")
    assert type(error) is RunCancelled
    assert "Start another run" in str(error)


async def test_an_expired_run_is_an_error_with_its_run(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    never = Reply("Too late.", wait_for=threading.Event())
    model = ScriptedChatModel(respond=lambda messages, asked: never)
    options = {"settings": Settings(expires_after=0.05)}
    assistant = make_assistant(model, engine_options=options)
    error = await failure_of(ask, assistant, "Hi")
    assert type(error) is RunExpired
    assert "expires_after" in str(error)


# Threads by key.


async def test_a_thread_key_finds_the_thread_again(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    model = ScriptedChatModel(["One.", "Two.", "Three."])
    engine = engine_factory(model)
    assistant = AssistantRunnable.create_assistant("A", "B", [], "m", engine=engine)
    given = {"content": "Next?", "thread_key": "customer:42"}
    (first,) = await ask(assistant, {**given, "context": {"customer": "Ada"}})
    (second,) = await ask(assistant, {**given, "context": {"customer": "Bob"}})
    assert first.thread_id == second.thread_id
    other = AssistantRunnable(
        assistant_id=assistant.assistant_id, engine=engine_factory.reopen(model)
    )
    (third,) = await ask(other, given)
    assert third.thread_id == first.thread_id
    shown = [m.text for m in model.calls[-1].messages]
    assert shown[1:] == ["Next?", "One.", "Next?", "Two.", "Next?"]
    assert shown[0].endswith("- customer: Ada")


async def test_thread_id_wins_over_thread_key(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant(["One."])
    thread = engine_of(assistant).threads.create()
    given = {"content": "Hi", "thread_id": thread.id, "thread_key": "other"}
    (message,) = await ask(assistant, given)
    assert message.thread_id == thread.id
    assert engine_of(assistant).threads.retrieve(thread.id).key is None


async def test_the_runnable_never_reads_the_configs_thread_id(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant(["One.", "Two."])
    config = {"configurable": {"thread_id": "thread_of_a_graph"}}
    (first,) = await ask(assistant, "Hi", config)
    (second,) = await ask(assistant, "Hi", config)
    assert first.thread_id != second.thread_id
