"""Tools of an MCP server, executed by an assistant graph."""

from __future__ import annotations

import json

from langchain_core.messages import ToolMessage
from langchain_mcp_adapters.client import MultiServerMCPClient
from tests.conftest import EngineFactory
from tests.langchain.conftest import Ask
from tests.langchain.graph_stage import graph_of, last, say
from tests.langchain.test_mcp_tools import SERVER, asks

from langchain_assistants.testing import ScriptedChatModel


async def test_mcp_tools_are_executed_and_their_artifacts_kept(
    engine_factory: EngineFactory, ask: Ask
) -> None:
    client = MultiServerMCPClient({"weather": SERVER})
    tools = await client.get_tools()
    steps = [asks("forecast", "Paris"), asks("forecast", "Atlantis"), "21 degrees."]
    with ScriptedChatModel(steps) as model:
        graph = graph_of(engine_factory(model), tools)
        # A synchronous graph executes tools that are coroutines only, as these are.
        state = await ask(graph, say("How warm will it be?"))
    assert last(state) == "21 degrees."
    found, missing = [m for m in state["messages"] if isinstance(m, ToolMessage)]
    assert json.loads(found.text) == {"city": "Paris", "degrees": 21}
    assert found.artifact == {"structured_content": {"city": "Paris", "degrees": 21}}
    assert missing.status == "error"
    assert "No city is named Atlantis." in missing.text
