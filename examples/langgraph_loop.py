"""The LangGraph loop: an assistant as a graph, with tokens, approval and checkpoints.

`create_assistant_graph` runs the assistant and executes the tools it calls. The graph's
`thread_id` is the key of the assistant's thread: the conversation is there, while the
checkpointer holds where the graph is. Before a refund the graph asks a person, for as
long as it takes (with a checkpointer on disk, in another process too).

    python examples/langgraph_loop.py
    python examples/langgraph_loop.py --model openai:gpt-4o
"""

from __future__ import annotations

from typing import Any, TypeAlias

from langchain_core.messages import AIMessageChunk, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from model_option import open_engine

from langchain_assistants import create_assistant_graph
from langchain_assistants.testing import Reply, call

SCRIPT = [
    Reply(
        tool_calls=[
            call("order_status", {"order": "A1"}),
            call("refund", {"order": "A1", "amount": 20}),
        ]
    ),
    "Order A1 was delivered on Monday, and 20 were paid back.",
    Reply(tool_calls=[call("refund", {"order": "A1", "amount": 2000})]),
    "I am sorry: more than the price cannot be paid back.",
]
CONFIG: RunnableConfig = {"configurable": {"thread_id": "customer:ada"}}

Graph: TypeAlias = CompiledStateGraph[Any, Any, Any, Any]

paid: list[float] = []


def order_status(order: str) -> str:
    """Look up where an order is."""
    return f"Order {order} was delivered on Monday."


def refund(order: str, amount: float) -> str:
    """Pay money back."""
    paid.append(amount)
    return f"{amount:g} paid back for {order}."


def show(graph: Graph, given: Any) -> str:
    """Advance the graph, print what comes as it comes, and return the answer."""
    answer = ""
    for message, _ in graph.stream(given, CONFIG, stream_mode="messages"):
        if isinstance(message, ToolMessage):
            print(f" tool: {message.name} → {message.text}")
        elif isinstance(message, AIMessageChunk) and message.text:
            print(message.text if answer else f"agent: {message.text}", end="")
            answer += message.text
    if answer:
        print()
    return answer


def ask(graph: Graph, text: str, decision: dict[str, Any]) -> str:
    """Ask the assistant; a person decides about what it wants to do."""
    print("  you:", text)
    answer = show(graph, {"messages": text})
    while interrupts := graph.get_state(CONFIG).interrupts:
        actions = interrupts[0].value["action_requests"]
        for action in actions:
            print(f" asks: {action['name']} {action['args']} → {decision['type']}")
        answer = show(graph, Command(resume={"decisions": [decision] * len(actions)}))
    return answer


def main() -> None:
    """Let a person approve one refund and reject another."""
    engine, model, scripted = open_engine(__doc__ or "", SCRIPT)
    with engine:
        assistant = engine.assistants.create(
            name="Support",
            instructions="You look up orders and pay back what was too much.",
            model=model,
        )
        graph = create_assistant_graph(
            assistant,
            [order_status, refund],
            engine=engine,
            checkpointer=InMemorySaver(),
            interrupt_before_tools={"refund"},
        )
        question = "Where is A1? It cost 20 too much."
        first = ask(graph, question, {"type": "approve"})
        refusal = {"type": "reject", "message": "That is more than the price."}
        second = ask(graph, "I want 2000 for A1!", refusal)

        thread = engine.threads.get_or_create(key="customer:ada")
        state = graph.get_state(CONFIG)
        assert state.values["thread_id"] == thread.id
        assert (state.values["status"], state.next) == ("completed", ())
        said = [m.role for m in engine.messages.list(thread.id, order="asc")]
        assert said.count("user") == 2
        if scripted:
            assert paid == [20]
            assert said == ["user", "assistant"] * 2
            assert (first, second) == (SCRIPT[1], SCRIPT[3])


if __name__ == "__main__":
    main()
