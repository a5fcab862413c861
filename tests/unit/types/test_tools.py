from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.types import (
    PROVIDER_TOOL_PREFIXES,
    Assistant,
    AssistantCreate,
    AssistantUpdate,
    CodeInterpreterTool,
    FileSearchTool,
    FunctionTool,
    MessageCreate,
    ProviderTool,
    RunCreate,
    validate,
)

FUNCTION = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}


def tools(*entries: Any, surface: Any = "wire") -> Any:
    return validate(AssistantUpdate, {"tools": entries}, surface=surface)["tools"]


def refused(request: Any, fields: dict[str, Any]) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        validate(request, fields)
    return caught.value


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "code_interpreter"},
        {"type": "file_search"},
        {"type": "file_search", "file_search": None},
        {
            "type": "file_search",
            "file_search": {
                "max_num_results": 50,
                "ranking_options": {"score_threshold": 0, "ranker": "auto"},
            },
        },
        FUNCTION,
        {"type": "function", "function": {"name": "a-B_9", "strict": None}},
        {**FUNCTION, "run_on": "engine"},
        {"type": "code_interpreter", "run_on": "client"},
    ],
)
def test_the_originals_tools_are_accepted_as_they_are(entry: dict[str, Any]) -> None:
    assert tools(entry) == [entry]


@pytest.mark.parametrize("prefix", PROVIDER_TOOL_PREFIXES)
def test_a_providers_tool_passes_with_all_its_fields(prefix: str) -> None:
    entry = {"type": f"{prefix}20250305", "max_uses": 5, "filters": {"a": [1]}}
    assert tools(entry) == [entry]


@pytest.mark.parametrize("kind", ["zip", "provider", "", "function_x", "my_web_search"])
def test_any_other_type_of_tool_is_refused(kind: str) -> None:
    error = refused(AssistantUpdate, {"tools": [FUNCTION, {"type": kind}]})
    assert error.param == "tools[1].type"
    assert str(error) == (
        f"Invalid value: '{kind}'. Supported values are: "
        "'code_interpreter', 'function', and 'file_search'."
    )


@pytest.mark.parametrize("name", ["", "a b", "a.b", "é", "a\n"])
def test_a_function_name_that_models_refuse_is_refused(name: str) -> None:
    error = refused(
        AssistantUpdate, {"tools": [{"type": "function", "function": {"name": name}}]}
    )
    assert error.param == "tools[0].function.name"


def test_a_function_name_has_at_most_64_characters() -> None:
    def named(length: int) -> dict[str, Any]:
        return {"type": "function", "function": {"name": "n" * length}}

    assert tools(named(64)) == [named(64)]
    error = refused(AssistantUpdate, {"tools": [named(65)]})
    assert error.code == "string_above_max_length"


def test_retrieval_of_v1_is_file_search() -> None:
    with pytest.warns(DeprecationWarning, match="use 'file_search'"):
        taken = tools({"type": "retrieval"}, surface="python")
    assert taken == [{"type": "file_search"}]


def test_retrieval_of_v1_comes_without_a_warning_over_the_wire() -> None:
    assert tools({"type": "retrieval"}) == [{"type": "file_search"}]
    choice = {"assistant_id": "a", "tool_choice": {"type": "retrieval"}}
    taken = validate(RunCreate, choice, surface="wire")
    assert taken["tool_choice"] == {"type": "file_search"}


def test_a_stored_tool_keeps_its_kind() -> None:
    entries = [
        {"type": "code_interpreter", "run_on": "engine"},
        {"type": "file_search", "file_search": {"max_num_results": 3}},
        FUNCTION,
        {"type": "web_search", "size": "low"},
    ]
    assistant = Assistant.model_validate(
        {"id": "asst_a", "created_at": 1, "model": "m", "tools": entries}
    )
    assert [type(tool) for tool in assistant.tools] == [
        CodeInterpreterTool,
        FileSearchTool,
        FunctionTool,
        ProviderTool,
    ]
    assert assistant.to_dict()["tools"] == entries
    assert Assistant.model_validate(assistant.to_dict()) == assistant


def test_a_stored_tool_has_a_type() -> None:
    with pytest.raises(ValidationError):
        Assistant.model_validate(
            {"id": "asst_a", "created_at": 1, "model": "m", "tools": [{}]}
        )


@pytest.mark.parametrize(
    "choice",
    [
        "auto",
        "none",
        "required",
        {"type": "function", "function": {"name": "f"}},
        {"type": "code_interpreter"},
        {"type": "file_search"},
        None,
    ],
)
def test_every_tool_choice_is_accepted(choice: Any) -> None:
    fields = {"assistant_id": "asst_a", "tool_choice": choice}
    assert validate(RunCreate, fields) == fields


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("always", "tool_choice"),
        (7, "tool_choice"),
        ({"type": "zip"}, "tool_choice.type"),
        ({"type": "function"}, "tool_choice.function"),
        ({"type": "function", "function": {}}, "tool_choice.function.name"),
    ],
)
def test_any_other_tool_choice_is_refused(choice: Any, param: str) -> None:
    fields = {"assistant_id": "asst_a", "tool_choice": choice}
    assert refused(RunCreate, fields).param == param


@pytest.mark.parametrize(
    "form",
    [
        "auto",
        {"type": "text"},
        {"type": "json_object"},
        {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
        },
    ],
)
def test_every_response_format_is_accepted(form: Any) -> None:
    fields = {"model": "m", "response_format": form}
    assert validate(AssistantCreate, fields) == fields


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ("json", "response_format"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        (
            {"type": "json_schema", "json_schema": {"name": "n" * 65}},
            "response_format.json_schema.name",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": []}},
            "response_format.json_schema.schema",
        ),
    ],
)
def test_any_other_response_format_is_refused(form: Any, param: str) -> None:
    fields = {"model": "m", "response_format": form}
    assert refused(AssistantCreate, fields).param == param


def test_ids_and_new_vector_stores_exclude_each_other() -> None:
    resources = {
        "file_search": {"vector_store_ids": ["vs_a"], "vector_stores": [{}]},
    }
    error = refused(AssistantCreate, {"model": "m", "tool_resources": resources})
    assert error.code == "mutually_exclusive_parameters"
    assert error.param == "tool_resources.file_search"


@pytest.mark.parametrize(
    "file_search",
    [
        {"vector_store_ids": []},
        {"vector_store_ids": ["vs_a"], "vector_stores": None},
        {"vector_stores": [{"file_ids": ["file-a"], "chunking_strategy": None}]},
    ],
)
def test_either_ids_or_new_vector_stores_are_accepted(
    file_search: dict[str, Any],
) -> None:
    fields = {"model": "m", "tool_resources": {"file_search": file_search}}
    assert validate(AssistantCreate, fields) == fields


def test_an_update_creates_no_vector_store() -> None:
    store: dict[str, Any] = {}
    fields = {"tool_resources": {"file_search": {"vector_stores": [store]}}}
    error = refused(AssistantUpdate, fields)
    assert error.code == "unknown_parameter"
    assert error.param == "tool_resources.file_search.vector_stores"


@pytest.mark.parametrize(("overlap", "accepted"), [(50, True), (51, False)])
def test_chunks_overlap_by_at_most_half(overlap: int, accepted: bool) -> None:
    sizes = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": overlap}
    store = {"chunking_strategy": {"type": "static", "static": sizes}}
    resources = {"file_search": {"vector_stores": [store]}}
    fields = {"model": "m", "tool_resources": resources}
    if accepted:
        assert validate(AssistantCreate, fields) == fields
    else:
        error = refused(AssistantCreate, fields)
        assert error.code == "integer_above_max_value"
        assert str(error.param).endswith(".static.chunk_overlap_tokens")


def test_an_attachment_names_hosted_tools_only() -> None:
    message = {"role": "user", "content": "Hi"}
    attachment = {"file_id": "file-a", "tools": [{"type": "function"}]}
    error = refused(MessageCreate, {**message, "attachments": [attachment]})
    assert error.param == "attachments[0].tools[0].type"
