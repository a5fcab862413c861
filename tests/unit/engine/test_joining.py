"""Joining a run: its live events, its recent ones, and the replay of any other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.conftest import EngineFactory
from tests.conversations import (
    Gate,
    assistant_with,
    calls,
    hosted,
    names,
    outputs,
    thread_with,
)

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.events import EventLog, event_number
from langchain_assistants.engine.recent_logs import RecentLogs
from langchain_assistants.engine.replay import replayed
from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.testing import Reply
from langchain_assistants.types import Run, RunEvent
from langchain_assistants.types.records import RunRecord


async def followed(
    engine: AssistantsEngine, run_id: str, after: str | None = None
) -> list[RunEvent]:
    return [event async for event in engine.runs.afollow(run_id, after=after)]


def look_up(q: str) -> str:
    """Look something up."""
    return f"found {q}"


async def test_a_live_run_is_joined_where_the_caller_left_it(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Hello, Ada.", wait_for=gate)])
    thread = await engine.threads.acreate()
    assistant = await engine.assistants.acreate(model="m")
    live = engine.runs.astream(thread.id, assistant_id=assistant.id)
    seen = [await anext(live) for _ in range(3)]
    await live.aclose()
    gate.open()
    run = seen[0].data
    assert isinstance(run, Run)
    rest = await followed(engine, run.id, seen[-1].id)
    ids = [event.id for event in [*seen, *rest]]
    assert ids == [f"1.{number}" for number in range(1, len(ids) + 1)]
    assert await followed(engine, run.id) == [*seen, *rest]
    assert await followed(engine, run.id, ids[-2]) == rest[-1:]


@pytest.mark.parametrize(
    "steps",
    [
        ["Hello, Ada."],
        [calls("call_a", "call_b"), "Both."],
        [ValueError("no such model")],
    ],
    ids=["text", "tools", "failure"],
)
async def test_a_replay_tells_the_story_that_was_told_live(
    engine_factory: EngineFactory, steps: Sequence[object]
) -> None:
    engine = engine_factory(steps, tools=[look_up])
    thread = await engine.threads.acreate()
    assistant = await engine.assistants.acreate(model="m", tools=[hosted("look_up")])
    live = [
        event
        async for event in engine.runs.astream(thread.id, assistant_id=assistant.id)
    ]
    told, run = RunRecord(), live[0].data
    assert isinstance(run, Run)
    for event in live:
        told.add(event)
    engine.conductor.recent_logs.add(run.id, None)
    again = await followed(engine, run.id)
    assert names(again) == names(live)
    assert [event.id for event in again] == [f"0.{n + 1}" for n in range(len(again))]
    retold = RunRecord()
    for event in again:
        retold.add(event)
    assert (retold.run, retold.steps, retold.messages) == (
        told.run,
        told.steps,
        told.messages,
    )
    assert await followed(engine, run.id, "0.3") == again[3:]
    assert await followed(engine, run.id, "1.3") == again


async def test_a_run_that_goes_on_unheard_is_replayed_at_its_stop(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls("call_a"), "Done."])
    assistant = await engine.assistants.acreate(
        model="m", tools=[{"type": "function", "function": {"name": "look_up"}}]
    )
    events = engine.runs.astream_with_thread(assistant_id=assistant.id, thread=None)
    streamed = [event async for event in events]
    run = streamed[-1].data
    assert isinstance(run, Run)
    assert run.status == "requires_action"
    await engine.runs.asubmit_tool_outputs(run.id, tool_outputs=outputs("call_a"))
    again = await followed(engine, run.id)
    assert again[0].id == "0.1"
    assert again[-1].event == "thread.run.completed"


async def test_a_cancelled_run_is_replayed_as_cancelled(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Hello.", wait_for=gate)])
    assistant = await engine.assistants.acreate(model="m")
    run = await engine.runs.acreate_with_thread(assistant_id=assistant.id)
    await engine.runs.acancel(run.id)
    gate.open()
    told = [event.event for event in await followed(engine, run.id)]
    assert told[-2:] == ["thread.run.cancelling", "thread.run.cancelled"]


async def test_another_tenants_run_is_not_there_to_be_joined(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["Hello."])
    assistant = await engine.assistants.acreate(model="m")
    run = await engine.runs.acreate_with_thread(assistant_id=assistant.id)
    with pytest.raises(NotFoundError):
        await anext(engine.for_tenant("other").runs.afollow(run.id))
    await engine.runs.await_(run.id, timeout=20)


def test_a_run_is_created_with_its_thread(engine_factory: EngineFactory) -> None:
    engine = engine_factory(["Hello."])
    assistant = assistant_with(engine)
    run = engine.runs.create_with_thread(
        assistant_id=assistant.id,
        thread={
            "messages": [{"role": "user", "content": "Hi"}],
            "metadata": {"k": "v"},
        },
        tool_resources={"code_interpreter": {"file_ids": []}},
    )
    assert run.status == "queued"
    assert engine.threads.retrieve(run.thread_id).metadata == {"k": "v"}
    assert engine.runs.wait(run.id, timeout=20).status == "completed"
    with pytest.raises(InvalidRequestError, match="for a run that streams"):
        engine.runs.create_with_thread(assistant_id=assistant.id, stream=True)


def test_a_run_is_streamed_and_joined_without_a_loop(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["Hello, Ada."])
    live = [*engine.runs.stream_with_thread(assistant_id=assistant_with(engine).id)]
    assert live[0].event == "thread.created"
    run = live[1].data
    assert isinstance(run, Run)
    assert [*engine.runs.follow(run.id, after=live[3].id)] == live[4:]
    engine.conductor.recent_logs.add(run.id, None)
    assert [*engine.runs.follow(run.id)][-1] == RunEvent(
        "thread.run.completed", live[-1].data, f"0.{len(live) - 2}"
    )


def test_tenants_share_an_engine_and_nothing_else(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    other = engine.for_tenant("other")
    thread = thread_with(engine, "Hi")
    with pytest.raises(NotFoundError):
        other.messages.list(thread.id)
    with pytest.raises(NotFoundError):
        other.runs.create(thread.id, assistant_id=assistant_with(engine).id)
    key = {"key": "customer:1"}
    assert engine.threads.create(**key).id != other.threads.create(**key).id


def log_of(*events: str, ended: bool = True) -> EventLog:
    log = EventLog()
    for event in events:
        log.emit(event, None)  # type: ignore[arg-type]
    if ended:
        log.end()
    return log


def test_the_logs_of_ended_runs_make_room_and_those_of_live_ones_do_not() -> None:
    logs = RecentLogs(most_events=3)
    live = log_of("thread.run.created", "thread.run.queued", ended=False)
    ended = log_of("thread.run.created", "thread.run.completed")
    logs.add("run_live", live)
    logs.add("run_ended", ended)
    assert logs.get("run_ended") is ended
    logs.add("run_new", log_of("thread.run.completed"))
    assert logs.get("run_ended") is None
    assert logs.get("run_live") is live
    logs.add("run_live", None)
    assert logs.get("run_live") is None


def test_a_log_that_ended_before_its_run_is_no_story_to_tell() -> None:
    logs = RecentLogs()
    logs.add("run_1", log_of("thread.run.created", "thread.run.in_progress"))
    assert logs.get("run_1") is None
    logs.add("run_1", log_of())
    assert logs.get("run_1") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.12", (1, 12)), (None, (0, 0)), ("", (0, 0)), ("a.b", (0, 0)), ("7", (0, 0))],
)
def test_an_event_id_is_read_leniently(
    text: str | None, number: tuple[int, int]
) -> None:
    assert event_number(text) == number


def test_a_replay_of_nothing_but_a_run_has_its_begin_and_its_end() -> None:
    run = Run(
        id="run_1",
        created_at=0,
        thread_id="thread_1",
        assistant_id="asst_1",
        status="expired",
        model="m",
    )
    told = [event.event for event in replayed(RunRecord(run))]
    assert told == ["thread.run.created", "thread.run.queued", "thread.run.expired"]
