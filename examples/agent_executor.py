"""The assistant as a LangChain agent: AgentExecutor, then the same loop by hand."""

from __future__ import annotations

from typing import Any

from langchain_classic.agents import AgentExecutor
from langchain_core.agents import AgentFinish
from langchain_core.tools import BaseTool, tool
from model_option import open_engine

from langchain_assistants import OpenAIAssistantRunnable
from langchain_assistants.testing import Reply, call


@tool
def order_status(order: str) -> str:
    """Look up where an order is."""
    return f"order {order}: on its way"


def execute_agent(
    agent: OpenAIAssistantRunnable, tools: list[BaseTool], given: dict[str, Any]
) -> AgentFinish:
    """Execute the assistant's calls until it finishes."""
    by_name = {tool.name: tool for tool in tools}
    response = agent.invoke(given)
    while not isinstance(response, AgentFinish):
        outputs = [
            {
                "tool_call_id": action.tool_call_id,
                "output": by_name[action.tool].invoke(action.tool_input),
            }
            for action in response
        ]
        response = agent.invoke(
            {
                "tool_outputs": outputs,
                "run_id": response[0].run_id,
                "thread_id": response[0].thread_id,
            }
        )
    return response


def main() -> None:
    """Ask through the executor, then on the same thread through the loop."""
    engine, model, scripted = open_engine(
        __doc__ or "",
        [
            Reply(tool_calls=[call("order_status", {"order": "A1"})]),
            "Order A1 is on its way.",
            Reply(
                tool_calls=[
                    call("order_status", {"order": "B2"}),
                    call("order_status", {"order": "C3"}),
                ]
            ),
            "Both are on their way.",
        ],
    )
    with engine:
        agent = OpenAIAssistantRunnable.create_assistant(
            name="Support",
            instructions="You look up orders.",
            tools=[order_status],
            model=model,
            engine=engine,
            as_agent=True,
        )
        executor = AgentExecutor(agent=agent, tools=[order_status])
        first = executor.invoke({"content": "Where is order A1?"})
        print("executor:", first["output"])
        second = execute_agent(
            agent,
            [order_status],
            {"content": "And B2 and C3?", "thread_id": first["thread_id"]},
        )
        print("loop:    ", second.return_values["output"])
        assert second.return_values["thread_id"] == first["thread_id"]
        if scripted:
            steps = list(engine.steps.list(second.return_values["run_id"], order="asc"))
            assert len(steps[0].step_details.tool_calls) == 2


if __name__ == "__main__":
    main()
