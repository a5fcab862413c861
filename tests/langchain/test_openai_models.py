"""Runs through the real langchain-openai, against a scripted server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests import openai_server as scripted
from tests.conftest import EngineFactory
from tests.dialogue import Dialogue, ended, heard_text, open_calls
from tests.openai_server import Failure, OpenAIServer

from langchain_assistants import AssistantsEngine
from langchain_assistants.settings import Settings
from langchain_assistants.testing import Reply, call, malformed_call
from langchain_assistants.types.runs import Run

openai_server = scripted.openai_server  # the fixture


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def ask_user(question: str = "?") -> str:
    """Ask the user."""
    raise AssertionError("the caller executes it")


OpenEngine = Callable[..., AssistantsEngine]


@pytest.fixture
def engine_on(engine_factory: EngineFactory, openai_server: OpenAIServer) -> OpenEngine:
    """Engines that find their models by LangChain's `init_chat_model`."""

    def open_engine(**options: Any) -> AssistantsEngine:
        return engine_factory([], chat_model=None, **options)

    return open_engine


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited for between attempts, without waiting."""
    waited: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float, *args: Any) -> None:
        if seconds > 0.05:
            waited.append(seconds)
            seconds = 0
        await sleep(seconds, *args)

    monkeypatch.setattr(asyncio, "sleep", note)
    return waited


def talk_to(engine: AssistantsEngine, **options: Any) -> Dialogue:
    """An assistant on OpenAI's model."""
    return Dialogue(engine, **{"model": "openai:gpt-4o", **options})


def error_of(run: Run) -> tuple[str, str]:
    """The code and text of a failed run's error."""
    assert run.status == "failed"
    assert run.last_error is not None
    return run.last_error.code, run.last_error.message


ADDS = Reply(tool_calls=[call("add", {"a": 1, "b": 2}, id="call_add")])


# Answers.


def test_an_answer_is_streamed_with_its_usage(
    engine_on: OpenEngine, openai_server: OpenAIServer
) -> None:
    usage = {"input_tokens": 11, "output_tokens": 4}
    openai_server.answer(Reply("Hello there, Ann.", usage=usage))
    talk = talk_to(engine_on())
    events = talk.hear("Hi")
    assert heard_text(events) == talk.texts[-1] == "Hello there, Ann."
    run = ended(events)
    assert run.usage is not None
    assert (run.usage.prompt_tokens, run.usage.completion_tokens) == (11, 4)
    asked = openai_server.requests[0].json
    assert asked["model"] == "gpt-4o"
    assert asked["stream"] is True
    assert asked["stream_options"] == {"include_usage": True}


def test_nobody_listens_and_nothing_is_streamed(
    engine_on: OpenEngine, openai_server: OpenAIServer
) -> None:
    openai_server.answer(Reply("Hello.", usage={"input_tokens": 3, "output_tokens": 1}))
    run = talk_to(engine_on()).ask("Hi")
    assert run.usage is not None
    assert run.usage.total_tokens == 4
    assert not openai_server.requests[0].json.get("stream")


def test_a_model_map_leads_old_names_to_other_models(
    engine_on: OpenEngine, openai_server: OpenAIServer
) -> None:
    openai_server.answer("Hello.")
    engine = engine_on(model_map={"gpt-4-turbo": "openai:gpt-4.1"})
    run = talk_to(engine, model="gpt-4-turbo").ask("Hi")
    assert run.model == "gpt-4-turbo"
    assert openai_server.requests[0].json["model"] == "gpt-4.1"


@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tools_and_the_callers_functions(
    engine_on: OpenEngine, openai_server: OpenAIServer, streamed: bool
) -> None:
    openai_server.answer(
        Reply(
            "Let me see.",
            tool_calls=[
                call("add", {"a": 1, "b": 2}, id="call_1"),
                call("ask_user", {"question": "?"}, id="call_2"),
                call("add", {"a": 3, "b": 4}, id="call_3"),
            ],
        ),
        "3, yes, 7.",
    )
    talk = talk_to(engine_on(tools=[add]), executed=[add], functions=[ask_user])
    waiting = ended(talk.hear("Go")) if streamed else talk.ask("Go")
    assert open_calls(waiting) == ["call_2"]
    run = talk.submit(waiting, {"call_2": "yes"})
    assert run.status == "completed"
    assert talk.outputs(run) == ["3", "yes", "7"]
    messages = openai_server.requests[1].json["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", *["tool"] * 3]
    assert messages[1]["content"] == "Let me see."
    assert [m["content"] for m in messages[2:]] == ["3", "yes", "7"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("arguments", ["a=1", '{"a": 1, "b": '])
def test_malformed_arguments_are_answered_and_accepted_by_the_server(
    engine_on: OpenEngine, openai_server: OpenAIServer, streamed: bool, arguments: str
) -> None:
    broken = Reply(malformed=[malformed_call("add", arguments, id="call_x")])
    openai_server.answer(broken, "Sorry.", "Bye.")
    talk = talk_to(engine_on(tools=[add]), executed=[add])
    run = ended(talk.hear("Go")) if streamed else talk.ask("Go")
    assert run.status == "completed"
    assert talk.calls(run)[0].function.arguments == arguments
    assert talk.ask("Bye").status == "completed"


def test_pairs_are_accepted_over_several_turns_and_after_a_cancelled_run(
    engine_on: OpenEngine, openai_server: OpenAIServer
) -> None:
    asks = Reply("Hm.", tool_calls=[call("ask_user", id="call_q"), *ADDS.tool_calls])
    openai_server.answer(ADDS, "3.", asks, "Fine.", ADDS, "3 again.")
    talk = talk_to(engine_on(tools=[add]), executed=[add], functions=[ask_user])
    assert talk.ask("1 + 2?").status == "completed"
    waiting = talk.ask("Ask me")
    assert talk.engine.runs.cancel(waiting.id).status == "cancelled"
    assert talk.ask("Never mind").status == "completed"
    assert talk.ask("1 + 2?").status == "completed"
    roles = [m["role"] for m in openai_server.requests[-1].json["messages"]]
    assert roles.count("tool") == 4
    assert talk.texts[-1] == "3 again."


def test_tool_choice_and_parallel_tool_calls_are_translated(
    engine_on: OpenEngine, openai_server: OpenAIServer
) -> None:
    openai_server.answer(ADDS, "3", ADDS, "3", "No tools.")
    talk = talk_to(engine_on(tools=[add]), executed=[add])
    named = {"type": "function", "function": {"name": "add"}}
    talk.ask("Go", tool_choice=named, parallel_tool_calls=False)
    talk.ask("Go", tool_choice="required")
    talk.ask("Go", tool_choice="none", parallel_tool_calls=False)
    asked = [request.json for request in openai_server.requests]
    assert [a.get("tool_choice") for a in asked] == [
        named,
        None,
        "required",
        None,
        None,
    ]
    assert [a.get("parallel_tool_calls") for a in asked] == [
        False,
        False,
        None,
        None,
        None,
    ]


def test_sampling_parameters_and_limits_are_sent(
    engine_on: OpenEngine, openai_server: OpenAIServer
) -> None:
    openai_server.answer("1", "2")
    talk = talk_to(engine_on())
    talk.ask("Hi", temperature=0.25, top_p=0.5, max_completion_tokens=300)
    talk.ask("Hi", model="openai:o3-mini", reasoning_effort="low")
    first, second = (request.json for request in openai_server.requests)
    assert (first["temperature"], first["top_p"]) == (0.25, 0.5)
    assert first["max_completion_tokens"] == 300
    assert second["reasoning_effort"] == "low"


def test_json_mode_is_the_providers_own(
    engine_on: OpenEngine, openai_server: OpenAIServer
) -> None:
    openai_server.answer('{"a": 1}')
    talk = talk_to(engine_on())
    talk.ask("As JSON", response_format={"type": "json_object"})
    asked = openai_server.requests[0].json
    assert asked["response_format"] == {"type": "json_object"}
    assert [m["role"] for m in asked["messages"]] == ["user"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_schema_is_sent_as_it_was_given(
    engine_on: OpenEngine, openai_server: OpenAIServer, streamed: bool
) -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"type": "integer"}},
        "required": ["x"],
        "additionalProperties": False,
    }
    point = {"name": "Point", "schema": schema, "strict": True}
    wanted = {"type": "json_schema", "json_schema": point}
    openai_server.answer('{"x": 1}')
    talk = talk_to(engine_on())
    run = (
        ended(talk.hear("Go", response_format=wanted))
        if streamed
        else talk.ask("Go", response_format=wanted)
    )
    assert run.status == "completed"
    assert json.loads(talk.texts[-1]) == {"x": 1}
    sent = openai_server.requests[0].json["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["name"] == "Point"
    properties = sent["json_schema"]["schema"]["properties"]
    assert properties == schema["properties"]


def test_an_image_url_reaches_the_provider(
    engine_on: OpenEngine, openai_server: OpenAIServer
) -> None:
    openai_server.answer("A cat.")
    image = {"url": "https://example.com/cat.png", "detail": "low"}
    talk_to(engine_on()).ask(
        [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": image},
        ]
    )
    (message,) = openai_server.requests[0].json["messages"]
    assert message["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": image},
    ]


SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
POINT = {"type": "json_schema", "json_schema": {"name": "Point", "schema": SCHEMA}}


@pytest.mark.parametrize(
    ("streamed", "response_format"),
    # Of a stream langchain-openai keeps refusals only where a schema was asked for.
    [(False, None), (False, POINT), (True, POINT)],
)
def test_a_refusal_is_stored_as_one(
    engine_on: OpenEngine,
    openai_server: OpenAIServer,
    streamed: bool,
    response_format: Any,
) -> None:
    openai_server.answer(Reply(refusal="I will not."))
    talk = talk_to(engine_on(), response_format=response_format)
    run = ended(talk.hear("Go")) if streamed else talk.ask("Go")
    assert run.status == "completed"
    (part,) = talk.messages[-1].content
    assert part.type == "refusal"
    assert part.refusal == "I will not."


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_cut_off_by_its_length_is_incomplete(
    engine_on: OpenEngine, openai_server: OpenAIServer, streamed: bool
) -> None:
    openai_server.answer(Reply("It was a dark", finish_reason="length"))
    talk = talk_to(engine_on())
    run = ended(talk.hear("Go")) if streamed else talk.ask("Go")
    assert run.status == "incomplete"
    assert talk.messages[-1].text == "It was a dark"


# Errors.


def test_a_rate_limit_is_waited_out_as_long_as_the_provider_asks(
    engine_on: OpenEngine, openai_server: OpenAIServer, pauses: list[float]
) -> None:
    openai_server.answer(Failure(429, headers={"retry-after": "13"}), "Here.")
    talk = talk_to(engine_on())
    assert talk.ask("Hi").status == "completed"
    assert pauses == [13.0]
    assert len(openai_server.requests) == 2


def test_server_errors_are_tried_again_and_then_told(
    engine_on: OpenEngine, openai_server: OpenAIServer, pauses: list[float]
) -> None:
    openai_server.answer(*[Failure(503, "Overloaded.")] * 3)
    talk = talk_to(engine_on(settings=Settings(model_retries=2)))
    run = talk.ask("Hi")
    assert error_of(run) == ("server_error", "Overloaded.")
    assert len(pauses) == 2
    assert len(openai_server.requests) == 3  # nobody else retries


def test_a_rate_limit_without_end_is_told_with_the_providers_text(
    engine_on: OpenEngine, openai_server: OpenAIServer, pauses: list[float]
) -> None:
    openai_server.answer(*[Failure(429, "Rate limit reached for gpt-4o.")] * 2)
    talk = talk_to(engine_on(settings=Settings(model_retries=1)))
    run = talk.ask("Hi")
    assert error_of(run) == ("rate_limit_exceeded", "Rate limit reached for gpt-4o.")


def test_a_used_up_quota_is_not_tried_again(
    engine_on: OpenEngine, openai_server: OpenAIServer, pauses: list[float]
) -> None:
    openai_server.answer(
        Failure(429, "You exceeded your current quota.", code="insufficient_quota")
    )
    run = talk_to(engine_on()).ask("Hi")
    assert error_of(run) == ("rate_limit_exceeded", "You exceeded your current quota.")
    assert pauses == []


def test_a_refused_prompt_is_an_invalid_prompt(
    engine_on: OpenEngine, openai_server: OpenAIServer, pauses: list[float]
) -> None:
    openai_server.answer(
        Failure(400, "Your prompt was flagged.", code="content_policy_violation")
    )
    talk = talk_to(engine_on())
    run = talk.ask("Hi")
    assert error_of(run) == ("invalid_prompt", "Your prompt was flagged.")
    openai_server.answer("Better.")
    assert talk.ask("Hi").status == "completed"


def test_a_wrong_key_is_told_at_once(
    engine_on: OpenEngine, openai_server: OpenAIServer, pauses: list[float]
) -> None:
    openai_server.answer(Failure(401, "Incorrect API key provided."))
    run = talk_to(engine_on()).ask("Hi")
    assert error_of(run) == ("server_error", "Incorrect API key provided.")
    assert pauses == []


def test_fallback_models_are_named_as_models_are(
    engine_on: OpenEngine, openai_server: OpenAIServer, pauses: list[float]
) -> None:
    openai_server.answer(Failure(500), Failure(500), "From the spare.")
    engine = engine_on(
        model_fallbacks=["openai:gpt-4o-mini"], settings=Settings(model_retries=1)
    )
    talk = talk_to(engine)
    events = talk.hear("Hi")
    assert heard_text(events) == talk.texts[-1] == "From the spare."
    models = [request.json["model"] for request in openai_server.requests]
    assert models == ["gpt-4o", "gpt-4o", "gpt-4o-mini"]


def test_an_answer_that_breaks_off_is_not_begun_again(
    engine_on: OpenEngine, openai_server: OpenAIServer, pauses: list[float]
) -> None:
    openai_server.answer(Reply("Half of", error=ConnectionError("broken")))
    talk = talk_to(engine_on())
    events = talk.hear("Hi")
    assert ended(events).status == "failed"
    assert len(openai_server.requests) == 1
    assert pauses == []
    assert talk.messages[-1].text == heard_text(events)
    assert talk.messages[-1].status == "incomplete"


def test_an_answer_that_nobody_heard_is_asked_for_again(
    engine_on: OpenEngine, openai_server: OpenAIServer, pauses: list[float]
) -> None:
    openai_server.answer(Reply("Half of", error=ConnectionError("broken")), "Whole.")
    talk = talk_to(engine_on())
    assert talk.ask("Hi").status == "completed"
    assert talk.texts == ["Hi", "Whole."]
    assert len(pauses) == 1
