"""An assistant graph that stands alone: its input, its state, and how its runs end."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add, calls, multiply
from tests.langchain.conftest import Ask
from tests.langchain.graph_stage import (
    assert_at_rest,
    conversation,
    echo,
    graph_of,
    last,
    on,
    say,
    statuses,
    told,
)
from tests.langchain.places import Bind
from tests.stored import rows

from langchain_assistants import (
    AssistantRunnable,
    create_assistant_graph,
)
from langchain_assistants.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
)
from langchain_assistants.testing import ScriptedChatModel

PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


async def test_a_turn_executes_the_tools_and_leaves_what_happened_in_the_state(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    with ScriptedChatModel([calls((add, 1, 2), (multiply, 3, 4)), "Done."]) as model:
        engine = engine_factory(model)
        graph = graph_of(engine, [add, multiply], bind=bind)
        state = await ask(graph, say("Calculate."))
    assert set(state) == {"messages", "thread_id", "run_id", "status", "usage"}
    assert told(state["messages"]) == [
        ("human", "Calculate."),
        ("ai", ""),
        ("tool", "3"),
        ("tool", "12"),
        ("ai", "Done."),
    ]
    run = engine.runs.retrieve(state["run_id"])
    assert (run.thread_id, run.status) == (state["thread_id"], "completed")
    assert state["status"] == "completed"
    assert run.usage is not None
    assert state["usage"]["total_tokens"] == run.usage.total_tokens > 0
    assert state["messages"][-1].id == engine.messages.list(run.thread_id).data[0].id
    assert_at_rest(engine)


@pytest.mark.parametrize(
    "given",
    [
        {"messages": "Hi"},
        {"messages": HumanMessage("Hi")},
        {"messages": [("user", "Hi")]},
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"messages": [HumanMessage([{"type": "text", "text": "Hi"}])]},
        {"messages": [ChatMessage("Hi", role="user")]},
    ],
    ids=["string", "message", "pair", "dict", "blocks", "chat message"],
)
async def test_messages_are_given_in_any_form_that_langgraph_takes(
    engine_factory: EngineFactory, given: dict[str, Any]
) -> None:
    engine = engine_factory(echo())
    state = await graph_of(engine).ainvoke(given)
    assert last(state) == "You said: Hi"
    assert conversation(engine, state["thread_id"])[0] == ("user", "Hi")


def test_a_graph_is_a_compiled_graph_that_can_be_drawn(
    engine_factory: EngineFactory,
) -> None:
    graph = graph_of(engine_factory(echo()), [add], interrupt_before_tools=True)
    assert isinstance(graph, CompiledStateGraph)
    drawn = graph.get_graph().draw_mermaid()
    assert all(node in drawn for node in ("assistant", "approval", "tools"))
    assert set(graph.get_input_jsonschema()["properties"]) == set(
        graph.get_output_jsonschema()["properties"]
    )
    assert "handover" not in graph.get_output_jsonschema()["properties"]


def test_the_name_is_the_graphs(engine_factory: EngineFactory) -> None:
    engine = engine_factory(echo())
    assert graph_of(engine).name == "assistant"
    assert graph_of(engine, name="tutor").name == "tutor"


async def test_the_first_argument_is_an_id_an_assistant_or_a_runnable(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(echo())
    stored = await engine.assistants.acreate(model="scripted")
    runnable = AssistantRunnable(assistant_id=stored.id, engine=engine)
    graphs = [
        create_assistant_graph(stored.id, engine=engine),
        create_assistant_graph(stored, engine=engine),
        create_assistant_graph(runnable),
        create_assistant_graph(runnable, engine=engine),
        create_assistant_graph(
            AssistantRunnable(assistant_id=stored.id), engine=engine
        ),
    ]
    for graph in graphs:
        state = await graph.ainvoke(say("Hi"))
        run = await engine.runs.aretrieve(state["run_id"])
        assert run.assistant_id == stored.id


async def test_without_an_engine_it_is_the_default_one(
    monkeypatch: pytest.MonkeyPatch, engine_factory: EngineFactory
) -> None:
    engine = engine_factory(echo())
    stored = await engine.assistants.acreate(model="scripted")
    for module in ("backends", "creation"):
        monkeypatch.setattr(
            f"langchain_assistants.{module}.default_engine", lambda: engine
        )
    for assistant in (stored.id, AssistantRunnable(assistant_id=stored.id)):
        assert last(await create_assistant_graph(assistant).ainvoke(say("Hi")))
    assert statuses(engine) == ["completed"] * 2


def test_another_engine_than_the_runnables_is_refused(
    engine_factory: EngineFactory,
) -> None:
    engine, other = engine_factory(echo()), engine_factory(echo())
    runnable = AssistantRunnable.create_assistant("T", "", [], "m", engine=engine)
    with pytest.raises(ConfigurationError, match="another engine"):
        create_assistant_graph(runnable, engine=other)


@pytest.mark.parametrize("wrong", ["tutor", "thread_1", ""])
def test_an_id_of_something_else_is_refused_at_once(
    engine_factory: EngineFactory, wrong: str
) -> None:
    with pytest.raises(InvalidRequestError, match="asst"):
        create_assistant_graph(wrong, engine=engine_factory())


async def test_an_assistant_that_does_not_exist_leaves_nothing_behind(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(echo())
    saver = InMemorySaver()
    graph = create_assistant_graph("asst_gone", engine=engine, checkpointer=saver)
    with pytest.raises(NotFoundError, match="asst_gone"):
        await ask(graph, say("Hi"), on("mine"))
    assert rows(engine, "SELECT * FROM runs") == []
    assert rows(engine, "SELECT * FROM messages") == []
    there = graph_of(engine, checkpointer=saver)
    state = await ask(there, say("Hello?"), on("mine"))
    assert last(state) == "You said: Hello?"


async def test_the_state_holds_this_invocation_and_the_thread_the_conversation(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    model = ScriptedChatModel([calls((add, 1, 2)), "Three.", "Four."])
    engine = engine_factory(model)
    graph = graph_of(engine, [add], checkpointer=InMemorySaver(), bind=bind)
    first = await ask(graph, say("1 + 2?"), on("mine"))
    second = await ask(graph, say("And one more?"), on("mine"))
    assert len(first["messages"]) == 4
    assert told(second["messages"]) == [("human", "And one more?"), ("ai", "Four.")]
    assert told(graph.get_state(on("mine")).values["messages"]) == told(
        second["messages"]
    )
    assert conversation(engine, "mine") == [
        ("user", "1 + 2?"),
        ("assistant", "Three."),
        ("user", "And one more?"),
        ("assistant", "Four."),
    ]
    seen = model.calls[-1].messages
    assert told(seen) == [
        ("human", "1 + 2?"),
        ("ai", ""),
        ("tool", "3"),
        ("ai", "Three."),
        ("human", "And one more?"),
    ]
    assert second["run_id"] != first["run_id"]


async def test_an_answer_before_the_calls_is_not_doubled(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    with ScriptedChatModel([calls((add, 1, 2), text="Let me see."), "3."]) as model:
        engine = engine_factory(model)
        state = await ask(graph_of(engine, [add], bind=bind), say("1 + 2?"))
    assert told(state["messages"]) == [
        ("human", "1 + 2?"),
        ("ai", "Let me see."),
        ("tool", "3"),
        ("ai", "3."),
    ]
    assert [text for _, text in conversation(engine, state["thread_id"])] == [
        "1 + 2?",
        "Let me see.",
        "3.",
    ]
    assert told(model.calls[-1].messages)[1:] == [("ai", "Let me see."), ("tool", "3")]


async def test_system_messages_are_instructions_of_this_run_only(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    model = echo()
    engine = engine_factory(model)
    fields = {"instructions": "You teach."}
    graph = graph_of(engine, assistant=fields, checkpointer=InMemorySaver(), bind=bind)
    given = {"messages": [SystemMessage("Be brief."), HumanMessage("Hi")]}
    await ask(graph, given, on("mine"))
    assert told(model.calls[0].messages) == [
        ("system", "You teach.\n\nBe brief."),
        ("human", "Hi"),
    ]
    await ask(graph, say("Bye"), on("mine"))
    assert told(model.calls[1].messages)[0] == ("system", "You teach.")
    assert conversation(engine, "mine")[0] == ("user", "Hi")


async def test_pictures_reach_the_thread_and_the_model(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    model = echo()
    engine = engine_factory(model)
    blocks = [{"type": "text", "text": "What is it?"}, PICTURE]
    state = await ask(graph_of(engine), {"messages": [HumanMessage(blocks)]})
    (seen,) = model.calls[0].messages
    assert [block["type"] for block in seen.content] == ["text", "image_url"]
    [message] = list(engine.messages.list(state["thread_id"], order="asc"))[:1]
    assert [part.type for part in message.content] == ["text", "image_url"]


async def test_messages_that_are_nobodys_speech_are_left_out(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    engine = engine_factory(echo())
    foreign = [
        FunctionMessage("42", name="old", id="f"),
        ToolMessage("43", tool_call_id="call_x", id="t"),
        ChatMessage("Beep.", role="robot", id="c"),
        AIMessage("", id="empty"),
        HumanMessage("Hi", id="h"),
    ]
    state = await ask(graph_of(engine), {"messages": foreign})
    assert last(state) == "You said: Hi"
    assert [text for _, text in conversation(engine, state["thread_id"])] == [
        "Hi",
        "You said: Hi",
    ]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "image_url", "image_url": {"url": "no url", "detail": "huge"}},
        {"type": "image_url"},
        {"type": "text"},
    ],
    ids=["audio", "wrong picture", "no picture", "no text"],
)
async def test_a_message_that_a_thread_cannot_hold_is_named_and_the_thread_goes_on(
    engine_factory: EngineFactory, ask: Ask, block: dict[str, Any]
) -> None:
    engine = engine_factory(echo())
    graph = graph_of(engine, checkpointer=InMemorySaver())
    await ask(graph, say("Hi"), on("mine"))
    given = {"messages": [HumanMessage([block], id="msg-odd")]}
    with pytest.raises(InvalidRequestError, match="msg-odd") as raised:
        await ask(graph, given, on("mine"))
    assert raised.value.param == "messages"
    assert last(await ask(graph, say("Still there?"), on("mine"))).endswith("there?")
    assert_at_rest(engine)


async def test_nothing_to_say_asks_the_model_all_the_same(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["Hello, who is there?"])
    state = await graph_of(engine).ainvoke({"messages": []})
    assert told(state["messages"]) == [("ai", "Hello, who is there?")]
