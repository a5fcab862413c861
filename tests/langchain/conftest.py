"""Fixtures for the tests of the runnables: assistants, and both ways to ask them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from tests.conftest import EngineFactory
from tests.langchain.places import Bind, embedded, over_the_wire
from tests.langchain.stage import Stage

from langchain_assistants import AssistantRunnable
from langchain_assistants.testing import ScriptedChatModel


class MakeAssistant(Protocol):
    """Stores an assistant on an engine of its own and returns it as a runnable."""

    def __call__(
        self,
        steps: Sequence[Any] | BaseChatModel,
        tools: Sequence[Any] = (),
        *,
        cls: type[AssistantRunnable] = AssistantRunnable,
        engine_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any: ...


Ask = Callable[..., Awaitable[Any]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on an engine and over the wire; some, marked, on an engine only."""
    if "bind" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("embedded_only")
    if marker is not None:
        (reason,) = marker.args
        assert reason
    ways = [embedded] if marker else [embedded, over_the_wire]
    metafunc.parametrize("bind", ways, ids=lambda way: way.__name__)


@pytest.fixture
def make_assistant(
    engine_factory: EngineFactory, bind: Bind
) -> Iterator[MakeAssistant]:
    """Assistants whose script has to be used up."""
    models: list[ScriptedChatModel] = []

    def make(
        steps: Sequence[Any] | BaseChatModel,
        tools: Sequence[Any] = (),
        *,
        cls: type[AssistantRunnable] = AssistantRunnable,
        engine_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> AssistantRunnable:
        model = steps if isinstance(steps, BaseChatModel) else ScriptedChatModel(steps)
        if isinstance(model, ScriptedChatModel):
            models.append(model)
        engine = engine_factory(model, **(engine_options or {}))
        return cls.create_assistant(
            "Tutor",
            "You teach arithmetic.",
            tools,
            "scripted",
            **bind(engine),
            **options,
        )

    yield make
    for model in models:
        model.assert_consumed()


@pytest.fixture
def stage(engine_factory: EngineFactory, bind: Bind) -> Stage:
    """An assistant whose every request is seen."""
    return Stage(engine_factory, bind)


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Invoke a runnable, synchronously (as in a notebook's cell) or asynchronously."""

    async def invoke(runnable: Any, *args: Any, **kwargs: Any) -> Any:
        if request.param == "sync":
            return runnable.invoke(*args, **kwargs)
        return await runnable.ainvoke(*args, **kwargs)

    invoke.__name__ = request.param
    return invoke
