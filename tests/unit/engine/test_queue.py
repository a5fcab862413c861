from __future__ import annotations

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import (
    Gate,
    assistant_with,
    calls,
    outputs,
    texts,
    thread_with,
    user,
    wait,
)
from tests.stored import broken_invariants, everything
from tests.unit.engine.conftest import Do

from langchain_assistants import Settings
from langchain_assistants.errors import (
    ActiveRunError,
)
from langchain_assistants.testing import Reply, ScriptedChatModel


def test_a_second_run_on_a_busy_thread_is_refused_with_its_messages(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory([calls("call_a")])
    thread = thread_with(engine, "Hi")
    assistant = assistant_with(engine, "look_up")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    before = everything(engine)
    with pytest.raises(ActiveRunError) as error:
        do(
            engine.runs.create,
            thread.id,
            assistant_id=assistant.id,
            additional_messages=[user("x")],
        )
    told = error.value
    assert str(told) == f"Thread {thread.id} already has an active run {run.id}."
    assert (told.thread_id, told.run_id) == (thread.id, run.id)
    assert (told.code, told.param, told.http_status) == (None, None, 400)
    with pytest.raises(ActiveRunError):
        next(iter(engine.runs.stream(thread.id, assistant_id=assistant.id)))
    assert everything(engine) == before


def test_threads_of_one_assistant_run_at_the_same_time(
    engine_factory: EngineFactory,
) -> None:
    gates = [Gate(), Gate(), Gate()]
    engine = engine_factory([Reply("ok", wait_for=gate) for gate in gates])
    assistant = assistant_with(engine)
    runs = [
        engine.runs.create(thread_with(engine, "Hi").id, assistant_id=assistant.id)
        for _ in gates
    ]
    for gate in gates:
        gate.wait_until_reached()
    for gate in gates:
        gate.open()
    assert {wait(engine, run).status for run in runs} == {"completed"}


def test_waiting_runs_take_their_turn_in_order_with_their_messages(
    do: Do, engine_factory: EngineFactory
) -> None:
    gates = [Gate(), Gate(), Gate()]
    engine = engine_factory(
        [Reply(f"answer {n}", wait_for=gate) for n, gate in enumerate(gates, 1)]
    )
    assistant = assistant_with(engine)
    thread = thread_with(engine, "question 1")
    queued = {"assistant_id": assistant.id, "on_active_run": "queue"}
    runs = [do(engine.runs.create, thread.id, assistant_id=assistant.id)]
    gates[0].wait_until_reached()
    runs += [
        do(
            engine.runs.create,
            thread.id,
            additional_messages=[user(f"question {n}")],
            **queued,
        )
        for n in (2, 3)
    ]
    for number, gate in enumerate(gates):
        gate.wait_until_reached()
        said = [f"question {n}" for n in range(1, number + 2)]
        answered = [f"answer {n}" for n in range(1, number + 1)]
        pairs = [text for pair in zip(said, answered, strict=False) for text in pair]
        assert texts(engine, thread.id) == [*pairs, said[-1]]
        assert [engine.runs.retrieve(run.id).status for run in runs[number:]] == [
            "in_progress",
            *["queued"] * (2 - number),
        ]
        assert broken_invariants(engine) == []
        gate.open()
        assert wait(engine, runs[number]).status == "completed"
    assert texts(engine, thread.id)[-2:] == ["question 3", "answer 3"]
    assert [run.id for run in engine.runs.list(thread.id, order="asc")] == [
        run.id for run in runs
    ]


def test_the_setting_says_what_becomes_of_a_second_run(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory(
        [Reply("one", wait_for=gate), "two"], settings=Settings(on_active_run="queue")
    )
    assistant, thread = assistant_with(engine), thread_with(engine, "Hi")
    engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    with pytest.raises(ActiveRunError):
        engine.runs.create(thread.id, assistant_id=assistant.id, on_active_run="reject")
    second = engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.open()
    assert wait(engine, second).status == "completed"
    assert texts(engine, thread.id) == ["Hi", "one", "two"]


def test_a_waiting_run_that_is_cancelled_leaves_no_message(
    do: Do, engine_factory: EngineFactory
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("one", wait_for=gate), "three"])
    assistant, thread = assistant_with(engine), thread_with(engine, "Hi")
    queued = {"assistant_id": assistant.id, "on_active_run": "queue"}
    first = engine.runs.create(thread.id, assistant_id=assistant.id)
    second = engine.runs.create(
        thread.id, additional_messages=[user("never mind")], **queued
    )
    third = engine.runs.create(
        thread.id, additional_messages=[user("and this?")], **queued
    )
    cancelled = do(engine.runs.cancel, second.id)
    assert cancelled.status == "cancelled"
    assert engine.runs.retrieve(first.id).status == "in_progress"
    gate.open()
    assert wait(engine, third).status == "completed"
    assert texts(engine, thread.id) == ["Hi", "one", "and this?", "three"]


def test_a_waiting_run_that_is_cancelled_leaves_the_one_before_it_as_it_was(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel([calls("call_a"), "Found."])
    engine = engine_factory(model)
    assistant = assistant_with(engine, "look_up")
    thread = thread_with(engine, "Hi")
    first = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    second = engine.runs.create(
        thread.id, assistant_id=assistant.id, on_active_run="queue"
    )
    engine.runs.cancel(second.id)
    engine.runs.submit_tool_outputs(first.id, tool_outputs=outputs("call_a"))
    assert wait(engine, first).status == "completed"
    asked = [message.content for message in model.calls[-1].messages]
    assert asked == ["Hi", "", "output of call_a"]
    assert texts(engine, thread.id) == ["Hi", "Found."]


def test_a_waiting_run_whose_time_is_over_expires_and_lets_the_next_one_in(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("one", wait_for=gate), "three"], clock=clock)
    assistant, thread = assistant_with(engine), thread_with(engine, "Hi")
    waiting = {"assistant_id": assistant.id, "on_active_run": "queue"}
    engine.runs.create(thread.id, assistant_id=assistant.id, expires_after=1000)
    second = engine.runs.create(
        thread.id, expires_after=5, additional_messages=[user("quick")], **waiting
    )
    third = engine.runs.create(thread.id, expires_after=1000, **waiting)
    clock.advance(6)
    gate.open()
    assert wait(engine, third).status == "completed"
    expired = engine.runs.retrieve(second.id)
    assert (expired.status, expired.started_at) == ("expired", None)
    assert texts(engine, thread.id) == ["Hi", "one", "three"]


def test_cancel_makes_room_on_a_thread_whose_run_requires_action(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory([calls("call_a"), "Done."])
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine, "Hi")
    left = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    run = do(
        engine.runs.create,
        thread.id,
        assistant_id=assistant.id,
        on_active_run="cancel",
        additional_messages=[user("Forget it.")],
    )
    assert wait(engine, run).status == "completed"
    assert engine.runs.retrieve(left.id).status == "cancelled"
    assert texts(engine, thread.id) == ["Hi", "Forget it.", "Done."]


def test_cancel_makes_room_on_a_thread_whose_model_blocks(
    do: Do, engine_factory: EngineFactory
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("never", wait_for=gate), "Done."])
    assistant, thread = assistant_with(engine), thread_with(engine, "Hi")
    blocked = engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    run = do(
        engine.runs.create,
        thread.id,
        assistant_id=assistant.id,
        on_active_run="cancel",
        additional_messages=[user("Forget it.")],
    )
    assert wait(engine, run).status == "completed"
    assert wait(engine, blocked).status == "cancelled"
    assert texts(engine, thread.id) == ["Hi", "Forget it.", "Done."]
    assert broken_invariants(engine) == []


def test_runs_beyond_the_slots_wait_as_queued(
    do: Do, engine_factory: EngineFactory
) -> None:
    gate = Gate()
    engine = engine_factory(
        [Reply("one", wait_for=gate), "two", "three"],
        settings=Settings(max_concurrent_runs=1),
    )
    assistant = assistant_with(engine)
    threads = [thread_with(engine, "Hi") for _ in range(3)]
    runs = [
        do(engine.runs.create, thread.id, assistant_id=assistant.id)
        for thread in threads
    ]
    gate.wait_until_reached()
    assert [engine.runs.retrieve(run.id).status for run in runs] == [
        "in_progress",
        "queued",
        "queued",
    ]
    gate.open()
    assert [wait(engine, run).status for run in runs] == ["completed"] * 3
    assert [texts(engine, thread.id)[-1] for thread in threads] == [
        "one",
        "two",
        "three",
    ]
