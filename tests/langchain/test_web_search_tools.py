"""Assistants that search the web: with our tool, and with LangChain's, unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of

from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.testing.web_search import ScriptedWebSearch
from langchain_assistants.tools import WebSearchTool

pytestmark = pytest.mark.embedded_only("one tool is as another to a backend")

ADA = {"title": "Ada", "url": "https://ada.example/", "snippet": "Born in 1815."}


@pytest.fixture
def web() -> Iterator[ScriptedWebSearch]:
    """A web of one page."""
    with ScriptedWebSearch([ADA]) as scripted:
        yield scripted


def asks(tool: BaseTool) -> Reply:
    """Let the model call the tool."""
    return Reply(tool_calls=[call(tool.name, {"query": "Ada"})])


def seen(model: ScriptedChatModel) -> ToolMessage:
    """Return the last tool message that the model has seen."""
    message = model.calls[-1].messages[-1]
    assert isinstance(message, ToolMessage)
    return message


async def test_an_assistant_answers_from_what_it_finds(
    make_assistant: MakeAssistant, ask: Ask, web: ScriptedWebSearch
) -> None:
    tool = WebSearchTool()
    model = ScriptedChatModel([asks(tool), "In 1815."])
    assistant = make_assistant(model, [tool], run_tools=True)
    (message,) = await ask(assistant, "When was Ada born?")
    assert message.text == "In 1815."
    assert json.loads(str(seen(model).content)) == seen(model).artifact == [ADA]
    steps = engine_of(assistant).steps.list(message.run_id)
    (made,) = (c for s in steps for c in getattr(s.step_details, "tool_calls", ()))
    assert json.loads(made.function.output) == [ADA]
    assert json.loads(made.function.arguments) == {"query": "Ada"}


async def test_the_model_sees_a_blocked_search_and_the_thread_goes_on(
    make_assistant: MakeAssistant, ask: Ask, web: ScriptedWebSearch
) -> None:
    tool = WebSearchTool(backoff=0)
    model = ScriptedChatModel(
        [asks(tool), "I could not search.", asks(tool), "In 1815."]
    )
    assistant = make_assistant(model, [tool], run_tools=[tool])
    web.failure = "blocked"
    (first,) = await ask(assistant, "When was Ada born?")
    assert first.text == "I could not search."
    assert seen(model).status == "error"
    assert "refused" in str(seen(model).content)
    assert engine_of(assistant).runs.retrieve(first.run_id).status == "completed"
    web.failure = None
    again = {"content": "Try again.", "thread_id": first.thread_id}
    (second,) = await ask(assistant, again)
    assert second.text == "In 1815."
    assert second.thread_id == first.thread_id


def duck_duck_go(kind: str, **options: Any) -> BaseTool:
    """Make one of LangChain's tools."""
    from langchain_community.tools import DuckDuckGoSearchResults, DuckDuckGoSearchRun

    made: BaseTool = (
        DuckDuckGoSearchRun() if kind == "run" else DuckDuckGoSearchResults(**options)
    )
    return made


@pytest.mark.parametrize(
    ("kind", "options", "output"),
    [
        ("run", {}, "Born in 1815."),
        ("results", {}, "snippet: Born in 1815., title: Ada, link: " + ADA["url"]),
        (
            "results",
            {"output_format": "json", "backend": "news"},
            json.dumps(
                [
                    {
                        "snippet": ADA["snippet"],
                        "title": ADA["title"],
                        "link": ADA["url"],
                        "date": None,
                        "source": None,
                    }
                ]
            ),
        ),
    ],
)
async def test_langchains_duckduckgo_tools_work_unchanged(
    make_assistant: MakeAssistant,
    ask: Ask,
    web: ScriptedWebSearch,
    kind: str,
    options: dict[str, Any],
    output: str,
) -> None:
    tool = duck_duck_go(kind, **options)
    model = ScriptedChatModel([asks(tool), "In 1815."])
    assistant = make_assistant(model, [tool], run_tools=[tool])
    (message,) = await ask(assistant, "When was Ada born?")
    assert message.text == "In 1815."
    assert seen(model).content == output
    assert web.queries == ["Ada"]


@pytest.mark.parametrize("kind", ["run", "results"])
async def test_the_model_sees_when_langchains_tools_are_blocked(
    make_assistant: MakeAssistant, ask: Ask, web: ScriptedWebSearch, kind: str
) -> None:
    tool = duck_duck_go(kind)
    model = ScriptedChatModel([asks(tool), "I could not search.", "Yes."])
    assistant = make_assistant(model, [tool], run_tools=[tool])
    web.failure = "blocked"
    (first,) = await ask(assistant, "When was Ada born?")
    assert first.text == "I could not search."
    assert seen(model).status == "error"
    again = {"content": "Still there?", "thread_id": first.thread_id}
    (second,) = await ask(assistant, again)
    assert second.text == "Yes."
