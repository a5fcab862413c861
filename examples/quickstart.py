"""An assistant with a Python function, on a thread that its key finds again."""

from __future__ import annotations

from model_option import open_engine

from langchain_assistants import AssistantRunnable
from langchain_assistants.testing import Reply, call


def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


def main() -> None:
    """Ask twice on one thread."""
    engine, model, scripted = open_engine(
        __doc__ or "",
        [
            Reply(tool_calls=[call("multiply", {"a": 6, "b": 7})]),
            "Six times seven is 42.",
            "You asked for six times seven.",
        ],
    )
    with engine:
        tutor = AssistantRunnable.create_assistant(
            "Tutor",
            "You teach arithmetic. Use multiply.",
            [multiply],
            model,
            engine=engine,
            run_tools=True,
        )
        first = tutor.invoke({"content": "What is 6 * 7?", "thread_key": "ada"})
        print("assistant:", first[-1].text)
        again = tutor.invoke({"content": "What did I ask?", "thread_key": "ada"})
        print("assistant:", again[-1].text)
        assert again[-1].thread_id == first[-1].thread_id
        said = list(engine.messages.list(first[-1].thread_id, order="asc"))
        assert [message.role for message in said] == ["user", "assistant"] * 2
        if scripted:
            assert first[-1].text == "Six times seven is 42."


if __name__ == "__main__":
    main()
