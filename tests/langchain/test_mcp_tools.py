"""Tools of an MCP server in a process of its own, executed by an assistant."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from tests.langchain.conftest import Ask, MakeAssistant
from tests.langchain.places import engine_of

from langchain_assistants.testing import Reply, ScriptedChatModel, call

SERVER: Any = {
    "transport": "stdio",
    "command": sys.executable,
    "args": [str(Path(__file__).with_name("mcp_server.py"))],
}


@pytest.fixture(scope="module")
def mcp_tools() -> list[BaseTool]:
    """The server's tools; each call of one starts a server."""
    return asyncio.run(MultiServerMCPClient({"weather": SERVER}).get_tools())


def asks(name: str, city: str) -> Reply:
    """Let the model call a tool."""
    return Reply(tool_calls=[call(name, {"city": city})])


def seen(model: ScriptedChatModel) -> ToolMessage:
    """Return the last tool message that the model has seen."""
    message = model.calls[-1].messages[-1]
    assert isinstance(message, ToolMessage)
    return message


@pytest.mark.embedded_only("the wire carries outputs as text: no artifacts")
async def test_an_assistant_executes_mcp_tools_and_keeps_what_they_return(
    make_assistant: MakeAssistant, ask: Ask, mcp_tools: list[BaseTool]
) -> None:
    model = ScriptedChatModel([asks("forecast", "Paris"), "21 degrees."])
    assistant = make_assistant(model, mcp_tools, run_tools=True)
    (message,) = await ask(assistant, "How warm will it be in Paris?")
    assert message.text == "21 degrees."
    assert model.calls[0].tool_names == ["forecast", "radar", "crash"]
    told = {"city": "Paris", "degrees": 21}
    assert json.loads(seen(model).text) == told
    assert seen(model).artifact == {"structured_content": told}
    steps = engine_of(assistant).steps.list(message.run_id)
    (made,) = (c for s in steps for c in getattr(s.step_details, "tool_calls", ()))
    assert json.loads(made.function.output) == told


async def test_the_model_sees_the_error_of_an_mcp_tool_and_the_thread_goes_on(
    make_assistant: MakeAssistant, ask: Ask, mcp_tools: list[BaseTool]
) -> None:
    model = ScriptedChatModel([asks("forecast", "Atlantis"), "It sank.", "Yes."])
    assistant = make_assistant(model, mcp_tools, run_tools=mcp_tools)
    (first,) = await ask(assistant, "Atlantis?")
    assert first.text == "It sank."
    assert "No city is named Atlantis." in seen(model).text
    again = {"content": "Really?", "thread_id": first.thread_id}
    (second,) = await ask(assistant, again)
    assert second.text == "Yes."


@pytest.mark.embedded_only("the wire carries outputs as text: no pictures")
async def test_the_model_sees_the_picture_of_an_mcp_tool(
    make_assistant: MakeAssistant, mcp_tools: list[BaseTool]
) -> None:
    model = ScriptedChatModel([asks("radar", "Paris"), "No clouds."])
    assistant = make_assistant(model, mcp_tools, run_tools=True)
    await assistant.ainvoke("Clouds over Paris?")
    (picture,) = seen(model).content_blocks
    assert (picture["type"], picture["mime_type"]) == ("image", "image/png")


async def test_a_server_that_dies_is_a_tool_error_and_the_thread_goes_on(
    make_assistant: MakeAssistant, mcp_tools: list[BaseTool]
) -> None:
    model = ScriptedChatModel(
        [asks("crash", "Paris"), "It broke.", asks("forecast", "Paris"), "21 degrees."]
    )
    assistant = make_assistant(model, mcp_tools, run_tools=True)
    (first,) = await assistant.ainvoke("Paris?")
    assert first.text == "It broke."
    assert seen(model).text.startswith("Error")
    again = {"content": "Try again.", "thread_id": first.thread_id}
    (second,) = await assistant.ainvoke(again)
    assert second.text == "21 degrees."


async def test_tools_of_an_open_session_share_one_server(
    make_assistant: MakeAssistant,
) -> None:
    model = ScriptedChatModel(
        [asks("forecast", "Paris"), asks("forecast", "Rome"), "Both 21."]
    )
    async with MultiServerMCPClient({"weather": SERVER}).session("weather") as session:
        tools = await load_mcp_tools(session)
        assistant = make_assistant(model, tools, run_tools=True)
        (message,) = await assistant.ainvoke("Paris and Rome?")
    assert message.text == "Both 21."
    assert json.loads(seen(model).text)["city"] == "Rome"
