from __future__ import annotations

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import (
    assistant_with,
    calls,
    hosted,
    outputs,
    thread_with,
    wait,
)
from tests.unit.engine.conftest import Do

from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.testing import Reply, call


def look_up(q: str) -> str:
    """Look something up."""
    return f"found {q}"


def test_a_step_of_a_message_shows_every_field(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    usage = {"input_tokens": 10, "output_tokens": 5}
    engine = engine_factory([Reply("Hello.", usage=usage)], clock=clock)
    assistant, thread = assistant_with(engine), thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    [message] = engine.messages.list(thread.id, run_id=run.id)
    [step] = do(engine.steps.list, run.id).data
    assert step.id.startswith("step_")
    assert step.to_dict() == {
        "id": step.id,
        "object": "thread.run.step",
        "created_at": int(clock.now),
        "assistant_id": assistant.id,
        "thread_id": thread.id,
        "run_id": run.id,
        "type": "message_creation",
        "status": "completed",
        "step_details": {
            "type": "message_creation",
            "message_creation": {"message_id": message.id},
        },
        "last_error": None,
        "expired_at": None,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": int(clock.now),
        "metadata": {},
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    assert do(engine.steps.retrieve, step.id) == step


def test_parallel_calls_of_one_answer_share_a_step_that_waits_for_their_outputs(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory([calls("call_a", "call_b"), "Done."], clock=clock)
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    [waiting] = engine.steps.list(run.id)
    assert (waiting.type, waiting.status) == ("tool_calls", "in_progress")
    assert (waiting.usage, waiting.completed_at) == (None, None)
    assert waiting.to_dict()["step_details"] == {
        "type": "tool_calls",
        "tool_calls": [
            {
                "id": id,
                "type": "function",
                "function": {
                    "name": "look_up",
                    "arguments": f'{{"q": "{id}"}}',
                    "output": None,
                },
            }
            for id in ("call_a", "call_b")
        ],
    }
    clock.advance(3)
    engine.runs.submit_tool_outputs(run.id, tool_outputs=outputs("call_b", "call_a"))
    wait(engine, run)
    [done, answer] = engine.steps.list(run.id, order="asc")
    assert done.id == waiting.id
    assert (done.status, done.completed_at) == ("completed", int(clock.now))
    assert done.usage is not None
    shown = done.to_dict()["step_details"]["tool_calls"]
    assert [item["function"]["output"] for item in shown] == [
        "output of call_a",
        "output of call_b",
    ]
    assert answer.type == "message_creation"


def test_calls_that_the_engine_executes_and_calls_of_the_caller_share_a_step(
    engine_factory: EngineFactory,
) -> None:
    both = Reply(
        tool_calls=[
            call("look_up", {"q": "x"}, "call_ours"),
            call("ask", {"q": "y"}, "call_yours"),
        ]
    )
    engine = engine_factory([both, "Done."], tools=[look_up])
    assistant = engine.assistants.create(
        model="m", tools=[hosted("look_up"), hosted("ask") | {"run_on": "client"}]
    )
    thread = thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    assert run.required_action is not None
    assert run.required_action.submit_tool_outputs is not None
    required = run.required_action.submit_tool_outputs.tool_calls
    assert [item.id for item in required] == ["call_yours"]
    [step] = engine.steps.list(run.id)
    found = [
        item["function"]["output"]
        for item in step.to_dict()["step_details"]["tool_calls"]
    ]
    assert (step.status, found) == ("in_progress", ["found x", None])
    engine.runs.submit_tool_outputs(run.id, tool_outputs=outputs("call_yours"))
    assert wait(engine, run).status == "completed"
    assert engine.steps.retrieve(step.id).status == "completed"


def test_text_beside_calls_is_a_message_with_a_step_of_its_own(
    engine_factory: EngineFactory,
) -> None:
    says_and_calls = Reply("Let me see.", tool_calls=calls("call_a").tool_calls)
    engine = engine_factory([says_and_calls, "Done."])
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    assert [(s.type, s.status) for s in engine.steps.list(run.id, order="asc")] == [
        ("message_creation", "completed"),
        ("tool_calls", "in_progress"),
    ]
    [message] = engine.messages.list(thread.id, run_id=run.id)
    assert (message.text, message.status) == ("Let me see.", "completed")


def test_steps_name_what_does_not_exist(do: Do, engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    with pytest.raises(NotFoundError) as error:
        do(engine.steps.retrieve, "step_x")
    assert str(error.value) == "No run step found with id 'step_x'."
    with pytest.raises(NotFoundError, match="No run found with id 'run_x'"):
        do(engine.steps.list, "run_x")
    with pytest.raises(InvalidRequestError) as refused:
        do(engine.steps.retrieve, "run_x")
    assert refused.value.param == "step_id"
    with pytest.raises(InvalidRequestError) as refused:
        do(engine.steps.list, "step_x")
    assert refused.value.param == "run_id"
