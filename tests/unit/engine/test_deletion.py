"""Deleting threads: nothing stays but what forks still read, as long as they do."""

from __future__ import annotations

import json

import pytest
from tests.conftest import EngineFactory
from tests.conversations import calls, texts, user
from tests.dialogue import Dialogue
from tests.stored import TABLES, broken_invariants, everything, rows

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.testing import Reply, ScriptedChatModel


def look_up(q: str) -> str:
    """Look something up."""
    return f"found {q}"


OWNED = [name for name in TABLES if name != "assistants"]


def talk_with(engine: AssistantsEngine, *words: str) -> Dialogue:
    talk = Dialogue(engine, executed=[look_up], thread={"key": "secret key"})
    for word in words:
        assert talk.ask(word).status == "completed"
    return talk


def history_of(
    engine: AssistantsEngine, model: ScriptedChatModel, thread_id: str
) -> list[str]:
    """Ask on a thread, and return what the model was shown before the question."""
    other = Dialogue(engine, thread_id=thread_id)
    assert other.ask("?").status == "completed"
    return [message.text for message in model.calls[-1].messages][:-1]


@pytest.mark.parametrize("keep", [False, True])
def test_a_deleted_thread_leaves_no_row_in_any_table(
    engine_factory: EngineFactory, keep: bool
) -> None:
    steps = [calls("a"), "A.", "B.", calls("c"), "C."]
    engine = engine_factory(
        steps, tools=[look_up], settings=Settings(keep_checkpoints=keep)
    )
    kept = Dialogue(engine, executed=[look_up])
    before = everything(engine)
    talk = Dialogue(engine, executed=[look_up])
    talk.ask("a")
    talk.ask("b")
    kept_assistants = everything(engine)["assistants"]
    assert any(rows(engine, "SELECT * FROM run_checkpoints")) is keep
    engine.threads.delete(talk.thread_id)
    assert everything(engine) == {**before, "assistants": kept_assistants}
    assert kept.ask("c").status == "completed"


def test_what_forks_read_stays_until_the_last_of_them_is_deleted(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel(
        [calls("a"), "A.", calls("b"), "B.", calls("c"), "C.", "1", "2", "3", "4"]
    )
    engine = engine_factory(model, tools=[look_up])
    talk = talk_with(engine, "a", "b", "c")
    by_text = {message.text: message.id for message in talk.messages}
    early = engine.threads.fork(talk.thread_id, after=by_text["A."])
    late = engine.threads.fork(talk.thread_id, after=by_text["B."])
    of_late = engine.threads.fork(
        late.id, after=engine.messages.list(late.id).data[0].id
    )
    engine.threads.delete(talk.thread_id)
    engine.threads.delete(late.id)

    a = ["a", "", "found a", "A."]
    b = ["b", "", "found b", "B."]
    assert history_of(engine, model, early.id) == a
    assert history_of(engine, model, of_late.id) == [*a, *b]
    assert broken_invariants(engine) == []
    stored = json.dumps(everything(engine))
    assert "found c" not in stored
    assert "secret key" not in stored

    engine.threads.delete(of_late.id)
    assert "found b" not in json.dumps(everything(engine))
    assert history_of(engine, model, early.id)[:4] == a
    engine.threads.delete(early.id)
    assert {name: everything(engine)[name] for name in OWNED} == {
        name: [] for name in OWNED
    }


def test_a_deleted_thread_that_forks_read_is_gone_for_everybody_else(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls("a"), "A."], tools=[look_up])
    talk = talk_with(engine, "a")
    [run] = engine.runs.list(talk.thread_id)
    [step, _] = engine.steps.list(run.id, order="asc")
    fork = engine.threads.fork(talk.thread_id)
    engine.threads.delete(talk.thread_id)
    for call in (
        lambda: engine.threads.retrieve(talk.thread_id),
        lambda: engine.threads.update(talk.thread_id, metadata={}),
        lambda: engine.threads.delete(talk.thread_id),
        lambda: engine.threads.fork(talk.thread_id),
        lambda: engine.messages.list(talk.thread_id),
        lambda: engine.messages.create(talk.thread_id, **user("Hi")),
        lambda: engine.runs.list(talk.thread_id),
        lambda: engine.runs.retrieve(run.id),
        lambda: engine.steps.list(run.id),
        lambda: engine.steps.retrieve(step.id),
        lambda: talk.ask("More"),
    ):
        with pytest.raises((NotFoundError, InvalidRequestError), match=r"No .* found"):
            list(call())  # type: ignore[call-overload]
    assert [thread.id for thread in engine.threads.list()] == [fork.id]
    assert engine.threads.retrieve(fork.id).parent_id == talk.thread_id
    assert engine.threads.get_or_create(key="secret key").id != talk.thread_id
    assert texts(engine, fork.id) == ["a", "A."]


def test_a_fork_without_tool_calls_keeps_no_run_of_its_deleted_parent(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["A.", "B."])
    talk = Dialogue(engine)
    talk.ask("a")
    fork = engine.threads.fork(talk.thread_id)
    engine.threads.delete(talk.thread_id)
    assert rows(engine, "SELECT * FROM runs") == []
    assert rows(engine, "SELECT * FROM run_steps") == []
    again = engine.threads.fork(fork.id)
    assert texts(engine, again.id) == ["a", "A."]


@pytest.mark.parametrize(
    ("after", "kept", "shown"),
    [
        ("a", [], ["a"]),
        ("One.", ["a"], ["a", "One.", "found a"]),
        ("Two.", ["a", "b"], ["a", "One.", "found a", "Two.", "found b"]),
    ],
)
def test_of_a_run_that_a_fork_cuts_the_calls_before_the_cut_stay(
    engine_factory: EngineFactory, after: str, kept: list[str], shown: list[str]
) -> None:
    one, two = (
        Reply(text, tool_calls=calls(id).tool_calls)
        for text, id in (("One.", "a"), ("Two.", "b"))
    )
    model = ScriptedChatModel([one, two, "Three.", "Yes."])
    engine = engine_factory(model, tools=[look_up])
    talk = talk_with(engine, "a")
    cut = {message.text: message.id for message in talk.messages}[after]
    fork = engine.threads.fork(talk.thread_id, after=cut)
    engine.threads.delete(talk.thread_id)
    stored = json.dumps(everything(engine))
    assert [id for id in ("a", "b") if f"found {id}" in stored] == kept
    assert history_of(engine, model, fork.id) == shown


def test_a_fork_from_before_a_run_keeps_no_call_of_that_run(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls("a"), "A."], tools=[look_up])
    talk = talk_with(engine, "a")
    engine.threads.fork(talk.thread_id, after=talk.messages[0].id)
    engine.threads.delete(talk.thread_id)
    assert rows(engine, "SELECT * FROM run_steps") == []
    assert rows(engine, "SELECT * FROM runs") == []
