"""Who listens to runs that nobody has begun to execute yet."""

from __future__ import annotations

from langchain_assistants.engine.announcer import Announcer
from langchain_assistants.engine.events import EventLog
from langchain_assistants.storage.database import Row


class Listeners:
    """The event logs of queued runs, until somebody executes them."""

    def __init__(self) -> None:
        """Begin without any."""
        self._logs: dict[str, EventLog] = {}

    def add(self, run_id: str, log: EventLog) -> None:
        """Keep the log of a queued run."""
        self._logs[run_id] = log

    def take(self, run_id: str) -> EventLog | None:
        """Hand over the log of a run that is executed now."""
        return self._logs.pop(run_id, None)

    def tell_end(self, row: Row) -> None:
        """Tell how a run ended that nobody has begun to execute."""
        log = self.take(row["id"])
        if log is None:
            return
        announcer = Announcer(log, row["assistant_id"])
        if row["status"] == "cancelled":
            announcer.run(row, status="cancelling")
        announcer.run(row)
        log.end()

    def close(self) -> None:
        """End the logs of runs that nobody will execute any more."""
        for log in list(self._logs.values()):
            log.end()
        self._logs.clear()
