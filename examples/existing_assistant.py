"""An existing assistant: it was stored once, and programs use it by its id.

Name, instructions, tools and model are in the database; a program that knows the id
brings only what cannot be stored, the implementations of the tools (`run_tools`). So
the instructions can be changed without touching the programs.

    python examples/existing_assistant.py
    python examples/existing_assistant.py --model openai:gpt-4o
"""

from __future__ import annotations

from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool
from model_option import open_engine

from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.testing import Reply, call


def opening_hours(day: str) -> str:
    """Tell when the shop is open on a day of the week."""
    return "closed" if day.lower() == "sunday" else "9 to 18"


def polite(messages: list[Any], asked: Any) -> str:
    """Answer in the tone that the instructions ask for."""
    return "On Saturday? 9 to 18, dear customer." if "dear" in messages[0].text else "?"


SCRIPT = [
    Reply(tool_calls=[call("opening_hours", {"day": "Sunday"})]),
    "We are closed on Sundays.",
    polite,
]


def store_assistant(engine: AssistantsEngine, model: str) -> str:
    """Store the assistant, as an administrator does once."""
    assistant = engine.assistants.create(
        name="Shop",
        instructions="You answer questions about the shop, briefly.",
        tools=[convert_to_openai_tool(opening_hours)],
        model=model,
        metadata={"team": "sales"},
    )
    return assistant.id


def main() -> None:
    """Use an assistant by its id, before and after it was changed."""
    engine, model, scripted = open_engine(__doc__ or "", SCRIPT)
    with engine:
        assistant_id = store_assistant(engine, model)

        shop = AssistantRunnable(
            assistant_id=assistant_id, engine=engine, run_tools=[opening_hours]
        )
        question = {"content": "Are you open on Sunday?", "thread_key": "visitor"}
        answer = shop.invoke(question)[-1]
        print("  you:", question["content"])
        print(" shop:", answer.text)
        assert answer.assistant_id == assistant_id

        engine.assistants.update(
            assistant_id, instructions="You call everybody a dear customer."
        )
        question = {"content": "And on Saturday?", "thread_key": "visitor"}
        answer = shop.invoke(question)[-1]
        print("  you:", question["content"])
        print(" shop:", answer.text)

        (stored,) = engine.assistants.list()
        print("\nstored:", stored.id, stored.name, stored.metadata)
        assert stored.id == assistant_id
        if scripted:
            assert "dear customer" in answer.text


if __name__ == "__main__":
    main()
