"""An assistant graph for `langgraph dev`: in LangGraph Studio, and over its HTTP API.

    pip install "langgraph-cli[inmem]"
    cd examples/langgraph_app
    ASSISTANT_MODEL=openai:gpt-4o langgraph dev --no-browser

Without `ASSISTANT_MODEL` a scripted model answers: no LLM is called. The conversations
are where `LANGCHAIN_ASSISTANTS_DATABASE_URL` says, else in your data folder; the
server's `thread_id` is the key of the assistant's thread.
"""

from __future__ import annotations

import os
from typing import Any

from langchain_core.messages import ToolMessage

from langchain_assistants import AssistantsEngine, create_assistant_graph
from langchain_assistants.testing import Reply, ScriptedChatModel, call

MODEL = os.environ.get("ASSISTANT_MODEL")


def order_status(order: str) -> str:
    """Look up where an order is."""
    return f"Order {order} is on its way."


def scripted(messages: list[Any], asked: Any) -> Reply:
    """Look an order up, then tell what was found."""
    if isinstance(messages[-1], ToolMessage):
        return Reply(f"I looked it up: {messages[-1].text}")
    return Reply(tool_calls=[call("order_status", {"order": "A1"})])


# Another process may be at work on the same file: leave its runs to it.
engine = AssistantsEngine(
    chat_model=None if MODEL else ScriptedChatModel(respond=scripted), recover=False
)
assistant = engine.assistants.get_or_create(
    name="Support",
    instructions="You look up orders.",
    model=MODEL or "scripted",
)
graph = create_assistant_graph(assistant, [order_status], engine=engine)
