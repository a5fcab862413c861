"""An existing thread: go on with a conversation, by its id or by a key of your own.

A thread holds all that was said, the calls and their outputs too. Whoever knows its id
goes on with it, and another assistant may answer on it. With a key, such as a user's
id, nothing has to be remembered: the first message makes the thread, the next finds it.

    python examples/existing_thread.py
    python examples/existing_thread.py --model openai:gpt-4o
"""

from __future__ import annotations

import math

from model_option import open_engine

from langchain_assistants import AssistantRunnable
from langchain_assistants.testing import Reply, call

SCRIPT = [
    Reply(tool_calls=[call("power", {"base": 3, "exponent": 4})]),
    "3 to the power of 4 is 81.",
    Reply(tool_calls=[call("add", {"a": 81, "b": 17.241})]),
    "That makes 98.241.",
    "First you wanted a power, then a sum: 81 and 98.241.",
    "Hello Ada!",
    "You are Ada.",
]


def power(base: float, exponent: float) -> float:
    """Raise a number to a power."""
    return math.pow(base, exponent)


def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def main() -> None:
    """Go on with a thread three times: by its id, with another assistant, by a key."""
    engine, model, scripted = open_engine(__doc__ or "", SCRIPT)
    with engine:
        tutor = AssistantRunnable.create_assistant(
            "Math tutor",
            "You are a personal math tutor. Use the functions.",
            [power, add],
            model,
            engine=engine,
            run_tools=True,
        )
        first = tutor.invoke({"content": "What is 3 to the power of 4?"})
        thread_id = first[-1].thread_id
        tutor.invoke({"content": "Now add 17.241.", "thread_id": thread_id})

        clerk = AssistantRunnable.create_assistant(
            "Clerk", "You sum up conversations.", [], model, engine=engine
        )
        clerk.invoke({"content": "What was this about?", "thread_id": thread_id})

        said = list(engine.messages.list(thread_id, order="asc"))
        for message in said:
            print(f"{message.role:>9}: {message.text}")
        assert [message.role for message in said] == ["user", "assistant"] * 3
        assert [m.assistant_id for m in said if m.role == "assistant"] == [
            tutor.assistant_id,
            tutor.assistant_id,
            clerk.assistant_id,
        ]

        print("\nby a key:")
        for text in ("I am Ada.", "Who am I?"):
            answer = tutor.invoke({"content": text, "thread_key": "user:42"})[-1]
            print(f"{'user':>9}: {text}\nassistant: {answer.text}")
        found = engine.threads.get_or_create(key="user:42")
        assert found.id == answer.thread_id != thread_id
        if scripted:
            assert [m.text for m in said[1::2]] == [SCRIPT[1], SCRIPT[3], SCRIPT[4]]


if __name__ == "__main__":
    main()
