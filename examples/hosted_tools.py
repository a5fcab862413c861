"""Hosted tools: an assistant with `code_interpreter`, as on OpenAI's servers.

An assistant that comes from there keeps its tools. The model writes Python, the engine
executes it, and each execution is a step of the run with its input and outputs. It
runs in a jail on this machine (Linux), or with `--interpreter e2b` in E2B's cloud.

    python examples/hosted_tools.py
    python examples/hosted_tools.py --model openai:gpt-4o
"""

from __future__ import annotations

from typing import Any

from model_option import open_engine

from langchain_assistants import OpenAIAssistantRunnable
from langchain_assistants.testing import Reply, call

QUESTION = "What's 10 - 4 raised to the 2.7?"


def tell(messages: list[Any], asked: Any) -> str:
    """Answer with what the code has put out, as a model would."""
    return f"It is {float(messages[-1].text):.2f}."


SCRIPT = [
    Reply(tool_calls=[call("code_interpreter", {"code": "10 - 4 ** 2.7"})]),
    tell,
]


def main() -> None:
    """Ask an assistant with a hosted tool, and look at the steps of its run."""
    engine, model, scripted = open_engine(__doc__ or "", SCRIPT, runs_code=True)
    with engine:
        tutor = OpenAIAssistantRunnable.create_assistant(
            name="Math tutor",
            instructions="You are a personal math tutor. Write and run code.",
            tools=[{"type": "code_interpreter"}],
            model=model,
            engine=engine,
        )
        print("     you:", QUESTION)
        answer = tutor.invoke({"content": QUESTION})[-1]
        for step in engine.steps.list(answer.run_id, order="asc"):
            for made in getattr(step.step_details, "tool_calls", ()):
                print("    code:", made.code_interpreter.input)
                for output in made.code_interpreter.outputs:
                    print("        →", getattr(output, "logs", "(a picture)").strip())
        print("   tutor:", answer.text)
        if scripted:
            assert "-32.2" in answer.text
        print("\nA chart and files from code: data_analyst.py")


if __name__ == "__main__":
    main()
