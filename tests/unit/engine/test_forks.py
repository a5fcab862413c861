"""Forks of threads: what is copied, what the model sees of it, what stays apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import BaseMessage
from tests.conftest import Clock, EngineFactory
from tests.conversations import Gate, calls, function, texts, thread_with, user
from tests.dialogue import Dialogue, assert_paired, open_calls
from tests.stored import broken_invariants, everything, rows, seed_messages
from tests.unit.engine.conftest import Do

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.testing import Reply, ScriptedChatModel


def look_up(q: str) -> str:
    """Look something up."""
    return f"found {q}"


def said(messages: Sequence[BaseMessage]) -> list[str]:
    """Return a prompt as texts; calls as `name(ids)`."""
    return [
        message.text
        + "".join(f"[{made['id']}]" for made in getattr(message, "tool_calls", ()))
        for message in messages
    ]


def fork_asked(engine: AssistantsEngine, talk: Dialogue, thread_id: str) -> None:
    """Ask "And?" on another thread of the same assistant."""
    run = engine.runs.create(
        thread_id,
        assistant_id=talk.assistant.id,
        additional_messages=[user("And?")],
    )
    assert talk.wait(run).status == "completed"


def ids(engine: AssistantsEngine, thread_id: str) -> list[str]:
    return [message.id for message in engine.messages.list(thread_id, order="asc")]


def test_a_fork_has_copies_of_all_messages_and_of_what_the_thread_was_given(
    engine_factory: EngineFactory, do: Do, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    parts: list[Any] = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    thread = engine.threads.create(
        messages=[
            {"role": "user", "content": parts, "metadata": {"from": "phone"}},
            {"role": "assistant", "content": "I see."},
        ],
        metadata={"a": "b"},
        context={"tier": "gold"},
        tool_resources={"file_search": {"vector_store_ids": ["vs_1"]}},
        key="customer:1",
    )
    before = everything(engine)
    clock.advance(60)
    fork = do(engine.threads.fork, thread.id, key="customer:1b")
    originals = list(engine.messages.list(thread.id, order="asc"))
    copies = list(engine.messages.list(fork.id, order="asc"))
    assert len(copies) == 2
    for copy, original in zip(copies, originals, strict=True):
        assert copy.id != original.id
        assert copy == original.model_copy(update={"id": copy.id, "thread_id": fork.id})
    assert fork == thread.model_copy(
        update={
            "id": fork.id,
            "created_at": thread.created_at + 60,
            "key": "customer:1b",
            "parent_id": thread.id,
        }
    )
    assert engine.threads.retrieve(fork.id) == fork
    after = everything(engine)
    assert after["threads"][:1] == before["threads"]
    assert [m for m in after["messages"] if m["thread_id"] == thread.id] == before[
        "messages"
    ]
    assert broken_invariants(engine) == []


def test_a_fork_ends_with_the_named_message_and_the_original_goes_on(
    engine_factory: EngineFactory, do: Do
) -> None:
    engine = engine_factory()
    thread = thread_with(engine, "one", "two", "three")
    second = ids(engine, thread.id)[1]
    fork = do(engine.threads.fork, thread.id, after=second)
    engine.messages.create(fork.id, **user("else"))
    engine.messages.create(thread.id, **user("four"))
    assert texts(engine, fork.id) == ["one", "two", "else"]
    assert texts(engine, thread.id) == ["one", "two", "three", "four"]
    assert broken_invariants(engine) == []


def test_an_empty_thread_can_be_forked(engine_factory: EngineFactory) -> None:
    engine = engine_factory(["Hello."])
    talk = Dialogue(engine)
    fork = engine.threads.fork(talk.thread_id)
    fork_asked(engine, talk, fork.id)
    assert texts(engine, fork.id) == ["And?", "Hello."]
    assert talk.messages == []


@pytest.mark.parametrize(
    ("after", "seen"),
    [
        (0, ["a", "And?"]),
        (1, ["a", "[call_a]", "found call_a", "A.", "And?"]),
        (2, ["a", "[call_a]", "found call_a", "A.", "b", "And?"]),
        (
            3,
            [
                *("a", "[call_a]", "found call_a", "A."),
                *("b", "Let me see.[call_b]", "found call_b", "And?"),
            ],
        ),
        (
            None,
            [
                *("a", "[call_a]", "found call_a", "A.", "b"),
                *("Let me see.[call_b]", "found call_b", "B.", "And?"),
            ],
        ),
    ],
)
def test_a_fork_shows_the_tool_calls_before_it_and_none_after(
    engine_factory: EngineFactory, after: int | None, seen: list[str]
) -> None:
    with_text = Reply("Let me see.", tool_calls=calls("call_b").tool_calls)
    model = ScriptedChatModel([calls("call_a"), "A.", with_text, "B.", "Yes."])
    engine = engine_factory(model, tools=[look_up])
    talk = Dialogue(engine, executed=[look_up])
    talk.ask("a")
    talk.ask("b")
    assert talk.texts == ["a", "A.", "b", "Let me see.", "B."]
    message = None if after is None else talk.messages[after].id
    fork = engine.threads.fork(talk.thread_id, after=message)
    fork_asked(engine, talk, fork.id)
    assert said(model.calls[-1].messages) == seen
    assert_paired(model.calls[-1].messages)
    assert broken_invariants(engine) == []


def test_what_happens_later_on_the_original_does_not_reach_the_fork(
    engine_factory: EngineFactory,
) -> None:
    steps = [calls("call_a"), "A.", calls("call_b"), "B.", "Yes."]
    model = ScriptedChatModel(steps)
    engine = engine_factory(model, tools=[look_up])
    talk = Dialogue(engine, executed=[look_up])
    talk.ask("a")
    fork = engine.threads.fork(talk.thread_id)
    talk.ask("b")
    fork_asked(engine, talk, fork.id)
    assert said(model.calls[-1].messages) == [
        *("a", "[call_a]", "found call_a", "A.", "And?")
    ]


@pytest.mark.parametrize(
    ("after", "seen"),
    [
        (None, ["a", "[call_a]", "found call_a", "A.", "b", "And?"]),
        (1, ["a", "[call_a]", "found call_a", "A.", "And?"]),
        (0, ["a", "And?"]),
    ],
)
def test_a_fork_of_a_fork_shows_the_calls_of_both_origins(
    engine_factory: EngineFactory, after: int | None, seen: list[str]
) -> None:
    model = ScriptedChatModel([calls("call_a"), "A.", calls("call_x"), "X.", "Yes."])
    engine = engine_factory(model, tools=[look_up])
    talk = Dialogue(engine, executed=[look_up])
    talk.ask("a")
    engine.messages.create(talk.thread_id, **user("b"))
    child = engine.threads.fork(talk.thread_id)
    # What the origin does after the first fork is in neither.
    talk.ask("x")
    message = None if after is None else ids(engine, child.id)[after]
    grandchild = engine.threads.fork(child.id, after=message)
    assert grandchild.parent_id == child.id
    fork_asked(engine, talk, grandchild.id)
    assert said(model.calls[-1].messages) == seen


def test_a_fork_of_a_fork_shows_what_each_generation_called(
    engine_factory: EngineFactory,
) -> None:
    steps: list[Any] = []
    for name in "abc":
        steps += [calls(f"call_{name}"), name.upper()]
    model = ScriptedChatModel([*steps, "Yes."])
    engine = engine_factory(model, tools=[look_up])
    talk = Dialogue(engine, executed=[look_up])
    for text in "abc":
        talk.ask(text)
        talk.thread_id = engine.threads.fork(talk.thread_id).id
    fork_asked(engine, talk, talk.thread_id)
    assert said(model.calls[-1].messages) == [
        *("a", "[call_a]", "found call_a", "A"),
        *("b", "[call_b]", "found call_b", "B"),
        *("c", "[call_c]", "found call_c", "C", "And?"),
    ]


def test_deleting_the_original_leaves_the_fork_its_messages_and_tool_calls(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel([calls("call_a"), "A.", "Yes.", "Yes."])
    engine = engine_factory(model, tools=[look_up])
    talk = Dialogue(engine, executed=[look_up])
    talk.ask("a")
    fork = engine.threads.fork(talk.thread_id)
    engine.threads.delete(talk.thread_id)
    assert texts(engine, fork.id) == ["a", "A."]
    fork_asked(engine, talk, fork.id)
    before = ["a", "[call_a]", "found call_a", "A.", "And?"]
    assert said(model.calls[-1].messages) == before
    again = engine.threads.fork(fork.id)
    fork_asked(engine, talk, again.id)
    assert said(model.calls[-1].messages) == [*before, "Yes.", "And?"]
    assert broken_invariants(engine) == []


def test_deleting_the_fork_leaves_the_original_whole(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls("call_a"), "A.", "Yes."], tools=[look_up])
    talk = Dialogue(engine, executed=[look_up])
    talk.ask("a")
    before = everything(engine)
    fork = engine.threads.fork(talk.thread_id)
    fork_asked(engine, talk, fork.id)
    engine.threads.delete(fork.id)
    assert everything(engine) == before


def test_an_active_run_stays_with_the_original(engine_factory: EngineFactory) -> None:
    model = ScriptedChatModel(
        [Reply("Wait.", tool_calls=calls("call_a").tool_calls), "Yes.", "Done."]
    )
    engine = engine_factory(model)
    talk = Dialogue(engine, functions=[look_up])
    waiting = talk.ask("a")
    assert open_calls(waiting) == ["call_a"]
    fork = engine.threads.fork(talk.thread_id)
    assert list(engine.runs.list(fork.id)) == []
    fork_asked(engine, talk, fork.id)
    assert said(model.calls[-1].messages) == ["a", "Wait.", "And?"]
    assert talk.submit(waiting, {"call_a": "found"}).status == "completed"
    assert talk.texts == ["a", "Wait.", "Done."]
    assert texts(engine, fork.id) == ["a", "Wait.", "And?", "Yes."]
    assert broken_invariants(engine) == []


def test_a_thread_can_be_forked_while_its_run_executes(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Late.", wait_for=gate)])
    talk = Dialogue(engine)
    run = talk.begin("a")
    gate.wait_until_reached()
    fork = engine.threads.fork(talk.thread_id)
    engine.messages.create(fork.id, **user("b"))
    gate.open()
    assert talk.wait(run).status == "completed"
    assert texts(engine, fork.id) == ["a", "b"]
    assert talk.texts == ["a", "Late."]


def test_the_calls_of_a_run_without_an_answer_are_in_a_fork_of_the_whole_thread(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel([calls("call_a"), ValueError("no"), "Yes.", "Yes."])
    engine = engine_factory(model, tools=[look_up])
    talk = Dialogue(engine, executed=[look_up])
    assert talk.ask("a").status == "failed"
    fork = engine.threads.fork(talk.thread_id)
    for thread_id in (fork.id, talk.thread_id):
        fork_asked(engine, talk, thread_id)
        assert said(model.calls[-1].messages) == [
            *("a", "[call_a]", "found call_a", "And?")
        ]


def test_a_fork_after_what_was_summarised_keeps_the_summary(
    engine_factory: EngineFactory,
) -> None:
    summariser = ScriptedChatModel(["The gist."])
    model = ScriptedChatModel([*"1234", "Yes.", "Yes."])
    keeping = SummarizationMiddleware(
        summariser, trigger=("messages", 5), keep=("messages", 3)
    )
    engine = engine_factory(model, middleware=[keeping])
    talk = Dialogue(engine)
    for text in "abc":
        talk.ask(text)
    assert len(summariser.calls) == 1
    fork = engine.threads.fork(talk.thread_id, after=talk.messages[3].id)
    window = {"type": "last_messages", "last_messages": 10}
    run = engine.runs.create(
        fork.id,
        assistant_id=talk.assistant.id,
        additional_messages=[user("And?")],
        truncation_strategy=window,
    )
    assert talk.wait(run).status == "completed"
    asked = model.calls[-1].messages
    assert "The gist." in asked[0].text
    assert said(asked[1:]) == ["b", "2", "And?"]
    assert texts(engine, fork.id) == ["a", "1", "b", "2", "And?", "4"]


def test_a_fork_within_what_was_summarised_begins_without_the_summary(
    engine_factory: EngineFactory,
) -> None:
    summariser = ScriptedChatModel(["The gist."])
    model = ScriptedChatModel([*"123", "Yes."])
    keeping = SummarizationMiddleware(
        summariser, trigger=("messages", 5), keep=("messages", 3)
    )
    engine = engine_factory(model, middleware=[keeping])
    talk = Dialogue(engine)
    for text in "abc":
        talk.ask(text)
    fork = engine.threads.fork(talk.thread_id, after=talk.messages[0].id)
    fork_asked(engine, talk, fork.id)
    assert said(model.calls[-1].messages) == ["a", "And?"]


def test_what_middleware_showed_the_model_is_copied(
    engine_factory: EngineFactory,
) -> None:
    from langchain.agents.middleware import PIIMiddleware

    model = ScriptedChatModel(["Noted.", "Yes."])
    engine = engine_factory(model, middleware=[PIIMiddleware("email")])
    talk = Dialogue(engine)
    talk.ask("I am ann@example.com")
    fork = engine.threads.fork(talk.thread_id)
    fork_asked(engine, talk, fork.id)
    assert said(model.calls[-1].messages)[0] == "I am [REDACTED_EMAIL]"
    assert texts(engine, fork.id)[0] == "I am ann@example.com"


def test_a_thread_or_message_that_is_not_there_is_told(
    engine_factory: EngineFactory, do: Do
) -> None:
    engine = engine_factory()
    thread, other = thread_with(engine, "a"), thread_with(engine, "b")
    before = everything(engine)
    [foreign] = ids(engine, other.id)
    with pytest.raises(NotFoundError, match="thread_nothing"):
        do(engine.threads.fork, "thread_nothing")
    with pytest.raises(NotFoundError, match=foreign):
        do(engine.threads.fork, thread.id, after=foreign)
    with pytest.raises(NotFoundError, match="msg_nothing"):
        do(engine.threads.fork, thread.id, after="msg_nothing")
    for wrong in ("", "msg_a", None):
        with pytest.raises(InvalidRequestError, match="thread_id"):
            do(engine.threads.fork, wrong)
    assert everything(engine) == before


def test_a_key_that_is_taken_is_refused(engine_factory: EngineFactory, do: Do) -> None:
    engine = engine_factory()
    thread = engine.threads.create(key="taken")
    before = everything(engine)
    with pytest.raises(InvalidRequestError, match=thread.id) as error:
        do(engine.threads.fork, thread.id, key="taken")
    assert error.value.param == "key"
    with pytest.raises(InvalidRequestError, match="key"):
        do(engine.threads.fork, thread.id, key="x" * 1000)
    assert everything(engine) == before
    fork = do(engine.threads.fork, thread.id, key="free")
    assert engine.threads.get_or_create(key="free") == fork


def test_forking_copies_any_number_of_messages_in_one_statement(
    engine_factory: EngineFactory, no_heartbeat: Settings
) -> None:
    engine = engine_factory(settings=no_heartbeat)
    small, large = thread_with(engine), thread_with(engine)
    seed_messages(engine, small.id, 10)
    seed_messages(engine, large.id, 10_000)
    counted: list[int] = []
    for thread in (small, large):
        executed: list[str] = []
        engine.database.trace(executed.append)
        fork = engine.threads.fork(thread.id)
        engine.database.trace(None)
        counted.append(len(executed))
        copied = sum("INSERT INTO messages" in text for text in executed)
        assert copied == 1
    assert counted[0] == counted[1]
    [sizes] = rows(
        engine,
        "SELECT count(*) AS copies, count(DISTINCT id) AS ids, "
        "count(DISTINCT source_id) AS sources, max(seq) AS last "
        "FROM messages WHERE thread_id = ?",
        fork.id,
    )
    assert sizes == dict.fromkeys(("copies", "ids", "sources", "last"), 10_000)
    assert engine.messages.list(fork.id, limit=1).data[0].text == (
        engine.messages.list(large.id, limit=1).data[0].text
    )


def test_a_fork_shows_itself_with_its_messages_in_notebooks(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    thread = thread_with(engine, "Where is it?")
    html = engine.threads.fork(thread.id)._repr_html_()
    assert html is not None
    assert "Where is it?" in html


def test_functions_of_the_caller_count_as_calls_too(
    engine_factory: EngineFactory,
) -> None:
    model = ScriptedChatModel([calls("call_a"), "A.", "Yes."])
    engine = engine_factory(model)
    assistant = engine.assistants.create(model="m", tools=[function("look_up")])
    talk = Dialogue(engine)
    talk.assistant = assistant
    talk.submit(talk.ask("a"), {"call_a": "by hand"})
    fork = engine.threads.fork(talk.thread_id)
    fork_asked(engine, talk, fork.id)
    assert said(model.calls[-1].messages) == [
        *("a", "[call_a]", "by hand", "A.", "And?")
    ]
