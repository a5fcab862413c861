"""An assistant as a LangGraph graph: alone, as a node, as a tool."""

from langchain_assistants.graph.loop import AssistantState, create_assistant_graph

__all__ = ["AssistantState", "create_assistant_graph"]
