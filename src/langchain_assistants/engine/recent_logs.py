"""The event logs of streamed runs, for those who join late or come back."""

from __future__ import annotations

import threading
from collections import OrderedDict

from langchain_assistants.engine.events import EventLog

_MOST_EVENTS = 100_000


class RecentLogs:
    """The logs of live runs, and of ended ones as far as there is room.

    A client whose connection broke near the end finds every event under its number; a
    later one gets a replay that is rebuilt from steps and messages.
    """

    def __init__(self, most_events: int = _MOST_EVENTS) -> None:
        """Begin empty.

        Args:
            most_events: Of all logs together; those that have ended make room.
        """
        self._most_events = most_events
        self._logs: OrderedDict[str, EventLog] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, run_id: str, log: EventLog | None) -> None:
        """Keep the log of a run from here on; None: nobody writes one any more."""
        with self._lock:
            self._logs.pop(run_id, None)
            if log is None:
                return
            surplus = sum(map(len, self._logs.values())) - self._most_events
            for other_id, other in list(self._logs.items()):
                if surplus <= 0:
                    break
                if other.has_ended:
                    surplus -= len(self._logs.pop(other_id))
            self._logs[run_id] = log

    def get(self, run_id: str) -> EventLog | None:
        """Return a run's log, unless it has ended before the run did."""
        with self._lock:
            log = self._logs.get(run_id)
        return None if log is None or log.was_cut else log
