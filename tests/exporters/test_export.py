"""Everything comes out again, and a round trip loses nothing."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage, messages_from_dict
from tests.conftest import EngineFactory
from tests.conversations import assistant_with, calls, outputs, thread_with, user, wait
from tests.importers import saved_data as data

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine import exports
from langchain_assistants.errors import ConfigurationError, NotFoundError
from langchain_assistants.exporters import conversations
from langchain_assistants.exporters.writing import new_file, write_folder
from langchain_assistants.importers import import_saved


def lived_in(engine_factory: EngineFactory) -> AssistantsEngine:
    """Return an engine that holds conversations of its own, with files."""
    engine = engine_factory([calls("call_a", "call_b"), "Both are paid.", "Bye."])
    assistant = assistant_with(engine, "look_up", name="Clerk", metadata={"a": "b"})
    file = engine.files.create(file=("a.csv", b"a,b\n"), purpose="assistants")
    engine.files.create(file=("b.txt", b"Text."), purpose="vision")
    store = engine.vector_stores.create(name="Texts", file_ids=[file.id])
    engine.assistants.update(
        assistant.id,
        tool_resources={"file_search": {"vector_store_ids": [store.id]}},
    )
    thread = engine.threads.create(
        messages=[
            user("Are a and b paid?")
            | {"attachments": [{"file_id": file.id, "tools": []}]}
        ],
        key="customer:1",
        context={"plan": "gold"},
        metadata={"x": "y"},
    )
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    wait(engine, run)
    engine.runs.submit_tool_outputs(run.id, tool_outputs=outputs("call_a", "call_b"))
    assert wait(engine, run).status == "completed"
    other = thread_with(engine, "Good bye.", "\U0001f44b")
    assert wait(engine, engine.runs.create(other.id, assistant_id=assistant.id))
    return engine


def contents(folder: Path) -> dict[str, bytes]:
    """Return what lies in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def index_everything(engine: AssistantsEngine) -> None:
    for store in engine.vector_stores.list():
        engine.vector_stores.wait(store.id)


def test_what_comes_out_goes_in_and_comes_out_the_same(
    engine_factory: EngineFactory, tmp_path: Path
) -> None:
    first, second = lived_in(engine_factory), engine_factory()
    index_everything(first)
    write_folder(first.for_tenant("default"), tmp_path / "first")
    report = import_saved(second, tmp_path / "first")
    assert report.complete
    assert report.issues == []
    index_everything(second)
    write_folder(second.for_tenant("default"), tmp_path / "second")
    here, there = contents(tmp_path / "first"), contents(tmp_path / "second")
    assert here.keys() == {
        "assistants.jsonl",
        "files.jsonl",
        "messages.jsonl",
        "runs.jsonl",
        "steps.jsonl",
        "threads.jsonl",
        "vector_store_files.jsonl",
        "vector_stores.jsonl",
        *(f"files/{file.id}" for file in first.files.list()),
    }
    assert here == there


def test_an_export_taken_into_its_own_database_changes_nothing(
    engine_factory: EngineFactory, tmp_path: Path
) -> None:
    engine = lived_in(engine_factory)
    write_folder(engine.for_tenant("default"), tmp_path / "out")
    report = import_saved(engine, tmp_path / "out")
    assert report.complete
    assert all(report.of(kind, "taken") == 0 for kind in report.kinds)


def test_one_thread_comes_out_alone(
    engine_factory: EngineFactory, tmp_path: Path
) -> None:
    engine = lived_in(engine_factory)
    thread = engine.threads.get_or_create(key="customer:1")
    owner = engine.for_tenant("default")
    counts = write_folder(owner, tmp_path / "one", thread_id=thread.id)
    assert counts == {"threads": 1, "messages": 2, "runs": 1, "steps": 2}
    with pytest.raises(NotFoundError):
        write_folder(owner, tmp_path / "none", thread_id="thread_none")
    with pytest.raises(NotFoundError):
        list(conversations(engine.for_tenant("acme"), "langchain", thread_id=thread.id))


def lines(engine: AssistantsEngine, form: Any) -> list[dict[str, Any]]:
    """Return the conversations of an engine."""
    text = "".join(conversations(engine.for_tenant("default"), form))
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("page", [1, 2, 500])
def test_conversations_come_out_as_chat_models_take_them(
    page: int, engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_PAGE", page)
    engine = lived_in(engine_factory)
    first, second = lines(engine, "openai-messages")
    assert first["metadata"] == {"x": "y"}
    assert [message["role"] for message in first["messages"]] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]
    [_, called, output, _, answer] = first["messages"]
    assert [one["id"] for one in called["tool_calls"]] == ["call_a", "call_b"]
    assert output["tool_call_id"] == "call_a"
    assert output["content"] == "output of call_a"
    assert answer["content"] == "Both are paid."
    texts = [message["content"] for message in second["messages"]]
    assert texts == ["Good bye.", "\U0001f44b", "Bye."]


def test_langchains_messages_are_read_by_langchain(
    engine_factory: EngineFactory,
) -> None:
    first, _ = lines(lived_in(engine_factory), "langchain")
    messages = messages_from_dict(first["messages"])
    assert [m.text for m in messages if isinstance(m, AIMessage)] == [
        "",
        "Both are paid.",
    ]
    assert [m.tool_call_id for m in messages if isinstance(m, ToolMessage)] == [
        "call_a",
        "call_b",
    ]


def test_imported_conversations_come_out_with_their_tools(
    engine_factory: EngineFactory, tmp_path: Path
) -> None:
    engine = engine_factory()
    import_saved(engine, data.save(tmp_path / "saved", threads=1))
    [line] = lines(engine, "openai-messages")
    called = [
        call["function"]["name"]
        for message in line["messages"]
        for call in message.get("tool_calls", ())
    ]
    assert called == ["code_interpreter", "file_search", "look_up"]
    assert line["messages"][-1]["content"].endswith("【4:0†manual.txt】.")


def test_calls_behind_a_message_that_was_deleted_stay(
    engine_factory: EngineFactory,
) -> None:
    engine = lived_in(engine_factory)
    thread = engine.threads.get_or_create(key="customer:1")
    question = list(engine.messages.list(thread.id))[-1]
    engine.messages.delete(question.id)
    first, _ = lines(engine, "openai-messages")
    roles = [message["role"] for message in first["messages"]]
    assert roles == ["assistant", "tool", "tool", "assistant"]


def test_nothing_is_written_over(engine_factory: EngineFactory, tmp_path: Path) -> None:
    owner = engine_factory().for_tenant("default")
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(ConfigurationError, match="is not empty"):
            write_folder(owner, place)
    with (
        pytest.raises(ConfigurationError, match="is there already"),
        new_file(tmp_path / "file"),
    ):
        pass
    with suppress(ZeroDivisionError), new_file(tmp_path / "new") as file:
        file.write(str(1 / 0))
    assert not list(tmp_path.glob("new*"))
    assert (tmp_path / "file").read_text() == "mine"
    with (
        pytest.raises(ConfigurationError, match="cannot be written"),
        new_file(tmp_path / "no" / "file"),
    ):
        pass
