"""Who has his data goes on where he was: by the address, and by LangChain's class."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from openai import OpenAI
from tests.conftest import EngineFactory
from tests.conversations import TIMEOUT
from tests.importers import saved_data as data
from tests.sandbox import Sandboxes
from tests.server.conftest import Servers
from tests.stored import broken_invariants

from langchain_assistants import AssistantsEngine, OpenAIAssistantRunnable
from langchain_assistants.importers import import_saved
from langchain_assistants.testing import ModelCall, ScriptedChatModel


def remember(messages: list[BaseMessage], asked: ModelCall) -> str:
    """Answer with what was said before: texts, calls and their outputs."""
    known = []
    for message in messages:
        if isinstance(message, AIMessage):
            known += [call["name"] for call in message.tool_calls]
        if not isinstance(message, ToolMessage) or message.name == "look_up":
            pictures = [part for part in message.content if "image_url" in part]
            known.append(message.text + "[a picture]" * len(pictures))
    return " | ".join(known)


@pytest.fixture
def engine(engine_factory: EngineFactory, tmp_path: Path) -> AssistantsEngine:
    """An engine with what a person had saved."""
    engine = engine_factory(
        ScriptedChatModel(respond=remember), interpreter=Sandboxes()
    )
    report = import_saved(engine, data.save(tmp_path / "saved"))
    assert report.complete
    return engine


def remembered(number: int, question: str) -> str:
    """Return what the model is to have seen of a thread."""
    return (
        "You know about sales.\n\nFiles in /mnt/data of the code interpreter:\n"
        f"- sales.csv ({data.SALES}) | What is in picture {number}?"
        "[a picture][a picture] | "
        "code_interpreter | file_search |  | "
        f"look_up |  | order {number} is paid | "
        f"[image {data.CHART}]Sales of June: 12【4:0†manual.txt】. | {question}"
    )


def test_the_next_turn_of_each_thread_goes_on_by_the_address(
    engine: AssistantsEngine, servers: Servers
) -> None:
    address = f"{servers.serve(engine)}/v1"
    with OpenAI(api_key="any", base_url=address, timeout=TIMEOUT) as client:
        assistant = client.beta.assistants.retrieve(data.ASSISTANT)
        for number in range(data.THREADS):
            thread = client.beta.threads.retrieve(data.thread_id(number))
            client.beta.threads.messages.create(
                thread.id, role="user", content="And now?"
            )
            run = client.beta.threads.runs.create_and_poll(
                thread_id=thread.id, assistant_id=assistant.id
            )
            assert run.status == "completed"
            newest = client.beta.threads.messages.list(thread.id, run_id=run.id).data[0]
            answer = newest.content[0]
            assert answer.type == "text"
            assert _plain(answer.text.value) == _plain(remembered(number, "And now?"))
            old = client.beta.threads.runs.list(thread.id, order="asc").data[0]
            steps = client.beta.threads.runs.steps.list(old.id, thread_id=thread.id)
            assert [step.type for step in steps] == [
                "message_creation",
                "tool_calls",
                "tool_calls",
            ]
        picture = client.files.content(data.CHART).read()
    assert picture == data.PNG
    assert broken_invariants(engine) == []


def test_the_next_turn_of_each_thread_goes_on_by_the_runnable(
    engine: AssistantsEngine,
) -> None:
    agent = OpenAIAssistantRunnable(
        assistant_id=data.ASSISTANT, engine=engine, as_agent=True
    )
    for number in range(data.THREADS):
        thread_id = data.thread_id(number)
        answer = agent.invoke({"content": "And now?", "thread_id": thread_id})
        said = answer.return_values["output"]
        assert _plain(said) == _plain(remembered(number, "And now?"))
        assert len(list(engine.messages.list(thread_id))) == 4
    assert broken_invariants(engine) == []


def _plain(text: str) -> str:
    return "".join(text.split())
