"""Shows a run in a notebook while it goes on; it starts none and judges none.

After `%load_ext langchain_assistants.notebook` lists of messages, which a runnable's
`invoke` returns, are shown as chats; single objects show themselves anyway.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
)
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.types.events import RunEvent
from langchain_assistants.types.html import to_html
from langchain_assistants.types.records import RunRecord

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_SECONDS_BETWEEN_UPDATES = 0.1
# Each update sends everything again: pictures make that much.
_CHARACTERS_PER_SECOND = 5_000_000


def watch(events: Iterator[RunEvent]) -> RunRecord:
    """Show a run as a timeline that grows with its events; return what it did.

    Interrupting the cell closes the events: a run of `AssistantRunnable.stream_run` is
    cancelled, one of `engine.runs.stream` goes on.

    Args:
        events: Of one run, from `stream_run`, `engine.runs.stream` or
            `engine.runs.submit_tool_outputs_stream`.

    Returns:
        The run as its last event told, with its steps and messages. A failed run is
        shown and returned like any other.

    Raises:
        ConfigurationError: There is no notebook to show it in.

    Example:
        >>> from langchain_assistants.notebook import watch  # in a notebook
        >>> record = watch(tutor.stream_run("What is 2 + 2?"))  # doctest: +SKIP
        >>> record.text  # doctest: +SKIP
        '4.'
    """
    with _LiveView() as view:
        try:
            for event in events:
                view.add(event)
        finally:
            if isinstance(events, Generator):
                events.close()
    return view.record


async def awatch(events: AsyncIterator[RunEvent]) -> RunRecord:
    """Show a run while it goes on; the twin of `watch` for `astream_run`."""
    with _LiveView() as view:
        try:
            async for event in events:
                view.add(event)
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()
    return view.record


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Show lists of messages as chats."""
    assert shell.display_formatter is not None
    shell.display_formatter.formatters["text/html"].for_type(list, to_html)


class _LiveView:
    """An output of the cell that follows a record, some moments behind it.

    A thread draws it: the events may stand still while the last of them still waits
    to be seen.
    """

    def __init__(self) -> None:
        """Find the notebook.

        Raises:
            ConfigurationError: There is none.
        """
        self.record = RunRecord()
        self._display = _notebook_display()
        self._handle: Any = None
        self._shown: str | None = None
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._ended = threading.Event()
        # In the caller's context, where the kernel keeps which cell an output is of.
        context = contextvars.copy_context()
        self._painter = threading.Thread(
            target=context.run, args=(self._follow,), name="watch", daemon=True
        )

    def add(self, event: RunEvent) -> None:
        """Take in an event."""
        with self._lock:
            self.record.add(event)
        self._changed.set()

    def __enter__(self) -> Self:
        self._painter.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._changed.set()
        self._painter.join()
        run = self.record.run
        if run is not None and run.status in ("queued", "in_progress", "cancelling"):
            self.record.remark = (
                "Not watched to its end: "
                f'engine.runs.retrieve("{run.id}") tells how the run is now.'
            )
        self._paint()

    def _follow(self) -> None:
        while self._changed.wait() and not self._ended.is_set():
            self._changed.clear()
            self._paint()
            sent = len(self._shown or "") / _CHARACTERS_PER_SECOND
            self._ended.wait(_SECONDS_BETWEEN_UPDATES + sent)

    def _paint(self) -> None:
        with self._lock:
            html = to_html(self.record)
        if html is None or html == self._shown:
            return
        self._shown = html
        bundle = {"text/html": html, "text/plain": repr(self.record)}
        if self._handle is None:
            self._handle = self._display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def _notebook_display() -> Callable[..., Any]:
    try:
        from IPython import get_ipython
        from IPython.display import display
        from IPython.terminal.interactiveshell import TerminalInteractiveShell
    except ImportError:
        raise ConfigurationError(
            "Watching a run needs a notebook: `pip install jupyterlab`."
        ) from None
    shell = get_ipython()
    if shell is None or isinstance(shell, TerminalInteractiveShell):
        raise ConfigurationError(
            "Watching a run needs a notebook, and this is none; iterate over the "
            "events instead."
        )
    shown: Callable[..., Any] = display
    return shown
