"""What an assistant refuses as its input, and that a refusal changes nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.stage import Stage

from langchain_assistants import AssistantRunnable, OpenAIAssistantRunnable
from langchain_assistants.errors import InvalidRequestError, NotFoundError


@pytest.mark.embedded_only("inputs are checked above the backend")
@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("thread", "thread_id"),
        ("contents", "content"),
        ("temprature", "temperature"),
        ("input", "content"),
        ("session_id", "thread_key"),
    ],
)
async def test_an_unknown_key_names_the_nearest_one(
    stage: Stage, ask: Ask, key: str, near: str
) -> None:
    with pytest.raises(TypeError, match=f"'{key}': did you mean '{near}'"):
        await ask(stage.assistant, {"content": "Hi", key: "x"})
    assert list(stage.engine.threads.list()) == []


async def test_a_key_like_no_other_is_unknown_without_a_guess(
    stage: Stage, ask: Ask
) -> None:
    with pytest.raises(TypeError, match="'zzz': it is none of an assistant's"):
        await ask(stage.assistant, {"content": "Hi", "zzz": 1})


async def test_messages_is_no_key_of_the_input(stage: Stage, ask: Ask) -> None:
    for given in ({"messages": []}, {"messages": [HumanMessage("Hi")]}):
        with pytest.raises(TypeError, match="'messages'"):
            await ask(stage.assistant, given)
    with pytest.raises(TypeError, match="'messages'"):
        await ask(stage.assistant.bind(messages=[]), "Hi")


async def test_extra_keys_may_be_logged_or_ignored(
    stage: Stage, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"content": "Hi", "question": "x"}
    with caplog.at_level(logging.WARNING):
        await ask(stage.assistant.model_copy(update={"extra_keys": "ignore"}), given)
        assert caplog.messages == []
        await ask(stage.assistant.model_copy(update={"extra_keys": "warn"}), given)
    assert caplog.messages == ["unknown_input_keys"]
    assert caplog.records[0].__dict__["keys"] == ["question"]


async def test_a_missing_content_tells_of_the_key_that_was_meant(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant([], cls=OpenAIAssistantRunnable)
    with pytest.raises(InvalidRequestError, match="The input has 'input', which"):
        await ask(agent, {"input": "Hi"})  # as AgentExecutor's users write it


def test_a_runnable_of_an_id_wants_the_tools_that_it_executes() -> None:
    with pytest.raises(TypeError, match=r"here give them: run_tools=\[tool, ...\]"):
        AssistantRunnable(assistant_id="asst_1", run_tools=True)


async def test_the_drop_in_logs_extra_keys(
    make_assistant: MakeAssistant, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    agent = make_assistant(["Hello."], cls=OpenAIAssistantRunnable)
    with caplog.at_level(logging.WARNING):
        await ask(agent, {"content": "Hi", "question": "x"})
    assert caplog.messages == ["unknown_input_keys"]


@pytest.mark.embedded_only("inputs are checked above the backend")
@pytest.mark.parametrize("given", [7, None, ["Hi"], object()])
async def test_another_type_of_input_is_refused(
    stage: Stage, ask: Ask, given: Any
) -> None:
    with pytest.raises(TypeError, match="must be a dict, a string"):
        await ask(stage.assistant, given)


@pytest.mark.parametrize(
    "message",
    [
        ToolMessage("3", tool_call_id="call_1"),
        HumanMessage([{"type": "audio", "data": "..."}]),
    ],
)
async def test_a_message_that_no_thread_can_hold_is_refused(
    stage: Stage, ask: Ask, message: Any
) -> None:
    with pytest.raises(TypeError, match="cannot be"):
        await ask(stage.assistant, [message])


@pytest.mark.embedded_only("inputs are checked above the backend")
@pytest.mark.parametrize(
    ("given", "error", "param"),
    [
        ({}, "Missing required parameter: 'content'.", "content"),
        ({"temperature": 0.5}, "Missing required parameter: 'content'.", "content"),
        ({"content": ""}, "Invalid 'content'", "content"),
        ({"content": "Hi", "temperature": 3}, "Invalid 'temperature'", "temperature"),
        ({"content": "Hi", "thread_id": "asst_1"}, "Invalid 'thread_id'", "thread_id"),
        ({"content": "Hi", "on_active_run": "wait"}, "Invalid value", "on_active_run"),
        ({"run_id": "thread_1", "tool_outputs": []}, "Invalid 'run_id'", "run_id"),
        (
            {"tool_outputs": [], "thread_id": "thread_1"},
            "Missing required parameter: 'run_id'.",
            "run_id",
        ),
        ({"run_id": "run_1"}, "Missing required parameter", "tool_outputs"),
        (
            {"run_id": "run_1", "tool_outputs": [{"output": "3"}]},
            "Missing required parameter",
            "tool_outputs[0].tool_call_id",
        ),
        (
            {"run_id": "run_1", "tool_outputs": [{"tool_call_id": "call_1"}]},
            "Missing required parameter",
            "tool_outputs[0].output",
        ),
        ({"run_id": "run_1", "tool_outputs": 7}, "tool_outputs", "tool_outputs"),
    ],
)
async def test_a_value_that_breaks_a_rule_changes_nothing(
    stage: Stage, ask: Ask, given: dict[str, Any], error: str, param: str
) -> None:
    with pytest.raises(InvalidRequestError, match=error) as caught:
        await ask(stage.assistant, given)
    assert caught.value.param == param
    assert list(stage.engine.threads.list()) == []
    assert stage.model.calls == []


@pytest.mark.parametrize(
    "given",
    [
        {"content": "Hi", "thread_id": "thread_gone"},
        {"run_id": "run_gone", "thread_id": "thread_gone", "tool_outputs": []},
    ],
)
async def test_an_id_of_nothing_is_not_found(
    stage: Stage, ask: Ask, given: dict[str, Any]
) -> None:
    with pytest.raises(NotFoundError, match="gone"):
        await ask(stage.assistant, given)


async def test_an_unknown_assistant_is_not_found(stage: Stage, ask: Ask) -> None:
    nobody = AssistantRunnable(assistant_id="asst_gone", engine=stage.engine)
    with pytest.raises(NotFoundError, match="No assistant found"):
        await ask(nobody, "Hi")
    assert list(stage.engine.threads.list()) == []


async def test_a_tool_that_is_none_is_refused(stage: Stage, ask: Ask) -> None:
    with pytest.raises(TypeError, match="is no tool"):
        await ask(stage.assistant, {"content": "Hi", "tools": [7]})
