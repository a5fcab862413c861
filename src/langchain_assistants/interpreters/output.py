"""Collecting what code puts out, within bounds: a sandbox is not to be trusted."""

from __future__ import annotations

from collections.abc import Callable

from langchain_assistants.interpreters.base import (
    Displayed,
    ExecutionResult,
    OnEvent,
    OutputEvent,
    Printed,
    Raised,
    StopReason,
)

TEXT_LIMIT = 1_000_000
"""Characters of print-outs and tracebacks that a result keeps."""
DISPLAY_LIMIT = 10_000_000
"""Characters or bytes of displayed values that a result keeps."""
EVENT_LIMIT = 10_000
"""Events that a result keeps, however small they are."""


class CallbackFailed(Exception):
    """Carry the exception of a caller's `on_event` past the interpreter's own."""

    def __init__(self, cause: Exception) -> None:
        """Keep the exception itself."""
        super().__init__()
        self.cause = cause


class Output:
    """The events of one execution.

    What passes a limit is dropped, and `overflow` is called to stop the code.
    """

    def __init__(
        self, on_event: OnEvent | None, overflow: Callable[[], None] | None = None
    ) -> None:
        """Begin empty."""
        self._on_event = on_event
        self._overflow = overflow
        self._events: list[OutputEvent] = []
        self._left = {
            "text": TEXT_LIMIT,
            "display": DISPLAY_LIMIT,
            "events": EVENT_LIMIT,
        }
        self._truncated = False

    async def add(self, event: OutputEvent) -> None:
        """Keep an event and tell it on.

        Raises:
            CallbackFailed: The listener raised.
        """
        kept = self._fitting(event)
        if kept is None:
            return
        self._events.append(kept)
        if self._on_event is not None:
            try:
                await self._on_event(kept)
            except Exception as error:
                raise CallbackFailed(error) from error

    def result(
        self, stopped: StopReason | None, *, state_lost: bool
    ) -> ExecutionResult:
        """Return what was collected."""
        return ExecutionResult(
            tuple(self._events),
            stopped=stopped,
            state_lost=state_lost,
            truncated=self._truncated,
        )

    def _fitting(self, event: OutputEvent) -> OutputEvent | None:
        if not isinstance(event, Raised) and not self._takes("events", 1):
            return None
        match event:
            case Printed(stream, text):
                kept = self._text(text)
                return Printed(stream, kept) if kept else None
            case Raised(name, message, traceback):
                return Raised(name[:200], message[:10_000], traceback[-100_000:])
            case Displayed(forms):
                size = sum(map(len, forms.values()))
                return event if self._takes("display", size) else None

    def _text(self, text: str) -> str:
        kept = text[: self._left["text"]]
        self._takes("text", len(text))
        return kept

    def _takes(self, kind: str, size: int) -> bool:
        fits = size <= self._left[kind]
        self._left[kind] -= size if fits else self._left[kind]
        if not fits and not self._truncated:
            self._truncated = True
            if self._overflow is not None:
                self._overflow()
        return fits
