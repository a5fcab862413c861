"""LangChain's standard tests of a tool, on WebSearchTool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from langchain_assistants.testing.web_search import ScriptedWebSearch
from langchain_assistants.tools import WebSearchTool

ADA = {"title": "Ada", "url": "https://ada.example/", "snippet": "Born in 1815."}


class TestWebSearchToolUnit(ToolsUnitTests):
    @property
    def tool_constructor(self) -> type[WebSearchTool]:
        return WebSearchTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"max_results": 3, "region": "de-de"}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"query": "Ada Lovelace", "time_range": "year"}


class TestWebSearchToolIntegration(ToolsIntegrationTests):
    @pytest.fixture(autouse=True)
    def web(self) -> Iterator[None]:
        with ScriptedWebSearch([ADA]):
            yield

    @property
    def tool_constructor(self) -> type[WebSearchTool]:
        return WebSearchTool

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"query": "Ada Lovelace"}
