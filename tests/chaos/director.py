"""Starts the processes, makes everything go wrong, and waits until all is at rest."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

from tests.chaos import script, witness
from tests.chaos.checks import Evidence
from tests.chaos.journal import Journal, entries
from tests.chaos.plan import LEASE, Fault, Kind, faults
from tests.chaos.process import Folder, Sabotage, keep_log, open_engine, serve
from tests.chaos.users import Place, submit
from tests.dialogue import engine_entry

from langchain_assistants.errors import (
    AssistantsError,
    InvalidRequestError,
    StorageError,
)
from langchain_assistants.types.pages import Order

PROCESSES = 4
THREADS = 5
BOUND = LEASE + 20.0
"""Seconds within which a run that is left to living processes moves on: its lease, the
sweep, and its own work on a machine that is busy with something else."""
_LOOK_SECONDS = 0.1
_TARGET_SECONDS = 2.0
_CLOSE_SECONDS = 20.0


@dataclass(slots=True)
class _Living:
    """A process, and when it is to be thawed if it is frozen."""

    process: BaseProcess
    thaws_at: float | None = None


class Director:
    """Leads one run of chaos.

    Attributes:
        met: How many faults of each kind have met a target.
        problems: What went wrong that no row shows, such as a process that hung.
    """

    def __init__(
        self,
        folder: Folder,
        seed: int,
        sabotage: Sabotage | None = None,
        tell: Callable[[int], None] = lambda met: None,
    ) -> None:
        """Open the file, and a place in it for everybody.

        Args:
            folder: Where everything is written.
            seed: Of the plan.
            sabotage: What to break in every process, to see whether it is found.
            tell: Is told how many faults have met.
        """
        self.met: Counter[Kind] = Counter()
        self.problems: list[str] = []
        self._folder = folder
        self._seed = seed
        self._sabotage = sabotage
        self._tell = tell
        self._living: dict[str, _Living] = {}
        self._started = 0
        self._hurried = 0
        self._stuck: set[str] = set()
        self._journal = Journal(folder.journal)
        keep_log(folder, "director", self._journal)
        chance = random.Random(seed)
        # A caller that never dies, and takes over nobody's runs.
        self._engine = open_engine(folder, self._journal, chance, recover=False)
        witness.install(folder.database)
        executed = [engine_entry(tool) for tool in script.tools(self._journal, chance)]
        bound = [
            {key: value for key, value in entry.items() if key != "run_on"}
            for entry in executed
        ]
        create = self._engine.assistants.create
        self._place = Place(
            [self._engine.threads.create().id for _ in range(THREADS)],
            create(model="scripted", tools=[*executed, script.ASK]).id,
            create(model="scripted", tools=[*bound, script.ASK]).id,
        )
        self._forks = get_context("forkserver")
        self._forks.set_forkserver_preload([serve.__module__])

    async def run(self, count: int) -> Evidence:
        """Let so many faults meet, then rest; return what there is to be checked."""
        try:
            for _ in range(PROCESSES):
                self._start()
            for fault in faults(self._seed):
                await self._pass(fault.after)
                if await self._meet(fault):
                    self.met[fault.kind] += 1
                    self._tell(self.met.total())
                if self.met.total() >= count:
                    break
            await self._rest()
        finally:
            for living in self._living.values():
                living.process.kill()
                living.process.join()
            self._engine.close()
        journal = entries(self._folder.journal)
        return Evidence.read(self._engine, journal, self.problems)

    # Processes.

    def _start(self) -> None:
        self._started += 1
        name = f"p{self._started}"
        seed = f"{self._seed}:{name}"
        process = self._forks.Process(
            target=serve,
            args=(self._folder, name, seed, self._place, self._sabotage),
            name=name,
        )
        process.start()
        self._living[name] = _Living(process)

    async def _pass(self, seconds: float) -> None:
        """Let time pass, thaw who has been frozen long enough, bury the dead."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _LOOK_SECONDS))
            self._thaw(time.monotonic())
            for name, living in list(self._living.items()):
                if (code := living.process.exitcode) is not None:
                    self.problems.append(f"process {name} ended by itself: {code}")
                    self._replace(name)

    def _thaw(self, now: float) -> None:
        for living in self._living.values():
            if living.thaws_at is not None and living.thaws_at <= now:
                living.thaws_at = None
                self._journal.note("thawed", process=living.process.pid)
                _signal(living.process, signal.SIGCONT)

    def _replace(self, name: str) -> None:
        del self._living[name]
        self._start()

    # Faults.

    async def _meet(self, fault: Fault) -> bool:
        """Let a fault happen; tell whether it has met anything."""
        meet: dict[Kind, Callable[[Fault], Awaitable[bool]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "lock": self._lock,
            "cancel": self._cancel,
            "submit": self._submit,
            "deadline": self._deadline,
        }
        try:
            return await meet[fault.kind](fault)
        except (InvalidRequestError, StorageError, sqlite3.OperationalError):
            return False  # it has just ended, or a frozen process has locked the file

    async def _kill(self, fault: Fault) -> bool:
        name = fault.among(sorted(self._living))
        process = self._living[name].process
        self._journal.note("killed", process=process.pid)
        process.kill()
        process.join()
        self._replace(name)
        return True

    async def _freeze(self, fault: Fault) -> bool:
        awake = [n for n, living in self._living.items() if living.thaws_at is None]
        if len(awake) == 1:
            return False
        living = self._living[fault.among(sorted(awake))]
        living.thaws_at = time.monotonic() + fault.length
        self._journal.note("froze", process=living.process.pid)
        _signal(living.process, signal.SIGSTOP)
        return True

    async def _lock(self, fault: Fault) -> bool:
        with closing(sqlite3.connect(self._folder.database)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            await self._pass(fault.length)
        return True

    async def _cancel(self, fault: Fault) -> bool:
        run = await self._target(fault, "('queued', 'in_progress', 'requires_action')")
        if run is None:
            return False
        await self._engine.runs.acancel(run)
        return True

    async def _submit(self, fault: Fault) -> bool:
        found = await self._target(fault, "('requires_action')")
        if found is None:
            return False
        run = await self._engine.runs.aretrieve(found)
        if run.status != "requires_action":
            return False
        taken = await asyncio.gather(
            *(submit(self._engine, run, self._journal) for _ in range(2))
        )
        return any(taken)

    async def _deadline(self, fault: Fault) -> bool:
        thread = fault.among(list(self._place.threads))
        self._hurried += 1
        text = script.message("hurried", self._hurried, script.LONG)
        self._journal.note("says", thread=thread, text=text)
        await self._engine.runs.acreate(
            thread,
            assistant_id=self._place.hosted,
            additional_messages=[{"role": "user", "content": text}],
            on_active_run="queue",
            expires_after=1,
        )
        self._journal.note("accepted", thread=thread, text=text)
        return True

    async def _target(self, fault: Fault, statuses: str) -> str | None:
        """Return a run in one of these statuses, as soon as there is one."""
        until = time.monotonic() + _TARGET_SECONDS
        while time.monotonic() < until:
            found = self._rows(f"SELECT id FROM runs WHERE status IN {statuses}")
            if found:
                return fault.among([row["id"] for row in found])
            await self._pass(_LOOK_SECONDS)
        return None

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self._folder.database)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql)]

    # Rest.

    async def _rest(self) -> None:
        """Wait until nobody does anything, then see whether every thread is free."""
        self._thaw(float("inf"))
        self._folder.quiet.touch()
        await self._settled()
        await self._all(
            "users of {} never came back",
            lambda name: self._folder.rested(name).exists(),
            self._living,
        )
        await self._settled()
        for thread in self._place.threads:
            await self._use(thread)
            await self._read(thread)
        self._folder.end.touch()
        await self._all(
            "process {} did not end",
            lambda name: self._living[name].process.exitcode is not None,
            self._living,
        )
        for name, living in self._living.items():
            if living.process.exitcode:
                self.problems.append(f"{name} ended by {living.process.exitcode}")

    async def _settled(self) -> None:
        """Wait until every run has ended; those that wait for callers are cancelled."""
        seen: dict[str, tuple[Any, float]] = {}
        while True:
            active = self._rows(
                "SELECT id, thread_id, status, head, attempt, worker, lease_until "
                "FROM runs WHERE status IN "
                "('queued', 'in_progress', 'requires_action', 'cancelling')"
            )
            waited_for = {
                run["thread_id"] for run in active if run["status"] == "requires_action"
            }
            held = {run["thread_id"] for run in active if run["head"]}
            busy = [
                run
                for run in active
                if run["id"] not in self._stuck and run["thread_id"] not in waited_for
            ]
            if not busy and not waited_for:
                return
            if not busy:
                await self._give_up(active)
            now = time.monotonic()
            for run in busy:
                waits = not run["head"] and run["thread_id"] in held
                state = run["status"], run["head"], run["attempt"], waits
                before = seen.get(run["id"])
                if before is None or before[0] != state:
                    seen[run["id"]] = state, now
                elif not waits and now - before[1] > BOUND:
                    self._stuck.add(run["id"])
                    self.problems.append(f"stuck for {BOUND} s: {run}")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _give_up(self, runs: Iterable[dict[str, Any]]) -> None:
        """Cancel what waits for callers who have gone."""
        for run in runs:
            if run["status"] == "requires_action":
                try:
                    await self._engine.runs.acancel(run["id"])
                except InvalidRequestError:
                    continue  # its outputs have just come

    async def _use(self, thread: str) -> None:
        """Have a last run on a thread: it must be free."""
        text = script.message("last", self._place.threads.index(thread), "charge")
        self._journal.note("says", thread=thread, text=text)
        try:
            run = await self._engine.runs.acreate(
                thread,
                assistant_id=self._place.hosted,
                additional_messages=[{"role": "user", "content": text}],
            )
            self._journal.note("accepted", thread=thread, text=text)
            ended = await self._engine.runs.await_(run.id, timeout=BOUND)
        except (AssistantsError, TimeoutError) as error:
            self.problems.append(f"{thread} cannot be used: {error!r}")
        else:
            if ended.status != "completed":
                self.problems.append(f"{thread}: {run.id} ended {ended.status}")

    async def _read(self, thread: str) -> None:
        """Read a thread page by page, forwards and backwards."""
        stored = self._rows(
            f"SELECT id FROM messages WHERE thread_id = '{thread}' ORDER BY seq"
        )
        asc = [row["id"] for row in stored]
        for size in (1, 3, 20):
            wanted_in: dict[Order, list[str]] = {"asc": asc, "desc": asc[::-1]}
            for order, wanted in wanted_in.items():
                pages = self._engine.messages.alist(thread, order=order, limit=size)
                read = [message.id async for message in pages]
                if read != wanted:
                    self._journal.note("misread", thread=thread, size=size, read=read)

    async def _all(
        self, problem: str, is_done: Callable[[str], bool], names: Iterable[str]
    ) -> None:
        """Wait until it is true of all of these."""
        waiting, until = set(names), time.monotonic() + BOUND + _CLOSE_SECONDS
        while waiting := {name for name in waiting if not is_done(name)}:
            if time.monotonic() > until:
                self.problems += [problem.format(name) for name in sorted(waiting)]
                return
            await asyncio.sleep(_LOOK_SECONDS)


def _signal(process: BaseProcess, number: signal.Signals) -> None:
    assert process.pid is not None
    os.kill(process.pid, number)
