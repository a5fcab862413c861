"""Files that messages and assistants bring along for file search."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.ingesting import ended, upload
from tests.unit.engine.conftest import Do

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import (
    NotFoundError,
)


def attached(file_id: str, tool: str = "file_search") -> dict[str, Any]:
    return {"file_id": file_id, "tools": [{"type": tool}]}


def store_of(engine: AssistantsEngine, thread_id: str) -> str:
    resources = engine.threads.retrieve(thread_id).to_dict()["tool_resources"]
    [store_id] = resources["file_search"]["vector_store_ids"]
    return str(store_id)


def test_the_files_of_messages_join_a_store_of_the_thread(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    one, two, three = (upload(engine, f"text {n}".encode()) for n in range(3))
    message = {"role": "user", "content": "Hi", "attachments": [attached(one)]}
    thread = do(engine.threads.create, messages=[message])
    store_id = thread.tool_resources.file_search.vector_store_ids[0]
    assert store_of(engine, thread.id) == store_id
    store = engine.vector_stores.retrieve(store_id)
    assert store.expires_at == int(clock()) + 7 * 86_400
    do(
        engine.messages.create,
        thread.id,
        role="user",
        content="And these",
        attachments=[attached(two), attached(one), attached(three, "code_interpreter")],
    )
    assert store_of(engine, thread.id) == store_id
    files = ended(engine, store_id)
    assert {id: file.status for id, file in files.items()} == {
        one: "completed",
        two: "completed",
    }
    for tool in ("file_search", "code_interpreter"):
        with pytest.raises(NotFoundError, match="file-none"):
            do(
                engine.messages.create,
                thread.id,
                role="user",
                content="x",
                attachments=[attached("file-none", tool)],
            )
    assert len(engine.messages.list(thread.id).data) == 2


def test_a_message_on_a_thread_without_a_store_makes_one(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    file_id = upload(engine, b"text")
    thread = engine.threads.create(
        tool_resources={"code_interpreter": {"file_ids": [file_id]}}
    )
    add = {"role": "user", "content": "x", "attachments": [attached(file_id)]}
    engine.messages.create(thread.id, **add)
    first = store_of(engine, thread.id)
    resources = engine.threads.retrieve(thread.id).to_dict()["tool_resources"]
    assert resources["code_interpreter"] == {"file_ids": [file_id]}
    # In place of one that has expired, or is gone, comes another.
    clock.advance(8 * 86_400)
    engine.messages.create(thread.id, **add)
    second = store_of(engine, thread.id)
    engine.vector_stores.delete(second)
    engine.messages.create(thread.id, **add)
    assert len({first, second, store_of(engine, thread.id)}) == 3


def test_the_messages_of_a_run_bring_their_files_along(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["Hello", "Hello again"])
    assistant = engine.assistants.create(model="m")
    file_id = upload(engine, b"text")
    message: Any = {"role": "user", "content": "x", "attachments": [attached(file_id)]}
    run = engine.runs.create_with_thread(
        assistant_id=assistant.id, thread={"messages": [message]}
    )
    engine.runs.wait(run.id)
    assert list(ended(engine, store_of(engine, run.thread_id))) == [file_id]
    other = upload(engine, b"other")
    message["attachments"] = [attached(other)]
    run = engine.runs.create(
        run.thread_id, assistant_id=assistant.id, additional_messages=[message]
    )
    engine.runs.wait(run.id)
    assert set(ended(engine, store_of(engine, run.thread_id))) == {file_id, other}


def test_an_assistants_new_store_is_indexed(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    assistant = engine.assistants.create(
        model="m",
        tool_resources={
            "file_search": {"vector_stores": [{"file_ids": [upload(engine, b"text")]}]}
        },
    )
    resources = assistant.to_dict()["tool_resources"]
    [store_id] = resources["file_search"]["vector_store_ids"]
    assert [file.status for file in ended(engine, store_id).values()] == ["completed"]
