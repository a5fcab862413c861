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
    """Run each test on an engine and over the wire; some, marked, on an engine only.

    On an engine it is asked in both ways. Over the wire one is enough: how a client is
    chosen and read in either is tested with other people's servers.
    """
    names = [name for name in ("bind", "ask") if name in metafunc.fixturenames]
    calls = ["sync", "async"] if "ask" in names else [""]
    ways: list[tuple[Bind, str]] = [(embedded, call) for call in calls]
    marker = metafunc.definition.get_closest_marker("embedded_only")
    if "bind" in names and marker is None:
        ways.append((over_the_wire, calls[0]))
    given = [dict(zip(("bind", "ask"), way, strict=True)) for way in ways]
    if names:
        metafunc.parametrize(
            names,
            [[way[name] for name in names] for way in given],
            indirect=[name for name in names if name == "ask"],
            ids=["-".join(_id(way[name]) for name in names) for way in given],
        )


def _id(value: Any) -> str:
    return str(getattr(value, "__name__", value))


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


@pytest.fixture
def ask(request: pytest.FixtureRequest) -> Ask:
    """Invoke a runnable, synchronously (as in a notebook's cell) or asynchronously."""

    async def invoke(runnable: Any, *args: Any, **kwargs: Any) -> Any:
        if request.param == "sync":
            return runnable.invoke(*args, **kwargs)
        return await runnable.ainvoke(*args, **kwargs)

    invoke.__name__ = request.param
    return invoke
