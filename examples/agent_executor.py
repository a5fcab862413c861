"""The assistant as a LangChain agent: AgentExecutor executes the calls it makes.

`as_agent=True` makes an assistant speak AgentExecutor's language: lists of actions,
then a finish. Parallel calls come together. The conversation itself is in the thread:
no chat history is handed around.

    python examples/agent_executor.py
    python examples/agent_executor.py --model openai:gpt-4o
"""

from __future__ import annotations

from langchain_classic.agents import AgentExecutor
from langchain_core.tools import tool
from model_option import open_engine

from langchain_assistants import OpenAIAssistantRunnable
from langchain_assistants.testing import Reply, call

ORDERS = {"A1": "on its way", "B2": "being packed", "C3": "delivered"}
SCRIPT = [
    Reply(tool_calls=[call("order_status", {"order": "A1"})]),
    "Order A1 is on its way.",
    Reply(
        tool_calls=[
            call("order_status", {"order": "B2"}),
            call("order_status", {"order": "C3"}),
        ]
    ),
    "B2 is being packed, and C3 was delivered.",
]


@tool
def order_status(order: str) -> str:
    """Look up where an order is."""
    return f"Order {order}: {ORDERS.get(order, 'unknown')}."


def main() -> None:
    """Ask twice on one thread."""
    engine, model, scripted = open_engine(__doc__ or "", SCRIPT)
    with engine:
        agent = OpenAIAssistantRunnable.create_assistant(
            name="Support",
            instructions="You look up orders.",
            tools=[order_status],
            model=model,
            engine=engine,
            as_agent=True,
        )
        executor = AgentExecutor(
            agent=agent, tools=[order_status], return_intermediate_steps=True
        )
        first = executor.invoke({"content": "Where is order A1?"})
        second = executor.invoke(
            {"content": "And B2 and C3?", "thread_id": first["thread_id"]}
        )
        for answer in (first, second):
            print("  you:", answer["content"])
            for action, observation in answer["intermediate_steps"]:
                print(" tool:", action.tool, action.tool_input, "→", observation)
            print("agent:", answer["output"])

        assert second["thread_id"] == first["thread_id"]
        assert engine.runs.retrieve(second["run_id"]).status == "completed"
        if scripted:
            observed = [observation for _, observation in second["intermediate_steps"]]
            assert observed == ["Order B2: being packed.", "Order C3: delivered."]


if __name__ == "__main__":
    main()
