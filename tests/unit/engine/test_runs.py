from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import (
    Gate,
    assistant_with,
    calls,
    function,
    outputs,
    texts,
    thread_with,
    user,
    wait,
)
from tests.stored import broken_invariants, everything, rows
from tests.unit.engine.conftest import Do

from langchain_assistants.errors import (
    InvalidRequestError,
    NotFoundError,
)
from langchain_assistants.testing import Reply, ScriptedChatModel

USAGE = {"input_tokens": 10, "output_tokens": 5}


def test_a_run_is_returned_as_queued_and_completes(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Hello.", usage=USAGE, wait_for=gate)], clock=clock)
    assistant = assistant_with(
        engine, "look_up", instructions="Be kind.", temperature=0.5, top_p=0.25
    )
    thread = thread_with(engine, "Hi")
    start = int(clock.now)
    run = do(engine.runs.create, thread.id, assistant_id=assistant.id)
    fields = {
        "id": run.id,
        "object": "thread.run",
        "created_at": start,
        "thread_id": thread.id,
        "assistant_id": assistant.id,
        "required_action": None,
        "last_error": None,
        "cancelled_at": None,
        "failed_at": None,
        "incomplete_details": None,
        "model": "m",
        "instructions": "Be kind.",
        "tools": [function("look_up")],
        "metadata": {},
        "temperature": 0.5,
        "top_p": 0.25,
        "max_prompt_tokens": None,
        "max_completion_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "response_format": "auto",
    }
    assert run.id.startswith("run_")
    assert run.to_dict() == fields | {
        "status": "queued",
        "expires_at": start + 600,
        "started_at": None,
        "completed_at": None,
        "usage": None,
    }
    gate.wait_until_reached()
    assert do(engine.runs.retrieve, run.id).to_dict() == fields | {
        "status": "in_progress",
        "expires_at": start + 600,
        "started_at": start,
        "completed_at": None,
        "usage": None,
    }
    clock.advance(5)
    gate.open()
    ended = do(engine.runs.wait, run.id, timeout=20)
    assert ended.to_dict() == fields | {
        "status": "completed",
        "expires_at": None,
        "started_at": start,
        "completed_at": start + 5,
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    assert texts(engine, thread.id) == ["Hi", "Hello."]


def test_the_values_in_force_are_the_runs_own_where_it_gives_any(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory(["ok"])
    assistant = assistant_with(
        engine, "look_up", instructions="Base.", metadata={"a": "b"}, temperature=1
    )
    own: dict[str, Any] = {
        "model": "other",
        "tools": [function("own")],
        "metadata": {"c": "d"},
        "temperature": 0,
        "top_p": 0.5,
        "max_prompt_tokens": 10_000,
        "max_completion_tokens": 1_000,
        "truncation_strategy": {"type": "last_messages", "last_messages": 3},
        "tool_choice": {"type": "function", "function": {"name": "own"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
        "instructions": "Own.",
    }
    run = do(
        engine.runs.create,
        thread_with(engine, "Hi").id,
        assistant_id=assistant.id,
        additional_instructions="More.",
        reasoning_effort="low",
        **own,
    )
    shown = wait(engine, run).to_dict()
    assert {name: shown[name] for name in own} == own | {
        "instructions": "Own.\n\nMore."
    }


def test_an_update_of_the_assistant_reaches_no_run_that_has_begun(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("ok", wait_for=gate)])
    assistant = assistant_with(engine, instructions="Old.")
    run = engine.runs.create(thread_with(engine, "Hi").id, assistant_id=assistant.id)
    engine.assistants.update(assistant.id, instructions="New.")
    engine.assistants.delete(assistant.id)
    gate.open()
    assert wait(engine, run).instructions == "Old."


def test_additional_messages_join_the_thread_before_the_answer(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory(["ok"])
    thread = thread_with(engine, "1")
    run = do(
        engine.runs.create,
        thread.id,
        assistant_id=assistant_with(engine).id,
        additional_messages=[user("2"), {**user("3"), "role": "assistant"}],
    )
    wait(engine, run)
    assert texts(engine, thread.id) == ["1", "2", "3", "ok"]


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"max_prompt_tokens": 255}, "integer_below_min_value", "max_prompt_tokens"),
        ({"max_completion_tokens": 1}, "integer_below_min_value", None),
        ({"temperature": 3}, "decimal_above_max_value", "temperature"),
        ({"top_p": 1.5}, "decimal_above_max_value", "top_p"),
        ({"tools": [{"type": "abacus"}]}, "invalid_value", "tools[0].type"),
        ({"tools": [function("f")] * 129}, "array_above_max_length", "tools"),
        ({"metadata": {"k": 1}}, "invalid_type", "metadata.k"),
        ({"tool_choice": "sometimes"}, "invalid_value", "tool_choice"),
        (
            {"truncation_strategy": {"type": "last_messages"}},
            "missing_required_parameter",
            "truncation_strategy.last_messages",
        ),
        (
            {"additional_messages": [user("ok"), user("")]},
            "string_below_min_length",
            "additional_messages[1].content",
        ),
        ({"response_format": {"type": "xml"}}, "invalid_value", None),
        ({"parallel_tool_calls": "yes"}, "invalid_type", "parallel_tool_calls"),
        ({"on_active_run": "shove"}, "invalid_value", "on_active_run"),
        ({"history": "none"}, "invalid_value", "history"),
        ({"tool_errors": "ignore"}, "invalid_value", "tool_errors"),
        ({"expires_after": 0}, "integer_below_min_value", "expires_after"),
        ({"expires_after": 2_592_001}, "integer_above_max_value", "expires_after"),
        ({"assistant_id": "x"}, "invalid_value", "assistant_id"),
        ({"assistant_id": None}, "invalid_type", "assistant_id"),
    ],
)
def test_a_run_that_breaks_a_rule_is_refused_and_changes_nothing(
    do: Do,
    engine_factory: EngineFactory,
    fields: dict[str, Any],
    code: str,
    param: str | None,
) -> None:
    engine = engine_factory()
    thread = thread_with(engine, "Hi")
    assistant = assistant_with(engine)
    before = everything(engine)
    with pytest.raises(InvalidRequestError) as error:
        do(engine.runs.create, thread.id, **{"assistant_id": assistant.id, **fields})
    assert error.value.code == code
    assert param in (None, error.value.param)
    assert everything(engine) == before


def test_a_run_names_what_does_not_exist(do: Do, engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    before = everything(engine)
    with pytest.raises(NotFoundError) as error:
        do(
            engine.runs.create,
            thread.id,
            assistant_id="asst_x",
            additional_messages=[user("x")],
        )
    assert str(error.value) == "No assistant found with id 'asst_x'."
    with pytest.raises(NotFoundError, match="No thread found with id 'thread_x'"):
        do(engine.runs.create, "thread_x", assistant_id=assistant.id)
    for method in ("retrieve", "update", "cancel", "wait"):
        with pytest.raises(NotFoundError) as error:
            do(getattr(engine.runs, method), "run_x")
        assert str(error.value) == "No run found with id 'run_x'."
        with pytest.raises(InvalidRequestError) as refused:
            do(getattr(engine.runs, method), "x")
        assert refused.value.param == "run_id"
    with pytest.raises(InvalidRequestError, match="thread_id"):
        do(engine.runs.create, "run_x", assistant_id=assistant.id)
    assert everything(engine) == before


def test_an_update_replaces_the_metadata_only_where_it_is_given(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory([calls("call_a")])
    run = wait(
        engine,
        engine.runs.create(
            thread_with(engine, "Hi").id,
            assistant_id=assistant_with(engine, "look_up").id,
            metadata={"a": "b"},
        ),
    )
    assert do(engine.runs.update, run.id) == run
    changed = do(engine.runs.update, run.id, metadata={"c": "d"})
    assert changed.to_dict() == run.to_dict() | {"metadata": {"c": "d"}}
    assert do(engine.runs.update, run.id, metadata=None).metadata == {}
    with pytest.raises(InvalidRequestError):
        do(engine.runs.update, run.id, metadata={"k": "x" * 513})
    with pytest.raises(TypeError, match="instructions"):
        do(engine.runs.update, run.id, instructions="x")
    assert engine.runs.retrieve(run.id).metadata == {}


def test_waiting_for_a_run_ends_at_the_timeout_and_the_run_goes_on(
    do: Do, engine_factory: EngineFactory
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("ok", wait_for=gate)])
    run = engine.runs.create(
        thread_with(engine, "Hi").id, assistant_id=assistant_with(engine).id
    )
    gate.wait_until_reached()
    for seconds in (0, 0.01):
        with pytest.raises(TimeoutError) as error:
            do(engine.runs.wait, run.id, timeout=seconds)
        assert str(error.value) == (
            f"Run {run.id} is still in_progress after {seconds} s; it goes on. Wait "
            "again, or cancel it."
        )
    gate.open()
    assert do(engine.runs.wait, run.id).status == "completed"
    assert do(engine.runs.wait, run.id, timeout=0).status == "completed"


def test_waiting_returns_at_requires_action(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory([calls("call_a")])
    run = engine.runs.create(
        thread_with(engine, "Hi").id, assistant_id=assistant_with(engine, "look_up").id
    )
    assert do(engine.runs.wait, run.id, timeout=20).status == "requires_action"


def test_another_engine_sees_a_run_end(engine_factory: EngineFactory) -> None:
    gate = Gate()
    engine = engine_factory([Reply("ok", wait_for=gate)])
    other = engine_factory.reopen()
    run = engine.runs.create(
        thread_with(engine, "Hi").id, assistant_id=assistant_with(engine).id
    )
    gate.wait_until_reached()
    assert other.runs.retrieve(run.id).status == "in_progress"
    gate.open()
    assert other.runs.wait(run.id, timeout=20).status == "completed"


def test_a_failed_run_keeps_the_thread_usable(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory([ValueError("secret"), "Better."], clock=clock)
    assistant, thread = assistant_with(engine), thread_with(engine, "Hi")
    run = do(engine.runs.create, thread.id, assistant_id=assistant.id)
    failed = wait(engine, run)
    assert failed.status == "failed"
    assert failed.last_error is not None
    assert failed.last_error.code == "server_error"
    assert (failed.failed_at, failed.expires_at) == (int(clock.now), None)
    assert failed.completed_at is None
    assert texts(engine, thread.id) == ["Hi"]
    assert engine.steps.list(run.id).data == []
    again = do(engine.runs.create, thread.id, assistant_id=assistant.id)
    assert wait(engine, again).status == "completed"
    assert texts(engine, thread.id) == ["Hi", "Better."]


@pytest.mark.parametrize(
    ("budget", "usage"),
    [
        ("max_completion_tokens", {"input_tokens": 10, "output_tokens": 300}),
        ("max_prompt_tokens", {"input_tokens": 300, "output_tokens": 10}),
    ],
)
def test_a_used_up_budget_ends_the_run_incomplete(
    engine_factory: EngineFactory, clock: Clock, budget: str, usage: dict[str, int]
) -> None:
    engine = engine_factory([Reply("Half an ans", usage=usage)], clock=clock)
    thread = thread_with(engine, "Hi")
    limit: Any = {budget: 256}
    run = wait(
        engine,
        engine.runs.create(thread.id, assistant_id=assistant_with(engine).id, **limit),
    )
    assert run.status == "incomplete"
    assert run.incomplete_details is not None
    assert run.incomplete_details.reason == budget
    assert (run.completed_at, run.expires_at) == (int(clock.now), None)
    assert run.usage is not None
    assert run.usage.total_tokens == 310
    message = engine.messages.list(thread.id).data[0]
    assert (message.text, message.status) == ("Half an ans", "incomplete")
    assert message.incomplete_details is not None
    assert message.incomplete_details.reason == "max_tokens"


def test_a_budget_used_up_by_calls_leaves_no_open_call(
    engine_factory: EngineFactory,
) -> None:
    asks = Reply(
        tool_calls=calls("call_a").tool_calls,
        usage={"input_tokens": 9, "output_tokens": 256},
    )
    engine = engine_factory([asks, "Next."])
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine, "Hi")
    run = engine.runs.create(
        thread.id, assistant_id=assistant.id, max_completion_tokens=256
    )
    assert wait(engine, run).status == "incomplete"
    assert broken_invariants(engine) == []
    again = engine.runs.create(thread.id, assistant_id=assistant.id)
    assert wait(engine, again).status == "completed"


def test_usage_is_the_sum_over_all_model_calls(
    engine_factory: EngineFactory,
) -> None:
    asks = Reply(tool_calls=calls("call_a").tool_calls, usage=USAGE)
    engine = engine_factory([asks, Reply("ok", usage=USAGE)])
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    assert run.usage is not None
    assert run.usage.total_tokens == 15
    engine.runs.submit_tool_outputs(run.id, tool_outputs=outputs("call_a"))
    ended = wait(engine, run)
    assert ended.usage is not None
    assert ended.usage.to_dict() == {
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "total_tokens": 30,
    }
    usages = [step.usage for step in engine.steps.list(run.id)]
    assert [usage and usage.total_tokens for usage in usages] == [15, 15]


def test_a_run_is_stored_with_the_tools_that_only_its_engine_has(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["ok"], tools=[_add])
    assistant = engine.assistants.create(
        model="m", tools=[function("_add", run_on="engine"), function("look_up")]
    )
    run = engine.runs.create(thread_with(engine, "Hi").id, assistant_id=assistant.id)
    wait(engine, run)
    [row] = rows(engine, "SELECT required_tools FROM runs")
    assert row["required_tools"] == '["_add"]'


def _add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_closing_the_engine_cancels_what_executes_in_the_background(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    model = ScriptedChatModel([Reply("never", wait_for=gate)])
    engine = engine_factory(model)
    thread = thread_with(engine, "Hi")
    run = engine.runs.create(thread.id, assistant_id=assistant_with(engine).id)
    gate.wait_until_reached()
    engine.close()
    reopened = engine_factory.reopen()
    assert reopened.runs.retrieve(run.id).status == "cancelled"
    reopened.messages.create(thread.id, **user("Hello?"))
