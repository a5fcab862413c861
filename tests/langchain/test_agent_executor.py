"""Agent loops: LangChain's AgentExecutor at its defaults, and a loop of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_classic.agents import AgentExecutor
from langchain_core.agents import AgentFinish
from langchain_core.tools import BaseTool
from tests.langchain.arithmetic import add, calls, divide, multiply, subtract
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of, place_of

from langchain_assistants import AssistantRunnable
from langchain_assistants.errors import (
    ActiveRunError,
    InvalidRequestError,
    NotFoundError,
)
from langchain_assistants.testing import Reply, ScriptedChatModel, call


async def test_an_executor_runs_several_rounds(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((add, 1, 2)), calls((multiply, 3, 4)), calls((add, 12, 1)), "13."]
    model = ScriptedChatModel(steps)
    agent = make_assistant(model, [add, multiply], as_agent=True)
    executor = AgentExecutor(agent=agent, tools=[add, multiply])
    result = await ask(executor, {"content": "(1 + 2) * 4 + 1?"})
    assert result["output"] == "13."
    run = engine_of(agent).runs.retrieve(result["run_id"])
    assert (run.status, run.thread_id) == ("completed", result["thread_id"])
    outputs = [m.text for m in model.calls[-1].messages if m.type == "tool"]
    assert outputs == ["3", "12", "13"]


async def test_an_executor_answers_parallel_calls_together(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [
        calls((add, 1, 2), (multiply, 3, 4), (add, 5, 6)),
        calls((multiply, 2, 2), (add, 0, 0)),
        "Done.",
    ]
    model = ScriptedChatModel(steps)
    agent = make_assistant(model, [add, multiply], as_agent=True)
    executor = AgentExecutor(agent=agent, tools=[add, multiply])
    assert (await ask(executor, {"content": "Sums?"}))["output"] == "Done."
    outputs = [m.text for m in model.calls[-1].messages if m.type == "tool"]
    assert outputs == ["3", "12", "11", "4", "0"]


async def test_an_executor_returns_its_intermediate_steps(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant([calls((add, 1, 2)), "3."], [add], as_agent=True)
    executor = AgentExecutor(agent=agent, tools=[add], return_intermediate_steps=True)
    result = await ask(executor, {"content": "1 + 2?"})
    ((action, output),) = result["intermediate_steps"]
    assert (action.tool, action.run_id, output) == ("add", result["run_id"], 3)


async def test_an_executor_goes_on_in_an_existing_thread(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((add, 1, 2)), "3.", calls((add, 3, 3)), "6."]
    model = ScriptedChatModel(steps)
    made = make_assistant(model, [add])
    agent = AssistantRunnable(
        assistant_id=made.assistant_id, **place_of(made), as_agent=True
    )
    executor = AgentExecutor(agent=agent, tools=[add])
    first = await ask(executor, {"content": "1 + 2?"})
    again = {"content": "Twice that?", "thread_id": first["thread_id"]}
    second = await ask(executor, again)
    assert (second["output"], second["thread_id"]) == ("6.", first["thread_id"])
    humans = [m.text for m in model.calls[-1].messages if m.type == "human"]
    assert humans == ["1 + 2?", "Twice that?"]


async def test_an_executor_passes_a_handled_tool_error_to_the_model(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    from langchain_core.tools import ToolException, tool

    @tool
    def refuse() -> str:
        """Refuse."""
        raise ToolException("out of order")

    refuse.handle_tool_error = True
    model = ScriptedChatModel(
        [Reply(tool_calls=[call("refuse"), call("nobody")]), "I see."]
    )
    agent = make_assistant(model, [refuse], as_agent=True)
    executor = AgentExecutor(agent=agent, tools=[refuse])
    assert (await ask(executor, {"content": "Go."}))["output"] == "I see."
    outputs = [m.text for m in model.calls[-1].messages if m.type == "tool"]
    assert outputs[0] == "out of order"
    assert "nobody is not a valid tool" in outputs[1]


async def test_a_tool_that_breaks_the_executor_leaves_a_thread_that_goes_on(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant([calls((divide, 1, 0)), "Yes?"], [divide], as_agent=True)
    executor = AgentExecutor(agent=agent, tools=[divide])
    with pytest.raises(ZeroDivisionError):
        await ask(executor, {"content": "1 / 0?", "thread_key": "sums"})
    result = await ask(executor, {"content": "Hello?", "thread_key": "sums"})
    assert result["output"] == "Yes?"


@pytest.mark.parametrize("place", ["thread_id", "thread_key"])
async def test_after_max_iterations_the_next_content_frees_the_thread(
    make_assistant: MakeAssistant, ask: Ask, place: str
) -> None:
    model = ScriptedChatModel([calls((add, 1, 2)), calls((add, 3, 4)), "Hello."])
    agent = make_assistant(model, [add], as_agent=True)
    thread = engine_of(agent).threads.create(key="sums")
    where = {place: thread.id if place == "thread_id" else "sums"}
    executor = AgentExecutor(agent=agent, tools=[add], max_iterations=2)
    stopped = await ask(executor, {"content": "1 + 2 + 4?", **where})
    assert "stopped" in stopped["output"]
    (left,) = engine_of(agent).runs.list(thread.id)
    assert left.status == "requires_action"
    assert (await ask(executor, {"content": "Hi", **where}))["output"] == "Hello."
    assert engine_of(agent).runs.retrieve(left.id).status == "cancelled"
    # Both calls have outputs: one the tool's, the other says that it was cut off.
    outputs = [m for m in model.calls[-1].messages if m.type == "tool"]
    assert [m.status for m in outputs] == ["success", "error"]  # type: ignore[attr-defined]


async def test_another_callers_open_run_is_not_cancelled(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant([calls((add, 1, 2)), "3."], [add], as_agent=True)
    (action,) = await ask(agent, {"content": "1 + 2?"})
    other = AssistantRunnable(
        assistant_id=agent.assistant_id, **place_of(agent), as_agent=True
    )
    given = {"content": "Hi", "thread_id": action.thread_id}
    with pytest.raises(ActiveRunError):
        await ask(other, given)
    finish = await ask(agent, {"intermediate_steps": [(action, 3)]})
    assert finish.return_values["output"] == "3."


# A loop of one's own, as on LangChain's page.


async def execute(
    ask: Ask, agent: Any, tools: Sequence[BaseTool], given: dict[str, Any]
) -> AgentFinish:
    tool_map = {tool.name: tool for tool in tools}
    response = await ask(agent, given)
    while not isinstance(response, AgentFinish):
        tool_outputs = [
            {
                "output": await tool_map[action.tool].ainvoke(action.tool_input),
                "tool_call_id": action.tool_call_id,
            }
            for action in response
        ]
        action = response[-1]
        response = await ask(
            agent,
            {
                "tool_outputs": tool_outputs,
                "run_id": action.run_id,
                "thread_id": action.thread_id,
            },
        )
    return response


async def test_a_loop_of_ones_own_submits_outputs(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((add, 1, 2), (subtract, 5, 1)), calls((add, 3, 4)), "7.", "24.241"]
    agent = make_assistant(steps, [add, subtract], as_agent=True)
    first = await execute(ask, agent, [add, subtract], {"content": "1 + 2 + 5 - 1?"})
    assert first.return_values["output"] == "7."
    again = {"content": "Now add 17.241", "thread_id": first.thread_id}  # type: ignore[attr-defined]
    second = await execute(ask, agent, [add, subtract], again)
    assert second.return_values["output"] == "24.241"


@pytest.mark.parametrize(
    ("output", "seen"),
    [
        (3, "3"),
        (None, "None"),
        ({"sum": 3, "unit": "€"}, '{"sum": 3, "unit": "€"}'),
        ([1, 2], "[1, 2]"),
    ],
)
async def test_an_output_of_any_type_is_submitted_as_text(
    make_assistant: MakeAssistant, ask: Ask, output: Any, seen: str
) -> None:
    model = ScriptedChatModel([calls((add, 1, 2)), "3."])
    assistant = make_assistant(model, [add])
    (required,) = await ask(assistant, {"content": "1 + 2?", "thread_key": "sums"})
    (run,) = engine_of(assistant).runs.list(
        engine_of(assistant).threads.list().data[0].id
    )
    answered = [{"tool_call_id": required.id, "output": output}]
    (message,) = await ask(assistant, {"run_id": run.id, "tool_outputs": answered})
    assert message.text == "3."
    assert model.calls[-1].messages[-1].text == seen


async def test_a_tool_message_is_submitted_as_its_text(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    model = ScriptedChatModel([calls((add, 1, 2)), "3."])
    agent = make_assistant(model, [add], as_agent=True)
    (action,) = await ask(agent, "1 + 2?")
    message = add.invoke(
        {
            "type": "tool_call",
            "name": "add",
            "args": action.tool_input,
            "id": action.tool_call_id,
        }
    )
    answered = [{"tool_call_id": action.tool_call_id, "output": message}]
    await ask(agent, {"run_id": action.run_id, "tool_outputs": answered})
    assert model.calls[-1].messages[-1].text == "3"


async def test_outputs_of_other_calls_are_refused_and_the_run_waits_on(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((add, 1, 2), (add, 3, 4)), "10."]
    agent = make_assistant(steps, [add], as_agent=True)
    one, two = await ask(agent, "1 + 2 + 3 + 4?")

    def answer(*ids: str) -> dict[str, Any]:
        outputs = [{"tool_call_id": call_id, "output": "3"} for call_id in ids]
        return {"run_id": one.run_id, "tool_outputs": outputs}

    for wrong in ([], [one.tool_call_id], [one.tool_call_id, "call_unknown"]):
        with pytest.raises(InvalidRequestError, match="Expected tool outputs for"):
            await ask(agent, answer(*wrong))
    assert engine_of(agent).runs.retrieve(one.run_id).status == "requires_action"
    finish = await ask(agent, answer(two.tool_call_id, one.tool_call_id))
    assert finish.return_values["output"] == "10."


async def test_outputs_are_submitted_once(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant([calls((add, 1, 2)), "3."], [add], as_agent=True)
    (action,) = await ask(agent, "1 + 2?")
    outputs = [{"tool_call_id": action.tool_call_id, "output": "3"}]
    given = {"run_id": action.run_id, "tool_outputs": outputs}
    await ask(agent, given)
    with pytest.raises(InvalidRequestError, match='in status "completed" do not'):
        await ask(agent, given)


async def test_a_run_of_another_thread_is_not_found(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant([calls((add, 1, 2))], [add], as_agent=True)
    (action,) = await ask(agent, "1 + 2?")
    other = engine_of(agent).threads.create()
    outputs = [{"tool_call_id": action.tool_call_id, "output": "3"}]
    given = {"run_id": action.run_id, "tool_outputs": outputs, "thread_id": other.id}
    with pytest.raises(NotFoundError, match=action.run_id):
        await ask(agent, given)
    assert engine_of(agent).runs.retrieve(action.run_id).status == "requires_action"


async def test_steps_count_only_for_an_agent(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    agent = make_assistant([calls((add, 1, 2)), "Hello."], [add], as_agent=True)
    (action,) = await ask(agent, "1 + 2?")
    plain = agent.model_copy(update={"as_agent": False})
    given = {"content": "Hi", "intermediate_steps": [(action, 3)]}
    (message,) = await ask(plain, given)
    assert message.text == "Hello."
    assert message.thread_id != action.thread_id
