"""Hosted tools: an assistant with `code_interpreter`, as on OpenAI's servers.

An assistant that comes from there keeps its tools: it is stored as it was. This
version executes no hosted tool yet, and says so instead of letting the model guess:
the run fails before any model is asked, and names what to use. The thread is free
again at once, and goes on without the tool.

    python examples/hosted_tools.py
    python examples/hosted_tools.py --model openai:gpt-4o
"""

from __future__ import annotations

from model_option import open_engine

from langchain_assistants import OpenAIAssistantRunnable
from langchain_assistants.errors import RunFailed

QUESTION = "What's 10 - 4 raised to the 2.7?"


def main() -> None:
    """Ask an assistant with a hosted tool, then without it on the same thread."""
    engine, model, scripted = open_engine(
        __doc__ or "", ["By hand I get about -32.2; running code would be better."]
    )
    with engine:
        tutor = OpenAIAssistantRunnable.create_assistant(
            name="Math tutor",
            instructions="You are a personal math tutor. Write and run code.",
            tools=[{"type": "code_interpreter"}],
            model=model,
            engine=engine,
        )
        thread = engine.threads.create()
        try:
            tutor.invoke({"content": QUESTION, "thread_id": thread.id})
        except RunFailed as error:
            run = error.run
        else:
            raise AssertionError("The run was to fail; is there an interpreter now?")

        print("status:   ", run.status)
        assert run.last_error is not None
        print("error:    ", run.last_error.message)
        assert "code_interpreter" in run.last_error.message
        assert "run_tools=" in run.last_error.message
        assert engine.assistants.retrieve(tutor.assistant_id).tools[0].type == (
            "code_interpreter"
        )

        # The question is in the thread; this run overrides the assistant's tools.
        answer = tutor.invoke({"thread_id": thread.id, "tools": []})
        print("assistant:", answer[-1].text)
        said = [m.role for m in engine.messages.list(thread.id, order="asc")]
        assert said == ["user", "assistant"]
        if scripted:
            assert "-32.2" in answer[-1].text
        print("\nCode in a sandbox, as a tool of yours: arbitrary_tools.py")


if __name__ == "__main__":
    main()
