"""Structured output: what may describe an answer, and what becomes of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest
from langchain_core.output_parsers import PydanticOutputParser
from pydantic import BaseModel
from tests.langchain.arithmetic import add, calls
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of, place_of
from typing_extensions import TypedDict

from langchain_assistants import AssistantRunnable
from langchain_assistants.errors import AssistantsError, InvalidRequestError
from langchain_assistants.testing import Reply, ScriptedChatModel, call

pytestmark = pytest.mark.embedded_only("answers are parsed above the backend")


class Sum(BaseModel):
    """A sum."""

    value: int


class SumDict(TypedDict):
    """A sum."""

    value: int


@dataclass
class SumData:
    """A sum."""

    value: int


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    """A box."""

    value: T


SCHEMA = {
    "title": "Sum",
    "type": "object",
    "properties": {"value": {"type": "integer"}},
    "required": ["value"],
}
WIRE = {"type": "json_schema", "json_schema": {"name": "Sum", "schema": SCHEMA}}

FORMATS = [
    pytest.param(Sum, "Sum", Sum(value=3), id="pydantic"),
    pytest.param(SumDict, "SumDict", {"value": 3}, id="typed-dict"),
    pytest.param(SumData, "SumData", SumData(value=3), id="dataclass"),
    pytest.param(SCHEMA, "Sum", {"value": 3}, id="schema"),
    pytest.param(WIRE, "Sum", {"value": 3}, id="wire"),
]


def model_of(strategy: str, name: str, value: Any, times: int) -> ScriptedChatModel:
    """A model that answers in JSON natively, or by a tool call as others do."""
    if strategy == "provider":
        text = f'{{"value": {value}}}'
        return ScriptedChatModel([text] * times, profile={"structured_output": True})
    reply = Reply(tool_calls=[call(name, {"value": value})])
    return ScriptedChatModel([reply] * times)


strategies = pytest.mark.parametrize("strategy", ["provider", "tool"])


@strategies
@pytest.mark.parametrize(("wanted", "name", "expected"), FORMATS)
async def test_an_assistants_own_format_is_parsed_in_every_kind_of_output(
    make_assistant: MakeAssistant,
    ask: Ask,
    strategy: str,
    wanted: Any,
    name: str,
    expected: Any,
) -> None:
    model = model_of(strategy, name, 3, 4)
    assistant = make_assistant(model, response_format=wanted)
    (message,) = await ask(assistant, "1 + 2?")
    assert message.parsed == expected
    assert type(message.parsed) is type(expected)
    agent = assistant.model_copy(update={"as_agent": True})
    finish = await ask(agent, "1 + 2?")
    assert finish.return_values["parsed"] == expected
    chat = assistant.model_copy(update={"as_message": True})
    answer = await ask(chat, "1 + 2?")
    assert answer.additional_kwargs["parsed"] == expected
    assert answer.text.replace(" ", "") == '{"value":3}'
    # Another process knows the assistant's schema, not its class.
    other = AssistantRunnable(
        assistant_id=assistant.assistant_id, **place_of(assistant)
    )
    (message,) = await ask(other, "1 + 2?")
    assert message.parsed == {"value": 3}


@pytest.mark.parametrize(("wanted", "name", "expected"), FORMATS)
async def test_a_runs_format_is_parsed(
    make_assistant: MakeAssistant, ask: Ask, wanted: Any, name: str, expected: Any
) -> None:
    assistant = make_assistant(model_of("tool", name, 3, 2), as_message=True)
    given = {"content": "1 + 2?", "response_format": wanted}
    answer = await ask(assistant, given)
    assert answer.additional_kwargs["parsed"] == expected
    answer = await ask(assistant.bind(response_format=wanted), "1 + 2?")
    assert answer.additional_kwargs["parsed"] == expected


async def test_the_stored_assistant_keeps_the_schema(
    make_assistant: MakeAssistant,
) -> None:
    assistant = make_assistant([], response_format=Sum)
    engine = engine_of(assistant)
    stored = engine.assistants.retrieve(assistant.assistant_id)
    assert stored.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "Sum", "schema": Sum.model_json_schema()},
    }
    again = AssistantRunnable.get_or_create_assistant(
        "Tutor",
        "You teach arithmetic.",
        [],
        "scripted",
        engine=engine,
        response_format=Sum,
    )
    assert again.assistant_id == assistant.assistant_id
    assert again.answer_type is Sum
    made = await AssistantRunnable.acreate_assistant(
        "B", "", [], "scripted", engine=engine, response_format=SCHEMA
    )
    stored = await engine.assistants.aretrieve(made.assistant_id)
    assert stored.response_format == WIRE


async def test_a_class_may_be_given_for_a_stored_schema(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    made = make_assistant(model_of("tool", "Sum", 3, 1), response_format=WIRE)
    other = AssistantRunnable(
        assistant_id=made.assistant_id, **place_of(made), answer_type=Sum
    )
    (message,) = await ask(other, "1 + 2?")
    assert message.parsed == Sum(value=3)


async def test_a_runs_own_format_wins_over_the_assistants(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    plain = "Three."
    steps = [plain, Reply(tool_calls=[call("Sum", {"value": 3})])]
    assistant = make_assistant(steps, response_format=Sum)
    given: dict[str, Any] = {"content": "1 + 2?", "response_format": {"type": "text"}}
    (message,) = await ask(assistant, given)
    assert (message.text, message.parsed) == (plain, None)
    (message,) = await ask(assistant, {**given, "response_format": WIRE})
    assert message.parsed == {"value": 3}


async def test_an_agents_loop_ends_with_the_object(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((add, 1, 2)), Reply(tool_calls=[call("Sum", {"value": 3})])]
    agent = make_assistant(steps, [add], as_agent=True, response_format=Sum)
    (action,) = await ask(agent, "1 + 2?")
    finish = await ask(agent, {"intermediate_steps": [(action, 3)]})
    assert finish.return_values["parsed"] == Sum(value=3)


@strategies
@pytest.mark.parametrize("wanted", [Sum, SumDict, SumData])
async def test_an_answer_that_breaks_its_schema_is_an_error(
    make_assistant: MakeAssistant, ask: Ask, strategy: str, wanted: Any
) -> None:
    value = '"three"' if strategy == "provider" else "three"
    model = model_of(strategy, wanted.__name__, value, 1)
    assistant = make_assistant(model, response_format=wanted)
    thread = engine_of(assistant).threads.create()
    given = {"content": "1 + 2?", "thread_id": thread.id}
    with pytest.raises(AssistantsError, match="does not follow") as caught:
        await ask(assistant, given)
    assert "three" not in str(caught.value)
    # What was written is kept, and the thread is free.
    (run,) = engine_of(assistant).runs.list(thread.id)
    assert run.status == "completed"
    assert "three" in next(iter(engine_of(assistant).messages.list(thread.id))).text


async def test_an_answer_that_is_no_json_is_an_error(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    model = ScriptedChatModel(["Three."], profile={"structured_output": True})
    assistant = make_assistant(model, response_format=SCHEMA)
    with pytest.raises(AssistantsError, match="JSONDecodeError"):
        await ask(assistant, "1 + 2?")


async def test_a_refusal_has_nothing_parsed(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    refusal = Reply(refusal="No.")
    model = ScriptedChatModel([refusal], profile={"structured_output": True})
    assistant = make_assistant(model, response_format=Sum)
    (message,) = await ask(assistant, "1 + 2?")
    assert message.parsed is None
    assert message.content[0].refusal == "No."


async def test_a_broken_answer_is_tried_again_on_its_thread(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    native = {"structured_output": True}
    model = ScriptedChatModel(["Three.", '{"value": 3}'], profile=native)
    assistant = make_assistant(model, response_format=Sum)
    stubborn = assistant.with_retry(
        retry_if_exception_type=(AssistantsError,), wait_exponential_jitter=False
    )
    (message,) = await ask(stubborn, "1 + 2?")
    assert message.parsed == Sum(value=3)
    assert len(list(engine_of(assistant).runs.list(message.thread_id))) == 2


async def test_a_parser_reads_a_structured_answer(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    model = model_of("tool", "Sum", 3, 1)
    assistant = make_assistant(model, response_format=Sum, as_message=True)
    chain = assistant | PydanticOutputParser(pydantic_object=Sum)
    assert await ask(chain, "1 + 2?") == Sum(value=3)


async def test_a_format_that_describes_no_object_is_refused(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant([])
    with pytest.raises(TypeError, match="describes no object"):
        await ask(assistant, {"content": "Hi", "response_format": int})
    with pytest.raises(TypeError, match="describes no object"):
        make_assistant([], response_format=list)
    with pytest.raises(InvalidRequestError, match="'json_schema'"):
        await ask(assistant, {"content": "Hi", "response_format": {"type": "object"}})


async def test_a_generic_classs_name_is_made_one_of_the_wire(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    model = model_of("tool", "Box_int_", 3, 1)
    assistant = make_assistant(model, response_format=Box[int])
    (message,) = await ask(assistant, "1 + 2?")
    assert message.parsed == Box[int](value=3)
