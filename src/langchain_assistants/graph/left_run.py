"""The run that a graph would leave behind, waiting for outputs that nobody submits."""

from __future__ import annotations

import contextlib

from langchain_assistants.engine.cancellation import outlast
from langchain_assistants.engine.engine import AssistantsEngine
from langchain_assistants.errors import AssistantsError
from langchain_assistants.types.runs import Run


class LeftRun:
    """Remembers the newest run of one invocation while it requires action."""

    def __init__(self) -> None:
        """Begin without a run."""
        self._run: tuple[AssistantsEngine, str] | None = None

    def note(self, engine: AssistantsEngine, run: Run) -> None:
        """Remember a run, or forget it when it has ended."""
        waits = run.status == "requires_action"
        self._run = (engine, run.id) if waits else None

    async def acancel(self) -> None:
        """Cancel the run that waits, so that its thread is free."""
        if self._run is not None:
            await outlast(self._cancelled(*self._run))

    def cancel(self) -> None:
        """Cancel the run that waits; see `acancel`."""
        if self._run is not None:
            engine, run_id = self._run
            engine.portal.call(lambda: self._cancelled(engine, run_id))

    async def _cancelled(self, engine: AssistantsEngine, run_id: str) -> None:
        # It may have ended meanwhile.
        with contextlib.suppress(AssistantsError):
            await engine.runs.acancel(run_id)
