"""What an interpreter computes while nobody has asked it to."""

from __future__ import annotations

import time
from collections.abc import Iterable

from langchain_assistants.interpreters.local.processes import Process


class Idleness:
    """The time between two executions; threads of the code may use some of it.

    Example:
        >>> Idleness().broken([])
        0.0
    """

    def __init__(self) -> None:
        """Begin to be idle."""
        self._seconds = 0.0
        self._before: dict[int, float] | None = None
        self._looked_at = 0.0

    def broken(self, processes: Iterable[Process]) -> float:
        """Return the processor time that was used so far, as seen from look to look."""
        now = time.monotonic()
        seen = {process.pid: process.seconds for process in processes}
        if self._before is not None:
            # Who is new may be the last of many that came and went in between.
            passed = now - self._looked_at
            self._seconds += sum(
                max(0.0, used - self._before.get(pid, used - passed))
                for pid, used in seen.items()
            )
        self._before, self._looked_at = seen, now
        return self._seconds
