"""LangChain's own classes, as they are, drive a served engine.

They run synchronously: `ainvoke` of langchain-classic 1.0.8 fails by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_classic.agents import AgentExecutor
from langchain_classic.agents.openai_assistant import OpenAIAssistantRunnable
from langchain_community.agents.openai_assistant import OpenAIAssistantV2Runnable
from langchain_core.agents import AgentFinish
from openai import OpenAI
from tests.conftest import EngineFactory
from tests.langchain.arithmetic import add, calls, multiply
from tests.server.conftest import Servers

from langchain_assistants import AssistantsEngine
from langchain_assistants.testing import ScriptedChatModel

pytestmark = [
    pytest.mark.parametrize(
        "kind", [OpenAIAssistantRunnable, OpenAIAssistantV2Runnable]
    ),
    pytest.mark.filterwarnings("ignore:The class `OpenAIAssistantV2Runnable` is in b"),
    # It dumps the runs that fail with a method that pydantic has given up.
    pytest.mark.filterwarnings("ignore:The `dict` method is deprecated"),
]
TOOLS = [add, multiply]


class Served:
    """An engine, its model and OpenAI's client of it."""

    def __init__(self, engine: AssistantsEngine, address: str) -> None:
        """Connect a client."""
        self.engine = engine
        self.client = OpenAI(api_key="any", base_url=address, max_retries=0, timeout=30)


@pytest.fixture
def serve(engine_factory: EngineFactory, servers: Servers) -> Iterator[Any]:
    """Serve an engine on scripted steps: `serve([steps])`."""
    served: list[Served] = []

    def start(model: ScriptedChatModel) -> Served:
        engine = engine_factory(model)
        served.append(Served(engine, f"{servers.serve(engine)}/v1"))
        return served[-1]

    yield start
    for one in served:
        one.client.close()


def tutor(kind: Any, served: Served, *, as_agent: bool = False) -> Any:
    return kind.create_assistant(
        name="Tutor",
        instructions="You teach arithmetic.",
        tools=TOOLS if as_agent else [],
        model="gpt-4o",
        client=served.client,
        as_agent=as_agent,
    )


def test_a_runnable_answers_with_messages_and_goes_on_in_their_thread(
    kind: Any, serve: Any
) -> None:
    served = serve(ScriptedChatModel(["Two.", "Four."]))
    runnable = tutor(kind, served)
    (first,) = runnable.invoke({"content": "1 + 1?"})
    assert first.content[0].text.value == "Two."
    again = {"content": "Twice that?", "thread_id": first.thread_id}
    (second,) = runnable.invoke(again)
    assert (second.content[0].text.value, second.thread_id) == (
        "Four.",
        first.thread_id,
    )
    assert second.run_id != first.run_id


def test_an_executor_answers_parallel_calls_over_several_rounds(
    kind: Any, serve: Any
) -> None:
    model = ScriptedChatModel(
        [calls((add, 1, 2), (multiply, 3, 4)), calls((add, 3, 12)), "15."]
    )
    served = serve(model)
    executor = AgentExecutor(agent=tutor(kind, served, as_agent=True), tools=TOOLS)
    result = executor.invoke({"content": "1 + 2 + 3 * 4?"})
    assert result["output"] == "15."
    outputs = [m.text for m in model.calls[-1].messages if m.type == "tool"]
    assert outputs == ["3", "12", "15"]
    run = served.engine.runs.retrieve(result["run_id"])
    assert (run.status, run.thread_id) == ("completed", result["thread_id"])


def test_a_loop_of_ones_own_submits_outputs_to_an_existing_assistant(
    kind: Any, serve: Any
) -> None:
    served = serve(ScriptedChatModel([calls((add, 1, 2)), "Three."]))
    made = tutor(kind, served, as_agent=True)
    agent = kind(assistant_id=made.assistant_id, client=served.client, as_agent=True)
    response = agent.invoke({"content": "1 + 2?"})
    while not isinstance(response, AgentFinish):
        named = {tool.name: tool for tool in TOOLS}
        response = agent.invoke(
            {
                "tool_outputs": [
                    {
                        "output": str(named[action.tool].invoke(action.tool_input)),
                        "tool_call_id": action.tool_call_id,
                    }
                    for action in response
                ],
                "run_id": response[0].run_id,
                "thread_id": response[0].thread_id,
            }
        )
    assert response.return_values["output"] == "Three."


def test_a_run_that_fails_is_told(kind: Any, serve: Any) -> None:
    served = serve(ScriptedChatModel([RuntimeError("broken")]))
    with pytest.raises(ValueError, match="failed"):
        tutor(kind, served).invoke({"content": "Hello"})
