"""One scenario, five faces: engine, runnable, graph, SDK client, server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai import AssistantEventHandler, OpenAI
from openai.types.beta.threads import Message
from tests.conftest import EngineFactory
from tests.sandbox import Sandboxes

from langchain_assistants import (
    AssistantRunnable,
    AssistantsEngine,
    create_assistant_graph,
)
from langchain_assistants.testing import Reply, ScriptedChatModel, call

Connect = Callable[[AssistantsEngine], OpenAI]

LINK = "sandbox:/mnt/data/clean.csv"
CODE = "\n".join(
    [
        "rows = read('/mnt/data/sales.csv').split()",
        "print(len(rows), 'rows')",
        "write('/mnt/data/clean.csv', ','.join(rows))",
        "show()",
    ]
)
QUESTION = "Clean sales.csv and plot it."
TOOLS: list[Any] = [{"type": "code_interpreter"}]


def script() -> ScriptedChatModel:
    """Code that fails, code that is right, and an answer."""
    return ScriptedChatModel(
        [
            Reply(tool_calls=[call("code_interpreter", {"code": "rows[0]"})]),
            Reply(tool_calls=[call("code_interpreter", {"code": CODE})]),
            f"Two rows; download [clean.csv]({LINK}).",
        ]
    )


class Office:
    """An engine with a CSV, and an assistant that may execute code on it."""

    def __init__(
        self, engine_factory: EngineFactory, model: ScriptedChatModel, interpreter: Any
    ) -> None:
        self.engine = engine_factory(model, interpreter=interpreter)
        file = self.engine.files.create(
            file=("sales.csv", b"a 1\n"), purpose="assistants"
        )
        self.resources = {"code_interpreter": {"file_ids": [file.id]}}
        self.assistant = self.engine.assistants.create(
            name="Analyst", model="m", tools=TOOLS, tool_resources=self.resources
        )

    def check(self, thread_id: str) -> None:
        """See that the thread holds what the original would have put there."""
        [answer, *_] = self.engine.messages.list(thread_id)
        picture, text = answer.content
        assert picture.type == "image_file"
        [link] = text.text.annotations
        assert text.text.value[link.start_index : link.end_index] == LINK
        assert self.engine.files.content(link.file_path.file_id) == b"a,1"
        [run] = self.engine.runs.list(thread_id)
        steps = list(self.engine.steps.list(run.id, order="asc"))
        assert [s.type for s in steps] == [
            "tool_calls",
            "tool_calls",
            "message_creation",
        ]
        failed, done = (s.step_details.tool_calls[0] for s in steps[:2])
        assert "NameError" in failed.code_interpreter.outputs[0].logs
        logs, image = done.code_interpreter.outputs
        assert logs.logs == "2 rows\n"
        assert image.image.file_id == picture.image_file.file_id


@pytest.fixture
def office(engine_factory: EngineFactory) -> Office:
    return Office(engine_factory, script(), Sandboxes())


def test_the_engine(office: Office) -> None:
    engine = office.engine
    thread = engine.threads.create(messages=[{"role": "user", "content": QUESTION}])
    run = engine.runs.create(thread.id, assistant_id=office.assistant.id)
    assert engine.runs.wait(run.id).status == "completed"
    office.check(thread.id)


def test_the_runnable(office: Office) -> None:
    agent = AssistantRunnable(assistant_id=office.assistant.id, engine=office.engine)
    [answer] = agent.invoke(QUESTION)
    assert LINK in answer.text
    office.check(answer.thread_id)


def test_the_runnable_creates_assistants_with_hosted_tools(office: Office) -> None:
    agent = AssistantRunnable.create_assistant(
        "Analyst",
        "",
        TOOLS,
        "m",
        engine=office.engine,
        tool_resources=office.resources,
        as_agent=True,
        run_tools=True,
    )
    finish = agent.invoke({"content": QUESTION})
    office.check(finish.return_values["thread_id"])


async def test_the_runnable_without_a_thread_of_its_own(office: Office) -> None:
    agent = AssistantRunnable(assistant_id=office.assistant.id, engine=office.engine)
    [answer] = await agent.ainvoke(QUESTION)
    assert LINK in answer.text


def test_the_graph(office: Office) -> None:
    graph = create_assistant_graph(office.assistant, engine=office.engine)
    state = graph.invoke({"messages": QUESTION})
    assert state["status"] == "completed"
    assert LINK in state["messages"][-1].text
    office.check(state["thread_id"])


def test_openais_client(office: Office, connect: Connect) -> None:
    client = connect(office.engine)
    heard: list[str] = []

    class Handler(AssistantEventHandler):
        def on_message_done(self, message: Message) -> None:
            heard.append(message.content[0].type)

        def on_tool_call_delta(self, delta: Any, snapshot: Any) -> None:
            heard.extend(o.type for o in delta.code_interpreter.outputs or ())

        def on_image_file_done(self, image_file: Any) -> None:
            heard.append(image_file.file_id)

    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": QUESTION}]
    )
    with client.beta.threads.runs.stream(
        thread_id=thread.id,
        assistant_id=office.assistant.id,
        event_handler=Handler(),
    ) as stream:
        stream.until_done()
    office.check(thread.id)
    [answer, *_] = client.beta.threads.messages.list(thread.id)
    picture: Any = answer.content[0]
    file_id = picture.image_file.file_id
    assert heard == [
        "logs",
        "logs",
        "image",
        file_id,
        "image_file",
    ]
    assert client.files.content(file_id).read().startswith(b"\x89PNG")


REAL_CODE = """
import csv
rows = list(csv.reader(open("/mnt/data/sales.csv"), delimiter=" "))
print(len(rows[0]), "rows")
open("/mnt/data/clean.csv", "w").write(",".join(rows[0]))
print(file=open("/mnt/data/chart.png", "w"))
"""


def test_a_jail_on_this_machine(engine_factory: EngineFactory) -> None:
    model = ScriptedChatModel(
        [
            Reply(tool_calls=[call("code_interpreter", {"code": "rows[0]"})]),
            Reply(tool_calls=[call("code_interpreter", {"code": REAL_CODE})]),
            f"Two rows; download [clean.csv]({LINK}).",
        ]
    )
    office = Office(engine_factory, model, interpreter="local")
    client = office.engine.openai()
    run = client.beta.threads.create_and_run_poll(
        assistant_id=office.assistant.id,
        thread={"messages": [{"role": "user", "content": QUESTION}]},
    )
    assert run.status == "completed"
    office.check(run.thread_id)
    client.close()
