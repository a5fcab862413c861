from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import anyio
import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.messages.tool import tool_call
from langchain_core.tools import tool
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import BaseModel, ValidationError

from langchain_assistants.testing import (
    ModelCall,
    Reply,
    ScriptedChatModel,
    Signal,
    Step,
    UnconsumedSteps,
    UnexpectedModelCall,
    call,
    malformed_call,
)

FIRST_ID = "call_000000000000000000000001"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def total(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    return chunks[0] + chunks[1:]


def invoke(model: BaseChatModel) -> AIMessage:
    return model.invoke("Hello")


def stream(model: BaseChatModel) -> AIMessage:
    return total(list(model.stream("Hello")))


def ainvoke(model: BaseChatModel) -> AIMessage:
    return asyncio.run(model.ainvoke("Hello"))


def astream(model: BaseChatModel) -> AIMessage:
    async def read() -> AIMessage:
        return total([chunk async for chunk in model.astream("Hello")])

    return asyncio.run(read())


Way = Callable[[BaseChatModel], AIMessage]
every_way = pytest.mark.parametrize("ask", [invoke, stream, ainvoke, astream])


class TestLangChainStandard(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ScriptedChatModel]:
        return ScriptedChatModel

    @property
    def init_from_env_params(
        self,
    ) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {"OPENAI_API_KEY": "sk-unused"},
            {},
            {"model": "scripted", "api_key": None},
        )

    @pytest.mark.xfail(reason="A script is code: it cannot be loaded from JSON.")
    def test_serdes(self, model: BaseChatModel) -> None:  # type: ignore[override]
        assert type(model).is_lc_serializable()


@every_way
def test_every_kind_of_step_is_answered_in_order(ask: Way) -> None:
    def shout(messages: list[BaseMessage], asked: ModelCall) -> Step:
        return Reply(text=messages[-1].text.upper())

    steps: list[Step] = ["text", AIMessage("message"), Reply("reply"), shout]

    with ScriptedChatModel(steps) as model:
        answers = [ask(model).content for _ in steps]

    assert answers == ["text", "message", "reply", "HELLO"]


@every_way
def test_an_exception_is_raised(ask: Way) -> None:
    model = ScriptedChatModel(steps=[LookupError("no such model"), "recovered"])

    with pytest.raises(LookupError, match="no such model"):
        ask(model)

    assert ask(model).content == "recovered"


def test_a_stream_yields_its_text_before_it_breaks() -> None:
    model = ScriptedChatModel([Reply("half an", error=ConnectionError("reset"))])
    chunks = model.stream("Hello")

    assert [next(chunks).content, next(chunks).content] == ["half ", "an"]
    with pytest.raises(ConnectionError, match="reset"):
        next(chunks)


def test_a_function_answers_without_end_after_the_steps() -> None:
    model = ScriptedChatModel(
        ["first"], respond=lambda messages, asked: f"{len(messages)} message"
    )

    answers = [model.invoke("Hello").content for _ in range(3)]

    assert answers == ["first", "1 message", "1 message"]
    model.assert_consumed()


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="tempreature"):
        ScriptedChatModel(["Hi"], tempreature=1)


@every_way
def test_parallel_and_malformed_calls_get_ids_in_order(ask: Way) -> None:
    reply = Reply(
        tool_calls=[call("add", {"a": 1, "b": 2}), call("add", id="call_mine")],
        malformed=[malformed_call("add", "a=1")],
    )

    answer = ask(ScriptedChatModel([reply]))

    assert answer.tool_calls == [
        tool_call(name="add", args={"a": 1, "b": 2}, id=FIRST_ID),
        tool_call(name="add", args={}, id="call_mine"),
    ]
    (invalid,) = answer.invalid_tool_calls
    assert (invalid["name"], invalid["args"]) == ("add", "a=1")
    assert invalid["id"] == "call_000000000000000000000002"
    assert answer.response_metadata["finish_reason"] == "tool_calls"


def test_only_a_stream_repairs_the_beginning_of_an_object() -> None:
    reply = Reply(malformed=[malformed_call("add", '{"a": ', id="call_1")])
    model = ScriptedChatModel([reply, reply])

    assert invoke(model).invalid_tool_calls[0]["args"] == '{"a": '
    assert stream(model).tool_calls == [tool_call(name="add", args={}, id="call_1")]


def test_a_fresh_model_never_reuses_an_id_of_the_conversation() -> None:
    earlier = AIMessage("", tool_calls=[tool_call(name="add", args={}, id=FIRST_ID)])
    model = ScriptedChatModel([Reply(tool_calls=[call("add")])])

    answer = model.invoke([earlier, ToolMessage("3", tool_call_id=FIRST_ID)])

    assert answer.tool_calls[0]["id"] == "call_000000000000000000000002"


def test_an_agent_loops_over_the_model() -> None:
    steps: list[Step] = [
        Reply(tool_calls=[call("add", {"a": 1, "b": 2})]),
        "It is 3.",
    ]

    with ScriptedChatModel(steps) as model:
        agent = create_agent(model, [add], system_prompt="Add.")
        messages = agent.invoke({"messages": [HumanMessage("1 + 2?")]})["messages"]

    assert [message.content for message in messages] == ["1 + 2?", "", "3", "It is 3."]
    assert model.calls[1].messages[0].content == "Add."
    assert model.calls[0].tool_names == ["add"]


def test_a_model_without_tools_says_so() -> None:
    with pytest.raises(NotImplementedError, match="cannot call tools"):
        ScriptedChatModel(["Hi"], supports_tools=False).bind_tools([add])


def test_a_structured_answer_is_parsed() -> None:
    class Sum(BaseModel):
        value: int

    with ScriptedChatModel([Reply(tool_calls=[call("Sum", {"value": 3})])]) as model:
        assert model.with_structured_output(Sum).invoke("1 + 2?") == Sum(value=3)

    assert model.calls[0].tool_choice == "any"


def test_a_stream_comes_in_words_and_ends_with_the_usage() -> None:
    chunks = list(ScriptedChatModel(["one  two\nthree "]).stream("Count"))

    assert [chunk.content for chunk in chunks] == ["one  ", "two\n", "three ", ""]
    assert [chunk.chunk_position for chunk in chunks] == [None, None, None, "last"]
    assert [chunk.usage_metadata is None for chunk in chunks] == [True] * 3 + [False]


def test_chunks_may_hold_several_words() -> None:
    model = ScriptedChatModel(["one two three"], chunk_words=2)

    assert [chunk.content for chunk in model.stream("Count")] == [
        "one two ",
        "three",
        "",
    ]


def test_a_call_streams_its_arguments_in_pieces() -> None:
    reply = Reply(tool_calls=[call("add", {"a": 1}), call("add", {"b": 2})])
    chunks = list(ScriptedChatModel([reply]).stream("Go"))

    pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
    assert [(piece["index"], piece["name"], piece["args"]) for piece in pieces] == [
        (0, "add", '{"a"'),
        (0, None, ": 1}"),
        (1, "add", '{"b"'),
        (1, None, ": 2}"),
    ]


def test_content_blocks_stream_whole() -> None:
    blocks: list[Any] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    model = ScriptedChatModel([AIMessage(blocks), AIMessage(blocks)])

    assert invoke(model).content == stream(model).content == blocks


@every_way
def test_usage_is_counted_the_same_way_everywhere(ask: Way) -> None:
    answer = ask(ScriptedChatModel(["x" * 10]))

    # "Hello" is 2 tokens in a frame of 3, ten characters are 3.
    counted = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    assert answer.usage_metadata == counted


def test_usage_can_be_given_or_left_out() -> None:
    given = Reply("Hi", usage={"input_tokens": 100, "output_tokens": 7})
    model = ScriptedChatModel([given, Reply("Hi", usage={})])

    counted = {"input_tokens": 100, "output_tokens": 7, "total_tokens": 107}
    assert invoke(model).usage_metadata == counted
    assert invoke(model).usage_metadata is None


def test_messages_are_trimmed_by_the_tokens_that_usage_reports() -> None:
    messages = [HumanMessage("a" * 400), HumanMessage("b" * 4)]

    kept = trim_messages(
        messages, max_tokens=10, token_counter=ScriptedChatModel(), strategy="last"
    )

    assert kept == messages[1:]
    assert ScriptedChatModel().get_num_tokens("12345") == 2


@every_way
def test_a_refusal_and_a_finish_reason_are_reported(ask: Way) -> None:
    answer = ask(ScriptedChatModel([Reply(refusal="No.", finish_reason="length")]))

    assert answer.additional_kwargs["refusal"] == "No."
    assert answer.response_metadata["finish_reason"] == "length"
    assert answer.response_metadata["model_name"] == "scripted"


def test_a_call_records_what_was_asked() -> None:
    model = ScriptedChatModel(["Hi"], temperature=0.1, max_tokens=9, top_p=0.5)
    bound = model.bind_tools([add], tool_choice="add", parallel_tool_calls=False)

    bound.bind(temperature=0.2, response_format={"type": "text"}).invoke(
        [SystemMessage("Be brief."), HumanMessage("Hello")], stop=["."]
    )

    (asked,) = model.calls
    assert [message.type for message in asked.messages] == ["system", "human"]
    assert asked.tools[0]["function"]["name"] == "add"
    assert asked.tool_choice == "add"
    assert asked.parallel_tool_calls is False
    assert asked.response_format == {"type": "text"}
    assert asked.settings == {
        "temperature": 0.2,
        "max_tokens": 9,
        "top_p": 0.5,
        "stop": ["."],
    }
    assert not asked.streaming


def test_a_hosted_tool_goes_by_its_type() -> None:
    model = ScriptedChatModel(["Hi"])

    model.bind_tools([{"type": "web_search"}]).invoke("Hello")

    assert model.calls[0].tool_names == ["web_search"]


@pytest.mark.parametrize("deep", [False, True])
def test_copies_share_the_script_and_the_record(deep: bool) -> None:
    model = ScriptedChatModel(["one", "two", "three"])

    copied = model.model_copy(update={"temperature": 0.7}, deep=deep)
    answers = [
        copied.invoke("Hello").content,
        model.with_config(tags=["x"]).invoke("Hello").content,
        model.bind(top_p=0.3).invoke("Hello").content,
    ]

    assert answers == ["one", "two", "three"]
    assert copied.calls is model.calls
    assert [asked.settings for asked in model.calls] == [
        {"temperature": 0.7},
        {},
        {"top_p": 0.3},
    ]


def test_threads_take_each_step_once() -> None:
    steps = [str(number) for number in range(200)]

    with ScriptedChatModel(steps) as model, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: model.invoke("Hello").content, steps))

    assert sorted(map(str, answers)) == sorted(steps)


def test_recording_can_be_turned_off() -> None:
    model = ScriptedChatModel(["Hi"], record=False)

    model.invoke("Hello")

    assert model.calls == []


def test_a_call_too_many_shows_what_was_asked() -> None:
    model = ScriptedChatModel(["Hi"])
    model.invoke("Hello")

    with pytest.raises(UnexpectedModelCall) as caught:
        model.bind_tools([add]).invoke([SystemMessage("Add."), HumanMessage("Again?")])

    text = str(caught.value)
    assert "1 were given" in text
    assert "system (4 characters), human (6 characters)" in text
    assert "'Again?'" in text
    assert "Offered tools: add." in text


def test_steps_that_are_left_fail_the_check() -> None:
    model = ScriptedChatModel(["one", "two"])
    model.invoke("Hello")

    with pytest.raises(UnconsumedSteps, match=r"1 of 2 steps .* 'two'"), model:
        pass


def test_a_swallowed_call_too_many_fails_the_check() -> None:
    model = ScriptedChatModel()

    with pytest.raises(UnexpectedModelCall), model, suppress(AssertionError):
        model.invoke("Hello")


def test_an_error_on_its_way_is_not_replaced_by_the_check() -> None:
    with pytest.raises(LookupError, match="mine"), ScriptedChatModel(["left"]):
        raise LookupError("mine")


def released_by(signal: Signal, set_it: Callable[[], None], ask: Way) -> AIMessage:
    """Ask in another thread, and let the answer go only after it was asked."""
    asked = threading.Event()

    def hold(messages: list[BaseMessage], one: ModelCall) -> Step:
        asked.set()
        return Reply("at last", wait_for=signal)

    model = ScriptedChatModel([hold])
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, model)
        assert asked.wait(10)
        assert not answer.done()
        set_it()
        return answer.result(10)


@every_way
def test_a_reply_waits_for_the_event_of_another_thread(ask: Way) -> None:
    signal = threading.Event()

    assert released_by(signal, signal.set, ask).content == "at last"


@every_way
@pytest.mark.parametrize("kind", [asyncio.Event, anyio.Event])
def test_a_reply_waits_for_an_event_of_another_loop(ask: Way, kind: Any) -> None:
    signal = kind()

    assert released_by(signal, signal.set, ask).content == "at last"


async def test_waiting_leaves_the_loop_free_and_can_be_cancelled() -> None:
    model = ScriptedChatModel(["spare"], respond=lambda *_: "unused")
    never = ScriptedChatModel([Reply("never", wait_for=threading.Event())])
    waiting = asyncio.create_task(never.ainvoke("Hello"))

    assert (await model.ainvoke("Hello")).content == "spare"
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(never.calls) == 1


@pytest.mark.parametrize("from_step", [True, False])
def test_delays_are_slept_before_the_first_token_and_between_tokens(
    from_step: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    step = Reply("one two", delay=3.0 if from_step else 0.0)
    model = ScriptedChatModel([step] * 4, delay=2.0, token_delay=0.5)
    first = 3.0 if from_step else 2.0

    for ask in (invoke, ainvoke):
        ask(model)
    assert slept == [first, first]

    slept.clear()
    for ask in (stream, astream):
        ask(model)
    assert slept == [first, 0.5, 0.5] * 2


@pytest.fixture
def llm_cache() -> Iterator[None]:
    set_llm_cache(InMemoryCache())
    yield
    set_llm_cache(None)


@pytest.mark.usefixtures("llm_cache")
def test_the_llm_cache_answers_a_repeated_prompt() -> None:
    with ScriptedChatModel(["one", "two", "three"]) as model:
        answers = [
            model.invoke("Hello").content,
            model.invoke("Hello").content,
            model.bind(temperature=0.5).invoke("Hello").content,
            model.model_copy(update={"temperature": 0.7}).invoke("Hello").content,
        ]

    assert answers == ["one", "one", "two", "three"]


def test_a_profile_can_be_given() -> None:
    model = ScriptedChatModel(profile={"max_input_tokens": 1000, "tool_calling": False})

    assert model.profile == {"max_input_tokens": 1000, "tool_calling": False}
