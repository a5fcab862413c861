"""The LangGraph graph that an assistant is called in, as seen from one of its tasks.

Nothing here knows runs or threads: it tells where a call is, and hands interrupts on.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import (
    CONFIG_KEY_CHECKPOINT_MAP,
    CONFIG_KEY_CHECKPOINTER,
    CONFIG_KEY_READ,
    CONFIG_KEY_SCRATCHPAD,
    CONFIG_KEY_TASK_ID,
    NS_END,
    NS_SEP,
    PUSH,
    TASKS,
)
from langgraph.types import interrupt
from pydantic import AfterValidator, ValidationError

from langchain_assistants.errors import InvalidRequestError, approval_required
from langchain_assistants.types.runs import Run

_REMEMBERED_TASKS = 1024


class OuterTask(NamedTuple):
    """The task of a graph that some code is executed by.

    Attributes:
        id: Stays the same when the task is executed again after a crash or interrupt.
        thread_id: `configurable.thread_id` of the graph, if it has one.
        node: Names of the nodes that lead to the task.
        nested: Whether the graph itself is part of another.
        resumable: Whether the graph has a checkpointer.
        scratchpad: LangGraph's notes on this execution of the task.
        root_checkpoint: Where the outermost graph is, if the graph itself is nested.
    """

    id: str
    thread_id: str | None
    node: str
    nested: bool
    resumable: bool
    scratchpad: object
    root_checkpoint: str | None

    @classmethod
    def of(cls, config: RunnableConfig | None) -> OuterTask | None:
        """Return the task that a config belongs to, None outside of any graph."""
        given: Mapping[str, Any] = (config or {}).get("configurable") or {}
        task_id = given.get(CONFIG_KEY_TASK_ID)
        if task_id is None:
            return None
        namespace = str(given.get("checkpoint_ns") or "")
        names = [part.partition(NS_END)[0] for part in namespace.split(NS_SEP)]
        thread_id = given.get("thread_id")
        return cls(
            task_id,
            None if thread_id is None else str(thread_id),
            NS_SEP.join(names),
            NS_SEP in namespace,
            bool(given.get(CONFIG_KEY_CHECKPOINTER)),
            given.get(CONFIG_KEY_SCRATCHPAD),
            (given.get(CONFIG_KEY_CHECKPOINT_MAP) or {}).get(""),
        )

    def call_id(self, assistant_id: str) -> str:
        """Return an id for the next call of an assistant in this task.

        As with LangGraph's interrupts, the n-th call has the same id when the task is
        executed again.
        """
        return f"{self.id}#{assistant_id}#{_calls.next(self.scratchpad, assistant_id)}"


class _Calls:
    """Counts calls by execution of a task: its scratchpad is new with each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The scratchpads are kept, so that no other object gets their address.
        self._counts: OrderedDict[int, tuple[object, Counter[str]]] = OrderedDict()

    def next(self, scratchpad: object, assistant_id: str) -> int:
        """Return how often the assistant was called before."""
        with self._lock:
            key = id(scratchpad)
            if key not in self._counts:
                self._counts[key] = scratchpad, Counter()
            counts = self._counts[key][1]
            count = counts[assistant_id]
            counts[assistant_id] += 1
            while len(self._counts) > _REMEMBERED_TASKS:
                self._counts.popitem(last=False)
            return count


_calls = _Calls()


def ask_people(run: Run, task: OuterTask | None) -> list[dict[str, Any]] | None:
    """Interrupt the outer graph with what a run's middleware asks people.

    Returns:
        The outputs to submit; None if the run asks nothing.

    The first time this raises LangGraph's interrupt; when the graph is resumed the task
    is executed again and gets here with the answers.

    Raises:
        ApprovalRequired: There is no graph, or none that can be resumed; or the run
            requires functions at the same time.
        InvalidRequestError: An answer is not a JSON object.
    """
    action = run.required_action
    if action is None or action.approval is None:
        return None
    if task is None or not task.resumable or action.submit_tool_outputs is not None:
        raise approval_required(run)

    def check(answer: Any) -> None:
        if not isinstance(answer, Mapping):
            raise InvalidRequestError(
                f"Run {run.id} still waits for approval: the resume value must be a "
                f"JSON object as its middleware asks for, not {type(answer).__name__}.",
                code="invalid_type",
                param="resume",
            )

    return [
        {"tool_call_id": request.id, "output": ask(request.value, check)}
        for request in action.approval.requests
    ]


def ask(value: Any, check: Callable[[Any], object]) -> Any:
    """Interrupt the graph and return the answer.

    Args:
        value: What is asked.
        check: Raises for an answer of another shape. LangGraph forgets an answer that
            its schema refuses, so the interrupt can be answered again.

    Raises:
        InvalidRequestError: What `check` raised.
    """
    refused: list[InvalidRequestError] = []

    def checked(answer: Any) -> Any:
        try:
            check(answer)
        except InvalidRequestError as error:
            refused.append(error)
            raise ValueError(str(error)) from None
        return answer

    schema: Any = Annotated[Any, AfterValidator(checked)]
    try:
        return interrupt(value, response_schema=schema)
    except ValidationError:
        raise refused[0] from None


def tool_call_id(config: RunnableConfig | None) -> str | None:
    """Return the id of the tool call that a config's task executes, if it is one.

    Agents of LangChain send each call to a task of its own; the task's path says which
    of the sent packets it is.
    """
    given: Mapping[str, Any] = (config or {}).get("configurable") or {}
    metadata: Mapping[str, Any] = (config or {}).get("metadata") or {}
    path: Sequence[Any] = metadata.get("langgraph_path") or ()
    read = given.get(CONFIG_KEY_READ)
    if read is None or len(path) < 2 or path[0] != PUSH or not isinstance(path[1], int):
        return None
    try:
        channels = read.args[1]
        packet = channels[TASKS].get()[path[1]]
    except (AttributeError, KeyError, IndexError):
        return None
    sent = packet.arg
    if isinstance(sent, Mapping):  # a call together with the state
        sent = [sent.get("tool_call")]
    if not isinstance(sent, list) or len(sent) != 1:
        return None
    call = sent[0]
    if not isinstance(call, Mapping) or call.get("type") != "tool_call":
        return None
    return str(call["id"])
