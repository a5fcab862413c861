from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from tests.conftest import EngineFactory
from tests.conversations import (
    Gate,
    assistant_with,
    calls,
    outputs,
    thread_with,
    wait,
)
from tests.stored import broken_invariants, everything
from tests.unit.engine.conftest import Do

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.testing import Reply, ScriptedChatModel
from langchain_assistants.types import Run


def requires_action(engine: AssistantsEngine) -> Run:
    thread = thread_with(engine, "Hi")
    assistant = assistant_with(engine, "look_up")
    return wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))


def test_a_run_says_which_calls_it_requires(engine_factory: EngineFactory) -> None:
    run = requires_action(engine_factory([calls("call_a", "call_b")]))
    assert run.status == "requires_action"
    assert run.to_dict()["required_action"] == {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [
                {
                    "id": id,
                    "type": "function",
                    "function": {"name": "look_up", "arguments": f'{{"q": "{id}"}}'},
                }
                for id in ("call_a", "call_b")
            ]
        },
    }
    assert run.usage is not None


def test_outputs_are_taken_in_any_order_and_reach_the_model_as_it_asked(
    do: Do, engine_factory: EngineFactory
) -> None:
    model = ScriptedChatModel([calls("call_a", "call_b"), "Done."])
    engine = engine_factory(model)
    run = requires_action(engine)
    queued = do(
        engine.runs.submit_tool_outputs,
        run.id,
        tool_outputs=outputs("call_b", "call_a"),
    )
    assert (queued.status, queued.required_action) == ("queued", None)
    assert (queued.usage, queued.started_at) == (None, None)
    assert wait(engine, run).status == "completed"
    answers = [m for m in model.calls[1].messages if isinstance(m, ToolMessage)]
    assert [(m.tool_call_id, m.content) for m in answers] == [
        ("call_a", "output of call_a"),
        ("call_b", "output of call_b"),
    ]


@pytest.mark.parametrize(
    "got",
    [
        ["call_a"],
        [],
        ["call_a", "call_a"],
        ["call_a", "call_x"],
        ["call_a", "call_b", "call_x"],
        ["call_a", "call_b", "call_b"],
    ],
)
def test_outputs_of_other_calls_are_refused_and_change_nothing(
    do: Do, engine_factory: EngineFactory, got: list[str]
) -> None:
    engine = engine_factory([calls("call_a", "call_b"), "Done."])
    run = requires_action(engine)
    before = everything(engine)
    with pytest.raises(InvalidRequestError) as error:
        do(engine.runs.submit_tool_outputs, run.id, tool_outputs=outputs(*got))
    assert str(error.value) == (
        f"Expected tool outputs for call_ids ['call_a', 'call_b'], got {got}"
    )
    assert (error.value.code, error.value.param) == (None, None)
    assert everything(engine) == before
    engine.runs.submit_tool_outputs(run.id, tool_outputs=outputs("call_a", "call_b"))
    assert wait(engine, run).status == "completed"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "missing_required_parameter", "tool_outputs"),
        ({"tool_outputs": "x"}, "invalid_type", "tool_outputs"),
        (
            {"tool_outputs": [{"output": "x"}]},
            "missing_required_parameter",
            "tool_outputs[0].tool_call_id",
        ),
        (
            {"tool_outputs": [{"tool_call_id": "call_a", "output": 7}]},
            "invalid_type",
            "tool_outputs[0].output",
        ),
        (
            {"tool_outputs": [{"tool_call_id": "call_a", "output": {"a": 1}}]},
            "invalid_type",
            "tool_outputs[0].output",
        ),
        (
            {"tool_outputs": [{"tool_call_id": "call_a", "output": "x", "y": 1}]},
            "unknown_parameter",
            "tool_outputs[0].y",
        ),
    ],
)
def test_outputs_that_break_a_rule_are_refused_and_change_nothing(
    do: Do,
    engine_factory: EngineFactory,
    fields: dict[str, Any],
    code: str,
    param: str,
) -> None:
    engine = engine_factory([calls("call_a"), "Done."])
    run = requires_action(engine)
    before = everything(engine)
    with pytest.raises(InvalidRequestError) as error:
        do(engine.runs.submit_tool_outputs, run.id, **fields)
    assert (error.value.code, error.value.param) == (code, param)
    assert everything(engine) == before


def test_a_call_whose_id_the_model_chose_freely_still_needs_a_string(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls("toolu_01"), "Done."])
    run = requires_action(engine)
    before = everything(engine)
    with pytest.raises(InvalidRequestError) as error:
        engine.runs.submit_tool_outputs(
            run.id, tool_outputs=[{"tool_call_id": "toolu_01", "output": {"a": 1}}]
        )
    assert error.value.param == "tool_outputs[0].output"
    assert everything(engine) == before


def test_the_first_of_two_submits_wins(do: Do, engine_factory: EngineFactory) -> None:
    gate = Gate()
    engine = engine_factory([calls("call_a"), Reply("Done.", wait_for=gate)])
    run = requires_action(engine)
    do(engine.runs.submit_tool_outputs, run.id, tool_outputs=outputs("call_a"))
    gate.wait_until_reached()
    with pytest.raises(InvalidRequestError) as error:
        do(engine.runs.submit_tool_outputs, run.id, tool_outputs=outputs("call_a"))
    assert str(error.value) == (
        'Runs in status "in_progress" do not accept tool outputs.'
    )
    gate.open()
    assert wait(engine, run).status == "completed"
    with pytest.raises(InvalidRequestError, match='status "completed"'):
        do(engine.runs.submit_tool_outputs, run.id, tool_outputs=outputs("call_a"))


def test_of_many_submits_at_once_exactly_one_wins(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel([calls("call_a"), "Done."])
    engine = engine_factory(model)
    other = engine_factory.reopen(model)
    run = requires_action(engine)

    def submit(number: int) -> bool:
        try:
            (engine, other)[number % 2].runs.submit_tool_outputs(
                run.id,
                tool_outputs=[{"tool_call_id": "call_a", "output": str(number)}],
            )
        except InvalidRequestError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(submit, range(8)))
    assert won.count(True) == 1
    assert wait(engine, run).status == "completed"
    [step] = engine.steps.list(run.id, order="asc").data[:1]
    [shown] = step.to_dict()["step_details"]["tool_calls"]
    assert shown["function"]["output"] == str(won.index(True))
    assert broken_invariants(engine) == []


def test_outputs_for_no_run_are_refused(do: Do, engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    with pytest.raises(NotFoundError, match="No run found with id 'run_x'"):
        do(engine.runs.submit_tool_outputs, "run_x", tool_outputs=outputs("call_a"))
    with pytest.raises(InvalidRequestError, match="run_id"):
        do(engine.runs.submit_tool_outputs, "x", tool_outputs=outputs("call_a"))


def test_another_engine_goes_on_with_a_run_that_requires_action(
    do: Do, engine_factory: EngineFactory
) -> None:
    first = engine_factory([calls("call_a")])
    run = requires_action(first)
    first.close()
    model = ScriptedChatModel(["Done."])
    second = engine_factory.reopen(model)
    do(second.runs.submit_tool_outputs, run.id, tool_outputs=outputs("call_a"))
    assert wait(second, run).status == "completed"
    assert [message.type for message in model.calls[0].messages] == [
        "human",
        "ai",
        "tool",
    ]


def test_arguments_come_back_exactly_as_the_model_wrote_them(
    engine_factory: EngineFactory,
) -> None:
    from langchain_core.messages import AIMessageChunk
    from langchain_core.messages.tool import tool_call_chunk

    written = '{"q":  "é \\u00e9",\n "n": 1.50}'
    answer = AIMessageChunk(
        content="",
        tool_call_chunks=[
            tool_call_chunk(name="look_up", args=written, id="call_a", index=0)
        ],
    )

    class Verbatim(ScriptedChatModel):
        async def _astream(self, *_: Any, **__: Any) -> Any:
            from langchain_core.outputs import ChatGenerationChunk

            yield ChatGenerationChunk(message=answer)

    engine = engine_factory(Verbatim())
    thread = thread_with(engine, "Hi")
    assistant = assistant_with(engine, "look_up")
    *_, last = engine.runs.stream(thread.id, assistant_id=assistant.id)
    run: Any = last.data
    [required] = run.required_action.submit_tool_outputs.tool_calls
    assert required.function.arguments == written
