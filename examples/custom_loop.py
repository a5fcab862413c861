"""A loop of your own: you execute the assistant's calls, and submit the outputs.

Between two steps the run waits in the database (`requires_action`), and everything is
up to you: which calls are executed, where, after whose consent, and what the model
hears of a failure. Here a call that fails is told to the model, which tries another.

    python examples/custom_loop.py
    python examples/custom_loop.py --model openai:gpt-4o
"""

from __future__ import annotations

import math
from typing import Any

from langchain_core.agents import AgentFinish
from langchain_core.tools import BaseTool, tool
from model_option import open_engine

from langchain_assistants import AssistantAction, OpenAIAssistantRunnable
from langchain_assistants.testing import Reply, call

SCRIPT = [
    Reply(tool_calls=[call("divide", {"a": 10, "b": 0})]),
    Reply(
        tool_calls=[call("divide", {"a": 10, "b": 4}), call("power", {"a": 4, "b": 3})]
    ),
    "Nothing can be divided by 0; but 10 / 4 is 2.5, and 4³ is 64.",
]


@tool
def divide(a: float, b: float) -> float:
    """Divide a by b."""
    return a / b


@tool
def power(a: float, b: float) -> float:
    """Raise a to the power of b."""
    return math.pow(a, b)


def output_of(tool: BaseTool, action: AssistantAction) -> str:
    """Execute a call; a failure becomes an output that the model can work with."""
    try:
        return str(tool.invoke(action.tool_input))
    except ArithmeticError as error:
        return f"Error: {error}"


def execute_agent(
    agent: OpenAIAssistantRunnable, tools: list[BaseTool], given: dict[str, Any]
) -> AgentFinish:
    """Execute the assistant's calls until it finishes."""
    by_name = {tool.name: tool for tool in tools}
    response = agent.invoke(given)
    while not isinstance(response, AgentFinish):
        outputs = []
        for action in response:
            output = output_of(by_name[action.tool], action)
            print(" tool:", action.tool, action.tool_input, "→", output)
            outputs.append({"tool_call_id": action.tool_call_id, "output": output})
        response = agent.invoke(
            {
                "tool_outputs": outputs,
                "run_id": response[0].run_id,
                "thread_id": response[0].thread_id,
            }
        )
    return response


def main() -> None:
    """Let the assistant try what cannot be done, and go on."""
    engine, model, scripted = open_engine(__doc__ or "", SCRIPT)
    with engine:
        agent = OpenAIAssistantRunnable.create_assistant(
            name="Math tutor",
            instructions="You are a personal math tutor. Use the functions.",
            tools=[divide, power],
            model=model,
            engine=engine,
            as_agent=True,
        )
        question = "What is 10 divided by 0, 10 divided by 4, and 4 cubed?"
        print("  you:", question)
        finish = execute_agent(agent, [divide, power], {"content": question})
        print("tutor:", finish.return_values["output"])

        run_id = finish.return_values["run_id"]
        assert engine.runs.retrieve(run_id).status == "completed"
        if scripted:
            steps = list(engine.steps.list(run_id, order="asc"))
            outputs = [
                [made.function.output for made in step.step_details.tool_calls]
                for step in steps
                if step.type == "tool_calls"
            ]
            assert outputs == [["Error: float division by zero"], ["2.5", "64.0"]]


if __name__ == "__main__":
    main()
