from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.types import (
    Assistant,
    AssistantCreate,
    AssistantUpdate,
    ListParams,
    MessageCreate,
    MessageUpdate,
    RunCreate,
    RunUpdate,
    ThreadCreate,
    ThreadUpdate,
    ToolOutputs,
    check_id,
    validate,
)
from langchain_assistants.types.refusals import translated

REQUESTS = [
    AssistantCreate,
    AssistantUpdate,
    ListParams,
    MessageCreate,
    MessageUpdate,
    RunCreate,
    RunUpdate,
    ThreadCreate,
    ThreadUpdate,
    ToolOutputs,
]
REQUIRED: dict[Any, dict[str, Any]] = {
    AssistantCreate: {"model": "m"},
    MessageCreate: {"role": "user", "content": "Hi"},
    RunCreate: {"assistant_id": "asst_a"},
    ToolOutputs: {"tool_outputs": []},
}


def refusal(
    request: Any, fields: dict[str, Any], surface: Any = "wire"
) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        validate(request, {**REQUIRED.get(request, {}), **fields}, surface=surface)
    return caught.value


ROWS: list[tuple[Any, dict[str, Any], str, str, str]] = [
    (
        AssistantUpdate,
        {"nam": "x"},
        "unknown_parameter",
        "nam",
        "Unknown parameter: 'nam'.",
    ),
    (
        AssistantCreate,
        {"tools": [{"type": "function", "function": {"name": "f", "x": 1}}]},
        "unknown_parameter",
        "tools[0].function.x",
        "Unknown parameter: 'tools[0].function.x'.",
    ),
    (
        AssistantCreate,
        {"tools": [{"type": "function"}]},
        "missing_required_parameter",
        "tools[0].function",
        "Missing required parameter: 'tools[0].function'.",
    ),
    (
        AssistantCreate,
        {"tools": [{}]},
        "missing_required_parameter",
        "tools[0].type",
        "Missing required parameter: 'tools[0].type'.",
    ),
    (
        RunCreate,
        {"truncation_strategy": {"type": "last_messages"}},
        "missing_required_parameter",
        "truncation_strategy.last_messages",
        "Missing required parameter: 'truncation_strategy.last_messages'.",
    ),
    (
        AssistantCreate,
        {"name": 5},
        "invalid_type",
        "name",
        "Invalid type for 'name': expected a string, but got an integer instead.",
    ),
    (
        AssistantCreate,
        {"model": None},
        "invalid_type",
        "model",
        "Invalid type for 'model': expected a string, but got null instead.",
    ),
    (
        AssistantCreate,
        {"tools": "x"},
        "invalid_type",
        "tools",
        "Invalid type for 'tools': expected an array, but got a string instead.",
    ),
    (
        AssistantCreate,
        {"tools": [True]},
        "invalid_type",
        "tools[0]",
        "Invalid type for 'tools[0]': expected an object, but got a boolean instead.",
    ),
    (
        AssistantCreate,
        {"tools": [{"type": 5}]},
        "invalid_type",
        "tools[0].type",
        "Invalid type for 'tools[0].type': expected a string, "
        "but got an integer instead.",
    ),
    (
        AssistantCreate,
        {"metadata": ["a"]},
        "invalid_type",
        "metadata",
        "Invalid type for 'metadata': expected an object, but got an array instead.",
    ),
    (
        AssistantCreate,
        {"metadata": {"a": 1.5}},
        "invalid_type",
        "metadata.a",
        "Invalid type for 'metadata.a': expected a string, but got a decimal instead.",
    ),
    (
        AssistantCreate,
        {"temperature": "1"},
        "invalid_type",
        "temperature",
        "Invalid type for 'temperature': expected a decimal, but got a string instead.",
    ),
    (
        RunCreate,
        {"max_prompt_tokens": 300.0},
        "invalid_type",
        "max_prompt_tokens",
        "Invalid type for 'max_prompt_tokens': expected an integer, "
        "but got a decimal instead.",
    ),
    (
        RunCreate,
        {"stream": 1},
        "invalid_type",
        "stream",
        "Invalid type for 'stream': expected a boolean, but got an integer instead.",
    ),
    (
        MessageCreate,
        {"role": {}},
        "invalid_type",
        "role",
        "Invalid type for 'role': expected one of 'user' or 'assistant', "
        "but got an object instead.",
    ),
    (
        MessageCreate,
        {"content": 7},
        "invalid_type",
        "content",
        "Invalid type for 'content': expected one of a string or array of objects, "
        "but got an integer instead.",
    ),
    (
        MessageCreate,
        {"role": "system"},
        "invalid_value",
        "role",
        "Invalid value: 'system'. Supported values are: 'user' and 'assistant'.",
    ),
    (
        AssistantCreate,
        {"tools": [{"type": "zip"}]},
        "invalid_value",
        "tools[0].type",
        "Invalid value: 'zip'. Supported values are: "
        "'code_interpreter', 'function', and 'file_search'.",
    ),
    (
        AssistantCreate,
        {"response_format": {"type": "xml"}},
        "invalid_value",
        "response_format.type",
        "Invalid value: 'xml'. Supported values are: "
        "'text', 'json_object', and 'json_schema'.",
    ),
    (
        AssistantCreate,
        {"name": "x" * 300},
        "string_above_max_length",
        "name",
        "Invalid 'name': string too long. Expected a string with maximum length 256, "
        "but got a string with length 300 instead.",
    ),
    (
        AssistantCreate,
        {"metadata": {"k" * 65: ""}},
        "string_above_max_length",
        "metadata",
        "Invalid 'metadata': key too long. Expected keys with maximum length 64, "
        "but got a key with length 65 instead.",
    ),
    (
        MessageCreate,
        {"content": ""},
        "string_below_min_length",
        "content",
        "Invalid 'content': string too short. Expected a string with minimum length "
        "1, but got an empty string instead.",
    ),
    (
        MessageCreate,
        {"content": []},
        "empty_array",
        "content",
        "Invalid 'content': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
    ),
    (
        AssistantCreate,
        {"tools": [{"type": "file_search"}] * 217},
        "array_above_max_length",
        "tools",
        "Invalid 'tools': array too long. Expected an array with maximum length 128, "
        "but got an array with length 217 instead.",
    ),
    (
        ListParams,
        {"limit": 500},
        "integer_above_max_value",
        "limit",
        "Invalid 'limit': integer above maximum value. Expected a value <= 100, "
        "but got 500 instead.",
    ),
    (
        ListParams,
        {"limit": 0},
        "integer_below_min_value",
        "limit",
        "Invalid 'limit': integer below minimum value. Expected a value >= 1, "
        "but got 0 instead.",
    ),
    (
        AssistantCreate,
        {"temperature": 2.5},
        "decimal_above_max_value",
        "temperature",
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, "
        "but got 2.5 instead.",
    ),
    (
        RunCreate,
        {"top_p": -1},
        "decimal_below_min_value",
        "top_p",
        "Invalid 'top_p': decimal below minimum value. Expected a value >= 0, "
        "but got -1 instead.",
    ),
    (
        AssistantCreate,
        {"metadata": {str(number): "x" for number in range(17)}},
        "object_above_max_properties",
        "metadata",
        "Invalid 'metadata': too many properties. Expected an object with at most 16 "
        "properties, but got an object with 17 properties instead.",
    ),
    (
        AssistantCreate,
        {"tools": [{"type": "function", "function": {"name": "my tool"}}]},
        "invalid_value",
        "tools[0].function.name",
        "Invalid 'tools[0].function.name': string does not match pattern. Expected a "
        "string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
    ),
]


@pytest.mark.parametrize(
    ("request_type", "fields", "code", "param", "message"),
    ROWS,
    ids=[f"{code} of {param}" for _, _, code, param, _ in ROWS],
)
@pytest.mark.parametrize("surface", ["python", "wire"])
def test_a_broken_rule_has_the_originals_error(
    request_type: Any,
    fields: dict[str, Any],
    code: str,
    param: str,
    message: str,
    surface: str,
) -> None:
    if surface == "python" and param == "nam":
        with pytest.raises(TypeError):
            validate(request_type, fields)
        return
    error = refusal(request_type, fields, surface)
    assert (error.code, error.param, str(error)) == (code, param, message)


@pytest.mark.parametrize(
    ("request_type", "field"),
    [
        (AssistantCreate, "model"),
        (MessageCreate, "role"),
        (RunCreate, "assistant_id"),
        (ToolOutputs, "tool_outputs"),
    ],
)
def test_a_required_field_is_missed(request_type: Any, field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        validate(request_type, {})
    assert str(caught.value) == f"Missing required parameter: '{field}'."
    assert caught.value.code == "missing_required_parameter"
    assert caught.value.param == field


def test_an_unknown_argument_names_the_nearest_one() -> None:
    with pytest.raises(TypeError, match="'instruction'; did you mean 'instructions'"):
        validate(AssistantCreate, {"model": "m", "instruction": "x"})


def test_an_unknown_argument_like_no_other_lists_them_all() -> None:
    with pytest.raises(TypeError, match="the arguments are: limit, order, after"):
        validate(ListParams, {"zzz": 1})


@pytest.mark.parametrize("request_type", REQUESTS)
def test_null_means_not_given_on_every_optional_field(request_type: Any) -> None:
    optional = dict.fromkeys(request_type.__optional_keys__)
    required = REQUIRED.get(request_type, {})
    assert validate(request_type, {**optional, **required}) == {**optional, **required}


@pytest.mark.parametrize("request_type", REQUESTS)
def test_absent_fields_stay_absent(request_type: Any) -> None:
    required = REQUIRED.get(request_type, {})
    assert validate(request_type, required) == required


def test_wire_objects_in_a_request_become_plain_data() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}]
    assistant = Assistant.model_validate(
        {
            "id": "asst_a",
            "created_at": 1,
            "model": "m",
            "tools": tools,
            "tool_resources": {"file_search": {"vector_store_ids": ["vs_a"]}},
        }
    )
    fields = {
        "model": "m",
        "tools": tuple(assistant.tools),
        "tool_resources": assistant.tool_resources,
    }
    assert validate(AssistantCreate, fields) == {
        "model": "m",
        "tools": tools,
        "tool_resources": {"file_search": {"vector_store_ids": ["vs_a"]}},
    }


def test_a_request_is_copied_not_kept() -> None:
    context = {"user": {"name": "Ada"}}
    stored = validate(ThreadCreate, {"context": context})
    context["user"]["name"] = "Bob"
    assert stored == {"context": {"user": {"name": "Ada"}}}


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_no_database_stores_is_refused(text: str) -> None:
    error = refusal(MessageCreate, {"content": [{"type": "text", "text": text}]})
    assert (error.code, error.param) == ("invalid_value", "content[0].text")
    error = refusal(ThreadCreate, {"context": {"a": [{text: 1}]}})
    assert (error.code, error.param) == ("invalid_value", "context.a[0]")


@pytest.mark.parametrize("number", [math.nan, math.inf, 10**400])
def test_numbers_that_json_cannot_hold_are_refused(number: float) -> None:
    for fields in ({"context": {"a": number}}, {"metadata": {"a": number}}):
        error = refusal(ThreadCreate, fields)
        assert (error.code, str(error).split(": ")[1]) == (
            "invalid_value",
            "Expected a finite number.",
        )


@pytest.mark.parametrize("value", [{1, 2}, b"x", object()])
def test_values_that_are_not_json_are_refused(value: object) -> None:
    error = refusal(ThreadCreate, {"context": {"a": value}})
    assert (error.code, error.param) == ("invalid_type", "context.a")
    assert "expected a JSON value, but got a Python" in str(error)


def test_keys_that_are_not_text_are_refused() -> None:
    error = refusal(ThreadCreate, {"metadata": {3: "x"}})
    assert (error.code, error.param) == ("invalid_type", "metadata")


def test_data_nested_too_deeply_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(150):
        deep = {"a": deep}
    assert validate(ThreadCreate, {"context": deep}) == {"context": deep}
    endless: dict[str, Any] = {}
    endless["a"] = endless
    error = refusal(ThreadCreate, {"context": endless})
    assert (error.code, error.param) == ("invalid_value", "context")
    assert str(error) == "Invalid 'context': Expected at most 200 nested levels."


def test_an_error_does_not_repeat_a_long_value() -> None:
    error = refusal(MessageCreate, {"role": "secret" * 1000})
    assert len(str(error)) < 200


def test_a_body_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        validate(ThreadCreate, [1], surface="wire")  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.param) == ("invalid_type", None)


def test_a_complaint_of_pydantic_that_is_not_known_still_names_the_field() -> None:
    error = translated({"type": "odd", "loc": ("a", 0), "msg": "Odd", "input": 1})
    assert (error.code, error.param, str(error)) == (
        "invalid_value",
        "a[0]",
        "Invalid 'a[0]': Odd.",
    )


def test_an_id_with_its_prefix_is_given_back() -> None:
    assert check_id("thread_abc", "thread_id", "thread") == "thread_abc"


@pytest.mark.parametrize("value", ["x", "", "msg_a", "thread_\0", "thread_\ud800"])
def test_an_id_of_another_type_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError, match="Invalid 'thread_id'") as caught:
        check_id(value, "thread_id", "thread")
    error = caught.value
    assert (error.code, error.param) == ("invalid_value", "thread_id")
    assert str(error).endswith("Expected an ID that begins with 'thread'.")
    str(error).encode()


def test_an_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_id(None, "thread_id", "thread")
    assert str(caught.value) == (
        "Invalid type for 'thread_id': expected a string, but got null instead."
    )


NAMES = ["type", "function", "name", "static", "file_search", "text", "auto", "a"]
JSON = st.recursive(
    st.sampled_from(
        [*NAMES, None, True, 0, 10**20, 0.5, math.nan, "", "\0text", "\ud800"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "\0function"]), inner, max_size=3)
    ),
    max_leaves=8,
)
BODIES = st.sampled_from(REQUESTS).flatmap(
    lambda request: st.tuples(
        st.just(request),
        st.dictionaries(
            st.sampled_from([*request.__annotations__, "x"]), JSON, max_size=3
        ),
    )
)


def outcome(request: Any, fields: dict[str, Any]) -> dict[str, Any] | str:
    try:
        return validate(request, fields, surface="wire")
    except InvalidRequestError as error:
        return f"{error} | {error.code} | {error.param}"


@given(BODIES)
def test_any_body_is_taken_as_it_is_or_refused_in_words_that_can_be_sent(
    body: tuple[Any, dict[str, Any]],
) -> None:
    request, fields = body
    result = outcome(request, fields)
    if isinstance(result, str):
        assert "| None" not in result
        assert "\0" not in result
        result.encode()
    else:
        assert result == fields
