"""The scripted OpenAI-compatible server, asked by the real `ChatOpenAI`."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr
from tests import warm
from tests.openai_server import (
    Failure,
    OpenAIServer,
    example_of,
    openai_server,
    tutor,
)

from langchain_assistants.testing import Reply, call, malformed_call

__all__ = ["openai_server"]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def shout(text: str) -> str:
    """Shout a text."""
    return text.upper()


@tool
def whisper(text: str) -> str:
    """Whisper a text."""
    return text.lower()


@pytest.fixture
def chat(openai_server: OpenAIServer) -> Iterator[ChatOpenAI]:
    with httpx.Client() as client:
        yield ChatOpenAI(model="gpt-4o", max_retries=0, http_client=client)


def total(chunks: Iterator[AIMessageChunk]) -> AIMessageChunk:
    first, *others = chunks
    return first + others


def test_a_text_is_answered_and_the_request_recorded(
    openai_server: OpenAIServer, chat: ChatOpenAI
) -> None:
    openai_server.answer(
        Reply("Good day", usage={"input_tokens": 7, "output_tokens": 2})
    )

    answer = chat.bind(temperature=0.5).invoke("Hello")

    assert answer.content == "Good day"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 9
    (request,) = openai_server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-scripted"
    assert request.json["temperature"] == 0.5
    assert request.json["messages"] == [{"content": "Hello", "role": "user"}]


def test_a_stream_arrives_in_words_with_usage_where_it_is_asked_for(
    openai_server: OpenAIServer, chat: ChatOpenAI
) -> None:
    openai_server.answer("one two three", "again")

    chunks = list(chat.stream("Count", stream_usage=True))
    plain = total(chat.stream("Count", stream_usage=False))

    assert [c.content for c in chunks if c.content] == ["one ", "two ", "three"]
    whole = total(iter(chunks))
    assert whole.usage_metadata is not None
    assert whole.response_metadata["finish_reason"] == "stop"
    assert plain.content == "again"
    assert plain.usage_metadata is None


@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_calls_arrive_whole_or_in_pieces(
    openai_server: OpenAIServer, chat: ChatOpenAI, streamed: bool
) -> None:
    openai_server.answer(
        Reply(
            tool_calls=[
                call("add", {"a": 1, "b": 2}),
                call("shout", {"text": "x"}, "c2"),
            ],
            malformed=[malformed_call("add", "a=1")],
        )
    )
    bound = chat.bind_tools([add, shout])

    answer = total(bound.stream("Go")) if streamed else bound.invoke("Go")  # type: ignore[arg-type]

    assert answer.tool_calls == [
        tool_call(
            name="add", args={"a": 1, "b": 2}, id="call_000000000000000000000001"
        ),
        tool_call(name="shout", args={"text": "x"}, id="c2"),
    ]
    assert [one["args"] for one in answer.invalid_tool_calls] == ["a=1"]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


async def test_the_async_client_is_answered_too(openai_server: OpenAIServer) -> None:
    openai_server.answer("one", "two three")
    async with httpx.AsyncClient() as client:
        chat = ChatOpenAI(model="gpt-4o", http_async_client=client)

        answer = await chat.ainvoke("Hello")
        streamed = [chunk.content async for chunk in chat.astream("Hello")]

    assert answer.content == "one"
    assert "".join(map(str, streamed)) == "two three"


def test_a_rate_limit_carries_its_retry_after(
    openai_server: OpenAIServer, chat: ChatOpenAI
) -> None:
    openai_server.answer(
        Failure(
            429,
            "Rate limit reached",
            code="rate_limit_exceeded",
            headers={"Retry-After": "7"},
        )
    )

    with pytest.raises(openai.RateLimitError, match="Rate limit reached") as caught:
        chat.invoke("Hello")

    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.code == "rate_limit_exceeded"


def test_a_failure_may_have_a_body_of_its_own(
    openai_server: OpenAIServer, chat: ChatOpenAI
) -> None:
    openai_server.answer(Failure(503, body={"error": {"message": "overloaded"}}))

    with pytest.raises(openai.InternalServerError, match="overloaded"):
        chat.invoke("Hello")


def test_a_reply_with_an_error_breaks_the_connection(
    openai_server: OpenAIServer, chat: ChatOpenAI
) -> None:
    broken = Reply("half a", error=ConnectionError())
    openai_server.answer(broken, broken)

    with pytest.raises(openai.APIConnectionError):
        total(chat.stream("Hello"))
    with pytest.raises(openai.APIConnectionError):
        chat.invoke("Hello")


def test_a_reply_waits_for_its_event(
    openai_server: OpenAIServer, chat: ChatOpenAI
) -> None:
    go = threading.Event()
    arrived = threading.Event()

    def hold(request: dict[str, Any]) -> Reply:
        arrived.set()
        return Reply("at last", wait_for=go)

    openai_server.answer(hold)
    answers: list[AIMessage] = []
    client = threading.Thread(target=lambda: answers.append(chat.invoke("Hello")))
    client.start()
    assert arrived.wait(10)
    assert not answers
    go.set()
    client.join(10)

    assert answers[0].content == "at last"


CALL = tool_call(name="add", args={"a": 1, "b": 2}, id="call_1")


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(
            [HumanMessage("1 + 2?"), AIMessage("", tool_calls=[CALL])],
            id="a call without its output",
        ),
        pytest.param(
            [
                HumanMessage("1 + 2?"),
                AIMessage("", tool_calls=[CALL]),
                HumanMessage("Well?"),
                ToolMessage("3", tool_call_id="call_1"),
            ],
            id="an output too late",
        ),
        pytest.param(
            [HumanMessage("1 + 2?"), ToolMessage("3", tool_call_id="call_1")],
            id="an output without its call",
        ),
        pytest.param(
            [
                HumanMessage("1 + 2?"),
                AIMessage("", tool_calls=[CALL]),
                ToolMessage("3", tool_call_id="call_2"),
            ],
            id="an output of another call",
        ),
        pytest.param([], id="no message"),
    ],
)
def test_unpaired_tool_messages_are_refused(
    openai_server: OpenAIServer, chat: ChatOpenAI, messages: list[Any]
) -> None:
    with pytest.raises(openai.BadRequestError, match=r"tool|empty array"):
        chat.invoke(messages)


def test_paired_tool_messages_are_accepted(
    openai_server: OpenAIServer, chat: ChatOpenAI
) -> None:
    openai_server.answer("3")

    answer = chat.invoke(
        [
            HumanMessage("1 + 2?"),
            AIMessage("", tool_calls=[CALL, {**CALL, "id": "call_2"}]),
            ToolMessage("3", tool_call_id="call_2"),
            ToolMessage("3", tool_call_id="call_1"),
            HumanMessage("Well?"),
        ]
    )

    assert answer.content == "3"


def test_a_choice_of_a_tool_that_is_not_offered_is_refused(
    openai_server: OpenAIServer, chat: ChatOpenAI
) -> None:
    choice = {"type": "function", "function": {"name": "subtract"}}
    bound = chat.bind_tools([add]).bind(tool_choice=choice)

    with pytest.raises(openai.BadRequestError, match="'subtract' not found"):
        bound.invoke("1 + 2?")


@pytest.mark.parametrize(
    "settings", [{"tool_choice": "auto"}, {"parallel_tool_calls": False}]
)
def test_settings_of_tools_are_refused_without_tools(
    openai_server: OpenAIServer, chat: ChatOpenAI, settings: dict[str, Any]
) -> None:
    with pytest.raises(openai.BadRequestError, match="only allowed when 'tools'"):
        chat.bind(**settings).invoke("1 + 2?")


def test_a_structured_answer_and_a_refusal_reach_the_parser(
    openai_server: OpenAIServer, chat: ChatOpenAI
) -> None:
    class Sum(BaseModel):
        value: int

    openai_server.answer('{"value": 3}', Reply(refusal="I will not add."))
    structured = chat.with_structured_output(Sum)

    assert structured.invoke("1 + 2?") == Sum(value=3)
    assert openai_server.requests[0].json["response_format"]["type"] == "json_schema"
    with pytest.raises(Exception, match="I will not add"):
        structured.invoke("1 + 2?")


def ask(server: OpenAIServer, path: str = "/chat/completions") -> httpx.Response:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    return httpx.post(server.base_url + path, json=body, trust_env=False)


def test_an_unexpected_request_is_answered_500_and_fails_the_check() -> None:
    server = OpenAIServer()

    with pytest.raises(AssertionError, match="no step left"), server:
        assert ask(server).status_code == 500

    assert len(server.requests) == 1


def test_an_unknown_path_fails_the_check() -> None:
    with pytest.raises(AssertionError, match="has no /v1/x"), OpenAIServer() as server:
        ask(server, "/x")


def test_a_responder_that_raises_fails_the_check() -> None:
    def wrong(request: dict[str, Any]) -> Reply:
        raise LookupError(request["model"])

    with (
        pytest.raises(AssertionError, match="LookupError"),
        OpenAIServer(wrong) as server,
    ):
        ask(server)


def test_a_step_that_is_left_fails_the_check() -> None:
    with (
        pytest.raises(AssertionError, match="never used"),
        OpenAIServer(["never used"]),
    ):
        pass


def test_the_tutor_calls_two_tools_and_then_tells_their_outputs(
    openai_server: OpenAIServer, chat: ChatOpenAI
) -> None:
    openai_server.respond = tutor
    bound = chat.bind_tools([add, shout, whisper])
    messages: list[Any] = [HumanMessage("Go")]

    asked = bound.invoke(messages)
    messages += [
        asked,
        *(globals()[one["name"]].invoke(one) for one in asked.tool_calls),
    ]
    told = bound.invoke(messages)

    assert [one["name"] for one in asked.tool_calls] == ["add", "shout"]
    assert told.content == "The tools say: 4; X"
    assert chat.invoke("Good day").content == "You said: Good day"


def test_example_arguments_fit_their_schema() -> None:
    class Inner(BaseModel):
        flag: bool
        ratio: float | None

    class Outer(BaseModel):
        inner: Inner
        names: list[str]
        optional: int = 3

    schema = Outer.model_json_schema()

    assert example_of(schema) == {"inner": {"flag": True, "ratio": 2.0}, "names": ["x"]}
    assert example_of({"enum": ["b", "a"]}) == "b"


def test_it_serves_the_tutor_from_the_command_line() -> None:
    process = warm.Popen(
        [sys.executable, "-m", "tests.openai_server"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip().removeprefix("OPENAI_BASE_URL=")
        with httpx.Client(trust_env=False) as client:
            chat = ChatOpenAI(
                model="gpt-4o",
                api_key=SecretStr("sk"),
                base_url=base_url,
                http_client=client,
            )
            answer = chat.invoke("Hi")
    finally:
        process.kill()
        process.communicate()

    assert answer.content == "You said: Hi"
