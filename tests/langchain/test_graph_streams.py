"""What an assistant graph streams, in every mode of LangGraph, and what it traces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from operator import add as plus
from typing import Any

import pytest
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add, calls, multiply
from tests.langchain.conftest import Ask
from tests.langchain.graph_stage import graph_of, made_calls, on, say
from tests.langchain.places import Bind
from tests.langchain.test_nesting import Family

from langchain_assistants.testing import Reply, call

TURN = [
    calls((add, 1, 2), (multiply, 3, 4), text="Let me see."),
    "Three and twelve it is.",
]


async def streamed(ask: Ask, graph: Any, *args: Any, **options: Any) -> list[Any]:
    """Everything that a graph streams, synchronously or not."""
    if ask.__name__ == "sync":
        return list(graph.stream(*args, **options))
    return [item async for item in graph.astream(*args, **options)]


def chunks_of(stream: Sequence[Any], message_id: str | None) -> AIMessageChunk:
    """All chunks of one message, as one."""
    found = [m for m, _ in stream if m.id == message_id]
    assert all(isinstance(m, AIMessageChunk) for m in found)
    total: AIMessageChunk = reduce(plus, found)
    return total


def outer(engine_factory: EngineFactory, steps: Sequence[Any]) -> Any:
    """A user's graph with an assistant as its node."""
    inner = graph_of(engine_factory(list(steps)), [add, multiply], name="tutor")
    builder = StateGraph(MessagesState)
    builder.add_node("tutor", inner)
    builder.add_edge(START, "tutor")
    return builder.compile(checkpointer=InMemorySaver(), name="OUTER")


async def test_tokens_add_up_to_the_messages_of_the_state(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    graph = graph_of(
        engine_factory(list(TURN)),
        [add, multiply],
        checkpointer=InMemorySaver(),
        bind=bind,
    )
    stream = await streamed(ask, graph, say("Go"), on("mine"), stream_mode="messages")
    _, first, *tools, answer = graph.get_state(on("mine")).values["messages"]
    assert {m.id for m, _ in stream} == {m.id for m in (first, answer, *tools)}
    asked, said = chunks_of(stream, first.id), chunks_of(stream, answer.id)
    assert (asked.text, said.text) == ("Let me see.", "Three and twelve it is.")
    assert len([m for m, _ in stream if m.id == answer.id]) > 2
    assert [(c["name"], c["args"], c["id"]) for c in asked.tool_calls] == [
        (c["name"], c["args"], c["id"]) for c in first.tool_calls
    ]
    assert said.tool_calls == []
    outputs = [m for m, _ in stream if isinstance(m, ToolMessage)]
    assert {m.tool_call_id for m in outputs} == {c["id"] for c in first.tool_calls}
    nodes = {m.id: told["langgraph_node"] for m, told in stream}
    assert nodes[answer.id] == "assistant"
    assert {nodes[m.id] for m in tools} == {"tools"}


async def test_calls_without_a_text_are_streamed_under_their_messages_id(
    engine_factory: EngineFactory, ask: Ask, bind: Bind
) -> None:
    steps = [calls((add, 1, 2)), calls((add, 3, 4)), "Done."]
    graph = graph_of(
        engine_factory(steps), [add], checkpointer=InMemorySaver(), bind=bind
    )
    stream = await streamed(ask, graph, say("Go"), on("mine"), stream_mode="messages")
    made = [
        m
        for m in graph.get_state(on("mine")).values["messages"]
        if isinstance(m, AIMessage)
    ]
    assert len({m.id for m in made}) == 3
    for message in made:
        merged = chunks_of(stream, message.id)
        assert merged.text == message.text
        assert made_calls([merged]) == made_calls([message])


async def test_updates_tell_what_each_node_did_once(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = graph_of(engine_factory(list(TURN)), [add, multiply])
    stream = await streamed(ask, graph, say("Go"), stream_mode="updates")
    assert [node for update in stream for node in update] == [
        "assistant",
        "tools",
        "tools",
        "assistant",
    ]
    told = [
        m for update in stream for part in update.values() for m in part["messages"]
    ]
    assert len({m.id for m in told}) == len(told) == 4
    assert stream[0]["assistant"]["status"] == "requires_action"
    assert stream[-1]["assistant"]["status"] == "completed"


async def test_values_are_the_state_after_each_step(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = graph_of(engine_factory(list(TURN)), [add, multiply])
    stream = await streamed(ask, graph, say("Go"), stream_mode="values")
    assert [len(state["messages"]) for state in stream] == [1, 2, 4, 5]
    allowed = {"messages", "thread_id", "run_id", "status", "usage"}
    assert all(set(state) <= allowed for state in stream)


async def test_tools_write_to_the_custom_stream(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    @tool
    def work(runtime: ToolRuntime) -> str:
        """Work."""
        for percent in (50, 100):
            runtime.stream_writer({"percent": percent})
        return "worked"

    steps = [Reply(tool_calls=[call("work")]), "Done."]
    graph = graph_of(engine_factory(steps), [work])
    stream = await streamed(ask, graph, say("Go"), stream_mode="custom")
    assert stream == [{"percent": 50}, {"percent": 100}]


async def test_several_modes_come_in_the_order_of_events(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = graph_of(engine_factory(list(TURN)), [add, multiply])
    modes = ["messages", "updates", "values"]
    stream = await streamed(ask, graph, say("Go"), stream_mode=modes)
    order = [mode for mode, _ in stream]
    assert Counter(order)["updates"] == 4
    # Tokens come before the update of the node that wrote them.
    assert order.index("messages") < order.index("updates")
    assert order[-1] == "values"


async def test_the_second_version_gives_dicts(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = graph_of(engine_factory(list(TURN)), [add, multiply])
    options: Any = {"stream_mode": ["messages", "updates"], "version": "v2"}
    stream = await streamed(ask, graph, say("Go"), **options)
    assert {part["type"] for part in stream} == {"messages", "updates"}
    assert all(set(part) >= {"type", "ns", "data"} for part in stream)
    tokens = [part["data"][0] for part in stream if part["type"] == "messages"]
    final = tokens[-1].id
    text = "".join(m.text for m in tokens if m.id == final)
    assert text == "Three and twelve it is."


async def test_invoke_in_its_second_version_returns_state_and_interrupts(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = graph_of(
        engine_factory([calls((add, 1, 2))]),
        [add],
        interrupt_before_tools=True,
        checkpointer=InMemorySaver(),
    )
    output = await ask(graph, say("Go"), on("mine"), version="v2")
    assert output.value["status"] == "requires_action"
    assert len(output.interrupts) == 1


async def test_events_tell_the_tokens_of_the_model_and_the_tools(
    engine_factory: EngineFactory,
) -> None:
    graph = graph_of(engine_factory(list(TURN)), [add, multiply])
    events = [e async for e in graph.astream_events(say("Go"), version="v2")]
    counts = Counter(event["event"] for event in events)
    assert counts["on_chat_model_start"] == counts["on_chat_model_end"] == 2
    assert counts["on_tool_start"] == counts["on_tool_end"] == 2
    tokens = [
        e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"
    ]
    assert "".join(tokens) == "Let me see.Three and twelve it is."
    root = {event["run_id"] for event in events if not event["parent_ids"]}
    assert len(root) == 1


async def test_a_subgraph_streams_its_tokens_once_to_those_who_ask_for_subgraphs(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = outer(engine_factory, TURN)
    options: Any = {"stream_mode": "messages", "subgraphs": True}
    stream = await streamed(ask, graph, say("Go"), on("mine"), **options)
    tokens = [part for _, part in stream]
    answer = graph.get_state(on("mine")).values["messages"][-1]
    said = [m for m, _ in tokens if m.id == answer.id]
    assert "".join(m.text for m in said) == "Three and twelve it is."
    assert len(said) > 2
    assert all(isinstance(m, AIMessageChunk) for m in said)
    spaces = {namespace for namespace, (m, _) in stream if m.id == answer.id}
    [(space,)] = spaces
    assert space.startswith("tutor:")


async def test_without_subgraphs_a_subgraphs_messages_come_once_and_whole(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = outer(engine_factory, TURN)
    stream = await streamed(ask, graph, say("Go"), on("mine"), stream_mode="messages")
    seen = Counter(m.id for m, _ in stream if not isinstance(m, AIMessageChunk))
    assert set(seen.values()) <= {1}
    answer = graph.get_state(on("mine")).values["messages"][-1]
    text = "".join(m.text for m, _ in stream if m.id == answer.id)
    assert text == "Three and twelve it is."


async def test_a_subgraphs_updates_come_with_its_namespace(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    graph = outer(engine_factory, ["Hello."])
    options: Any = {"stream_mode": "updates", "subgraphs": True}
    stream = await streamed(ask, graph, say("Go"), on("mine"), **options)
    assert [(len(space), *update) for space, update in stream] == [
        (1, "assistant"),
        (0, "tutor"),
    ]


async def test_tokens_of_one_turn_do_not_depend_on_who_else_streams(
    engine_factory: EngineFactory,
) -> None:
    graph = graph_of(engine_factory(["One two three.", "One two three."]))
    twice = []
    for modes in (["messages"], ["messages", "values", "updates", "debug"]):
        stream = [p async for p in graph.astream(say("Go"), stream_mode=modes)]
        twice.append([part[0].text for mode, part in stream if mode == "messages"])
    assert twice[0] == twice[1]


@pytest.mark.parametrize("nested", [False, True], ids=["alone", "as a node"])
async def test_callbacks_tags_and_metadata_reach_model_and_tools_in_one_tree(
    engine_factory: EngineFactory, ask: Ask, nested: bool
) -> None:
    steps = [calls((add, 1, 2)), "Three."]
    graph: Any = (
        outer(engine_factory, steps)
        if nested
        else graph_of(engine_factory(steps), [add], name="OUTER")
    )
    family = Family()
    config = on("mine", callbacks=[family], tags=["mine"], metadata={"customer": "42"})
    await ask(graph, say("1 + 2?"), config)
    assert [i for i, parent in family.parents.items() if parent is None] == [
        next(i for i, name in family.names.items() if name == "OUTER")
    ]
    for name, node in (("MODEL", "assistant"), ("TOOL", "tools")):
        above = family.ancestors(name)
        assert above[-1] == "OUTER"
        assert node in above
        assert ("tutor" in above) == nested
        assert "mine" in family.tags[name]
        assert family.metadata[name]["customer"] == "42"
