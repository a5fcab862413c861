"""What a runnable remembers from one invocation to the next; nothing is stored."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
)

from langchain_assistants.backends.base import ToolBox
from langchain_assistants.engine.toolset import Implementations
from langchain_assistants.types.runs import Run

ChainRun: TypeAlias = CallbackManagerForChainRun | AsyncCallbackManagerForChainRun

K = TypeVar("K")
V = TypeVar("V")

_RETRY_TAG = "retry:attempt:"
_MOST = 1024


class _Bound(NamedTuple):
    """Tools in a backend's form; the originals are kept, so their ids stay theirs."""

    tool_box: ToolBox
    tools: Sequence[Any]
    implementations: Implementations


class Notes:
    """The notes of one runnable, shared by its copies; the oldest are forgotten.

    LangChain makes a new runnable for each call of a configurable one: what it has
    to remember is therefore an object that is handed on.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._left: OrderedDict[str, str] = OrderedDict()
        self._threads: OrderedDict[str, str] = OrderedDict()
        self._failed: OrderedDict[UUID, str] = OrderedDict()
        self._bound: OrderedDict[tuple[int, ...], _Bound] = OrderedDict()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself: a deep copy of a runnable speaks on the same threads."""
        return self

    # Agent loops. One that gives up (AgentExecutor at max_iterations) tells nobody.

    @property
    def left_runs(self) -> Mapping[str, str]:
        """The runs that agent loops have left in `requires_action`, by thread."""
        return dict(self._left)

    def note_stop(self, run: Run, *, as_agent: bool) -> None:
        """Note who has to go on with a run, and on which thread."""
        _keep(self._threads, run.id, run.thread_id)
        if as_agent and run.status == "requires_action":
            _keep(self._left, run.thread_id, run.id)
        else:
            self._left.pop(run.thread_id, None)

    def thread_of_run(self, run_id: str) -> str | None:
        """Return the thread of a run, if it is known here."""
        return self._threads.get(run_id)

    # Attempts under `with_retry`: all have the retry as their parent.

    def note_failure(self, attempt: ChainRun, thread_id: str) -> None:
        """Note where a failed attempt has stored its message."""
        if attempt.parent_run_id is not None:
            _keep(self._failed, attempt.parent_run_id, thread_id)

    def thread_of_last(self, attempt: ChainRun) -> str | None:
        """Return the thread of the attempt that failed before this one, if any."""
        again = any(tag.startswith(_RETRY_TAG) for tag in attempt.tags)
        if not again or attempt.parent_run_id is None:
            return None
        return self._failed.get(attempt.parent_run_id)

    # Tools. Graphs are cached by the tools' identity, so each is made once.

    def implementations(
        self, tool_box: ToolBox, tools: Sequence[Any]
    ) -> Implementations | None:
        """Return the tools in the form a backend executes, None for no tools."""
        if not tools:
            return None
        key = (id(tool_box), *map(id, tools))
        known = self._bound.get(key)
        if known is None:
            known = _Bound(tool_box, list(tools), tool_box.implementations(tools))
            _keep(self._bound, key, known)
        return known.implementations


def _keep(notes: OrderedDict[K, V], key: K, value: V) -> None:
    notes[key] = value
    notes.move_to_end(key)
    while len(notes) > _MOST:
        notes.popitem(last=False)
