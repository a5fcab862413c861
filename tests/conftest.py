"""Fixtures for all tests: an empty environment, engines on fresh files, a clock."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.chat_models import BaseChatModel

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine import heartbeat
from langchain_assistants.settings import ENV_PREFIX
from langchain_assistants.storage.schema import migrate
from langchain_assistants.testing import ScriptedChatModel

# Variables that would lead a test to somebody's account, proxy or data.
_CLEARED = ("OPENAI_", "ANTHROPIC_", "LANGSMITH_", "LANGCHAIN_", ENV_PREFIX)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Clear what a developer's shell has set; keep data in the test's folder."""
    for name in list(os.environ):
        if name.startswith(_CLEARED):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


class Clock:
    """A clock that stands still until it is told to advance."""

    def __init__(self) -> None:
        """Begin at a fixed moment."""
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an engine whose heartbeat stays silent: it executes statements."""
    monkeypatch.setattr(heartbeat, "_BEAT_SECONDS", 3600.0)
    return Settings(lease=14_400)


@pytest.fixture
def clock() -> Clock:
    """A clock for `AssistantsEngine(clock=...)`."""
    return Clock()


class EngineFactory:
    """Opens engines on SQLite files of the test, and closes them after it."""

    def __init__(self, folder: Path, empty_file: Path) -> None:
        """Begin without an engine; new files are copies of an empty one."""
        self.folder = folder
        self._empty_file = empty_file
        self.opened: list[AssistantsEngine] = []

    @property
    def url(self) -> str:
        """The URL of the newest file."""
        return self.opened[-1].url

    def __call__(
        self, model: BaseChatModel | Sequence[Any] = (), **options: Any
    ) -> AssistantsEngine:
        """Open an engine on a new file.

        Args:
            model: A chat model, or the steps of a scripted one.
            **options: Further arguments of the engine.
        """
        path = self.folder / f"engine_{len(self.opened)}.db"
        if not path.exists():
            shutil.copyfile(self._empty_file, path)
        return self._open(f"sqlite:///{path}", model, options)

    def reopen(
        self, model: BaseChatModel | Sequence[Any] = (), **options: Any
    ) -> AssistantsEngine:
        """Open another engine on the newest file, as a second process would."""
        return self._open(self.url, model, options)

    def _open(
        self, url: str, model: BaseChatModel | Sequence[Any], options: dict[str, Any]
    ) -> AssistantsEngine:
        if not isinstance(model, BaseChatModel):
            model = ScriptedChatModel(list(model))
        options.setdefault("chat_model", model)
        engine = AssistantsEngine(url, **options)
        self.opened.append(engine)
        return engine


@pytest.fixture(scope="session", autouse=True)
def certificates() -> Iterator[None]:
    """Read the machine's certificates once, not for each client: no test uses them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema: to copy it takes a twentieth of what it takes to make."""
    path = tmp_path_factory.mktemp("empty") / "engine.db"
    migrate(str(path))
    return path


@pytest.fixture
def engine_factory(tmp_path: Path, empty_file: Path) -> Iterator[EngineFactory]:
    """Engines on fresh SQLite files."""
    factory = EngineFactory(tmp_path, empty_file)
    yield factory
    for engine in factory.opened:
        engine.close()
