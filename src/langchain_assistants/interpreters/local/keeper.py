"""Where sessions live: folders and workers in one jail, some of them in advance."""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
import time
import weakref
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from anyio import CapacityLimiter, to_thread

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters.local.folder import SessionFolder
from langchain_assistants.interpreters.local.fonts import FontList
from langchain_assistants.interpreters.local.jails import Jail
from langchain_assistants.interpreters.local.limits import Limits
from langchain_assistants.interpreters.local.trees import AS_FOLDER, delete_tree
from langchain_assistants.interpreters.local.users import User
from langchain_assistants.interpreters.local.warden import Warden
from langchain_assistants.interpreters.local.worker_process import (
    Excess,
    WorkerProcess,
    kill_starting,
)

_PREFIX = "langchain-assistants-sessions-"


@dataclass(slots=True, eq=False)
class Lodging:
    """What a session has of this machine.

    Attributes:
        tenant: Who has it; None: it waits in the pool.
        worker: None after it ended: the folder waits for another one.
    """

    folder: SessionFolder
    user: User | None
    tenant: Tenant | None = None
    worker: WorkerProcess | None = None


class Tenant(Protocol):
    """Who wants a lodging; it is handed over even when nobody waits for it any more."""

    lodging: Lodging | None


class Keeper:
    """Gives sessions their lodgings, and takes them back.

    Its folders go when it is closed, with the process, or with the next keeper when
    the process was killed.
    """

    def __init__(self, jail: Jail, limits: Limits, *, pool_size: int = 0) -> None:
        """Keep nothing yet."""
        self.jail = jail
        self.limits = limits
        self._pool_size = pool_size
        self.fonts = FontList()
        self._warden = Warden(limits)
        self._idle: deque[Lodging] = deque()
        self._lodgings: list[Lodging] = []
        self._base: Path | None = None
        self._tidied: (
            weakref.finalize[[int, Path, int, list[Lodging]], Keeper] | None
        ) = None

    def lodge(self, tenant: Tenant) -> Future[None]:
        """Give a tenant a lodging with a worker, unless it has one.

        One from the pool is given at once.
        """
        with suppress(IndexError):
            if tenant.lodging is None:
                tenant.lodging = self._idle.popleft()
                tenant.lodging.tenant = tenant
                self.fonts.give(tenant.lodging.folder)
        if tenant.lodging is None or tenant.lodging.worker is None:
            lodged = self._warden.ask(lambda: self._settle(tenant))
        else:
            lodged = Future()
            lodged.set_result(None)
        if len(self._idle) < self._pool_size:
            self._warden.ask(self._refill)
        return lodged

    @property
    def tenants(self) -> list[Tenant]:
        """Who has a lodging."""
        return [lodging.tenant for lodging in self._lodgings if lodging.tenant]

    def refill(self) -> Future[None]:
        """Bring the pool to its size."""
        return self._warden.ask(self._refill)

    async def warm(self) -> None:
        """Bring the pool to its size and wait until all in it can take orders."""
        await asyncio.wrap_future(self.refill())
        for _ in range(self._pool_size):
            try:
                lodging = self._idle.popleft()
            except IndexError:  # somebody was glad to have it sooner
                return
            if lodging.worker is not None:
                await lodging.worker.ready()
            self._idle.append(lodging)

    def kill_worker(self, lodging: Lodging) -> Future[None]:
        """Kill a lodging's worker; whoever waits for its events is told."""

        def strike() -> None:
            if lodging.worker is not None:
                lodging.worker.strike()

        return self._warden.ask(strike)

    async def stop_worker(
        self, lodging: Lodging, *, patience: float = 0.0
    ) -> Excess | None:
        """Drop a lodging's worker, which nobody waits for, and all that it started."""
        if (worker := lodging.worker) is None:
            return None
        # A disk may hold it for long: neither the warden nor other calls wait for that.
        await to_thread.run_sync(
            worker.kill,
            patience,
            abandon_on_cancel=True,
            limiter=CapacityLimiter(1),
        )

        def stop() -> Excess | None:
            if lodging.worker is worker:
                self._stop(lodging)
            return worker.excess

        return await asyncio.wrap_future(self._warden.ask(stop))

    async def clear(self, lodging: Lodging) -> None:
        """Take a lodging back: its processes, its files and its user."""
        await self.stop_worker(lodging)
        await asyncio.to_thread(self._clear, lodging)  # many files take long

    def close(self) -> Future[None]:
        """Take everything back; whoever comes then starts anew."""

        def clear() -> None:
            self._idle.clear()
            self._base = None
            for lodging in list(self._lodgings):
                with suppress(OSError):  # what is left is tried once more
                    self._clear(lodging)
            if self._tidied is not None:
                self._tidied()

        cleared = self._warden.ask(clear)
        self._warden.stop()
        return cleared

    def _settle(self, tenant: Tenant) -> None:
        if tenant.lodging is None:
            lodging = self._make()
            lodging.tenant, tenant.lodging = tenant, lodging
        elif tenant.lodging.worker is None:
            self._start(tenant.lodging)
        else:
            return
        self.fonts.give(tenant.lodging.folder)

    def _refill(self) -> None:
        while len(self._idle) < self._pool_size:
            self._idle.append(self._make())

    def _make(self) -> Lodging:
        user = User() if os.geteuid() == 0 else None
        try:
            if self._base is None:
                self._base, lock = _new_base()
                # Also when the process ends, and nobody has closed the keeper.
                self._tidied = weakref.finalize(
                    self, _tidy, os.getpid(), self._base, lock, self._lodgings
                )
            folder = SessionFolder(self._base, user.uid if user else None)
        except OSError as error:
            if user is not None:
                user.release()
            raise InterpreterError(
                f"No folder could be made for a session ({error.strerror})."
            ) from error
        lodging = Lodging(folder, user)
        self._lodgings.append(lodging)
        try:
            self._start(lodging)
        except BaseException:
            self._clear(lodging)
            raise
        return lodging

    def _start(self, lodging: Lodging) -> None:
        try:
            lodging.folder.prepare()
            lodging.worker = WorkerProcess(self.jail, lodging.folder, self.limits)
        except OSError as error:
            raise InterpreterError(
                f"No process could be started for a session ({error.strerror})."
            ) from error
        self._warden.watch(lodging.worker)

    def _stop(self, lodging: Lodging) -> None:
        worker, lodging.worker = lodging.worker, None
        if worker is not None:
            self._warden.dismiss(worker)

    def _clear(self, lodging: Lodging) -> None:
        if lodging.worker is not None:
            lodging.worker.kill()
            self._stop(lodging)
        lodging.folder.delete()
        if lodging.user is not None:
            lodging.user.release()
        with suppress(ValueError):  # it was cleared from elsewhere at the same time
            self._lodgings.remove(lodging)


def _tidy(pid: int, base: Path, lock: int, lodgings: list[Lodging]) -> None:
    if os.getpid() != pid:  # a fork ends: they are its parent's
        return
    for lodging in lodgings:
        if lodging.worker is not None:
            lodging.worker.kill()
            lodging.worker.forget()
        if lodging.user is not None:
            lodging.user.release()
    delete_tree(base)
    os.close(lock)


def _new_base() -> tuple[Path, int]:
    """Make a folder, and a descriptor whose lock says that its process lives."""
    _delete_stale_bases()
    base = Path(tempfile.mkdtemp(prefix=_PREFIX))
    # Users of sessions pass through; only names that are guessed lead anywhere.
    base.chmod(0o711)
    lock = os.open(base, AS_FOLDER)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return base, lock


def _delete_stale_bases() -> None:
    """Delete what processes left that were killed, and end what they were starting."""
    for base in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            found = base.lstat()
            # A new one may not be locked yet.
            if found.st_uid != os.geteuid() or time.time() - found.st_mtime < 60:
                continue
            fd = os.open(base, AS_FOLDER)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                kill_starting(base)
                delete_tree(base)
            finally:
                os.close(fd)
