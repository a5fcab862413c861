"""One process of several on the same file: an engine, and users who talk to it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Literal

from tests.chaos import script
from tests.chaos.journal import Journal
from tests.chaos.plan import LEASE
from tests.chaos.users import Place, User

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine import executor, run_changes
from langchain_assistants.storage.database import Transaction

USERS = 2
_LOOK_SECONDS = 0.05

Sabotage = Literal["ledger", "queue"]


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the processes of one run of chaos meet."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "assistants.db"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def quiet(self) -> Path:
        """Exists when nobody shall begin anything any more."""
        return self.path / "quiet"

    @property
    def end(self) -> Path:
        """Exists when the processes shall close their engines."""
        return self.path / "end"

    def rested(self, name: str) -> Path:
        """Exist when the users of a process have nothing left to do."""
        return self.path / f"{name}.rested"

    def log(self, name: str) -> Path:
        return self.path / f"{name}.log"


def open_engine(
    folder: Folder, journal: Journal, chance: random.Random, *, recover: bool
) -> AssistantsEngine:
    """Open an engine as every process has one."""
    return AssistantsEngine(
        f"sqlite:///{folder.database}",
        chat_model=script.model(journal, chance),
        tools=script.tools(journal, chance),
        settings=Settings(lease=LEASE, busy_timeout=LEASE, cancel_grace=0.2),
        recover=recover,
    )


def serve(
    folder: Folder, name: str, seed: str, place: Place, sabotage: Sabotage | None
) -> None:
    """Be one of the processes, until the end or a SIGKILL."""
    chance, journal = random.Random(seed), Journal(folder.journal)
    keep_log(folder, name, journal)
    if sabotage is not None:
        _SABOTAGES[sabotage]()
    with open_engine(folder, journal, chance, recover=True) as engine:
        asyncio.run(_live(engine, folder, name, place, journal, chance))
        folder.rested(name).touch()
        # It goes on working for those whose processes have died.
        while not (folder.end.exists() or _is_orphan()):
            time.sleep(_LOOK_SECONDS)


def keep_log(folder: Folder, name: str, journal: Journal) -> None:
    """Write a process's log to a file of its own; errors go to the journal too."""
    handlers = [logging.FileHandler(folder.log(name)), _Alarm(journal)]
    for handler in handlers:
        handler.addFilter(_name_run)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(name)s %(levelname)s %(message)s %(run)s",
        handlers=handlers,
    )


async def _live(
    engine: AssistantsEngine,
    folder: Folder,
    name: str,
    place: Place,
    journal: Journal,
    chance: random.Random,
) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(USERS):
            user = User(
                f"{name}{'abc'[number]}",
                engine,
                place,
                journal,
                script.tools(journal, chance),
                random.Random(chance.random()),
            )
            tasks.create_task(user.talk(lambda: folder.quiet.exists() or _is_orphan()))


def _is_orphan() -> bool:
    director = parent_process()
    return director is not None and not director.is_alive()


class _Alarm(logging.Handler):
    """Notes errors in the log: nothing that goes wrong here surprises the library."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.ERROR)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        # The database is locked at times.
        if getattr(record, "error", None) != "StorageError":
            self._journal.note("surprise", error=self.format(record))


def _name_run(record: logging.LogRecord) -> bool:
    record.run = getattr(record, "run_id", "")
    return True


def _without_ledger() -> None:
    def nothing(run_id: str) -> Transaction[dict[str, bytes]]:
        yield from ()
        return {}

    executor.recorded_outputs = nothing  # type: ignore[attr-defined]


def _without_queue() -> None:
    def nobody(thread_id: str, now: float) -> Transaction[None]:
        yield from ()

    run_changes._admit_waiting = nobody


_SABOTAGES: dict[Sabotage, Callable[[], None]] = {
    "ledger": _without_ledger,
    "queue": _without_queue,
}
