from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import (
    assistant_with,
    calls,
    texts,
    thread_with,
    user,
    wait,
)
from tests.stored import everything
from tests.unit.engine.conftest import Do

from langchain_assistants import Settings
from langchain_assistants.errors import (
    ActiveRunError,
    InvalidRequestError,
    NotFoundError,
)

FULL: dict[str, Any] = {
    "metadata": {"customer": "42"},
    "tool_resources": {"code_interpreter": {"file_ids": ["file-1"]}},
    "key": "customer:42",
    "context": {"name": "Ada", "orders": [1, 2]},
}


def test_a_new_thread_shows_what_it_was_given(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    made = do(engine.threads.create, messages=[user("Hi"), user("there")], **FULL)
    assert made.to_dict() == {
        "id": made.id,
        "object": "thread",
        "created_at": int(clock.now),
        **FULL,
    }
    assert made.id.startswith("thread_")
    assert do(engine.threads.retrieve, made.id) == made
    assert texts(engine, made.id) == ["Hi", "there"]


def test_a_thread_needs_nothing(do: Do, engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    shown = do(engine.threads.create).to_dict()
    assert shown["metadata"] == {}
    assert shown["tool_resources"] == {}
    assert shown.keys() == {
        "id",
        "object",
        "created_at",
        "metadata",
        "tool_resources",
    }


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"messages": [user("")]}, "string_below_min_length", "messages[0].content"),
        ({"messages": [{"content": "x"}]}, None, "messages[0].role"),
        ({"messages": [user("ok"), {**user("x"), "role": "system"}]}, None, None),
        ({"metadata": {"k": 1}}, "invalid_type", "metadata.k"),
        ({"key": ""}, "string_below_min_length", "key"),
        ({"key": "k" * 513}, "string_above_max_length", "key"),
        ({"context": "text"}, "invalid_type", "context"),
        (
            {
                "tool_resources": {
                    "file_search": {"vector_store_ids": ["vs_1"], "vector_stores": [{}]}
                }
            },
            "mutually_exclusive_parameters",
            "tool_resources.file_search",
        ),
    ],
)
def test_a_create_that_breaks_a_rule_stores_nothing(
    do: Do,
    engine_factory: EngineFactory,
    fields: dict[str, Any],
    code: str | None,
    param: str | None,
) -> None:
    engine = engine_factory()
    with pytest.raises(InvalidRequestError) as error:
        do(engine.threads.create, **fields)
    assert code in (None, error.value.code)
    assert param in (None, error.value.param)
    stored = everything(engine)
    assert not stored["threads"]
    assert not stored["messages"]


def test_an_update_keeps_what_is_absent_and_clears_nulls(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    made = engine.threads.create(**FULL)
    assert do(engine.threads.update, made.id) == made
    changed = do(engine.threads.update, made.id, metadata={"a": "b"})
    assert changed.to_dict() == made.to_dict() | {"metadata": {"a": "b"}}
    cleared = do(
        engine.threads.update,
        made.id,
        metadata=None,
        tool_resources=None,
        context=None,
    )
    assert (cleared.metadata, cleared.context, cleared.key) == ({}, None, FULL["key"])
    assert cleared.to_dict()["tool_resources"] == {}
    assert engine.threads.retrieve(made.id) == cleared


def test_a_context_of_an_empty_mapping_is_kept(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    made = engine.threads.create(context={})
    assert made.context == {}
    assert engine.threads.update(made.id, metadata={}).context == {}


def test_the_context_reaches_the_prompt_and_is_never_a_message(
    engine_factory: EngineFactory,
) -> None:
    seen: list[str] = []

    def answer(messages: Any, _: Any) -> str:
        seen.append(str(messages[0].content))
        return "Hello."

    engine = engine_factory([answer, answer])
    assistant = assistant_with(engine, instructions="Be kind.")
    thread = engine.threads.create(messages=[user("Hi")], context={"name": "Ada"})
    wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    engine.threads.update(thread.id, context={"name": "Grace"})
    wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    assert seen[0].startswith("Be kind.")
    assert "Ada" in seen[0]
    assert "Grace" in seen[1]
    assert "Ada" not in seen[1]
    assert texts(engine, thread.id) == ["Hi", "Hello.", "Hello."]


def test_a_thread_is_updated_while_a_run_is_active(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls("call_a")])
    thread = thread_with(engine, "Hi")
    assistant = assistant_with(engine, "look_up")
    wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    changed = engine.threads.update(thread.id, metadata={"busy": "yes"})
    assert engine.threads.retrieve(thread.id) == changed


def test_deleting_a_thread_removes_everything_of_it_and_nothing_else(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory([calls("call_a"), "One.", "Two."])
    assistant = assistant_with(engine, "look_up")
    kept = thread_with(engine, "Keep me")
    before = everything(engine)
    gone = thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(gone.id, assistant_id=assistant.id))
    engine.runs.submit_tool_outputs(
        run.id, tool_outputs=[{"tool_call_id": "call_a", "output": "x"}]
    )
    wait(engine, run)
    wait(engine, engine.runs.create(gone.id, assistant_id=assistant.id))
    assert do(engine.threads.delete, gone.id).to_dict() == {
        "id": gone.id,
        "object": "thread.deleted",
        "deleted": True,
    }
    assert everything(engine) == before
    assert engine.threads.retrieve(kept.id) == kept
    for call in (
        lambda: engine.threads.retrieve(gone.id),
        lambda: engine.threads.update(gone.id, metadata={}),
        lambda: engine.threads.delete(gone.id),
        lambda: engine.messages.list(gone.id),
        lambda: engine.messages.create(gone.id, **user("x")),
        lambda: engine.runs.list(gone.id),
        lambda: engine.runs.create(gone.id, assistant_id=assistant.id),
    ):
        with pytest.raises(NotFoundError) as error:
            call()
        assert str(error.value) == f"No thread found with id '{gone.id}'."
    with pytest.raises(NotFoundError, match=f"No run found with id '{run.id}'"):
        engine.steps.list(run.id)


def test_a_busy_thread_cannot_be_deleted(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory([calls("call_a")], clock=clock)
    thread = thread_with(engine, "Hi")
    assistant = assistant_with(engine, "look_up")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    before = everything(engine)
    with pytest.raises(ActiveRunError) as error:
        do(engine.threads.delete, thread.id)
    assert str(error.value) == (
        f"Thread {thread.id} already has an active run {run.id}."
    )
    assert (error.value.thread_id, error.value.run_id) == (thread.id, run.id)
    assert everything(engine) == before
    clock.advance(600)
    do(engine.threads.delete, thread.id)


def test_a_key_names_one_thread(do: Do, engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    made = do(engine.threads.create, key="k")
    before = everything(engine)
    with pytest.raises(InvalidRequestError) as error:
        do(engine.threads.create, key="k", messages=[user("x")])
    assert made.id in str(error.value)
    assert (error.value.code, error.value.param) == ("invalid_value", "key")
    assert everything(engine) == before
    engine.threads.delete(made.id)
    assert do(engine.threads.create, key="k").id != made.id


def test_get_or_create_finds_the_thread_by_its_key(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    made = do(engine.threads.get_or_create, messages=[user("Hi")], **FULL)
    again = do(
        engine.threads.get_or_create,
        key=FULL["key"],
        messages=[user("ignored")],
        metadata={"ignored": "too"},
    )
    assert again == made
    assert texts(engine, made.id) == ["Hi"]
    with pytest.raises(InvalidRequestError) as error:
        do(engine.threads.get_or_create, metadata={})
    assert error.value.code == "missing_required_parameter"
    assert error.value.param == "key"


def test_get_or_create_from_many_threads_and_engines_makes_one(
    engine_factory: EngineFactory,
) -> None:
    first = engine_factory()
    second = engine_factory.reopen()
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(
                lambda number: (first, second)[number % 2].threads.get_or_create(
                    key="k", messages=[user("Hi")]
                ),
                range(16),
            )
        )
    assert len({thread.id for thread in made}) == 1
    assert len(everything(first)["messages"]) == 1


def test_a_new_thread_may_not_hold_more_messages_than_the_limit(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(settings=Settings(max_messages_per_thread=2))
    engine.threads.create(messages=[user("1"), user("2")])
    before = everything(engine)
    with pytest.raises(InvalidRequestError, match="max_messages_per_thread"):
        engine.threads.create(messages=[user("1"), user("2"), user("3")])
    with pytest.raises(InvalidRequestError, match="max_messages_per_thread"):
        engine.threads.get_or_create(
            key="k", messages=[user("1"), user("2"), user("3")]
        )
    assert everything(engine) == before


def test_ids_of_another_kind_are_refused(do: Do, engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    for method in ("retrieve", "update", "delete"):
        with pytest.raises(InvalidRequestError) as error:
            do(getattr(engine.threads, method), "msg_x")
        assert str(error.value) == (
            "Invalid 'thread_id': 'msg_x'. Expected an ID that begins with 'thread_'."
        )
