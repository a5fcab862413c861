"""LangChain's standard tests of retrievers and tools, on file search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_tests.integration_tests import (
    RetrieversIntegrationTests,
    ToolsIntegrationTests,
)
from langchain_tests.unit_tests import ToolsUnitTests
from tests.retrieval.library import Library

from langchain_assistants import AssistantsEngine
from langchain_assistants.retrieval.retriever import StoreRetriever
from langchain_assistants.testing import ScriptedChatModel
from langchain_assistants.tools import FileSearchTool

QUERY = {"query": "How does the tide rise?"}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    path: Path = tmp_path_factory.mktemp("library") / "app.db"
    with AssistantsEngine(
        f"sqlite:///{path}", chat_model=ScriptedChatModel([])
    ) as engine:
        library = Library(engine)
        library.add(*(f"The tide rises, day {day}." for day in range(10)))
        yield library


class TestStoreRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def filled(self, library: Library) -> None:
        self.library = library

    @property
    def retriever_constructor(self) -> type[StoreRetriever]:
        return StoreRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {
            "stores": self.library.engine.vector_stores,
            "vector_store_ids": [self.library.id],
        }

    @property
    def retriever_query_example(self) -> str:
        return QUERY["query"]


class _FileSearch:
    @pytest.fixture(autouse=True)
    def filled(self, library: Library) -> None:
        self.library = library

    @property
    def tool_constructor(self) -> type[FileSearchTool]:
        return FileSearchTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {
            "stores": self.library.engine.vector_stores,
            "vector_store_ids": [self.library.id],
        }

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return QUERY


class TestFileSearchToolUnit(_FileSearch, ToolsUnitTests):
    pass


class TestFileSearchToolIntegration(_FileSearch, ToolsIntegrationTests):
    pass
