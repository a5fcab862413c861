from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import EngineFactory
from tests.conversations import assistant_with, thread_with

from langchain_assistants import (
    AssistantRunnable,
    AssistantsEngine,
    OpenAIAssistantRunnable,
    Settings,
)
from langchain_assistants.errors import ConfigurationError, StorageError

# Sync methods whose async twin is not `a` and the name.
NAMED_OTHERWISE = {"wait": "await_"}
# `new` prepares a row, and waits for nothing; `aopen` reads in pieces what `content`
# returns whole.
NOT_TWINNED = ("new", "aopen")
# They return at once and do their work when they are iterated or awaited.
ITERATED = (
    "afollow",
    "alist",
    "alist_files",
    "astream",
    "astream_with_thread",
    "asubmit_tool_outputs_stream",
)


def resource_classes() -> list[type]:
    engine = AssistantsEngine("sqlite:///:memory:")
    classes = [
        type(resource)
        for resource in (
            engine.assistants,
            engine.threads,
            engine.messages,
            engine.runs,
            engine.steps,
            engine.files,
            engine.uploads,
            engine.vector_stores,
            engine.vector_stores.files,
            engine.vector_stores.file_batches,
            engine.api_keys,
        )
    ]
    engine.close()
    return classes


def public_methods(resource: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers(resource, inspect.isfunction)
        if not name.startswith("_") and name not in NOT_TWINNED
    }


@pytest.mark.parametrize("resource", resource_classes())
def test_every_sync_method_has_an_async_twin_with_the_same_parameters(
    resource: type,
) -> None:
    methods = public_methods(resource)
    twins = {
        name: NAMED_OTHERWISE.get(name, f"a{name}")
        for name in methods
        if (name not in NAMED_OTHERWISE.values() and f"a{name}" in methods)
        or name in NAMED_OTHERWISE
    }
    assert set(methods) - {"bound"} == {*twins, *twins.values()}
    for name, twin in twins.items():
        sync, parallel = methods[name], methods[twin]
        assert (
            inspect.signature(sync).parameters == inspect.signature(parallel).parameters
        ), name
        is_async = inspect.iscoroutinefunction(inspect.unwrap(parallel))
        assert is_async or twin in ITERATED, twin
        assert not inspect.iscoroutinefunction(sync), name
        assert parallel.__doc__


def test_a_part_of_a_later_version_says_so() -> None:
    for use in (
        lambda: AssistantRunnable(assistant_id="asst_x", client=object()),
        lambda: OpenAIAssistantRunnable(assistant_id="asst_x", client=object()),
        lambda: AssistantRunnable.create_assistant("n", "i", [], "m", client=object()),
        lambda: AssistantsEngine("postgresql://localhost/app"),
    ):
        with pytest.raises(ConfigurationError, match="not available in"):
            use()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("app.db", "is not a database URL; use sqlite:///path/to/file.db"),
        ("mysql://localhost/app", "The database 'mysql' is not supported"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_can(url: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        AssistantsEngine(url)


def test_two_tools_of_one_name_are_refused(tmp_path: Path) -> None:
    def look_up(q: str) -> str:
        """Look something up."""
        return q

    with pytest.raises(ConfigurationError, match="Two tools are named 'look_up'"):
        AssistantsEngine(f"sqlite:///{tmp_path}/a.db", tools=[look_up, look_up])
    with pytest.raises(ConfigurationError, match="cannot be executed"):
        AssistantsEngine(f"sqlite:///{tmp_path}/a.db", tools=[{"type": "function"}])  # type: ignore[list-item]


def test_an_engine_without_a_url_uses_the_settings(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/own.db"
    with AssistantsEngine(settings=Settings(database_url=url)) as engine:
        assert engine.url == url
    with AssistantsEngine() as engine:
        assert str(tmp_path / "data") in engine.url


def test_a_relative_path_and_a_home_path_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    AssistantsEngine("sqlite:///app.db").close()
    AssistantsEngine("sqlite:///~/app.db").close()
    assert (tmp_path / "app.db").exists()
    assert (tmp_path / "home" / "app.db").exists()


def test_a_closed_engine_says_so_and_may_be_closed_again(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    thread = thread_with(engine)
    assert not engine.closed
    engine.close()
    engine.close()
    assert engine.closed
    with pytest.raises(ConfigurationError, match="The engine is closed; open a new"):
        engine.threads.retrieve(thread.id)


async def test_a_closed_engine_says_so_to_async_callers(
    engine_factory: EngineFactory,
) -> None:
    async with engine_factory() as engine:
        thread = await engine.threads.acreate()
    with pytest.raises(StorageError, match="is closed"):
        await engine.threads.aretrieve(thread.id)
    with pytest.raises(StorageError, match="is closed"):
        await engine.threads.acreate()
    await engine.aclose()


def test_leaving_the_block_closes_the_engine(engine_factory: EngineFactory) -> None:
    with engine_factory() as engine:
        assistant_with(engine)
    assert engine.closed


def test_an_engine_is_shown_by_its_database(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    assert repr(engine) == f"AssistantsEngine({engine.url})"


def test_what_one_engine_stored_another_one_finds(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    thread, assistant = thread_with(engine, "Hi"), assistant_with(engine)
    engine.close()
    other = engine_factory.reopen()
    assert other.threads.retrieve(thread.id) == thread
    assert other.assistants.retrieve(assistant.id) == assistant
