"""Data of the first version is taken in as today's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import EngineFactory
from tests.importers import saved_data as data

from langchain_assistants.importers import import_saved

RETRIEVAL = {"type": "retrieval"}
CODE = {"type": "code_interpreter"}


@pytest.mark.parametrize(
    ("tools", "resources"),
    [
        ([CODE], {"code_interpreter"}),
        ([RETRIEVAL], {"file_search"}),
        ([RETRIEVAL, CODE], {"code_interpreter", "file_search"}),
        ([], set()),
    ],
    ids=["code", "retrieval", "both", "none"],
)
def test_the_files_of_an_assistant_become_resources_of_its_tools(
    tools: list[dict[str, str]],
    resources: set[str],
    engine_factory: EngineFactory,
    tmp_path: Path,
) -> None:
    engine = engine_factory()
    old = data.assistant(tools=tools, file_ids=[data.SALES])
    del old["tool_resources"]
    data.write(tmp_path / "in" / "assistant.json", old)
    file = data.file(data.SALES, "sales.csv", data.CSV, "assistants")
    data.write(tmp_path / "in" / "file.json", file)
    (tmp_path / "in" / "sales.csv").write_bytes(data.CSV)
    report = import_saved(engine, tmp_path / "in")
    assert report.complete
    found = engine.assistants.retrieve(data.ASSISTANT)
    given = found.to_dict()["tool_resources"]
    assert given.pop("file_ids") == [data.SALES]
    assert given.keys() == resources
    assert [tool.type for tool in found.tools] == [
        "file_search" if tool is RETRIEVAL else tool["type"] for tool in tools
    ]
    if "code_interpreter" in resources:
        assert given["code_interpreter"] == {"file_ids": [data.SALES]}
    if "file_search" in resources:
        [store_id] = given["file_search"]["vector_store_ids"]
        store = engine.vector_stores.retrieve(store_id)
        assert store.name == f"v1-files {data.ASSISTANT}"
        [attached] = engine.vector_stores.files.list(store_id)
        assert attached.id == data.SALES
    again = import_saved(engine, tmp_path / "in")
    assert again.issues == []


def test_the_files_of_a_message_become_attachments(
    engine_factory: EngineFactory, tmp_path: Path
) -> None:
    engine = engine_factory()
    old = data.message(0, 1, "user", data.text("Hi."), file_ids=[data.SALES])
    del old["attachments"]
    file = {"id": data.SALES, "object": "thread.message.file", "message_id": old["id"]}
    path = tmp_path / "old.jsonl"
    path.write_text("\n".join(map(json.dumps, [data.thread(0), old, file])))
    report = import_saved(engine, path)
    [message] = engine.messages.list(data.thread_id(0))
    assert message.to_dict()["attachments"] == [
        {
            "file_id": data.SALES,
            "tools": [{"type": "file_search"}, {"type": "code_interpreter"}],
        }
    ]
    [issue] = report.issues
    assert issue.why == "its file_ids are attachments now (v1)"
