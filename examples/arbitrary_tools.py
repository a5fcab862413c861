"""Any LangChain tool: Python in a sandbox and web search, run by the assistant.

With `run_tools=True` the engine executes the tools that the assistant was given (to do
it yourself: `agent_executor.py`, `custom_loop.py`). The scripted model comes with an
emulated sandbox and a web of one page, so that nothing leaves this machine; a real
model gets the real ones (`pip install "langchain-assistants[e2b,search]"`):

    python examples/arbitrary_tools.py
    E2B_API_KEY=... python examples/arbitrary_tools.py --model openai:gpt-4o
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack

from model_option import open_engine

from langchain_assistants import AssistantRunnable
from langchain_assistants.testing import E2BEmulator, Reply, call
from langchain_assistants.testing.web_search import ScriptedWebSearch
from langchain_assistants.tools import E2BCodeInterpreterTool, WebSearchTool

WEATHER = {
    "title": "San Francisco weather today",
    "url": "https://weather.example/san-francisco",
    "snippet": "Today in San Francisco: sunny, 67 °F, a light breeze from the west.",
}
SCRIPT = [
    Reply(tool_calls=[call("web_search", {"query": "San Francisco weather today"})]),
    Reply(tool_calls=[call("e2b_data_analysis", {"python_code": "67 / 2.7"})]),
    "It is 67 °F in San Francisco; divided by 2.7 that makes 24.8.",
]


def main() -> None:
    """Ask what neither tool alone can tell."""
    engine, model, scripted = open_engine(__doc__ or "", SCRIPT)
    with ExitStack() as stack:
        stack.enter_context(engine)
        if scripted:
            os.environ.update(stack.enter_context(E2BEmulator()).env)
            stack.enter_context(ScriptedWebSearch([WEATHER]))
        elif "E2B_API_KEY" not in os.environ:
            sys.exit(
                "Set E2B_API_KEY: what a real model writes runs in a sandbox only."
            )

        sandbox = stack.enter_context(E2BCodeInterpreterTool())
        tutor = AssistantRunnable.create_assistant(
            name="Math tutor",
            instructions="You are a personal math tutor. Search the web for facts; "
            "write and run code to calculate.",
            tools=[sandbox, WebSearchTool()],
            model=model,
            engine=engine,
            run_tools=True,
        )
        question = "What's the weather in San Francisco today, divided by 2.7?"
        print("     you:", question)
        answer = tutor.invoke(question)[-1]

        outputs = []
        for step in engine.steps.list(answer.run_id, order="asc"):
            for made in getattr(step.step_details, "tool_calls", ()):
                print("    tool:", made.function.name, made.function.arguments)
                print("        →", made.function.output)
                outputs.append(json.loads(made.function.output))
        print("   tutor:", answer.text)

        if scripted:
            pages, executed = outputs
            assert pages[0]["url"] == WEATHER["url"]
            assert executed["results"] == ["24.814814814814813"]


if __name__ == "__main__":
    main()
