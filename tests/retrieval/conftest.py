"""An engine and a library for a whole module: no test here minds the others' stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.retrieval.library import Library

from langchain_assistants import AssistantsEngine
from langchain_assistants.testing import ScriptedChatModel


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AssistantsEngine]:
    path: Path = tmp_path_factory.mktemp("search") / "app.db"
    with AssistantsEngine(
        f"sqlite:///{path}", chat_model=ScriptedChatModel([])
    ) as engine:
        yield engine


@pytest.fixture
def library(engine: AssistantsEngine) -> Library:
    return Library(engine)
