"""What a runnable asks of whoever runs its runs; it does none of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from langchain_core.runnables import RunnableConfig

from langchain_assistants.engine.events import EventLog
from langchain_assistants.engine.executor import Execution
from langchain_assistants.engine.graph_tasks import GraphTask
from langchain_assistants.engine.portal import Portal
from langchain_assistants.engine.toolset import Implementations, ToolLike
from langchain_assistants.settings import Settings
from langchain_assistants.types.assistants import Assistant
from langchain_assistants.types.records import Origin
from langchain_assistants.types.runs import Run


class RunOrder(NamedTuple):
    """A run to start; its bodies are checked.

    Attributes:
        thread: The id of a thread; or the body of one to create, unless there is one
            with its key.
        messages: Bodies of the new messages.
        body: Of the run.
        left: Runs that agent loops have left, by thread: one of them makes room.
        task: The task of the caller's LangGraph graph, if it is called in one.
        source_ids: Ids of the messages in the graph, if they come from one: what the
            thread has taken before is left out.
        tools: Further entries for the run's tools; those of the assistant win.
        outputs: Of the calls of the run that the graph's state names, for a graph that
            went back to them after it had ended.
    """

    thread: str | Mapping[str, Any]
    messages: Sequence[Mapping[str, Any]]
    body: Mapping[str, Any]
    left: Mapping[str, str]
    task: GraphTask | None = None
    source_ids: Sequence[str] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    outputs: Mapping[str, str] | None = None


class SubmitOrder(NamedTuple):
    """Outputs to submit.

    Attributes:
        thread_id: The run's thread, as far as it is known.
        from_agent: Whether they are those of all rounds of an agent loop, so that only
            those for open calls count.
        task_id: Of the graph's task that submits them, if it is one.
    """

    run_id: str
    thread_id: str | None
    outputs: Sequence[Mapping[str, Any]]
    from_agent: bool = False
    task_id: str | None = None


class Standing(NamedTuple):
    """A run as it is now, and the graph's task that has moved it last."""

    run: Run
    task_id: str | None


class CallContext(NamedTuple):
    """How a run is executed for its caller.

    Attributes:
        log: Where its events go, if anybody listens.
        config: Callbacks, tags and metadata of the caller.
        tools: What is executed for the caller.
    """

    log: EventLog | None
    config: RunnableConfig
    tools: Implementations | None


class ToolBox(Protocol):
    """Brings tools into the form in which they are executed."""

    def implementations(self, tools: Sequence[ToolLike]) -> Implementations:
        """Return the tools by name, none of which blocks a loop.

        Raises:
            ConfigurationError: Two share a name, or one cannot be executed.
        """
        ...


class Backend(Protocol):
    """Stores assistants and runs them for a caller who waits.

    When the caller of `run` or `submit` is cancelled, so is the run.
    """

    @property
    def portal(self) -> Portal:
        """The loop that synchronous callers wait for."""
        ...

    @property
    def tool_box(self) -> ToolBox:
        """What brings tools into form; the same object each time."""
        ...

    @property
    def settings(self) -> Settings:
        """How tools are executed here."""
        ...

    @property
    def finds_tasks(self) -> bool:
        """Whether a graph's task that is executed again gets its first run."""
        ...

    async def create_assistant(
        self, fields: Mapping[str, Any], *, reuse: bool
    ) -> Assistant:
        """Store an assistant; or, with `reuse`, return the one with this content."""
        ...

    async def retrieve_assistant(self, assistant_id: str) -> Assistant:
        """Return an assistant."""
        ...

    async def run(self, order: RunOrder, context: CallContext) -> Execution:
        """Start a run and follow it to its stop."""
        ...

    async def submit(self, order: SubmitOrder, context: CallContext) -> Execution:
        """Submit outputs and follow the run to its next stop."""
        ...

    async def look(self, run_id: str, thread_id: str) -> Standing:
        """Return where a run is."""
        ...

    async def finish(self, order: SubmitOrder) -> Execution:
        """Complete a run with its outputs; its model is not asked again."""
        ...

    async def cancel(self, run: Run) -> None:
        """Cancel a run, unless it has ended."""
        ...

    @property
    def origin(self) -> Origin | None:
        """Where a notebook reads what belongs to an object; None: nowhere."""
        ...
