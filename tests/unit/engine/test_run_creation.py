"""Runs that tasks of a caller's graph start: found again, taken over, ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.conftest import EngineFactory
from tests.conversations import (
    TIMEOUT,
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
from tests.unit.engine.tasks import TASK, request, wrote

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.graph_tasks import GraphTask
from langchain_assistants.errors import ActiveRunError, InvalidRequestError
from langchain_assistants.testing import Reply, ScriptedChatModel
from langchain_assistants.types.threads import ThreadCreate
from langchain_assistants.types.validation import validate

# A task that is executed again.


async def test_a_task_finds_the_run_that_it_has_completed(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel(["Hello."])
    engine = engine_factory(model)
    asked = request(engine, assistant_with(engine), thread_with(engine).id, "Hi")
    first = await engine.conductor.run(asked)
    before = everything(engine)
    again = await engine_factory.reopen(model).conductor.run(asked)
    assert again.run == first.run
    assert again.messages == first.messages
    assert wrote(again) == ["Hello."]
    assert len(model.calls) == 1
    assert everything(engine) == before


async def test_a_task_finds_what_its_run_requires(
    engine_factory: EngineFactory,
) -> None:
    with_text = Reply("Let me see.", tool_calls=calls("call_a").tool_calls)
    model = ScriptedChatModel([with_text])
    engine = engine_factory(model)
    assistant = assistant_with(engine, "look_up")
    asked = request(engine, assistant, thread_with(engine).id, "Hi")
    first = await engine.conductor.run(asked)
    again = await engine_factory.reopen(model).conductor.run(asked)
    assert again.run.status == "requires_action"
    assert again == first
    assert first.open_step_id is not None
    assert wrote(again) == ["Let me see."]


async def test_another_task_starts_another_run(engine_factory: EngineFactory) -> None:
    engine = engine_factory(["One.", "Two."])
    assistant, thread = assistant_with(engine), thread_with(engine)
    first = await engine.conductor.run(request(engine, assistant, thread.id, "Hi"))
    other = GraphTask("task_2#0", "graph", "assistant")
    asked = request(engine, assistant, thread.id, "Hi", "Bye", task=other)
    second = await engine.conductor.run(asked)
    assert second.run.id != first.run.id
    assert texts(engine, thread.id) == ["Hi", "One.", "Bye", "Two."]


@pytest.mark.parametrize(
    "reply", [ValueError("no"), Reply(usage={"input_tokens": 1, "output_tokens": 999})]
)
async def test_a_run_without_an_answer_is_followed_by_another_and_no_message_doubled(
    engine_factory: EngineFactory, reply: Any
) -> None:
    engine = engine_factory([reply, "At last."])
    assistant, thread = assistant_with(engine), thread_with(engine)
    tight = {"max_completion_tokens": 256} if isinstance(reply, Reply) else {}
    asked = request(engine, assistant, thread.id, "Hi", body=tight)
    first = await engine.conductor.run(asked)
    assert first.run.status in ("failed", "incomplete")
    again = await engine.conductor.run(request(engine, assistant, thread.id, "Hi"))
    assert again.run.status == "completed"
    assert again.run.id != first.run.id
    assert texts(engine, thread.id) == ["Hi", "At last."]
    assert broken_invariants(engine) == []


async def test_a_run_whose_worker_died_is_taken_over_and_the_worker_fenced(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    dead = engine_factory([Reply("Too late.", wait_for=gate)])
    alive = engine_factory.reopen(["In time."])
    asked = request(dead, assistant_with(dead), thread_with(dead).id, "Hi")
    async with asyncio.TaskGroup() as group:
        abandoned = group.create_task(dead.conductor.run(asked))
        await asyncio.to_thread(gate.wait_until_reached)
        taken = await alive.conductor.run(asked)
        gate.open()
    assert taken.run.status == "completed"
    assert wrote(taken) == ["In time."]
    # The abandoned attempt tells its own caller what has really become of the run.
    assert abandoned.result().run == taken.run
    assert texts(alive, taken.run.thread_id) == ["Hi", "In time."]
    [run] = rows(alive, "SELECT attempt, graph_task FROM runs")
    assert run == {"attempt": 2, "graph_task": TASK.id}
    assert broken_invariants(alive) == []


async def test_a_run_that_died_after_its_outputs_came_goes_on_with_them(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    dead = engine_factory([calls("call_a"), Reply("Too late.", wait_for=gate)])
    model = ScriptedChatModel(["In time."])
    alive = engine_factory.reopen(model)
    assistant = assistant_with(dead, "look_up")
    asked = request(dead, assistant, thread_with(dead).id, "Hi")
    waiting = await dead.conductor.run(asked)
    goes_on = GraphTask("task_2#0", "graph", "assistant", waiting.run.id)
    async with asyncio.TaskGroup() as group:
        group.create_task(
            dead.conductor.resume(
                waiting.run.id,
                asked.tenant,
                outputs("call_a"),
                task=goes_on.id,
            )
        )
        await asyncio.to_thread(gate.wait_until_reached)
        again = request(alive, assistant, waiting.run.thread_id, task=goes_on)
        taken = await alive.conductor.run(again)
        gate.open()
    assert taken.run.id == waiting.run.id
    assert wrote(taken) == ["In time."]
    assert [m.text for m in model.calls[0].messages] == ["Hi", "", "output of call_a"]
    assert texts(alive, taken.run.thread_id) == ["Hi", "In time."]
    assert broken_invariants(alive) == []


async def test_a_run_that_executes_in_this_process_is_not_taken_over(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Hello.", wait_for=gate)])
    asked = request(engine, assistant_with(engine), thread_with(engine).id, "Hi")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(engine.conductor.run(asked))
        await asyncio.to_thread(gate.wait_until_reached)
        [run] = engine.runs.list(str(asked.thread))
        with pytest.raises(ActiveRunError, match=run.id):
            await engine.conductor.run(asked)
        gate.open()
    assert wrote(running.result()) == ["Hello."]


async def test_a_run_that_is_being_cancelled_is_not_taken_over(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    dead = engine_factory([Reply("Hello.", wait_for=gate)])
    alive = engine_factory.reopen()
    asked = request(dead, assistant_with(dead), thread_with(dead).id, "Hi")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(dead.conductor.run(asked))
        await asyncio.to_thread(gate.wait_until_reached)
        [run] = alive.runs.list(str(asked.thread))
        assert alive.runs.cancel(run.id).status == "cancelling"
        with pytest.raises(ActiveRunError, match=run.id):
            await alive.conductor.run(asked)
        gate.open()
    assert running.result().run.status in ("cancelled", "completed")
    assert broken_invariants(alive) == []


async def test_a_run_that_waited_for_its_turn_when_its_process_died_waits_again(
    engine_factory: EngineFactory,
) -> None:
    dead = engine_factory([calls("call_a")])
    alive = engine_factory.reopen(["Mine."])
    assistant = assistant_with(dead, "look_up")
    thread = thread_with(dead, "First")
    holding = wait(dead, dead.runs.create(thread.id, assistant_id=assistant.id))
    queue = {"on_active_run": "queue"}
    asked = request(dead, assistant, thread.id, "Hi", body=queue)
    # Its process dies as soon as it is stored.
    created = await dead.conductor._create(asked, None, claimed=True)
    assert (created.row["status"], created.row["head"]) == ("queued", 0)
    async with asyncio.TaskGroup() as group:
        again = group.create_task(alive.conductor.run(asked))
        await alive.conductor.cancel(holding.id, asked.tenant)
    assert again.result().run.id == created.row["id"]
    assert wrote(again.result()) == ["Mine."]
    assert texts(alive, thread.id) == ["First", "Hi", "Mine."]
    assert broken_invariants(alive) == []


async def test_the_tasks_of_another_tenant_are_not_found(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["Hello.", "Hello."])
    assistant, thread = assistant_with(engine), thread_with(engine)
    first = await engine.conductor.run(request(engine, assistant, thread.id, "Hi"))
    engine.portal.call(lambda: _give_away(engine, first.run.id))
    again = await engine.conductor.run(request(engine, assistant, thread.id, "Hi"))
    assert again.run.id != first.run.id


async def _give_away(engine: AssistantsEngine, run_id: str) -> None:
    from sqlalchemy import update

    from langchain_assistants.storage.database import Statement, each, param
    from langchain_assistants.storage.tables import runs

    give = Statement(
        update(runs).where(runs.c.id == param("id")).values(tenant="somebody")
    )
    await engine.database.write(each([give(id=run_id)]))


async def test_a_thread_with_a_key_is_created_once(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["One.", "Two."])
    assistant = assistant_with(engine)
    threads = []
    for number, text in enumerate(("Hi", "Bye")):
        place = engine.threads.new(validate(ThreadCreate, {"key": "graph"}))
        task = GraphTask(f"task_{number}#0", "graph", "assistant")
        asked = request(engine, assistant, place, text, task=task)
        threads.append((await engine.conductor.run(asked)).run.thread_id)
    assert threads[0] == threads[1]
    assert engine.threads.retrieve(threads[0]).key == "graph"
    assert texts(engine, threads[0]) == ["Hi", "One.", "Bye", "Two."]


# Messages that the thread has already.


async def test_a_message_is_taken_once_by_its_id_where_it_comes_from(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["One.", "Two."])
    assistant, thread = assistant_with(engine), thread_with(engine)
    ask = [("a", "b"), ("a", "b", "c")]
    for said in ask:
        asked = request(engine, assistant, thread.id, *said, task=None)
        await engine.conductor.run(asked)
    assert texts(engine, thread.id) == ["a", "b", "One.", "c", "Two."]


async def test_the_threads_own_messages_are_not_taken(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["Yes."])
    assistant, thread = assistant_with(engine), thread_with(engine, "a", "b")
    own = [message.id for message in engine.messages.list(thread.id, order="asc")]
    asked = request(
        engine, assistant, thread.id, "a", "b", "c", source_ids=[*own, "state_c"]
    )
    await engine.conductor.run(asked)
    assert texts(engine, thread.id) == ["a", "b", "c", "Yes."]


async def test_the_same_message_may_be_taken_by_two_threads(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["One.", "Two."])
    assistant = assistant_with(engine)
    for answer in ("One.", "Two."):
        thread = thread_with(engine)
        asked = request(engine, assistant, thread.id, "a", task=None)
        await engine.conductor.run(asked)
        assert texts(engine, thread.id) == ["a", answer]


async def test_a_fork_knows_what_its_origin_had_taken_and_written(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["One.", "Two.", "Three."])
    assistant, thread = assistant_with(engine), thread_with(engine)
    first = await engine.conductor.run(request(engine, assistant, thread.id, "a"))
    state = [("a", "a"), ("One.", first.messages[0].id)]
    for generation, text in enumerate("bc"):
        thread = engine.threads.fork(thread.id)
        state.append((text, text))
        asked = request(
            engine,
            assistant,
            thread.id,
            *(said for said, _ in state),
            source_ids=[source for _, source in state],
            task=None,
        )
        answer = (await engine.conductor.run(asked)).messages[0]
        state.append((answer.text, answer.id))
        assert texts(engine, thread.id) == [said for said, _ in state]
        assert len(state) == 2 * generation + 4
    assert broken_invariants(engine) == []


async def test_messages_of_a_full_thread_that_it_has_already_need_no_room(
    engine_factory: EngineFactory,
) -> None:
    from langchain_assistants import Settings

    settings = Settings(max_messages_per_thread=2)
    engine = engine_factory(["One.", "Two."], settings=settings)
    assistant, thread = assistant_with(engine), thread_with(engine)
    for _ in range(2):
        asked = request(engine, assistant, thread.id, "a", task=None)
        await engine.conductor.run(asked)
    with pytest.raises(InvalidRequestError, match="full"):
        await engine.conductor.run(
            request(engine, assistant, thread.id, "a", "b", task=None)
        )


# Tools of the caller.


async def test_the_callers_tools_are_added_to_the_assistants_and_never_replace_them(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel(["Yes."])
    engine = engine_factory(model)
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine)
    other = function("look_up")
    other["function"]["description"] = "Another of the same name"
    asked = request(
        engine, assistant, thread.id, "a", tools=[other, function("write_down")]
    )
    run = (await engine.conductor.run(asked)).run
    assert model.calls[0].tool_names == ["look_up", "write_down"]
    assert [tool.to_dict() for tool in run.tools] == [
        *(tool.to_dict() for tool in assistant.tools),
        function("write_down"),
    ]
    assert engine.assistants.retrieve(assistant.id) == assistant


# Completing a run without the model.


async def test_a_run_is_completed_with_outputs_and_the_model_not_asked(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel([calls("call_a", "call_b"), "Later."])
    engine = engine_factory(model)
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    given = outputs("call_b", "call_a")
    done = await engine.conductor.finish(
        run.id, engine.threads.tenant, given, task="task_2#0"
    )
    assert done.run.status == "completed"
    assert done.run.usage == run.usage
    assert len(model.calls) == 1
    [step] = engine.steps.list(run.id)
    assert step.status == "completed"
    assert rows(engine, "SELECT graph_task FROM runs") == [{"graph_task": "task_2#0"}]
    later = engine.runs.create(
        thread.id, assistant_id=assistant.id, additional_messages=[user("And?")]
    )
    assert wait(engine, later).status == "completed"
    assert [message.text for message in model.calls[1].messages] == [
        *("Hi", "", "output of call_a", "output of call_b", "And?")
    ]
    assert broken_invariants(engine) == []


@pytest.mark.parametrize(
    "given",
    [
        outputs("call_a"),
        outputs("call_a", "call_b", "call_c"),
        outputs("call_a", "call_x"),
        outputs("call_a", "call_a"),
        [],
        [{"tool_call_id": id, "output": {"no": "text"}} for id in ("call_a", "call_b")],
    ],
)
async def test_other_outputs_than_those_required_complete_nothing(
    engine_factory: EngineFactory, given: list[dict[str, Any]]
) -> None:
    engine = engine_factory([calls("call_a", "call_b")])
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    before = everything(engine)
    with pytest.raises(InvalidRequestError):
        await engine.conductor.finish(run.id, engine.threads.tenant, given)
    assert everything(engine) == before


async def test_a_run_that_has_ended_cannot_be_completed(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls("call_a")])
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    tenant = engine.threads.tenant
    await engine.conductor.finish(run.id, tenant, outputs("call_a"))
    with pytest.raises(InvalidRequestError, match="completed"):
        await engine.conductor.finish(run.id, tenant, outputs("call_a"))


async def test_the_run_that_waits_behind_it_takes_its_turn(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls("call_a"), "Mine."])
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    waiting = await engine.runs.acreate(
        thread.id, assistant_id=assistant.id, on_active_run="queue"
    )
    await engine.conductor.finish(run.id, engine.threads.tenant, outputs("call_a"))
    ended = await engine.runs.await_(waiting.id, timeout=TIMEOUT)
    assert ended.status == "completed"
    assert texts(engine, thread.id) == ["Hi", "Mine."]
