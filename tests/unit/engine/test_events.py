from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import (
    TIMEOUT,
    Gate,
    assistant_with,
    calls,
    data_of,
    hosted,
    names,
    outputs,
    thread_with,
    wait,
)

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine.events import EventLog
from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.testing import Reply, ScriptedChatModel
from langchain_assistants.types import RunEvent, Thread

BEGIN = ["run.created", "run.queued", "run.in_progress"]
MESSAGE_BEGINS = [
    "run.step.created",
    "run.step.in_progress",
    "message.created",
    "message.in_progress",
    "message.delta",
]
MESSAGE_ENDS = ["message.completed", "run.step.completed"]
CALLS = ["run.step.created", "run.step.in_progress", "run.step.delta"]


def dense(events: list[RunEvent]) -> bool:
    """Tell whether the numbers of one attempt are 1, 2, 3, ..."""
    attempts = {event.id.split(".")[0] for event in events}
    numbers = [int(event.id.split(".")[1]) for event in events]
    return len(attempts) == 1 and numbers == list(range(1, len(events) + 1))


def stream(
    engine: AssistantsEngine, thread: Thread, *tools: str, **fields: Any
) -> list[RunEvent]:
    """Run an assistant to its stop and return the events."""
    assistant = assistant_with(engine, *tools)
    events = list(engine.runs.stream(thread.id, assistant_id=assistant.id, **fields))
    assert dense(events)
    return events


def test_the_events_of_an_answer_come_in_the_originals_order(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["Hello there, you."])
    events = stream(engine, thread_with(engine, "Hi"))
    assert names(events) == [
        *BEGIN,
        *MESSAGE_BEGINS,
        *MESSAGE_ENDS,
        "run.completed",
    ]
    assert data_of(events, "run.created").status == "queued"
    assert data_of(events, "run.queued").status == "queued"
    assert data_of(events, "run.in_progress").started_at is not None
    begun = data_of(events, "run.step.created")
    message = data_of(events, "message.created")
    assert begun.step_details.message_creation.message_id == message.id
    assert (message.status, message.content) == ("in_progress", [])
    deltas = [e.data for e in events if e.event == "thread.message.delta"]
    shown: list[Any] = [delta.to_dict() for delta in deltas if delta]
    assert {delta["id"] for delta in shown} == {message.id}
    first, *others = [delta["delta"]["content"][0] for delta in shown]
    assert first == {
        "index": 0,
        "type": "text",
        "text": {"value": "Hello ", "annotations": []},
    }
    assert all("annotations" not in other["text"] for other in others)
    said = "".join(part["text"]["value"] for part in [first, *others])
    done = data_of(events, "message.completed")
    assert said == done.text == "Hello there, you."
    assert data_of(events, "run.step.completed").usage is not None
    run = data_of(events, "run.completed")
    assert run.usage is not None
    assert run == engine.runs.retrieve(run.id)
    assert done == engine.messages.retrieve(done.id)
    assert data_of(events, "run.step.completed") == engine.steps.retrieve(begun.id)


def test_the_events_of_calls_and_of_their_outputs_come_in_the_originals_order(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls("call_a", "call_b"), "Done."])
    events = stream(engine, thread_with(engine, "Hi"), "look_up")
    assert names(events) == [*BEGIN, *CALLS, "run.requires_action"]
    begun = data_of(events, "run.step.created")
    assert begun.to_dict()["step_details"] == {"type": "tool_calls", "tool_calls": []}
    deltas: list[Any] = [
        event.data.to_dict()["delta"]["step_details"]["tool_calls"][0]
        for event in events
        if event.event == "thread.run.step.delta" and event.data
    ]
    for index, call_id in enumerate(("call_a", "call_b")):
        head, *tail = [delta for delta in deltas if delta["index"] == index]
        assert head["id"] == call_id
        assert head["function"]["name"] == "look_up"
        assert all(
            "id" not in piece and "name" not in piece["function"] for piece in tail
        )
        pieces = [delta["function"]["arguments"] for delta in [head, *tail]]
        assert "".join(pieces) == f'{{"q": "{call_id}"}}'
    run = data_of(events, "run.requires_action")
    more = list(
        engine.runs.submit_tool_outputs_stream(
            run.id, tool_outputs=outputs("call_b", "call_a")
        )
    )
    assert dense(more)
    assert more[0].id == "2.1"
    assert names(more) == [
        "run.step.completed",
        "run.queued",
        "run.in_progress",
        *MESSAGE_BEGINS,
        "message.completed",
        "run.step.completed",
        "run.completed",
    ]
    [step, _] = [e.data for e in more if e.event == "thread.run.step.completed"]
    assert step == engine.steps.retrieve(begun.id)


def test_a_tool_of_the_engine_closes_its_step_before_the_next_answer_begins(
    engine_factory: EngineFactory,
) -> None:
    def look_up(q: str) -> str:
        """Look something up."""
        return q

    engine = engine_factory([calls("call_a", "call_b"), "Done."], tools=[look_up])
    events = stream(engine, thread_with(engine, "Hi"), tools=[hosted("look_up")])
    assert names(events) == [
        *BEGIN,
        *CALLS,
        "run.step.completed",
        *MESSAGE_BEGINS,
        *MESSAGE_ENDS,
        "run.completed",
    ]


def test_a_run_that_fails_before_any_text_tells_of_no_message(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([ValueError("broken")])
    events = stream(engine, thread_with(engine, "Hi"))
    assert names(events) == [*BEGIN, "run.failed"]
    assert data_of(events, "run.failed").last_error.code == "server_error"


def test_a_run_that_fails_while_it_speaks_tells_what_it_leaves(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(
        [Reply("Half ", error=ValueError("x"))], settings=Settings(model_retries=0)
    )
    events = stream(engine, thread_with(engine, "Hi"))
    assert names(events) == [
        *BEGIN,
        *MESSAGE_BEGINS,
        "message.incomplete",
        "run.step.failed",
        "run.failed",
    ]
    assert data_of(events, "message.incomplete").text == "Half "


@pytest.mark.parametrize("how", ["cancel", "expire"])
def test_a_run_that_is_stopped_while_it_speaks_tells_what_it_leaves(
    engine_factory: EngineFactory, clock: Clock, how: str
) -> None:
    model = ScriptedChatModel(["Half an answer."], token_delay=1e6)
    engine = engine_factory(model, clock=clock)
    thread = thread_with(engine, "Hi")
    events: list[RunEvent] = []
    assistant = assistant_with(engine)
    for event in engine.runs.stream(thread.id, assistant_id=assistant.id):
        events.append(event)
        if event.event == "thread.message.delta":
            [run] = engine.runs.list(thread.id)
            if how == "cancel":
                engine.runs.cancel(run.id)
            else:
                clock.advance(600)
                engine.runs.retrieve(run.id)
    ending = (
        ["run.cancelling", "message.incomplete", "run.step.cancelled", "run.cancelled"]
        if how == "cancel"
        else ["message.incomplete", "run.step.expired", "run.expired"]
    )
    assert names(events) == [*BEGIN, *MESSAGE_BEGINS, *ending]
    assert dense(events)


def test_a_run_that_used_up_its_budget_tells_what_it_leaves(
    engine_factory: EngineFactory,
) -> None:
    usage = {"input_tokens": 1, "output_tokens": 300}
    engine = engine_factory([Reply("Half an", usage=usage)])
    events = stream(engine, thread_with(engine, "Hi"), max_completion_tokens=256)
    assert names(events) == [
        *BEGIN,
        *MESSAGE_BEGINS,
        "message.incomplete",
        "run.step.completed",
        "run.incomplete",
    ]


def test_a_cancelled_tool_step_is_told(engine_factory: EngineFactory) -> None:
    gate = Gate()

    def look_up(q: str) -> str:
        """Look something up."""
        gate.pass_through()
        return q

    engine = engine_factory([calls("call_a")], tools=[look_up])
    thread = thread_with(engine, "Hi")
    assistant = engine.assistants.create(model="m", tools=[hosted("look_up")])
    iterator = engine.runs.stream(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    [run] = engine.runs.list(thread.id)
    engine.runs.cancel(run.id)
    events = list(iterator)
    gate.open()
    assert names(events) == [
        *BEGIN,
        *CALLS,
        "run.cancelling",
        "run.step.cancelled",
        "run.cancelled",
    ]
    assert dense(events)


def test_a_waiting_run_tells_of_its_start_or_its_end_when_that_comes(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("one", wait_for=gate), "two"])
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    waiting: Any = {"assistant_id": assistant.id, "on_active_run": "queue"}
    engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    second = engine.runs.stream(thread.id, **waiting)
    third = engine.runs.stream(thread.id, **waiting)
    assert [next(second).event, next(second).event] == [
        "thread.run.created",
        "thread.run.queued",
    ]
    run: Any = next(third).data
    engine.runs.cancel(run.id)
    assert names(third) == ["run.queued", "run.cancelling", "run.cancelled"]
    gate.open()
    assert names(second) == [
        "run.in_progress",
        *MESSAGE_BEGINS,
        *MESSAGE_ENDS,
        "run.completed",
    ]


@pytest.mark.parametrize("how", ["cancelled", "expired", "deleted"])
def test_a_run_that_ends_while_it_waits_for_a_slot_tells_so(
    engine_factory: EngineFactory, clock: Clock, how: str
) -> None:
    gate = Gate()
    engine = engine_factory(
        [Reply("one", wait_for=gate)],
        clock=clock,
        settings=Settings(max_concurrent_runs=1),
    )
    assistant = assistant_with(engine)
    first = engine.runs.create(
        thread_with(engine, "Hi").id, assistant_id=assistant.id, expires_after=10_000
    )
    gate.wait_until_reached()
    thread = thread_with(engine, "Hi")
    waiting = engine.runs.stream(thread.id, assistant_id=assistant.id)
    run: Any = next(waiting).data
    if how == "cancelled":
        engine.runs.cancel(run.id)
        assert names(waiting) == ["run.queued", "run.cancelling", "run.cancelled"]
    elif how == "expired":
        clock.advance(600)
        engine.runs.retrieve(run.id)
        assert names(waiting) == ["run.queued", "run.expired"]
    else:
        clock.advance(600)
        engine.threads.delete(thread.id)
    gate.open()
    assert wait(engine, first).status == "completed"
    assert names(waiting) in ([], ["run.queued"])


def test_a_stream_refuses_as_a_call_does(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    with pytest.raises(NotFoundError):
        engine.runs.stream("thread_x", assistant_id=assistant.id)
    with pytest.raises(InvalidRequestError):
        engine.runs.stream(thread.id, assistant_id=assistant.id, temperature=9)
    with pytest.raises(NotFoundError):
        engine.runs.submit_tool_outputs_stream("run_x", tool_outputs=outputs("call_a"))


async def test_async_streams_tell_the_same(engine_factory: EngineFactory) -> None:
    engine = engine_factory([calls("call_a"), "Done."])
    thread = await engine.threads.acreate(messages=[{"role": "user", "content": "Hi"}])
    assistant = await engine.assistants.acreate(
        model="m", tools=[hosted("look_up") | {"run_on": "client"}]
    )
    events = [
        event
        async for event in engine.runs.astream(thread.id, assistant_id=assistant.id)
    ]
    assert names(events) == [*BEGIN, *CALLS, "run.requires_action"]
    run = data_of(events, "run.requires_action")
    more = [
        event
        async for event in engine.runs.asubmit_tool_outputs_stream(
            run.id, tool_outputs=outputs("call_a")
        )
    ]
    assert names(more)[:3] == ["run.step.completed", "run.queued", "run.in_progress"]
    assert names(more)[-1] == "run.completed"
    assert dense(events)
    assert dense(more)


async def test_leaving_a_stream_does_not_cancel_the_run(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Done.", wait_for=gate)])
    thread = await engine.threads.acreate(messages=[{"role": "user", "content": "Hi"}])
    assistant = await engine.assistants.acreate(model="m")
    events = engine.runs.astream(thread.id, assistant_id=assistant.id)
    first = await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    gate.open()
    run: Any = first.data
    ended = await engine.runs.await_(run.id, timeout=TIMEOUT)
    assert ended.status == "completed"


# The log itself.


def filled(count: int) -> EventLog:
    log = EventLog(attempt=3)
    for _ in range(count):
        log.emit("thread.run.queued", None)
    return log


def test_numbers_are_dense_within_the_attempt() -> None:
    log = filled(3)
    log.end()
    assert [event.id for event in log.follow_blocking()] == ["3.1", "3.2", "3.3"]


def test_what_is_written_in_another_attempt_is_counted_anew() -> None:
    log = filled(2)
    log.begin(3)  # it goes on
    log.begin(4)
    log.emit("thread.run.in_progress", None)
    log.emit("thread.run.completed", None)
    log.end()

    def heard(after: str | None) -> list[str | None]:
        return [event.id for event in log.follow_blocking(after)]

    everything = ["3.1", "3.2", "4.1", "4.2"]
    assert heard(None) == heard("2.7") == heard("5.1") == everything
    assert heard("3.1") == everything[1:]
    assert heard("4.1") == ["4.2"]


def test_every_listener_gets_everything_whenever_it_joins() -> None:
    log = EventLog()
    joined = threading.Barrier(9)

    def on_a_thread(_: int) -> list[str]:
        joined.wait(TIMEOUT)
        return [event.id for event in log.follow_blocking()]

    async def follow() -> list[str]:
        return [event.id async for event in log.follow()]

    def on_a_loop(_: int) -> list[str]:
        joined.wait(TIMEOUT)
        return asyncio.run(follow())

    with ThreadPoolExecutor(8) as pool:
        heard = [pool.submit(on_a_thread, number) for number in range(4)]
        heard += [pool.submit(on_a_loop, number) for number in range(4)]
        joined.wait(TIMEOUT)
        for _ in range(500):
            log.emit("thread.run.queued", None)
        log.end()
        expected = [f"1.{number}" for number in range(1, 501)]
        assert all(future.result(TIMEOUT) == expected for future in heard)
    assert [event.id for event in log.follow_blocking()] == expected


async def test_a_listener_on_the_writers_loop_hears_in_order() -> None:
    log = EventLog()

    async def follow() -> list[str]:
        return [event.id async for event in log.follow()]

    listening = asyncio.create_task(follow())
    await asyncio.sleep(0)
    for _ in range(3):
        log.emit("thread.run.queued", None)
    log.end()
    assert await listening == ["1.1", "1.2", "1.3"]


async def test_a_listener_that_leaves_is_forgotten() -> None:
    log = filled(2)
    following = log.follow()
    await anext(following)
    await following.aclose()  # type: ignore[attr-defined]
    blocking = log.follow_blocking()
    next(blocking)
    blocking.close()  # type: ignore[attr-defined]
    assert log._listeners == []
    log.emit("thread.run.queued", None)
    log.end()
    assert len([event async for event in log.follow()]) == 3
