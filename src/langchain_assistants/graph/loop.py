"""create_assistant_graph: state, nodes and the ways between them."""

from __future__ import annotations

import functools
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from typing import Annotated, Any, TypeAlias

from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langgraph._internal._config import ensure_config
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer, Command, Send
from typing_extensions import TypedDict

from langchain_assistants.assistant import AssistantRunnable
from langchain_assistants.engine.engine import AssistantsEngine
from langchain_assistants.engine.portal import Portal
from langchain_assistants.engine.toolset import ToolLike
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.graph.approval import approval_node
from langchain_assistants.graph.call_node import CallNode
from langchain_assistants.graph.left_run import LeftRun
from langchain_assistants.graph.messages import check_input, open_calls
from langchain_assistants.graph.node import LEFT, TOOL_CALL, AssistantNode
from langchain_assistants.outer_graph import OuterTask, tool_call_id
from langchain_assistants.types.assistants import Assistant
from langchain_assistants.types.validation import check_id

AssistantLike: TypeAlias = str | Assistant | AssistantRunnable
_ToolResult: TypeAlias = ToolMessage | Command[Any] | list[ToolMessage | Command[Any]]

# LangGraph's own pool has cpu + 4 threads: eight tools would take two waves.
_MAX_CONCURRENCY = 64


class Handover(TypedDict):
    """A command of a tool that leaves the loop, kept until its run is over."""

    graph: str | None
    goto: Any
    update: Any


def _collected(
    kept: list[Handover] | None, new: list[Handover] | None
) -> list[Handover]:
    """Add the commands of a round's tools; None takes them away."""
    return [] if new is None else [*(kept or ()), *new]


class AssistantState(TypedDict, total=False):
    """State of an assistant graph.

    Attributes:
        messages: Of this invocation: the conversation itself is in the thread.
        thread_id: The assistant thread; given in, it wins over the configuration's.
        run_id: The newest run.
        status: Its status: `completed`, or `requires_action` while tools run.
        usage: Its tokens so far: prompt_tokens, completion_tokens, total_tokens.
    """

    messages: Annotated[list[AnyMessage], add_messages]
    thread_id: str
    run_id: str
    status: str
    usage: dict[str, int]


class _State(AssistantState, total=False):
    """The state with what only the nodes tell each other."""

    handover: Annotated[list[Handover], _collected]


class AssistantGraph(CompiledStateGraph[Any, Any, Any, Any]):
    """A compiled graph that knows the tool call it is called in.

    Without a checkpointer nobody can go on with a run that it leaves: it cancels it.
    """

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kw: Any
    ) -> Any:
        """Stream the graph; see `CompiledStateGraph.stream`."""
        _check(input, config)
        left = LeftRun()
        try:
            yield from super().stream(input, _noted(config, left), **kw)
        finally:
            left.cancel()

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kw: Any
    ) -> Any:
        """Stream the graph; see `CompiledStateGraph.astream`."""
        _check(input, config)
        left = LeftRun()
        chunks: Any = super().astream(input, _noted(config, left), **kw)
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        finally:
            await left.acancel()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Show the graph in a notebook; LangGraph would have a server draw it."""
        drawn = self.get_graph().draw_mermaid()
        return {"text/plain": repr(self), "text/markdown": f"```mermaid\n{drawn}```"}


def create_assistant_graph(
    assistant: AssistantLike,
    tools: Sequence[ToolLike] | None = None,
    *,
    engine: AssistantsEngine | None = None,
    checkpointer: Checkpointer = None,
    store: BaseStore | None = None,
    interrupt_before_tools: bool | Collection[str] = False,
    name: str | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return a graph that runs an assistant and executes the tools it calls.

    It stands alone, or is a node of a larger graph. `configurable.thread_id` names the
    assistant's thread: an id that begins with `thread_` is one, any other becomes the
    thread's key; a `thread_id` in the state wins. A checkpoint taken while tools run
    goes on with the same run, in any process; going back to an older checkpoint forks
    the thread.

    Args:
        assistant: An id, an Assistant, or an AssistantRunnable with its engine, or its
            client, and its `run_tools`.
        tools: LangChain tools and functions to execute. Those that the assistant does
            not name are offered to the model as well.
        engine: The engine of the assistant; None: the default engine.
        checkpointer: Any of LangGraph's. It holds this graph's state only.
        store: For tools that ask for it.
        interrupt_before_tools: Ask a person before tools run, all or those named. The
            interrupt's value is LangChain's `HITLRequest`; resume with its
            `{"decisions": [...]}`, with decisions by tool call id, or with True or
            False for all of them.
        name: The graph's name in traces and as a node; None: "assistant".

    Raises:
        ConfigurationError: A runnable's engine and `engine` differ, or a tool cannot be
            executed.
        InvalidRequestError: The id is not an assistant's.

    Example:
        >>> from langchain_assistants import AssistantsEngine, create_assistant_graph
        >>> from langchain_assistants.testing import Reply, ScriptedChatModel, call
        >>> engine = AssistantsEngine(
        ...     "sqlite:///:memory:",
        ...     chat_model=ScriptedChatModel(
        ...         [Reply(tool_calls=[call("add", {"a": 2, "b": 2})]), "Four."]
        ...     ),
        ... )
        >>> def add(a: int, b: int) -> int:
        ...     "Add two numbers."
        ...     return a + b
        >>> tutor = engine.assistants.create(model="scripted")
        >>> graph = create_assistant_graph(tutor, [add], engine=engine)
        >>> graph.invoke({"messages": "2 + 2?"})["messages"][-1].text
        'Four.'
        >>> engine.close()
    """
    bound = _bound(assistant, engine)
    backend = bound.backend
    given = [*bound.run_tools, *(tools or ())]
    implementations = backend.tool_box.implementations(given)
    asked = _asked(interrupt_before_tools, implementations.names)
    node = AssistantNode(
        bound, backend, implementations, waits_for_people=asked is not None
    )
    fails = backend.settings.tool_errors == "fail"
    tool_node = CallNode(
        [_both_ways(tool, backend.portal) for tool in implementations.tools],
        handle_tool_errors=False if fails else _told,
        wrap_tool_call=_wrapped,
        awrap_tool_call=_awrapped,
    )
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(
        _State, input_schema=AssistantState, output_schema=AssistantState
    )
    builder.add_node("assistant", node)
    builder.add_node("tools", tool_node)
    builder.add_edge(START, "assistant")
    builder.add_edge("tools", "assistant")
    if asked is None:
        builder.add_conditional_edges("assistant", _Way(_to_tools), ["tools", END])
    else:
        builder.add_node("approval", approval_node(asked))
        builder.add_conditional_edges(
            "assistant", _Way(_to_approval), ["approval", END]
        )
        builder.add_conditional_edges(
            "approval", _Way(_to_approved_tools), ["tools", "assistant"]
        )
    compiled = builder.compile(checkpointer, store=store, name=name or "assistant")
    # Streamed values and snapshots show what the graph returns, no notes of its nodes.
    shown = {"stream_channels": compiled.output_channels}
    graph = AssistantGraph(**{**compiled.__dict__, **shown})
    return graph.with_config(max_concurrency=_MAX_CONCURRENCY)


def _bound(
    assistant: AssistantLike, engine: AssistantsEngine | None
) -> AssistantRunnable:
    """Return the assistant with its engine, as a runnable."""
    if isinstance(assistant, AssistantRunnable):
        if engine is None or assistant.engine is engine:
            return assistant
        clients = (assistant.client, assistant.async_client)
        if assistant.engine is not None or clients != (None, None):
            raise ConfigurationError(
                "The AssistantRunnable belongs to another engine than engine=, or to a "
                "server; leave engine= out, or pass the assistant's id."
            )
        return assistant.model_copy(update={"engine": engine})
    assistant_id = assistant.id if isinstance(assistant, Assistant) else assistant
    check_id(assistant_id, "assistant", "asst_")
    return AssistantRunnable(assistant_id=assistant_id, engine=engine)


def _asked(
    interrupt: bool | Collection[str], names: frozenset[str]
) -> Collection[str] | None:
    """Return the names of the tools that a person is asked about; None: no tool's.

    Raises:
        ConfigurationError: One of them is not among the tools.
    """
    if isinstance(interrupt, bool):
        return names if interrupt else None
    asked = {interrupt} if isinstance(interrupt, str) else set(interrupt)
    if unknown := sorted(asked - names):
        raise ConfigurationError(
            f"interrupt_before_tools names '{unknown[0]}', but the tools are: "
            f"{', '.join(sorted(names)) or 'none'}."
        )
    return asked or None


class _Way(Runnable[Any, Any]):
    """Tells where a state goes; a plain function would get a thread each time."""

    def __init__(self, decide: Callable[[_State], list[Send] | str]) -> None:
        self.name = decide.__name__
        self._decide = decide

    def invoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Send] | str:
        """Return the nodes that come next."""
        return self._decide(input)

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Send] | str:
        """Return the nodes that come next."""
        return self._decide(input)


def _to_tools(state: _State) -> list[Send] | str:
    """Send each call that the run requires to a task of its own."""
    if state.get("status") != "requires_action":
        return END
    return _sent(state) or END


def _to_approval(state: _State) -> str:
    return "approval" if state.get("status") == "requires_action" else END


def _to_approved_tools(state: _State) -> list[Send] | str:
    return _sent(state) or "assistant"


def _sent(state: _State) -> list[Send]:
    messages = state["messages"]
    answer = open_calls(messages)
    if answer is None:
        return []
    given = {m.tool_call_id for m in messages if isinstance(m, ToolMessage)}
    calls = [call for call in answer.tool_calls if call["id"] not in given]
    return [Send("tools", [call]) for call in calls]


def _check(input: Any, config: RunnableConfig | None) -> None:
    """Refuse a person's messages that would spoil the state for good."""
    if not isinstance(input, Mapping) or OuterTask.of(ensure_config(config)):
        return
    if (messages := input.get("messages")) is not None:
        check_input(messages)


def _noted(config: RunnableConfig | None, left: LeftRun) -> RunnableConfig:
    """Note the tool call that this graph is called in: its thread is named after it."""
    notes: dict[str, Any] = {LEFT: left}
    if (call_id := tool_call_id(ensure_config(config))) is not None:
        notes[TOOL_CALL] = call_id
    given = config or {}
    return {**given, "configurable": {**(given.get("configurable") or {}), **notes}}


def _both_ways(tool: BaseTool, portal: Portal) -> BaseTool:
    """Return a tool that a synchronous graph can execute too."""
    coroutine = getattr(tool, "coroutine", None)
    if coroutine is None or getattr(tool, "func", None) is not None:
        return tool

    @functools.wraps(coroutine)
    def blocking(*args: Any, **kwargs: Any) -> Any:
        return portal.call(lambda: coroutine(*args, **kwargs))

    return tool.model_copy(update={"func": blocking})


def _told(error: Exception) -> str:
    """Return what the model is told of a tool's failure."""
    return f"Error: {type(error).__name__}: {error}"


def _wrapped(
    request: ToolCallRequest, execute: Callable[[ToolCallRequest], _ToolResult]
) -> Any:
    return _settled(execute(request), request)


async def _awrapped(
    request: ToolCallRequest,
    execute: Callable[[ToolCallRequest], Awaitable[_ToolResult]],
) -> Any:
    return _settled(await execute(request), request)


def _settled(result: _ToolResult, request: ToolCallRequest) -> Any:
    """Return a tool's result; where the graph is to go elsewhere, after the run's end.

    A run waits for the outputs of all its calls, so a Command that leaves the loop is
    kept until they are there.
    """
    if isinstance(result, list):
        return [_settled(part, request) for part in result]
    call_id, name = request.tool_call["id"] or "", request.tool_call["name"]
    if isinstance(result, ToolMessage):
        if request.tool is None or not request.tool.return_direct:
            return result
        return Command(
            update={
                "messages": [result],
                "handover": [Handover(graph=None, goto=END, update=None)],
            }
        )
    if result.graph is None and not result.goto:
        return result
    return _kept(result, call_id, name)


def _kept(command: Command[Any], call_id: str, name: str) -> Command[Any]:
    updates = command.update if isinstance(command.update, dict) else {}
    messages: Iterable[Any] = updates.get("messages") or ()
    own = [
        message
        for message in messages
        if isinstance(message, ToolMessage) and message.tool_call_id == call_id
    ]
    output = own[:1] or [ToolMessage("Done.", name=name, tool_call_id=call_id)]
    handover = Handover(goto=command.goto, graph=command.graph, update=command.update)
    own_update = dict(updates) if command.graph is None else {}
    return Command(update={**own_update, "messages": output, "handover": [handover]})
