"""File search through five faces: engine, runnable, graph, SDK client, server."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, ToolMessage
from openai import OpenAI
from tests.conftest import EngineFactory

from langchain_assistants import (
    AssistantRunnable,
    AssistantsEngine,
    create_assistant_graph,
)
from langchain_assistants.testing import Reply, ScriptedChatModel, call

Connect = Callable[[AssistantsEngine], OpenAI]

QUESTION = "How long does the battery last?"
FACT = "The battery lasts nine hours."
TOOLS: list[Any] = [{"type": "file_search"}]
CONTENTS = "step_details.tool_calls[*].file_search.results[*].content"


def answer(messages: Sequence[BaseMessage], _: Any) -> Reply:
    """Search for the question, then cite the first passage."""
    if isinstance(messages[-1], ToolMessage):
        [marker] = re.findall("【.*?】", str(messages[-1].content))
        return Reply(f"Nine hours{marker}.")
    return Reply(tool_calls=[call("file_search", {"query": QUESTION})])


class Desk:
    """An engine with a manual, and an assistant that searches it."""

    def __init__(self, engine: AssistantsEngine, client: OpenAI) -> None:
        self.engine, self.client = engine, client
        store = client.vector_stores.create(name="Manuals")
        done = client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=("manual.md", FACT.encode())
        )
        assert done.status == "completed"
        self.file_id = done.id
        self.assistant = engine.assistants.create(
            model="m",
            tools=TOOLS,
            tool_resources={"file_search": {"vector_store_ids": [store.id]}},
        )

    def check(self, thread_id: str) -> None:
        [said, *_] = self.engine.messages.list(thread_id)
        text = said.content[0].text
        [mark] = text.annotations
        assert text.value[mark.start_index : mark.end_index] == mark.text
        assert mark.file_citation.file_id == self.file_id
        assert mark.file_citation.quote == FACT


@pytest.fixture
def desk(engine_factory: EngineFactory, connect: Connect) -> Desk:
    engine = engine_factory(ScriptedChatModel(respond=answer))
    return Desk(engine, connect(engine))


def test_runnable_and_graph(engine_factory: EngineFactory) -> None:
    engine = engine_factory(ScriptedChatModel(respond=answer))
    desk = Desk(engine, engine.openai())
    agent = AssistantRunnable(assistant_id=desk.assistant.id, engine=engine)
    [said] = agent.invoke(QUESTION)
    desk.check(said.thread_id)
    state = create_assistant_graph(agent).invoke({"messages": QUESTION})
    desk.check(state["thread_id"])


def test_the_runnable_of_a_client(desk: Desk) -> None:
    agent = AssistantRunnable(assistant_id=desk.assistant.id, client=desk.client)
    [said] = agent.invoke(QUESTION)
    desk.check(said.thread_id)


def test_texts_are_told_to_those_who_ask(desk: Desk) -> None:
    runs = desk.client.beta.threads.runs
    thread = desk.client.beta.threads.create(
        messages=[{"role": "user", "content": QUESTION}]
    )
    heard: list[Any] = []
    for include in ([], [CONTENTS]):
        with runs.create(
            thread_id=thread.id,
            assistant_id=desk.assistant.id,
            include=include,
            stream=True,
        ) as stream:
            heard += [
                event.data.step_details
                for event in stream
                if event.event == "thread.run.step.completed"
                and event.data.type == "tool_calls"
            ]
        desk.check(thread.id)
    run = runs.list(thread.id).data[0]
    [bare, *_] = runs.steps.list(run.id, thread_id=thread.id, order="asc")
    [full, *_] = runs.steps.list(
        run.id, thread_id=thread.id, order="asc", include=[CONTENTS]
    )
    for details in (heard[0], bare.step_details):
        [result] = details.tool_calls[0].file_search.results
        assert result.file_name == "manual.md"
        assert result.content is None
    for details in (heard[1], full.step_details):
        [result] = details.tool_calls[0].file_search.results
        assert result.content[0].text == FACT
