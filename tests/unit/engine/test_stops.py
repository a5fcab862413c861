"""Runs that are cancelled or expire, in each state in which they can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import (
    TIMEOUT,
    Gate,
    assistant_with,
    calls,
    hosted,
    texts,
    thread_with,
    user,
    wait,
)
from tests.stored import broken_invariants, everything
from tests.unit.engine.conftest import Do

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.testing import Reply, ScriptedChatModel
from langchain_assistants.types import Run


def streaming_slowly(*steps: Any) -> ScriptedChatModel:
    """Return a model whose streams stop after the first word until cancelled."""
    return ScriptedChatModel(list(steps), token_delay=1e6)


def start(engine: AssistantsEngine, *tools: str, **fields: Any) -> Run:
    """Start a run on a thread of its own."""
    return engine.runs.create(
        thread_with(engine, "Hi").id,
        assistant_id=assistant_with(engine, *tools).id,
        **fields,
    )


def requires_action(engine: AssistantsEngine) -> Run:
    return wait(engine, start(engine, "look_up"))


def is_usable(engine: AssistantsEngine, thread_id: str) -> bool:
    """Tell whether a thread takes a message: nobody holds it any more."""
    engine.messages.create(thread_id, **user("Hello?"))
    return broken_invariants(engine) == []


# Cancel.


def test_a_run_that_waits_for_a_slot_is_cancelled_at_once(
    do: Do, engine_factory: EngineFactory
) -> None:
    gate = Gate()
    engine = engine_factory(
        [Reply("one", wait_for=gate)], settings=Settings(max_concurrent_runs=1)
    )
    first, second = start(engine), start(engine)
    cancelled = do(engine.runs.cancel, second.id)
    assert (cancelled.status, cancelled.started_at) == ("cancelled", None)
    assert cancelled.usage is not None
    assert is_usable(engine, second.thread_id)
    gate.open()
    assert wait(engine, first).status == "completed"


def test_a_run_whose_model_blocks_is_cancelled(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("never", wait_for=gate)], clock=clock)
    run = start(engine)
    gate.wait_until_reached()
    assert do(engine.runs.cancel, run.id).status == "cancelling"
    cancelled = wait(engine, run)
    assert cancelled.status == "cancelled"
    assert (cancelled.cancelled_at, cancelled.expires_at) == (int(clock.now), None)
    assert texts(engine, run.thread_id) == ["Hi"]
    assert is_usable(engine, run.thread_id)


def test_a_run_blocked_in_a_synchronous_tool_is_cancelled(
    do: Do, engine_factory: EngineFactory
) -> None:
    gate = Gate()

    def look_up(q: str) -> str:
        """Look something up."""
        gate.pass_through()
        return q

    engine = engine_factory([calls("call_a")], tools=[look_up])
    assistant = engine.assistants.create(model="m", tools=[hosted("look_up")])
    thread = thread_with(engine, "Hi")
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    do(engine.runs.cancel, run.id)
    assert wait(engine, run).status == "cancelled"
    [step] = engine.steps.list(run.id)
    assert (step.type, step.status) == ("tool_calls", "cancelled")
    assert step.cancelled_at is not None
    assert is_usable(engine, thread.id)
    gate.open()


def stubborn(started: Gate, release: asyncio.Event) -> Callable[..., Any]:
    async def look_up(q: str) -> str:
        """Look something up, whatever happens."""
        started.reached.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return q

    return look_up


async def test_a_tool_that_swallows_its_cancellation_is_abandoned(
    engine_factory: EngineFactory,
) -> None:
    started, release = Gate(), asyncio.Event()
    engine = engine_factory(
        [calls("call_a"), "Next."],
        tools=[stubborn(started, release)],
        settings=Settings(cancel_grace=0.01),
    )
    assistant = await engine.assistants.acreate(model="m", tools=[hosted("look_up")])
    thread = await engine.threads.acreate(messages=[user("Hi")])
    run = await engine.runs.acreate(thread.id, assistant_id=assistant.id)
    assert await asyncio.to_thread(started.reached.wait, TIMEOUT)
    await engine.runs.acancel(run.id)
    cancelled = await engine.runs.await_(run.id, timeout=TIMEOUT)
    assert cancelled.status == "cancelled"
    again = await engine.runs.acreate(thread.id, assistant_id=assistant.id, tools=[])
    assert (await engine.runs.await_(again.id, timeout=TIMEOUT)).status == "completed"
    release_on_portal(engine, release)
    assert broken_invariants(engine) == []


def test_a_run_that_is_being_cancelled_cannot_be_cancelled_again(
    do: Do, engine_factory: EngineFactory
) -> None:
    started, release = Gate(), asyncio.Event()
    engine = engine_factory(
        [calls("call_a")],
        tools=[stubborn(started, release)],
        settings=Settings(cancel_grace=TIMEOUT),
    )
    assistant = engine.assistants.create(model="m", tools=[hosted("look_up")])
    thread = thread_with(engine, "Hi")
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    started.wait_until_reached()
    assert do(engine.runs.cancel, run.id).status == "cancelling"
    with pytest.raises(InvalidRequestError) as error:
        do(engine.runs.cancel, run.id)
    assert str(error.value) == "Cannot cancel run with status 'cancelling'."
    assert do(engine.runs.retrieve, run.id).status == "cancelling"
    release_on_portal(engine, release)
    assert wait(engine, run).status in ("cancelled", "failed", "completed")
    assert is_usable(engine, thread.id)


def release_on_portal(engine: AssistantsEngine, release: asyncio.Event) -> None:
    """Set an event on the loop whose tool waits for it."""

    async def on_its_loop() -> None:
        release.set()

    engine.portal.call(on_its_loop)


def test_a_run_that_requires_action_is_cancelled_at_once(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory([calls("call_a")], clock=clock)
    run = requires_action(engine)
    clock.advance(7)
    cancelled = do(engine.runs.cancel, run.id)
    assert cancelled.status == "cancelled"
    assert cancelled.required_action is None
    assert cancelled.cancelled_at == int(clock.now)
    [step] = engine.steps.list(run.id)
    assert (step.status, step.cancelled_at) == ("cancelled", int(clock.now))
    assert is_usable(engine, run.thread_id)


def completed(engine: AssistantsEngine, clock: Clock) -> Run:
    return wait(engine, start(engine))


def failed(engine: AssistantsEngine, clock: Clock) -> Run:
    return wait(engine, start(engine, "look_up", tools=[{"type": "file_search"}]))


def cancelled(engine: AssistantsEngine, clock: Clock) -> Run:
    return engine.runs.cancel(requires_action(engine).id)


def expired(engine: AssistantsEngine, clock: Clock) -> Run:
    run = requires_action(engine)
    clock.advance(600)
    return engine.runs.retrieve(run.id)


def incomplete(engine: AssistantsEngine, clock: Clock) -> Run:
    return wait(engine, start(engine, max_completion_tokens=256))


@pytest.mark.parametrize(
    ("end", "script"),
    [
        (completed, ["Hello."]),
        (failed, []),
        (cancelled, [calls("call_a")]),
        (expired, [calls("call_a")]),
        (incomplete, [Reply("x", usage={"input_tokens": 1, "output_tokens": 300})]),
    ],
)
def test_an_ended_run_never_changes_again(
    do: Do,
    engine_factory: EngineFactory,
    clock: Clock,
    end: Callable[[AssistantsEngine, Clock], Run],
    script: list[Any],
) -> None:
    engine = engine_factory(script, clock=clock)
    run = end(engine, clock)
    assert run.status == end.__name__
    before = everything(engine)
    with pytest.raises(InvalidRequestError) as error:
        do(engine.runs.cancel, run.id)
    assert str(error.value) == f"Cannot cancel run with status '{run.status}'."
    assert (error.value.code, error.value.param) == (None, None)
    with pytest.raises(InvalidRequestError) as error:
        do(
            engine.runs.submit_tool_outputs,
            run.id,
            tool_outputs=[{"tool_call_id": "call_a", "output": "x"}],
        )
    assert str(error.value) == (
        f'Runs in status "{run.status}" do not accept tool outputs.'
    )
    clock.advance(10_000)
    assert do(engine.runs.retrieve, run.id) == run
    assert do(engine.runs.wait, run.id, timeout=0) == run
    assert everything(engine) == before


# Expire.


def test_a_run_that_requires_action_expires_when_it_is_looked_at(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory([calls("call_a")], clock=clock)
    run = requires_action(engine)
    clock.advance(599)
    assert do(engine.runs.retrieve, run.id).status == "requires_action"
    clock.advance(1)
    expired = do(engine.runs.retrieve, run.id)
    assert (expired.status, expired.required_action) == ("expired", None)
    assert expired.expires_at == run.expires_at
    assert (expired.cancelled_at, expired.failed_at, expired.completed_at) == (
        None,
        None,
        None,
    )
    [step] = engine.steps.list(run.id)
    assert (step.status, step.expired_at) == ("expired", int(clock.now))
    assert is_usable(engine, run.thread_id)


@pytest.mark.parametrize("method", ["cancel", "submit_tool_outputs"])
def test_a_run_whose_time_is_over_takes_nothing_any_more(
    do: Do, engine_factory: EngineFactory, clock: Clock, method: str
) -> None:
    engine = engine_factory([calls("call_a")], clock=clock)
    run = requires_action(engine)
    clock.advance(600)
    fields: dict[str, Any] = (
        {"tool_outputs": [{"tool_call_id": "call_a", "output": "x"}]}
        if method == "submit_tool_outputs"
        else {}
    )
    with pytest.raises(InvalidRequestError, match="expired"):
        do(getattr(engine.runs, method), run.id, **fields)
    assert engine.runs.retrieve(run.id).status == "expired"


def test_a_run_that_waits_for_a_slot_expires(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    gate = Gate()
    engine = engine_factory(
        [Reply("one", wait_for=gate)],
        clock=clock,
        settings=Settings(max_concurrent_runs=1),
    )
    first = start(engine, expires_after=1000)
    second = start(engine)
    clock.advance(600)
    gate.open()
    assert wait(engine, first).status == "completed"
    assert wait(engine, second).status == "expired"
    assert texts(engine, second.thread_id) == ["Hi"]


def test_a_run_whose_model_blocks_expires_when_it_is_looked_at(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("never", wait_for=gate)], clock=clock)
    run = start(engine)
    gate.wait_until_reached()
    clock.advance(600)
    do(engine.runs.retrieve, run.id)
    expired = wait(engine, run)
    assert (expired.status, expired.expires_at) == ("expired", run.expires_at)
    assert is_usable(engine, run.thread_id)


def test_a_run_whose_model_blocks_makes_room_when_its_time_is_over(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("never", wait_for=gate), "Next."], clock=clock)
    run = start(engine)
    gate.wait_until_reached()
    clock.advance(600)
    again = engine.runs.create(run.thread_id, assistant_id=run.assistant_id)
    assert wait(engine, again).status == "completed"
    assert engine.runs.retrieve(run.id).status == "expired"
    assert texts(engine, run.thread_id) == ["Hi", "Next."]
    gate.open()


def test_a_run_expires_by_itself_while_it_executes(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(
        [Reply("never", wait_for=Gate())], settings=Settings(expires_after=0.05)
    )
    run = start(engine)
    assert wait(engine, run).status == "expired"
    assert is_usable(engine, run.thread_id)


def test_the_deadline_starts_again_with_the_outputs(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory([calls("call_a"), calls("call_b")], clock=clock)
    run = wait(engine, start(engine, "look_up", expires_after=100))
    assert run.expires_at == int(clock.now) + 100
    clock.advance(90)
    engine.runs.submit_tool_outputs(
        run.id, tool_outputs=[{"tool_call_id": "call_a", "output": "x"}]
    )
    again = wait(engine, run)
    assert (again.status, again.expires_at) == (
        "requires_action",
        int(clock.now) + 100,
    )
    assert again.started_at == int(clock.now)


# What a run was saying.


@pytest.mark.parametrize("how", ["cancelled", "expired", "failed"])
def test_a_half_said_answer_is_kept_as_incomplete(
    engine_factory: EngineFactory, clock: Clock, how: str
) -> None:
    model = (
        ScriptedChatModel([Reply("Half ", error=ValueError("broken"))])
        if how == "failed"
        else streaming_slowly("Half an answer.")
    )
    engine = engine_factory(model, clock=clock, settings=Settings(model_retries=0))
    thread = thread_with(engine, "Hi")
    events = engine.runs.stream(thread.id, assistant_id=assistant_with(engine).id)
    seen = []
    for event in events:
        seen.append(event.event)
        if event.event == "thread.message.delta" and how != "failed":
            [run] = engine.runs.list(thread.id)
            if how == "cancelled":
                engine.runs.cancel(run.id)
            else:
                clock.advance(600)
                engine.runs.retrieve(run.id)
    [run] = engine.runs.list(thread.id)
    assert run.status == how
    [message] = engine.messages.list(thread.id, run_id=run.id)
    assert (message.text, message.status) == ("Half ", "incomplete")
    assert message.incomplete_details is not None
    assert message.incomplete_details.reason == f"run_{how}"
    assert (message.incomplete_at, message.completed_at) == (int(clock.now), None)
    [step] = engine.steps.list(run.id)
    assert (step.type, step.status) == ("message_creation", how)
    assert (step.last_error is not None) is (how == "failed")
    assert is_usable(engine, thread.id)


def test_the_model_sees_what_was_half_said(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    model = ScriptedChatModel([Reply("Half ", error=ValueError("x")), "Whole."])
    engine = engine_factory(model, settings=Settings(model_retries=0))
    assistant, thread = assistant_with(engine), thread_with(engine, "Hi")
    list(engine.runs.stream(thread.id, assistant_id=assistant.id))
    wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    assert [message.text for message in model.calls[-1].messages] == ["Hi", "Half "]
