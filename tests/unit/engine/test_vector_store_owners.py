"""Threads and assistants that make a vector store of their own."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.ingesting import static, uploads
from tests.stored import everything
from tests.unit.engine.conftest import Do

from langchain_assistants.errors import NotFoundError
from langchain_assistants.types import VectorStoreFile

DAY = 86_400


def test_a_thread_makes_its_vector_store(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    files = uploads(engine, 2)
    new = {
        "file_ids": files,
        "metadata": {"of": "thread"},
        **static(200, 100),
    }
    made = do(
        engine.threads.create,
        tool_resources={"file_search": {"vector_stores": [new]}},
    )
    assert made.tool_resources
    [store_id] = made.tool_resources.file_search.vector_store_ids
    assert do(engine.threads.retrieve, made.id).to_dict()["tool_resources"] == {
        "file_search": {"vector_store_ids": [store_id]}
    }
    store = engine.vector_stores.wait(store_id)
    assert store.metadata == {"of": "thread"}
    assert store.file_counts.total == 2
    assert store.expires_at == int(clock()) + 7 * DAY
    listed: list[VectorStoreFile] = list(
        engine.vector_stores.files.list(store_id, order="asc")
    )
    assert [file.id for file in listed] == files
    assert listed[0].to_dict()["chunking_strategy"] == new["chunking_strategy"]
    engine.threads.delete(made.id)
    assert engine.vector_stores.retrieve(store_id) == store


def test_an_assistant_makes_its_vector_store_which_does_not_expire(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    resources: dict[str, Any] = {
        "file_search": {"vector_stores": [{}], "vector_store_ids": None},
        "code_interpreter": None,
    }
    made = do(engine.assistants.create, model="m", tool_resources=resources)
    [store_id] = made.tool_resources.file_search.vector_store_ids
    assert made.to_dict()["tool_resources"] == {
        "file_search": {"vector_store_ids": [store_id]}
    }
    assert engine.vector_stores.retrieve(store_id).expires_after is None
    first = do(engine.assistants.get_or_create, model="n", tool_resources=resources)
    assert do(engine.assistants.get_or_create, model="n", tool_resources=resources) == (
        first
    )
    assert len(list(engine.vector_stores.list())) == 2


def test_an_owner_of_a_store_of_a_missing_file_is_not_made(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    resources = {"file_search": {"vector_stores": [{"file_ids": ["file-none"]}]}}
    before = everything(engine)
    for create in (
        lambda: do(engine.threads.create, tool_resources=resources),
        lambda: do(engine.assistants.create, model="m", tool_resources=resources),
    ):
        with pytest.raises(NotFoundError, match="No such File object: file-none"):
            create()
    assert everything(engine) == before


def test_a_thread_with_a_key_makes_its_store_once(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    fields: dict[str, Any] = {
        "key": "k",
        "tool_resources": {"file_search": {"vector_stores": [{}]}},
    }
    first = engine.threads.get_or_create(**fields)
    assert engine.threads.get_or_create(**fields) == first
    assert len(list(engine.vector_stores.list())) == 1


def test_nulls_in_tool_resources_are_absent(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    resources: dict[str, Any] = {
        "code_interpreter": {"file_ids": None},
        "file_search": None,
    }
    made = engine.threads.create(tool_resources=resources)
    shown = {"code_interpreter": {"file_ids": []}}
    assert made.to_dict()["tool_resources"] == shown
    updated = engine.threads.update(made.id, tool_resources=resources)
    assert updated.to_dict()["tool_resources"] == shown
