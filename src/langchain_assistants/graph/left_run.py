"""The run that a graph would leave behind, waiting for outputs that nobody submits."""

from __future__ import annotations

from langchain_assistants.backends import Backend
from langchain_assistants.engine.cancellation import outlast
from langchain_assistants.types.runs import Run


class LeftRun:
    """Remembers the newest run of one invocation while it requires action."""

    def __init__(self) -> None:
        """Begin without a run."""
        self._run: tuple[Backend, Run] | None = None

    def note(self, backend: Backend, run: Run) -> None:
        """Remember a run, or forget it when it has ended."""
        waits = run.status == "requires_action"
        self._run = (backend, run) if waits else None

    async def acancel(self) -> None:
        """Cancel the run that waits, so that its thread is free."""
        if self._run is not None:
            backend, run = self._run
            await outlast(backend.cancel(run))

    def cancel(self) -> None:
        """Cancel the run that waits; see `acancel`."""
        if self._run is not None:
            backend, run = self._run
            backend.portal.call(lambda: backend.cancel(run))
