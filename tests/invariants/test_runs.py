from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId
from tests.conftest import Clock, EngineFactory
from tests.conversations import (
    TIMEOUT,
    Gate,
    assistant_with,
    calls,
    function,
    hosted,
    outputs,
    texts,
    thread_with,
    user,
    wait,
)
from tests.stored import ACTIVE, broken_invariants, rows

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.run_changes import Ending, Fenced, end_run
from langchain_assistants.engine.run_rows import run_row
from langchain_assistants.engine.transitions import Trigger
from langchain_assistants.errors import (
    ActiveRunError,
    InvalidRequestError,
    StorageError,
)
from langchain_assistants.storage.database import Transaction
from langchain_assistants.testing import (
    Reply,
    ScriptedChatModel,
    call,
    malformed_call,
)
from langchain_assistants.types import RunEvent

BOTH = Reply(
    tool_calls=[
        call("look_up", {"q": "x"}, "call_ours"),
        call("ask", {"q": "y"}, "call_yours"),
    ]
)
BOTH_TOOLS = [hosted("look_up"), function("ask")]


def statuses(engine: AssistantsEngine) -> set[str]:
    return {row["status"] for row in rows(engine, "SELECT status FROM runs")}


class Counter:
    """A tool that counts its calls."""

    def __init__(self) -> None:
        self.count = 0

    def tool(self) -> Any:
        def look_up(q: str) -> str:
            """Look something up."""
            self.count += 1
            return f"found {q}"

        return look_up


def test_one_active_run_per_thread(engine_factory: EngineFactory) -> None:
    gate = Gate()
    model = ScriptedChatModel([Reply("one", wait_for=gate)])
    engines = [engine_factory(model)]
    engines.append(engine_factory.reopen(model))
    thread, assistant = thread_with(engines[0], "Hi"), assistant_with(engines[0])

    def create(number: int) -> str | None:
        runs = engines[number % 2].runs
        try:
            return runs.create(thread.id, assistant_id=assistant.id).id
        except ActiveRunError:
            return None

    with ThreadPoolExecutor(8) as pool:
        created = [run_id for run_id in pool.map(create, range(16)) if run_id]
    assert len(created) == 1
    [row] = rows(engines[0], "SELECT * FROM runs")
    second = {**row, "seq": None, "id": "run_second"}
    marks = ", ".join("?" for _ in second)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        rows(engines[0], f"INSERT INTO runs VALUES ({marks})", *second.values())
    gate.open()
    assert engines[0].runs.wait(created[0], timeout=TIMEOUT).status == "completed"


async def test_terminal_status_never_changes(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(
        [
            "completed",
            ValueError("failed"),
            Reply("incomplete", usage={"input_tokens": 1, "output_tokens": 300}),
            calls("call_a"),
            calls("call_b"),
        ],
        clock=clock,
    )
    assistant = await engine.assistants.acreate(model="m", tools=[function("look_up")])
    ended: dict[str, str] = {}
    for status in ("completed", "failed", "incomplete", "cancelled", "expired"):
        thread = await engine.threads.acreate(messages=[user("Hi")])
        run = await engine.runs.acreate(
            thread.id, assistant_id=assistant.id, max_completion_tokens=256
        )
        await engine.runs.await_(run.id, timeout=TIMEOUT)
        if status == "cancelled":
            await engine.runs.acancel(run.id)
        elif status == "expired":
            clock.advance(600)
        assert (await engine.runs.aretrieve(run.id)).status == status
        ended[run.id] = status
    before = rows(engine, "SELECT * FROM runs ORDER BY seq")
    for run_id in ended:
        for trigger in (
            Trigger.COMPLETE,
            Trigger.EXHAUST,
            Trigger.FAIL,
            Trigger.CANCEL,
            Trigger.EXPIRE,
        ):

            def end(run_id: str = run_id, trigger: Trigger = trigger) -> Any:
                row = yield from run_row(run_id, "default")
                return (yield from end_run(row, Ending(trigger), clock()))

            with pytest.raises(Fenced):
                await engine.database.write(end())
        with pytest.raises(InvalidRequestError, match="Cannot cancel run"):
            await engine.runs.acancel(run_id)
        with pytest.raises(InvalidRequestError, match="do not accept tool outputs"):
            await engine.runs.asubmit_tool_outputs(
                run_id, tool_outputs=outputs("call_a")
            )
    clock.advance(10_000)
    for run_id, status in ended.items():
        assert (await engine.runs.aretrieve(run_id)).status == status
    assert rows(engine, "SELECT * FROM runs ORDER BY seq") == before


def test_a_cancel_and_an_end_at_the_same_time_leave_one_of_them(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(ScriptedChatModel(respond=lambda *_: "Hello."))
    assistant = assistant_with(engine)
    for _ in range(20):
        thread = thread_with(engine, "Hi")
        run = engine.runs.create(thread.id, assistant_id=assistant.id)
        try:
            engine.runs.cancel(run.id)
        except InvalidRequestError:
            assert engine.runs.retrieve(run.id).status == "completed"
        ended = wait(engine, run)
        assert ended.status in ("cancelled", "completed")
        assert engine.runs.retrieve(run.id) == ended
    assert broken_invariants(engine) == []


def unpaired(messages: Sequence[BaseMessage]) -> set[str]:
    """Return ids of calls without an output, and of outputs without a call."""
    made = [
        one["id"]
        for message in messages
        if isinstance(message, AIMessage)
        for one in (*message.tool_calls, *message.invalid_tool_calls)
    ]
    answered = [m.tool_call_id for m in messages if isinstance(m, ToolMessage)]
    assert len(made) == len(set(made))
    assert len(answered) == len(set(answered))
    return {id or "" for id in set(made) ^ set(answered)}


def test_every_tool_call_has_an_output_before_the_next_model_call(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()

    def look_up(q: str) -> str:
        """Look something up."""
        if q == "raise":
            raise ValueError("broken")
        if q == "block":
            gate.pass_through()
        return q

    model = ScriptedChatModel(
        [
            Reply(
                tool_calls=[
                    call("look_up", {"q": "fine"}),
                    call("look_up", {"q": "raise"}),
                    call("look_up", {"wrong": 1}),
                    call("unknown", {}),
                ],
                malformed=[malformed_call("look_up", "q=1")],
            ),
            BOTH,
            "Done.",
            Reply(tool_calls=[call("look_up", {"q": "block"})]),
            "After the cancelled one.",
            calls("call_left", name="ask"),
            "After the one that was left.",
        ]
    )
    engine = engine_factory(model, tools=[look_up])
    assistant = engine.assistants.create(model="m", tools=BOTH_TOOLS)
    thread = thread_with(engine, "Hi")

    def start() -> Any:
        return engine.runs.create(thread.id, assistant_id=assistant.id)

    run = wait(engine, start())
    engine.runs.submit_tool_outputs(run.id, tool_outputs=outputs("call_yours"))
    assert wait(engine, run).status == "completed"
    blocked = start()
    gate.wait_until_reached()
    engine.runs.cancel(blocked.id)
    wait(engine, blocked)
    assert wait(engine, start()).status == "completed"
    left = wait(engine, start())
    engine.runs.cancel(left.id)
    assert wait(engine, start()).status == "completed"
    gate.open()
    model.assert_consumed()
    for asked in model.calls:
        assert unpaired(asked.messages) == set()
    assert broken_invariants(engine) == []


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (["Hello."], "completed"),
        ([ValueError("x")], "failed"),
        ([Reply("", tool_calls=[])], "completed"),
        ([Reply(tool_calls=[call("unknown")]), "ok"], "completed"),
        ([Reply(malformed=[malformed_call("look_up", "q=1")]), "ok"], "completed"),
        ([Reply("x", usage={"input_tokens": 1, "output_tokens": 999})], "incomplete"),
        ([Reply(tool_calls=[call("look_up", {"q": "raise"})])], "failed"),
        ([Reply("", refusal="No.")], "completed"),
    ],
)
def test_no_thread_left_busy(
    engine_factory: EngineFactory, script: list[Any], status: str
) -> None:
    def look_up(q: str) -> str:
        """Look something up."""
        raise ValueError(q)

    engine = engine_factory([*script, "And on."], tools=[look_up])
    assistant = engine.assistants.create(model="m", tools=[hosted("look_up")])
    thread = thread_with(engine, "Hi")
    run = engine.runs.create(
        thread.id,
        assistant_id=assistant.id,
        max_completion_tokens=500,
        tool_errors="fail",
    )
    assert wait(engine, run).status == status
    assert broken_invariants(engine) == []
    engine.messages.create(thread.id, **user("And now?"))
    again = engine.runs.create(thread.id, assistant_id=assistant.id)
    assert wait(engine, again).status == "completed"
    assert not statuses(engine) & set(ACTIVE)


def test_a_finished_tool_call_is_never_executed_again(
    engine_factory: EngineFactory,
) -> None:
    first, second = Counter(), Counter()
    engine = engine_factory([BOTH], tools=[first.tool()])
    assistant = engine.assistants.create(model="m", tools=BOTH_TOOLS)
    thread = thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    assert (run.status, first.count) == ("requires_action", 1)
    engine.close()
    model = ScriptedChatModel(["Done."])
    resumed = engine_factory.reopen(model, tools=[second.tool()])
    resumed.runs.submit_tool_outputs(run.id, tool_outputs=outputs("call_yours"))
    assert wait(resumed, run).status == "completed"
    assert (first.count, second.count) == (1, 0)
    answers = {
        m.tool_call_id: m.content
        for m in model.calls[0].messages
        if isinstance(m, ToolMessage)
    }
    assert answers == {
        "call_ours": "found x",
        "call_yours": "output of call_yours",
    }


def test_a_waiting_run_that_ends_takes_nothing_from_the_run_before_it(
    engine_factory: EngineFactory,
) -> None:
    counter = Counter()
    engine = engine_factory([BOTH], tools=[counter.tool()])
    assistant = engine.assistants.create(model="m", tools=BOTH_TOOLS)
    thread = thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    waiting = engine.runs.create(
        thread.id, assistant_id=assistant.id, on_active_run="queue"
    )
    assert engine.runs.cancel(waiting.id).status == "cancelled"
    engine.close()
    model = ScriptedChatModel(["Done."])
    resumed = engine_factory.reopen(model, tools=[counter.tool()])
    resumed.runs.submit_tool_outputs(run.id, tool_outputs=outputs("call_yours"))
    assert wait(resumed, run).status == "completed"
    asked = [message.type for message in model.calls[0].messages]
    assert asked == ["human", "ai", "tool", "tool"]
    assert (counter.count, texts(resumed, thread.id)) == (1, ["Hi", "Done."])
    assert broken_invariants(resumed) == []


def test_a_finished_tool_call_is_never_executed_again_where_it_is_taken_over(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    gate = Gate()
    held: list[str] = []

    def hold(q: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
        """Hold the line."""
        held.append(tool_call_id)
        gate.pass_through()
        return f"held {q}"

    both = Reply(
        tool_calls=[call("look_up", {"q": "x"}, "a"), call("hold", {"q": "y"}, "b")]
    )
    first, second = Counter(), Counter()
    engine = engine_factory([both], tools=[first.tool(), hold], clock=clock)
    assistant = engine.assistants.create(
        model="m", tools=[hosted("look_up"), hosted("hold")]
    )
    thread = thread_with(engine, "Hi")
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    while not rows(engine, "SELECT 1 FROM tool_outputs"):
        assert statuses(engine) == {"in_progress"}
    # Nobody hears its heart beat; its lease is over before the other one looks.
    engine._heartbeat.stop()
    clock.advance(engine.settings.lease + 1)
    model = ScriptedChatModel(["Done."])
    heir = engine_factory.reopen(model, tools=[second.tool(), hold], clock=clock)
    heir._heartbeat.stop()
    heir._heartbeat._suspects.patience = 0.0
    heir.portal.call(heir._heartbeat.sweep)
    gate.open()
    assert wait(heir, run).status == "completed"
    assert (first.count, second.count) == (1, 0)
    assert held == ["b", "b"]
    assert [m.content for m in model.calls[0].messages[2:]] == ["found x", "held y"]
    assert texts(heir, thread.id) == ["Hi", "Done."]
    assert broken_invariants(heir) == []


@pytest.mark.parametrize("failing", range(1, 5))
def test_a_database_error_makes_no_finished_tool_call_execute_again(
    engine_factory: EngineFactory, failing: int
) -> None:
    def answer(messages: Sequence[BaseMessage], _: Any) -> Reply | str:
        if isinstance(messages[-1], ToolMessage):
            return "Done."
        return Reply(tool_calls=[call("look_up", {"q": "x"})])

    counter = Counter()
    engine = engine_factory(ScriptedChatModel(respond=answer), tools=[counter.tool()])
    assistant = engine.assistants.create(model="m", tools=[hosted("look_up")])
    thread = thread_with(engine, "Hi")
    write, counted = engine.database.write, 0
    finished_before = -1

    async def fail_once(transaction: Transaction[Any]) -> Any:
        nonlocal counted, finished_before
        counted += 1
        if counted == failing + 1:  # the first one creates the run
            known = rows(engine, "SELECT count(*) AS n FROM tool_outputs")
            finished_before = known[0]["n"]
            transaction.close()
            raise StorageError("The disk had a hiccup.")
        return await write(transaction)

    engine.database.write = fail_once  # type: ignore[method-assign]
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    ended = engine.runs.wait(run.id, timeout=TIMEOUT)
    assert ended.status == "completed"
    # A call whose output was never stored has not finished; any other one has.
    executed_twice = counter.count - 1
    assert executed_twice in (0, 1)
    if finished_before == 1:
        assert executed_twice == 0
    assert texts(engine, thread.id) == ["Hi", "Done."]
    assert broken_invariants(engine) == []


def test_no_message_is_lost_or_doubled(engine_factory: EngineFactory) -> None:
    def echo(messages: Any, _: Any) -> str:
        said = [m for m in messages if m.type == "human"]
        return f"echo {said[-1].content}"

    engine = engine_factory(ScriptedChatModel(respond=echo))
    assistant, thread = assistant_with(engine), thread_with(engine)

    def say(number: int) -> str:
        run = engine.runs.create(
            thread.id,
            assistant_id=assistant.id,
            additional_messages=[user(f"say {number}")],
            on_active_run="queue",
        )
        return wait(engine, run).status

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(say, range(12))) == {"completed"}
    said = texts(engine, thread.id)
    assert sorted(said[::2]) == sorted(f"say {number}" for number in range(12))
    assert said[1::2] == [f"echo {text}" for text in said[::2]]
    [row] = rows(engine, "SELECT last_seq FROM threads")
    seqs = rows(engine, "SELECT seq FROM messages ORDER BY seq")
    assert [item["seq"] for item in seqs] == list(range(1, row["last_seq"] + 1))


def test_event_numbers_are_dense(engine_factory: EngineFactory) -> None:
    counter = Counter()
    engine = engine_factory(
        [BOTH, Reply(tool_calls=[call("look_up", {"q": "z"})]), "Done."],
        tools=[counter.tool()],
    )
    assistant = engine.assistants.create(model="m", tools=BOTH_TOOLS)
    thread = thread_with(engine, "Hi")
    first = list(engine.runs.stream(thread.id, assistant_id=assistant.id))
    run: Any = first[-1].data
    second = list(
        engine.runs.submit_tool_outputs_stream(
            run.id, tool_outputs=outputs("call_yours")
        )
    )
    assert ids(first) == [f"1.{n}" for n in range(1, len(first) + 1)]
    assert ids(second) == [f"2.{n}" for n in range(1, len(second) + 1)]
    assert second[-1].event == "thread.run.completed"


def ids(events: Sequence[RunEvent]) -> list[str]:
    return [event.id for event in events]
