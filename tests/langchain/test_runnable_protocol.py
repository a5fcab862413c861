"""An assistant is a LangChain runnable like any other."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.runnables import (
    RunnableConfig,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from tests.langchain.arithmetic import add, calls
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of
from typing_extensions import TypedDict

from langchain_assistants import AssistantRunnable
from langchain_assistants.errors import ActiveRunError, RunFailed
from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.testing.script import ModelCall
from langchain_assistants.types.events import MessageDelta, RunEvent


def echo(messages: list[BaseMessage], asked: ModelCall) -> str:
    return f"You said {messages[-1].text}"


async def batch(runnable: Any, mode: str, inputs: list[Any], **kwargs: Any) -> Any:
    if mode == "sync":
        return await asyncio.to_thread(runnable.batch, inputs, **kwargs)
    return await runnable.abatch(inputs, **kwargs)


both_ways = pytest.mark.parametrize("mode", ["sync", "async"])


# batch


@both_ways
async def test_a_batch_runs_distinct_threads_in_parallel(
    make_assistant: MakeAssistant, mode: str
) -> None:
    together = threading.Barrier(3)

    @tool
    def meet() -> str:
        """Wait until all runs of the batch have come here."""
        together.wait(timeout=20)
        return "met"

    def respond(messages: list[BaseMessage], asked: ModelCall) -> Any:
        if messages[-1].type == "human":
            return Reply(tool_calls=[call("meet")])
        return f"{messages[-3].text}: {messages[-1].text}"

    model = ScriptedChatModel(respond=respond)
    assistant = make_assistant(model, [meet], run_tools=True)
    answers = await batch(assistant, mode, ["One", "Two", "Three"])
    assert [a[0].text for a in answers] == ["One: met", "Two: met", "Three: met"]
    assert len({a[0].thread_id for a in answers}) == 3


@both_ways
async def test_a_batch_on_one_thread_rejects_all_but_one(
    make_assistant: MakeAssistant, mode: str
) -> None:
    gate = threading.Event()

    @tool
    def hold() -> str:
        """Hold the thread until the other invocation has been refused."""
        gate.wait(timeout=20)
        return "held"

    model = ScriptedChatModel([Reply(tool_calls=[call("hold")]), "Done."])
    assistant = make_assistant(model, [hold], run_tools=True)
    thread = engine_of(assistant).threads.create()

    class Refused(BaseCallbackHandler):
        run_inline = True

        def on_chain_error(self, error: BaseException, **_: Any) -> None:
            gate.set()

    given = {"content": "Hi", "thread_id": thread.id}
    results = await batch(
        assistant,
        mode,
        [given, given],
        config={"callbacks": [Refused()]},
        return_exceptions=True,
    )
    errors = [r for r in results if isinstance(r, Exception)]
    (answer,) = [r for r in results if not isinstance(r, Exception)]
    assert [type(error) for error in errors] == [ActiveRunError]
    assert answer[0].text == "Done."
    # The refused one has stored nothing.
    assert len(list(engine_of(assistant).messages.list(thread.id))) == 2


@both_ways
async def test_a_batch_on_one_thread_takes_turns_in_a_queue(
    make_assistant: MakeAssistant, mode: str
) -> None:
    model = ScriptedChatModel(respond=echo)
    assistant = make_assistant(model)
    thread = engine_of(assistant).threads.create()
    queued = assistant.model_copy(update={"on_active_run": "queue"})
    inputs = [{"content": str(n), "thread_id": thread.id} for n in range(5)]
    answers = await batch(queued, mode, inputs)
    assert [a[0].text for a in answers] == [f"You said {n}" for n in range(5)]
    runs = list(engine_of(assistant).runs.list(thread.id))
    assert [run.status for run in runs] == ["completed"] * 5


@both_ways
async def test_a_second_invocation_may_cancel_the_first(
    make_assistant: MakeAssistant, mode: str
) -> None:
    begun = threading.Event()

    def first(*_: Any) -> Reply:
        begun.set()
        return Reply("Too late.", wait_for=threading.Event())

    model = ScriptedChatModel([first, "Second."])
    assistant = make_assistant(model)
    thread = engine_of(assistant).threads.create()
    given = {"content": "One", "thread_id": thread.id}
    running = asyncio.create_task(batch(assistant, mode, [given]))
    await asyncio.to_thread(begun.wait, 20)
    ((answer,),) = await batch(assistant, mode, [{**given, "on_active_run": "cancel"}])
    assert answer.text == "Second."
    with pytest.raises(Exception, match="was cancelled"):
        await running


# streams


async def test_streams_yield_exactly_one_item(make_assistant: MakeAssistant) -> None:
    assistant = make_assistant(["One two three."] * 2)
    (first,) = list(assistant.stream("Hi"))
    (second,) = [item async for item in assistant.astream("Hi")]
    assert [m.text for item in (first, second) for m in item] == ["One two three."] * 2


async def test_astream_events_tell_tokens_tools_and_the_answer(
    make_assistant: MakeAssistant,
) -> None:
    steps = [calls((add, 1, 2)), "It is three."]
    assistant = make_assistant(steps, [add], run_tools=True)
    events = [e async for e in assistant.astream_events("1 + 2?", version="v2")]
    tokens = [
        e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"
    ]
    assert "".join(tokens) == "It is three."
    assert len([token for token in tokens if token]) == 3
    (tool_end,) = [e for e in events if e["event"] == "on_tool_end"]
    assert tool_end["data"]["output"].content == "3"
    root = events[-1]
    assert (root["event"], root["name"]) == ("on_chain_end", "AssistantRunnable")
    assert root["data"]["output"][0].text == "It is three."
    assert root["run_id"] in tool_end["parent_ids"]


async def events_of(assistant: Any, mode: str, given: Any) -> list[RunEvent]:
    if mode == "sync":
        return await asyncio.to_thread(lambda: list(assistant.stream_run(given)))
    return [event async for event in assistant.astream_run(given)]


@both_ways
async def test_stream_run_yields_the_runs_events_in_order(
    make_assistant: MakeAssistant, mode: str
) -> None:
    steps = [calls((add, 1, 2)), "It is three."]
    assistant = make_assistant(steps, [add], run_tools=True)
    events = await events_of(assistant, mode, "1 + 2?")
    names = [event.event for event in events]
    assert [n for n in names if not n.endswith("delta")] == [
        "thread.created",
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.run.step.completed",
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.message.created",
        "thread.message.in_progress",
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.completed",
    ]
    assert [event.id for event in events] == [
        f"1.{number}" for number in range(1, len(events) + 1)
    ]
    text = [e.data.text for e in events if isinstance(e.data, MessageDelta)]
    assert "".join(text) == "It is three."


@both_ways
async def test_stream_run_resumes_a_run(
    make_assistant: MakeAssistant, mode: str
) -> None:
    agent = make_assistant([calls((add, 1, 2)), "3."], [add], as_agent=True)
    begun = await events_of(agent, mode, "1 + 2?")
    run: Any = begun[-1].data
    assert begun[-1].event == "thread.run.requires_action"
    (required,) = run.required_action.submit_tool_outputs.tool_calls
    answered = [{"tool_call_id": required.id, "output": 3}]
    given = {"run_id": run.id, "tool_outputs": answered}
    names = [event.event for event in await events_of(agent, mode, given)]
    assert names[:2] == ["thread.run.step.completed", "thread.run.queued"]
    assert names[-1] == "thread.run.completed"


@both_ways
async def test_stream_run_tells_a_failure_by_its_event(
    make_assistant: MakeAssistant, mode: str
) -> None:
    assistant = make_assistant([ValueError("no")])
    names = [event.event for event in await events_of(assistant, mode, "Hi")]
    assert names[-1] == "thread.run.failed"


@both_ways
async def test_stream_run_raises_what_kept_the_run_from_starting(
    make_assistant: MakeAssistant, mode: str
) -> None:
    agent = make_assistant([calls((add, 1, 2))], [add])
    thread = engine_of(agent).threads.create()
    given = {"content": "1 + 2?", "thread_id": thread.id}
    await events_of(agent, mode, given)
    with pytest.raises(ActiveRunError):
        await events_of(agent, mode, given)
    with pytest.raises(TypeError, match="Unknown input key"):
        await events_of(agent, mode, {"contents": "Hi"})


# retries and fallbacks


@pytest.mark.parametrize("place", ["new", "thread_id", "thread_key"])
async def test_a_retry_reuses_the_stored_user_message(
    make_assistant: MakeAssistant, ask: Ask, place: str
) -> None:
    model = ScriptedChatModel([ValueError("no"), ValueError("no"), "Hello."])
    assistant = make_assistant(model)
    given: dict[str, Any] = {
        "content": "Hi",
        "additional_messages": [{"role": "user", "content": "There"}],
    }
    if place == "thread_id":
        given["thread_id"] = engine_of(assistant).threads.create().id
    elif place == "thread_key":
        given["thread_key"] = "ada"
    stubborn = assistant.with_retry(
        retry_if_exception_type=(RunFailed,), wait_exponential_jitter=False
    )
    (message,) = await ask(stubborn, given)
    assert message.text == "Hello."
    stored = engine_of(assistant).messages.list(message.thread_id, order="asc")
    assert [m.text for m in stored] == ["Hi", "There", "Hello."]
    assert [m.text for m in model.calls[-1].messages[1:]] == ["Hi", "There"]
    assert len(list(engine_of(assistant).threads.list())) == 1


async def test_a_retried_batch_keeps_its_threads_apart(
    make_assistant: MakeAssistant,
) -> None:
    failed: set[str] = set()

    def respond(messages: list[BaseMessage], asked: ModelCall) -> Any:
        text = messages[-1].text
        if text not in failed:
            failed.add(text)
            return ValueError("no")
        return f"You said {text}"

    assistant = make_assistant(ScriptedChatModel(respond=respond))
    stubborn = assistant.with_retry(
        retry_if_exception_type=(RunFailed,), wait_exponential_jitter=False
    )
    answers = await stubborn.abatch(["One", "Two"])
    assert [a[0].text for a in answers] == ["You said One", "You said Two"]
    for (answer,) in answers:
        assert len(list(engine_of(assistant).messages.list(answer.thread_id))) == 2


async def test_a_fallback_answers_where_the_assistant_fails(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    first = make_assistant([ValueError("no")])
    second = make_assistant(["Hello."])
    (message,) = await ask(first.with_fallbacks([second]), "Hi")
    assert message.text == "Hello."


# configuration


class Heard(BaseCallbackHandler):
    """Notes what each model and tool was started with."""

    run_inline = True

    def __init__(self) -> None:
        self.started: dict[str, tuple[set[str], dict[str, Any]]] = {}
        self.names: list[str | None] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **details: Any) -> None:
        self.names.append(details.get("name"))

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, **details: Any
    ) -> None:
        self.started["model"] = set(details["tags"]), details["metadata"]

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, **details: Any
    ) -> None:
        self.started["tool"] = set(details["tags"]), details["metadata"]


@pytest.mark.parametrize("given_by", ["with_config", "config"])
async def test_tags_metadata_and_callbacks_reach_model_and_tools(
    make_assistant: MakeAssistant, ask: Ask, given_by: str
) -> None:
    steps = [calls((add, 1, 2)), "3."]
    assistant = make_assistant(steps, [add], run_tools=True)
    heard = Heard()
    config: RunnableConfig = {
        "tags": ["homework"],
        "metadata": {"user": "ada"},
        "callbacks": [heard],
        "run_name": "tutor",
    }
    if given_by == "with_config":
        (message,) = await ask(assistant.with_config(config), "1 + 2?")
    else:
        (message,) = await ask(assistant, "1 + 2?", config)
    assert heard.names[0] == "tutor"
    assert heard.started.keys() == {"model", "tool"}
    for tags, metadata in heard.started.values():
        assert "homework" in tags
        assert metadata["user"] == "ada"
        assert metadata["thread_id"] == message.thread_id
        assert metadata["run_id"] == message.run_id


async def test_the_runs_name_is_the_classs_unless_given(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant(["Hello."])
    heard = Heard()
    await ask(assistant, "Hi", {"callbacks": [heard]})
    assert heard.names[0] == assistant.get_name() == "AssistantRunnable"


# composition


async def test_assistants_run_side_by_side(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    both = RunnableParallel(
        brief=make_assistant(["4."]), long=make_assistant(["It is four."])
    )
    answers = await ask(both, "2 + 2?")
    assert {k: v[0].text for k, v in answers.items()} == {
        "brief": "4.",
        "long": "It is four.",
    }


async def test_an_answer_can_be_assigned_to_a_chains_input(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    assistant = make_assistant(["Hello, Ada."])
    lenient = assistant.model_copy(update={"extra_keys": "ignore"})
    text = RunnableLambda(lambda messages: messages[0].text)
    chain = RunnablePassthrough.assign(answer=lenient | text)
    given = {"content": "Hi", "name": "Ada"}
    assert await ask(chain, given) == {**given, "answer": "Hello, Ada."}


# Runnable.as_tool is in beta.
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_an_assistant_is_a_tool_of_another(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    expert = make_assistant(["42."], as_agent=True)
    answer = expert | RunnableLambda(lambda finish: finish.return_values["output"])
    consult = answer.as_tool(
        name="consult", description="Ask the expert.", arg_types={"content": str}
    )
    steps = [Reply(tool_calls=[call("consult", {"content": "6 * 7?"})]), "It is 42."]
    model = ScriptedChatModel(steps)
    assistant = make_assistant(model, [consult], run_tools=True)
    (message,) = await ask(assistant, "6 * 7?")
    assert message.text == "It is 42."
    assert model.calls[-1].messages[-1].text == "42."


class State(TypedDict, total=False):
    question: str
    answer: str


async def test_an_assistant_answers_in_the_nodes_of_a_graph(
    make_assistant: MakeAssistant, ask: Ask
) -> None:
    steps = [calls((add, 1, 2)), "3.", calls((add, 1, 2)), "It is 3."]
    assistant = make_assistant(steps, [add], run_tools=True)

    def sync_node(state: State) -> State:
        return {"answer": assistant.invoke(state["question"])[0].text}

    async def async_node(state: State, config: RunnableConfig) -> State:
        (message,) = await assistant.ainvoke(state["question"], config)
        return {"answer": message.text}

    graph = StateGraph(State)
    graph.add_node("first", sync_node)
    graph.add_node("second", RunnableLambda(sync_node, afunc=async_node))
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    graph.add_edge("second", END)
    compiled = graph.compile(checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "mine"}}
    result = await ask(compiled, {"question": "1 + 2?"}, config)
    assert result["answer"] == "It is 3."


# schemas and copies


def test_schemas_name_the_inputs_keys(make_assistant: MakeAssistant) -> None:
    assistant = make_assistant([])
    schema = assistant.get_input_jsonschema()
    keys = schema["$defs"]["AssistantInput"]["properties"]
    assert {"content", "thread_id", "tool_outputs"} <= keys.keys()
    assert assistant.get_input_schema().model_validate("Hi").model_dump() == "Hi"


def test_a_copy_is_another_face_of_the_same_assistant(
    make_assistant: MakeAssistant,
) -> None:
    assistant = make_assistant(["4."] * 3)
    copies = [
        assistant.model_copy(update={"as_agent": False}),
        copy.copy(assistant),
        copy.deepcopy(assistant),
    ]
    for other in copies:
        assert engine_of(other) is engine_of(assistant)
        assert [m.text for m in other.invoke("2 + 2?")] == ["4."]


def test_an_engine_cannot_be_pickled(make_assistant: MakeAssistant) -> None:
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(make_assistant([]))


def test_a_runnable_does_not_show_its_engine(make_assistant: MakeAssistant) -> None:
    assistant = make_assistant([], [add], run_tools=True)
    assert assistant.model_dump().keys().isdisjoint({"engine", "run_tools", "client"})
    assert "engine" not in repr(assistant)
    assert not AssistantRunnable.is_lc_serializable()


def test_a_graph_of_a_chain_can_be_drawn(make_assistant: MakeAssistant) -> None:
    chain = RunnableLambda(lambda text: text) | make_assistant([])
    names: Iterator[str] = (n.name for n in chain.get_graph().nodes.values())
    assert "AssistantRunnable" in set(names)
