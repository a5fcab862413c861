"""Where a caller's graph went back to an older state, its next run gets a fork."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import EngineFactory
from tests.conversations import assistant_with, calls, outputs, texts, thread_with
from tests.stored import broken_invariants, everything
from tests.unit.engine.tasks import request

from langchain_assistants.engine.graph_tasks import GraphTask, is_superseded
from langchain_assistants.testing import Reply, ScriptedChatModel

RULES: dict[str, tuple[list[tuple[Any, str, str]], GraphTask, bool]] = {
    # the runs (reply, graph thread, node), the task that continues the first, forked?
    "the named run is the newest": (
        [("One.", "graph", "a")],
        GraphTask("t", "graph", "a"),
        False,
    ),
    "this node has answered since": (
        [("One.", "graph", "a"), ("Two.", "graph", "a")],
        GraphTask("t", "graph", "a"),
        True,
    ),
    "this node has required action since": (
        [("One.", "graph", "a"), (calls("call_a"), "graph", "a")],
        GraphTask("t", "graph", "a"),
        True,
    ),
    "the node of the named run has answered since": (
        [("One.", "graph", "a"), ("Two.", "graph", "a")],
        GraphTask("t", "graph", "b"),
        True,
    ),
    "a third node has answered since": (
        [("One.", "graph", "a"), ("Two.", "graph", "c")],
        GraphTask("t", "graph", "b"),
        False,
    ),
    "another graph has answered since": (
        [("One.", "graph", "a"), ("Two.", "other graph", "a")],
        GraphTask("t", "graph", "a"),
        False,
    ),
    "what came since has failed": (
        [("One.", "graph", "a"), (ValueError("no"), "graph", "a")],
        GraphTask("t", "graph", "a"),
        False,
    ),
    "one failed and one answered since": (
        [
            ("One.", "graph", "a"),
            (ValueError("no"), "graph", "a"),
            ("Two.", "graph", "a"),
        ],
        GraphTask("t", "graph", "a"),
        True,
    ),
}


@pytest.mark.parametrize("rule", RULES)
async def test_a_state_is_superseded_by_newer_answers_of_its_graph(
    engine_factory: EngineFactory, rule: str
) -> None:
    made, task, superseded = RULES[rule]
    engine = engine_factory([reply for reply, *_ in made] + ["New."])
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine)
    runs = []
    for number, (_, graph, node) in enumerate(made):
        asked = request(
            engine,
            assistant,
            thread.id,
            f"h{number}",
            task=GraphTask(f"task_{number}#0", graph, node),
        )
        runs.append((await engine.conductor.run(asked)).run)
    task = GraphTask(task.id, task.thread, task.node, runs[0].id)
    found = await engine.database.read(is_superseded(task, thread.id))
    assert found is superseded
    before = texts(engine, thread.id)
    asked = request(engine, assistant, thread.id, "new", task=task)
    run = (await engine.conductor.run(asked)).run
    if not superseded:
        assert run.thread_id == thread.id
        return
    assert run.thread_id != thread.id
    assert engine.threads.retrieve(run.thread_id).parent_id == thread.id
    assert texts(engine, run.thread_id) == ["h0", "One.", "new", "New."]
    assert texts(engine, thread.id) == before
    assert broken_invariants(engine) == []


async def test_a_state_that_names_a_run_of_another_thread_forks_nothing(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["One.", "Two.", "Three."])
    assistant = assistant_with(engine)
    runs = []
    for number in range(2):
        task = GraphTask(f"task_{number}#0", "graph", "a")
        asked = request(engine, assistant, thread_with(engine).id, "a", task=task)
        runs.append((await engine.conductor.run(asked)).run)
    task = GraphTask("t", "graph", "a", runs[0].id)
    asked = request(engine, assistant, runs[1].thread_id, "new", task=task)
    assert (await engine.conductor.run(asked)).run.thread_id == runs[1].thread_id


async def test_outputs_for_a_run_that_has_ended_go_to_a_fork_of_that_round(
    engine_factory: EngineFactory,
) -> None:
    with_text = Reply("Let me see.", tool_calls=calls("call_b").tool_calls)
    model = ScriptedChatModel([calls("call_a"), with_text, "Old.", "New.", "Then."])
    engine = engine_factory(model)
    assistant, thread = assistant_with(engine, "look_up"), thread_with(engine)
    run = (await engine.conductor.run(request(engine, assistant, thread.id, "h"))).run
    tenant = engine.threads.tenant
    await engine.conductor.resume(run.id, tenant, outputs("call_a"))
    await engine.conductor.resume(run.id, tenant, outputs("call_b"))
    before = everything(engine)
    again = request(
        engine,
        assistant,
        thread.id,
        task=GraphTask("replayed#0", "graph", "assistant", run.id),
        outputs={"call_b": "another output"},
    )
    fork = (await engine.conductor.run(again)).run
    seen = model.calls[-1].messages
    assert [message.text for message in seen] == [
        *("h", "", "output of call_a", "Let me see.", "another output")
    ]
    assert [message.type for message in seen] == ["human", "ai", "tool", "ai", "tool"]
    assert texts(engine, fork.thread_id) == ["h", "Let me see.", "New."]
    after = everything(engine)
    for table, stored in before.items():
        assert [row for row in stored if row not in after[table]] == []
    assert engine.messages.list(thread.id).data[0].text == "Old."
    # The replayed task is executed again: it has its answer.
    assert (await engine.conductor.run(again)).run == fork
    # The copied run can be looked at like any other.
    copied = next(r for r in engine.runs.list(fork.thread_id) if r.id != fork.id)
    assert copied.status == "completed"
    assert len(engine.steps.list(copied.id).data) == 2
    said = engine.messages.list(fork.thread_id, run_id=copied.id)
    assert [message.text for message in said] == ["Let me see."]
    assert broken_invariants(engine) == []
