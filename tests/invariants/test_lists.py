from __future__ import annotations

from collections.abc import Callable

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from tests.conftest import EngineFactory
from tests.conversations import assistant_with, hosted, thread_with, user, wait
from tests.stored import rows, seed_messages

from langchain_assistants import AssistantsEngine, Settings, create_assistant_graph
from langchain_assistants.testing import Reply, ScriptedChatModel, call


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 7])
def test_pages_never_repeat_or_skip(
    engine_factory: EngineFactory, order: str, limit: int
) -> None:
    engine = engine_factory()
    thread = thread_with(engine, *(f"{n}" for n in range(20)))
    there = [m.id for m in engine.messages.list(thread.id, order="asc", limit=100)]
    removed = {there[5], there[14]}
    found: list[str] = []
    page = engine.messages.list(thread.id, order=order, limit=limit)  # type: ignore[arg-type]
    turned = 0
    while True:
        found += [message.id for message in page.data]
        if not page.has_next_page():
            break
        # Meanwhile others write, and delete what has not been reached or has been.
        if turned < 5:
            engine.messages.create(thread.id, **user(f"new {turned}"))
        for message_id in sorted(removed):
            if message_id not in (page.last_id, *found) and turned == 0:
                engine.messages.delete(message_id)
        page = page.get_next_page()
        turned += 1
    assert len(found) == len(set(found))
    stays = [id for id in there if id not in removed]
    wanted = stays if order == "asc" else stays[::-1]
    assert [id for id in found if id in stays] == wanted


def ping(q: str) -> str:
    """Answer."""
    return f"pong {q}"


def turn_cost(
    engine: AssistantsEngine, seeded: int, run_turn: Callable[[str], None]
) -> tuple[list[str], int]:
    """Return the statements of a turn, without their values."""
    thread = thread_with(engine)
    seed_messages(engine, thread.id, seeded)
    run_turn(thread.id)  # what is prepared once
    statements: list[str] = []
    engine.database.trace(statements.append)
    run_turn(thread.id)
    engine.database.trace(None)
    for statement in statements:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            plan = rows(engine, f"EXPLAIN QUERY PLAN {statement}")
            details = [row["detail"] for row in plan]
            assert not any(
                detail.startswith(("SCAN messages", "SCAN runs", "SCAN threads"))
                or (
                    detail == "USE TEMP B-TREE FOR ORDER BY"
                    and "FROM run_checkpoints" not in statement  # one a run
                )
                or detail == "SEARCH messages USING PRIMARY KEY (thread_id=?)"
                for detail in details
            ), (statement[:200], details)
    return [s.split()[0] for s in statements], sum(map(len, statements))


def turn_of_the_engine(engine: AssistantsEngine) -> Callable[[str], None]:
    assistant = engine.assistants.create(model="m", tools=[hosted("ping")])

    def run_turn(thread_id: str) -> None:
        engine.messages.create(thread_id, **user("And now?"))
        run = engine.runs.create(thread_id, assistant_id=assistant.id)
        assert wait(engine, run).status == "completed"

    return run_turn


def turn_of_a_graph(engine: AssistantsEngine) -> Callable[[str], None]:
    assistant = engine.assistants.create(model="m")
    graph = create_assistant_graph(
        assistant, [ping], engine=engine, checkpointer=InMemorySaver()
    )

    def run_turn(thread_id: str) -> None:
        state = graph.invoke(
            {"messages": "And now?"}, {"configurable": {"thread_id": thread_id}}
        )
        assert state["status"] == "completed"

    return run_turn


@pytest.mark.parametrize("face", [turn_of_the_engine, turn_of_a_graph])
def test_turn_cost_does_not_grow_with_the_thread(
    engine_factory: EngineFactory,
    no_heartbeat: Settings,
    face: Callable[[AssistantsEngine], Callable[[str], None]],
) -> None:
    def model() -> ScriptedChatModel:
        asks = Reply(tool_calls=[call("ping", {"q": "x"})])
        return ScriptedChatModel([asks, "Done."] * 2)

    small_model, large_model = model(), model()
    small_engine = engine_factory(small_model, tools=[ping], settings=no_heartbeat)
    large_engine = engine_factory(large_model, tools=[ping], settings=no_heartbeat)
    small = turn_cost(small_engine, 100, face(small_engine))
    large = turn_cost(large_engine, 20_000, face(large_engine))
    # Looking at the run while it executes is the caller's, and a matter of time.
    assert writes(large[0]) == writes(small[0])
    assert abs(len(large[0]) - len(small[0])) <= 4
    assert large[1] < 1.1 * small[1]
    prompts = [len(m.calls[-1].messages) for m in (small_model, large_model)]
    assert prompts[0] == prompts[1]


def writes(statements: list[str]) -> list[str]:
    return [verb for verb in statements if verb != "SELECT"]


def test_a_list_of_a_long_thread_reads_one_page(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    thread, _ = thread_with(engine), assistant_with(engine)
    seed_messages(engine, thread.id, 20_000)
    statements: list[str] = []
    engine.database.trace(statements.append)
    page = engine.messages.list(thread.id, limit=20, after=f"msg_{thread.id}_00010000")
    engine.database.trace(None)
    assert page.data[0].text == "Seeded message 9999."
    assert len(statements) == 3
    [plan] = rows(engine, f"EXPLAIN QUERY PLAN {statements[-1]}")
    assert plan["detail"].startswith("SEARCH messages USING PRIMARY KEY")
