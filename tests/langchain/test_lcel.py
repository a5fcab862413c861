"""An assistant stands in a chain wherever a chat model does."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.output_parsers import (
    JsonOutputParser,
    PydanticOutputParser,
    StrOutputParser,
)
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    RunnableBranch,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from pydantic import BaseModel
from tests.langchain.arithmetic import add, calls, multiply
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of

from langchain_assistants import AssistantRunnable
from langchain_assistants.actions import to_ai_message
from langchain_assistants.errors import (
    ActiveRunError,
    ApprovalRequired,
    ConfigurationError,
    RunFailed,
)
from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.testing.script import ModelCall
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import Run

PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Speak {language}."), ("human", "{question}")]
)
GIVEN = {"language": "Latin", "question": "1 + 2?"}


class Sum(BaseModel):
    """A sum."""

    value: int


def echo(messages: list[BaseMessage], asked: ModelCall) -> str:
    return f"You said {messages[-1].text}"


# The one message.


async def test_the_message_is_that_of_a_chat_model(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    reply = Reply("4.", usage={"input_tokens": 9, "output_tokens": 2})
    assistant = make_assistant([reply], as_message=True)
    message = await ask(assistant, "2 + 2?")
    told = message.response_metadata
    (stored, _) = engine_of(assistant).messages.list(told["thread_id"])
    assert message == AIMessage(
        "4.",
        id=stored.id,
        usage_metadata={"input_tokens": 9, "output_tokens": 2, "total_tokens": 11},
        response_metadata={
            "assistant_id": assistant.assistant_id,
            "thread_id": stored.thread_id,
            "run_id": stored.run_id,
            "status": "completed",
            "model_name": "scripted",
        },
    )


async def test_the_message_is_the_last_one(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((add, 1, 2), text="Let me add."), "3."]
    assistant = make_assistant(steps, [add], run_tools=True, as_message=True)
    assert (await ask(assistant, "1 + 2?")).content == "3."


async def test_a_refusal_is_a_block_of_the_message(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant([Reply(refusal="I will not.")], as_message=True)
    message = await ask(assistant, "Do harm.")
    assert message.content == [{"type": "refusal", "refusal": "I will not."}]
    assert message.text == ""


def test_citations_and_images_are_blocks_of_the_message() -> None:
    citation = {
        "type": "file_citation",
        "text": "[1]",
        "start_index": 4,
        "end_index": 7,
        "file_citation": {"file_id": "file_1"},
    }
    image = {"type": "image_file", "image_file": {"file_id": "file_2"}}
    text = {"type": "text", "text": {"value": "Yes [1]", "annotations": [citation]}}
    stored = Message.model_validate(
        {
            "id": "msg_1",
            "created_at": 1,
            "thread_id": "thread_1",
            "role": "assistant",
            "content": [text, image],
        }
    )
    run = Run(
        id="run_1",
        created_at=1,
        thread_id="thread_1",
        assistant_id="asst_1",
        status="completed",
        model="m",
    )
    message = to_ai_message(run, [stored], [])
    assert message.content == [
        {"type": "text", "text": "Yes [1]", "annotations": [citation]},
        image,
    ]
    assert (message.text, message.usage_metadata) == ("Yes [1]", None)


async def test_required_calls_are_the_messages_tool_calls(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((add, 1, 2), (multiply, 3, 4)), "3 and 12."]
    model = ScriptedChatModel(steps)
    assistant = make_assistant(model, [add, multiply], as_message=True)
    asked = HumanMessage("1 + 2, 3 * 4?")
    answer = await ask(assistant, [asked])
    assert (answer.content, answer.id) == ("", None)
    assert answer.response_metadata["status"] == "requires_action"
    assert [(c["name"], c["args"]) for c in answer.tool_calls] == [
        ("add", {"a": 1, "b": 2}),
        ("multiply", {"a": 3, "b": 4}),
    ]
    # The loop of a chat model: its calls' messages go back to it.
    by_name = {"add": add, "multiply": multiply}
    outputs = [by_name[c["name"]].invoke(c) for c in answer.tool_calls]
    last = await ask(assistant, [asked, answer, *outputs])
    assert last.content == "3 and 12."
    assert last.response_metadata["run_id"] == answer.response_metadata["run_id"]
    assert [m.text for m in model.calls[-1].messages[-2:]] == ["3", "12"]


@pytest.mark.parametrize(
    "messages",
    [
        [AIMessage("", tool_calls=[call("add", id="call_1")])],
        [HumanMessage("Hi")],
    ],
)
async def test_outputs_for_no_run_are_refused(
    make_assistant: MakeAssistant, ask: Ask, messages: list[BaseMessage]
) -> None:
    assistant = make_assistant([], as_message=True)
    given = [*messages, ToolMessage("3", tool_call_id="call_1")]
    with pytest.raises(TypeError, match="'run_id' and 'tool_outputs'"):
        await ask(assistant, given)


async def test_a_message_and_an_agents_output_are_not_had_together(
    make_assistant: MakeAssistant,
) -> None:
    assistant = make_assistant([])
    both: Any = {"as_agent": True, "as_message": True, "engine": engine_of(assistant)}
    with pytest.raises(ConfigurationError, match="two kinds of output"):
        AssistantRunnable(assistant_id=assistant.assistant_id, **both)
    for create in (
        AssistantRunnable.create_assistant,
        AssistantRunnable.get_or_create_assistant,
    ):
        with pytest.raises(ConfigurationError, match="two kinds of output"):
            create("B", "", [], "m", **both)
    with pytest.raises(ConfigurationError, match="two kinds of output"):
        await AssistantRunnable.acreate_assistant("B", "", [], "m", **both)
    assert [a.name for a in engine_of(assistant).assistants.list()] == ["Tutor"]


# Chains.


async def test_a_chain_of_prompt_assistant_and_parser_answers_in_text(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    model = ScriptedChatModel(["III."])
    assistant = make_assistant(model, as_message=True)
    assert await ask(PROMPT | assistant | StrOutputParser(), GIVEN) == "III."
    (asked,) = model.calls
    assert [(m.type, m.text) for m in asked.messages] == [
        ("system", "You teach arithmetic.\n\nSpeak Latin."),
        ("human", "1 + 2?"),
    ]


@pytest.mark.parametrize(
    ("parser", "expected"),
    [
        (JsonOutputParser(), {"value": 3}),
        (PydanticOutputParser(pydantic_object=Sum), Sum(value=3)),
    ],
    ids=["json", "pydantic"],
)
async def test_a_parser_reads_the_last_message(
    make_assistant: MakeAssistant, ask: Ask, parser: Any, expected: Any
) -> None:
    steps = [calls((add, 1, 2), text="Let me add."), '```json\n{"value": 3}\n```']
    assistant = make_assistant(steps * 2, [add], run_tools=True, as_message=True)
    chain = PROMPT | assistant | parser
    assert await ask(chain, GIVEN) == expected
    assert [item async for item in chain.astream(GIVEN)] == [expected]


async def test_a_chain_streams_one_item(make_assistant: MakeAssistant) -> None:
    assistant = make_assistant(["One two."] * 4, as_message=True)
    chain = PROMPT | assistant | StrOutputParser()
    assert list(chain.stream(GIVEN)) == ["One two."]
    assert [item async for item in chain.astream(GIVEN)] == ["One two."]
    (first,) = list(assistant.transform(iter(["Hi"])))

    async def inputs() -> Any:
        yield "Hi"

    (second,) = [item async for item in assistant.atransform(inputs())]
    assert (first.text, second.text) == ("One two.", "One two.")


async def test_a_chain_tells_its_tokens(make_assistant: MakeAssistant) -> None:
    assistant = make_assistant(["One two three."], as_message=True)
    chain = PROMPT | assistant | StrOutputParser()
    events = [e async for e in chain.astream_events(GIVEN, version="v2")]
    tokens = [
        e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"
    ]
    assert [token for token in tokens if token] == ["One ", "two ", "three."]
    assert events[-1]["data"]["output"] == "One two three."


async def test_usage_is_counted_once(make_assistant: MakeAssistant, ask: Ask) -> None:
    reply = Reply("4.", usage={"input_tokens": 9, "output_tokens": 2})
    assistant = make_assistant([reply], as_message=True)
    with get_usage_metadata_callback() as usage:
        await ask(PROMPT | assistant | StrOutputParser(), GIVEN)
    assert [u["total_tokens"] for u in usage.usage_metadata.values()] == [11]


async def test_branches_on_fresh_threads_run_side_by_side(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant(ScriptedChatModel(respond=echo), as_message=True)
    text = assistant | StrOutputParser()
    both = RunnableParallel(first=text, second=(lambda s: s.upper()) | text)
    assert await ask(both, "Hi") == {"first": "You said Hi", "second": "You said HI"}
    assert await ask(both.pick("second"), "Hi") == "You said HI"


async def test_branches_on_one_thread_take_turns_only_if_told_to(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    gate = threading.Event()
    held = Reply("Done.", wait_for=gate)
    model = ScriptedChatModel(respond=lambda messages, asked: held)
    assistant = make_assistant(model, as_message=True)
    here = assistant.bind(thread_id=engine_of(assistant).threads.create().id)

    def let_the_other_go_on(_: Any) -> AIMessage:
        gate.set()
        return AIMessage("Refused.")

    either = (
        here.with_fallbacks(
            [RunnableLambda(let_the_other_go_on)],
            exceptions_to_handle=(ActiveRunError,),
        )
        | StrOutputParser()
    )
    answers = await ask(RunnableParallel(first=either, second=either), "Hi")
    assert sorted(answers.values()) == ["Done.", "Refused."]
    queued = here.bind(on_active_run="queue") | StrOutputParser()
    turns = await ask(RunnableParallel(first=queued, second=queued), "Hi")
    assert turns == {"first": "Done.", "second": "Done."}


async def test_an_answer_is_assigned_beside_other_keys(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant(["4."] * 2, as_message=True, extra_keys="ignore")
    given = {"content": "2 + 2?", "customer": "Ada"}
    chain = RunnablePassthrough.assign(answer=assistant | StrOutputParser())
    assert await ask(chain, given) == {**given, "answer": "4."}
    assert await ask(chain.pick(["answer"]), given) == {"answer": "4."}


async def test_a_branch_chooses_the_assistant(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    tutor = make_assistant(["4."], as_message=True)
    clerk = make_assistant(["Hello."], as_message=True)
    branch = RunnableBranch((lambda text: "+" in text, tutor), clerk)
    assert (await ask(branch, "2 + 2?")).text == "4."
    assert (await ask(branch, "Hi")).text == "Hello."


async def test_a_function_may_hand_over_to_the_assistant(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant(["4."], as_message=True)
    route = RunnableLambda(lambda text: assistant)
    assert (await ask(route, "2 + 2?")).text == "4."


async def test_map_and_pipe_compose(make_assistant: MakeAssistant, ask: Ask) -> None:
    assistant = make_assistant(ScriptedChatModel(respond=echo), as_message=True)
    each = assistant.pipe(StrOutputParser()).map()
    assert await ask(each, ["One", "Two"]) == ["You said One", "You said Two"]
    assert [m.text for m in await ask(assistant.map(), ["One"])] == ["You said One"]


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_batch_of_a_chain_keeps_errors_in_their_places(
    make_assistant: MakeAssistant, mode: str
) -> None:
    def respond(messages: list[BaseMessage], asked: ModelCall) -> Any:
        text = messages[-1].text
        return ValueError("no") if text == "Two" else f"You said {text}"

    assistant = make_assistant(ScriptedChatModel(respond=respond), as_message=True)
    chain = PROMPT | assistant | StrOutputParser()
    given = [{**GIVEN, "question": text} for text in ("One", "Two", "Three")]
    options: dict[str, Any] = {
        "config": {"max_concurrency": 1},
        "return_exceptions": True,
    }
    answers: list[Any] = (
        await asyncio.to_thread(chain.batch, given, **options)
        if mode == "sync"
        else await chain.abatch(given, **options)
    )
    assert [answers[0], answers[2]] == ["You said One", "You said Three"]
    assert isinstance(answers[1], RunFailed)


async def test_a_failure_in_a_chain_falls_back_to_another_assistant(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    first = make_assistant([ValueError("no")], as_message=True)
    second = make_assistant(["4."], as_message=True)
    chain = PROMPT | first.with_fallbacks([second]) | StrOutputParser()
    assert await ask(chain, GIVEN) == "4."


async def test_a_failure_in_a_chain_is_tried_again_on_its_thread(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant([ValueError("no"), "4."], as_message=True)
    stubborn = assistant.with_retry(
        retry_if_exception_type=(RunFailed,), wait_exponential_jitter=False
    )
    answer = await ask(PROMPT | stubborn, GIVEN)
    stored = engine_of(assistant).messages.list(answer.response_metadata["thread_id"])
    assert [m.text for m in stored] == ["4.", "1 + 2?"]


async def test_bound_arguments_merge_under_the_inputs_keys(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    model = ScriptedChatModel(["4."] * 2)
    assistant = make_assistant(model, as_message=True)
    bound = assistant.bind(thread_key="ada", additional_instructions="Be brief.")
    first = await ask(bound, "2 + 2?")
    second = await ask(bound, {"content": "2 + 2?", "thread_key": "bob"})
    keys = [
        engine_of(assistant).threads.retrieve(m.response_metadata["thread_id"]).key
        for m in (first, second)
    ]
    assert keys == ["ada", "bob"]
    assert all(c.messages[0].text.endswith("Be brief.") for c in model.calls)


async def test_a_prompts_instructions_win_over_bound_ones(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    model = ScriptedChatModel(["4."])
    assistant = make_assistant(model).bind(additional_instructions="Be brief.")
    await ask(assistant, [SystemMessage("Speak Latin."), HumanMessage("2 + 2?")])
    assert model.calls[0].messages[0].text.endswith("Speak Latin.")


async def test_an_approval_that_nobody_gives_is_an_error_of_the_chain(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    from langchain.agents.middleware import HumanInTheLoopMiddleware

    careful = HumanInTheLoopMiddleware(interrupt_on={"add": True})
    assistant = make_assistant(
        [calls((add, 1, 2))],
        [add],
        run_tools=True,
        as_message=True,
        engine_options={"middleware": [careful]},
    )
    with pytest.raises(ApprovalRequired) as caught:
        await ask(PROMPT | assistant | StrOutputParser(), GIVEN)
    assert caught.value.run.status == "requires_action"
