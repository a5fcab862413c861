from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import assistant_with, function, thread_with, wait
from tests.stored import everything
from tests.unit.engine.conftest import Do

from langchain_assistants.errors import InvalidRequestError, NotFoundError

FULL: dict[str, Any] = {
    "model": "openai:gpt-4o",
    "name": "Tutor",
    "description": "Teaches.",
    "instructions": "Teach.",
    "tools": [
        {"type": "code_interpreter"},
        {"type": "file_search", "file_search": {"max_num_results": 5}},
        function("look_up", run_on="engine"),
    ],
    "tool_resources": {
        "code_interpreter": {"file_ids": ["file-1"]},
        "file_search": {"vector_store_ids": ["vs_1"]},
    },
    "metadata": {"grade": "7"},
    "temperature": 0.5,
    "top_p": 0.25,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}},
    },
}
CLEARED: dict[str, Any] = {
    "name": None,
    "description": None,
    "instructions": None,
    "tools": [],
    "tool_resources": {},
    "metadata": {},
    "temperature": None,
    "top_p": None,
    "response_format": "auto",
}
TOO_LONG = (
    "Invalid '{0}': string too long. Expected a string with maximum length {1}, but "
    "got a string with length {2} instead."
)
REFUSED: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "no text as name": (
        {"name": 7},
        "Invalid type for 'name': expected a string, but got an integer instead.",
        "invalid_type",
        "name",
    ),
    "long name": (
        {"name": "x" * 257},
        TOO_LONG.format("name", 256, 257),
        "string_above_max_length",
        "name",
    ),
    "long description": (
        {"description": "x" * 513},
        TOO_LONG.format("description", 512, 513),
        "string_above_max_length",
        "description",
    ),
    "long instructions": (
        {"instructions": "x" * 256_001},
        TOO_LONG.format("instructions", 256_000, 256_001),
        "string_above_max_length",
        "instructions",
    ),
    "too many tools": (
        {"tools": [{"type": "code_interpreter"}] * 217},
        "Invalid 'tools': array too long. Expected an array with maximum length 128, "
        "but got an array with length 217 instead.",
        "array_above_max_length",
        "tools",
    ),
    "unknown tool": (
        {"tools": [{"type": "abacus"}]},
        "Invalid value: 'abacus'. Supported values are: 'code_interpreter', "
        "'function', and 'file_search'.",
        "invalid_value",
        "tools[0].type",
    ),
    "long function name": (
        {"tools": [function("f" * 65)]},
        TOO_LONG.format("tools[0].function.name", 64, 65),
        "string_above_max_length",
        "tools[0].function.name",
    ),
    "too much metadata": (
        {"metadata": {str(number): "" for number in range(17)}},
        "Invalid 'metadata': too many properties. Expected an object with at most 16 "
        "properties, but got an object with 17 properties instead.",
        "object_above_max_properties",
        "metadata",
    ),
    "long metadata value": (
        {"metadata": {"k": "x" * 513}},
        TOO_LONG.format("metadata.k", 512, 513),
        "string_above_max_length",
        "metadata.k",
    ),
    "hot temperature": (
        {"temperature": 2.5},
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, "
        "but got 2.5 instead.",
        "decimal_above_max_value",
        "temperature",
    ),
    "negative top_p": (
        {"top_p": -1},
        "Invalid 'top_p': decimal below minimum value. Expected a value >= 0, but got "
        "-1 instead.",
        "decimal_below_min_value",
        "top_p",
    ),
    "unknown effort": (
        {"reasoning_effort": "heroic"},
        "Invalid value: 'heroic'. Supported values are: 'none', 'minimal', 'low', "
        "'medium', 'high', 'xhigh', and 'max'.",
        "invalid_value",
        "reasoning_effort",
    ),
    "unknown part of a tool": (
        {"tools": [{"type": "code_interpreter", "speed": 9}]},
        "Unknown parameter: 'tools[0].speed'.",
        "unknown_parameter",
        "tools[0].speed",
    ),
    "too many files": (
        {"tool_resources": {"code_interpreter": {"file_ids": ["file-1"] * 21}}},
        "Invalid 'tool_resources.code_interpreter.file_ids': array too long. Expected "
        "an array with maximum length 20, but got an array with length 21 instead.",
        "array_above_max_length",
        "tool_resources.code_interpreter.file_ids",
    ),
}
refused = pytest.mark.parametrize(
    ("fields", "message", "code", "param"), REFUSED.values(), ids=REFUSED
)


def test_a_new_assistant_shows_every_field_it_was_given(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    made = do(engine.assistants.create, **FULL)
    shown = made.to_dict()
    assert {name: shown[name] for name in FULL} == FULL
    assert shown["object"] == "assistant"
    assert shown["created_at"] == int(clock.now)
    assert made.id.startswith("asst_")
    assert len(made.id) == len("asst_") + 24
    assert do(engine.assistants.retrieve, made.id) == made


def test_only_the_model_is_required(do: Do, engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    shown = do(engine.assistants.create, model="m").to_dict()
    assert {name: shown[name] for name in CLEARED} == CLEARED
    with pytest.raises(InvalidRequestError) as error:
        do(engine.assistants.create, name="x")
    assert str(error.value) == "Missing required parameter: 'model'."
    assert error.value.code == "missing_required_parameter"
    assert error.value.param == "model"


@refused
def test_a_create_that_breaks_a_rule_is_refused_and_stores_nothing(
    engine_factory: EngineFactory,
    fields: dict[str, Any],
    message: str,
    code: str,
    param: str,
) -> None:
    engine = engine_factory()
    with pytest.raises(InvalidRequestError) as error:
        engine.assistants.create(model="m", **fields)
    told = error.value
    assert (str(told), told.code, told.param) == (message, code, param)
    assert told.http_status == 400
    assert not everything(engine)["assistants"]


@refused
def test_an_update_that_breaks_a_rule_is_refused_and_changes_nothing(
    do: Do,
    engine_factory: EngineFactory,
    fields: dict[str, Any],
    message: str,
    code: str,
    param: str,
) -> None:
    engine = engine_factory()
    made = engine.assistants.create(**FULL)
    before = everything(engine)
    with pytest.raises(InvalidRequestError) as error:
        do(engine.assistants.update, made.id, **{"model": "new", **fields})
    told = error.value
    assert (str(told), told.code, told.param) == (message, code, param)
    assert everything(engine) == before


def test_values_at_their_limits_are_accepted(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    made = engine.assistants.create(
        model="m",
        name="x" * 256,
        description="x" * 512,
        instructions="x" * 256_000,
        tools=[function("f" * 64)] * 128,
        metadata={f"{number:064d}": "v" * 512 for number in range(16)},
        temperature=2,
        top_p=1,
    )
    assert len(engine.assistants.retrieve(made.id).tools) == 128


def test_an_update_keeps_what_is_absent(do: Do, engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    made = engine.assistants.create(**FULL)
    assert do(engine.assistants.update, made.id).to_dict() == made.to_dict() | {
        "version": 2
    }


@pytest.mark.parametrize("field", CLEARED)
def test_an_update_with_null_clears_that_field_alone(
    engine_factory: EngineFactory, field: str
) -> None:
    engine = engine_factory()
    made = engine.assistants.create(**FULL)
    cleared = engine.assistants.update(made.id, **{field: None})
    expected = made.to_dict() | {field: CLEARED[field], "version": 2}
    assert cleared.to_dict() == expected
    assert engine.assistants.retrieve(made.id) == cleared


def test_an_update_replaces_tools_resources_and_metadata_as_a_whole(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    made = engine.assistants.create(**FULL)
    changes: dict[str, Any] = {
        "tools": [function("other")],
        "tool_resources": {"code_interpreter": {"file_ids": ["file-2"]}},
        "metadata": {"room": "12"},
    }
    shown = do(engine.assistants.update, made.id, **changes).to_dict()
    assert {name: shown[name] for name in changes} == changes
    assert shown["version"] == 2


def test_the_model_cannot_be_cleared(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    made = assistant_with(engine)
    with pytest.raises(InvalidRequestError) as error:
        engine.assistants.update(made.id, model=None)
    assert (error.value.code, error.value.param) == ("invalid_type", "model")
    assert engine.assistants.retrieve(made.id) == made


def test_an_update_creates_no_vector_store(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    made = assistant_with(engine)
    with pytest.raises(InvalidRequestError) as error:
        engine.assistants.update(
            made.id,
            tool_resources={"file_search": {"vector_stores": [{}]}},  # type: ignore[typeddict-unknown-key]
        )
    assert error.value.param == "tool_resources.file_search.vector_stores"
    assert error.value.code == "unknown_parameter"


def test_a_deleted_assistant_is_gone(do: Do, engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    made = assistant_with(engine)
    assert do(engine.assistants.delete, made.id).to_dict() == {
        "id": made.id,
        "object": "assistant.deleted",
        "deleted": True,
    }
    for method in ("retrieve", "update", "delete"):
        with pytest.raises(NotFoundError) as error:
            do(getattr(engine.assistants, method), made.id)
        assert str(error.value) == f"No assistant found with id '{made.id}'."
        assert error.value.http_status == 404
        assert (error.value.code, error.value.param) == (None, None)


def test_threads_and_runs_outlive_their_assistant(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["Hello."])
    assistant, thread = assistant_with(engine), thread_with(engine, "Hi")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    engine.assistants.delete(assistant.id)
    assert engine.runs.retrieve(run.id) == run
    [answer] = engine.messages.list(thread.id, run_id=run.id)
    assert answer.assistant_id == assistant.id
    [step] = engine.steps.list(run.id)
    assert step.assistant_id == assistant.id


@pytest.mark.parametrize("method", ["retrieve", "update", "delete"])
def test_an_id_of_another_kind_is_refused(
    do: Do, engine_factory: EngineFactory, method: str
) -> None:
    engine = engine_factory()
    with pytest.raises(InvalidRequestError) as error:
        do(getattr(engine.assistants, method), "thread_x")
    assert str(error.value) == (
        "Invalid 'assistant_id': 'thread_x'. Expected an ID that begins with 'asst_'."
    )
    assert (error.value.code, error.value.param) == ("invalid_value", "assistant_id")


def test_an_unknown_argument_is_named_with_the_nearest_one(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    with pytest.raises(TypeError, match="'instruction'; did you mean 'instructions'"):
        do(engine.assistants.create, model="m", instruction="x")
    assert not everything(engine)["assistants"]


def test_get_or_create_finds_equal_content_and_never_updates(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    made = do(engine.assistants.get_or_create, **FULL)
    assert do(engine.assistants.get_or_create, **FULL) == made
    other = do(engine.assistants.get_or_create, **FULL | {"instructions": "Else."})
    assert other.id != made.id
    assert engine.assistants.retrieve(made.id) == made


def test_get_or_create_finds_an_assistant_by_what_it_has_become(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    made = engine.assistants.get_or_create(model="m", name="A")
    engine.assistants.update(made.id, name="B")
    assert engine.assistants.get_or_create(model="m", name="B").id == made.id
    assert engine.assistants.get_or_create(model="m", name="A").id != made.id


def test_get_or_create_from_many_threads_makes_one(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda _: engine.assistants.get_or_create(**FULL), range(16))
        )
    assert len({assistant.id for assistant in made}) == 1
    assert len(everything(engine)["assistants"]) == 1


def test_a_v1_retrieval_tool_becomes_file_search(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    with pytest.warns(DeprecationWarning, match="retrieval"):
        made = engine.assistants.create(model="m", tools=[{"type": "retrieval"}])
    assert [tool.type for tool in made.tools] == ["file_search"]
