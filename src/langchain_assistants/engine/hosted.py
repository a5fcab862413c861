"""Tools of the wire that the engine executes itself: code interpreter, file search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from langchain_assistants.engine.exhibits import Exhibits
from langchain_assistants.storage.database import Row


class HostedResult(NamedTuple):
    """What came of a call.

    Attributes:
        content: What the model sees.
        outcome: Fields of the call in its step: its outputs or results, and more.
    """

    content: str
    outcome: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HostedCall:
    """A call of a hosted tool.

    Attributes:
        id: The call.
        arguments: As the model gave them; not trusted.
        tell: Takes pieces of the outcome, as deltas on the wire, while it grows.
    """

    id: str
    arguments: Mapping[str, Any]
    tell: Callable[[dict[str, Any]], None]


class HostedTool(Protocol):
    """A hosted tool as one run uses it."""

    @property
    def note(self) -> str | None:
        """What joins the run's instructions, as the files that are there."""
        ...

    async def execute(self, call: HostedCall) -> HostedResult:
        """Execute a call.

        Raises:
            Exception: Of whatever kind; the model sees it.
        """
        ...


class HostedTools(Protocol):
    """A kind of hosted tool of one engine."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """The function that the model is offered; its name is the wire's type."""
        ...

    async def open(
        self, run: Row, entry: Mapping[str, Any], exhibits: Exhibits
    ) -> HostedTool:
        """Return the tool for a run.

        Args:
            run: The run's row.
            entry: The tool as the assistant or the run has it.
            exhibits: Told what earlier runs have produced.

        Raises:
            AssistantsError: The run cannot have it; the run fails with its message.
        """
        ...
