"""A whole process that answers once: what `startup` starts, cold, for either side.

Usage: python -m benchmarks.first_answer assistants|create_agent FILE
"""

from __future__ import annotations

import sys
from pathlib import Path


def _assistants(path: Path) -> None:
    from langchain_assistants import AssistantRunnable, AssistantsEngine
    from langchain_assistants.testing import ScriptedChatModel

    model = ScriptedChatModel(["Hello."])
    with AssistantsEngine(f"sqlite:///{path}", chat_model=model) as engine:
        agent = AssistantRunnable.create_assistant(
            "Greeter", "Greet.", [], "scripted", engine=engine
        )
        messages = agent.invoke({"content": "Hi!"})
        assert messages[0].content[0].text.value == "Hello."


def _create_agent(path: Path) -> None:
    from langchain.agents import create_agent
    from langgraph.checkpoint.sqlite import SqliteSaver

    from langchain_assistants.testing import ScriptedChatModel

    with SqliteSaver.from_conn_string(str(path)) as saver:
        agent = create_agent(
            ScriptedChatModel(["Hello."]), system_prompt="Greet.", checkpointer=saver
        )
        answer = agent.invoke(
            {"messages": [{"role": "user", "content": "Hi!"}]},
            {"configurable": {"thread_id": "greeting"}},
        )
        assert answer["messages"][-1].text == "Hello."


if __name__ == "__main__":
    {"assistants": _assistants, "create_agent": _create_agent}[sys.argv[1]](
        Path(sys.argv[2])
    )
