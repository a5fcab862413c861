"""One execution in a worker: its deadline, its events, and how it came to its end."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from langchain_assistants.interpreters.base import OnEvent, StopReason
from langchain_assistants.interpreters.local.idleness import Idleness
from langchain_assistants.interpreters.local.limits import Limits
from langchain_assistants.interpreters.local.worker_events import EventReader
from langchain_assistants.interpreters.local.worker_process import WorkerProcess
from langchain_assistants.interpreters.output import Output

Ending = Literal["done", "died", "stubborn"]
"""The worker finished; it is gone; it does not listen to an interrupt."""

# The warden waits that much longer than the execution itself, which may be gone.
_WARDEN_SECONDS = 2.0


class Execution:
    """Code that a worker is given, until it is done, dead or beyond its time."""

    def __init__(
        self,
        number: int,
        worker: WorkerProcess,
        limits: Limits,
        on_event: OnEvent | None,
    ) -> None:
        """Send nothing yet."""
        self.number = number
        self.worker = worker
        self.output = Output(on_event, lambda: self.stop("output_limit"))
        self.stopped: StopReason | None = None
        self._reader = EventReader()
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._deadline = asyncio.timeout(None)
        self._wish: StopReason = "timeout"
        self._is_over = False

    async def run(self, code: str, timeout: float) -> Ending:
        """Have the code executed; see it through to its end."""
        self.worker.is_fresh = False
        channel, grace = self.worker.channel, self._limits.grace_seconds
        seconds = min(timeout, self._limits.seconds)
        self.worker.kill_at = time.monotonic() + seconds + grace + _WARDEN_SECONDS
        try:
            async with self._deadline:
                self._deadline.reschedule(self._loop.time() + seconds)
                try:
                    await channel.send(number=self.number, code=code)
                except OSError:
                    return "died"
                return await self._follow()
        except TimeoutError:
            if not self._deadline.expired():
                raise
        finally:
            self._is_over = True
        self.stopped = self._wish
        return await self._wind_up()

    async def settle(self) -> Ending:
        """Wait for the end of code whose caller went away."""
        self.output = Output(None)
        self.stopped = "interrupt"
        return await self._wind_up()

    def abandon(self) -> None:
        """Interrupt the code without waiting; the warden kills it if it goes on."""
        self.worker.kill_at = time.monotonic() + self._limits.grace_seconds
        self.worker.channel.send_now(interrupt=self.number)

    def stop(self, reason: StopReason) -> None:
        """Interrupt the code, from any thread; its end is told by `run`."""

        def expire() -> None:
            if not self._is_over and not self._deadline.expired():
                self._wish = reason
                self._deadline.reschedule(self._loop.time())

        self._loop.call_soon_threadsafe(expire)

    async def _wind_up(self) -> Ending:
        self.worker.channel.send_now(interrupt=self.number)
        try:
            async with asyncio.timeout(self._limits.grace_seconds):
                return await self._follow()
        except TimeoutError:
            return "stubborn"

    async def _follow(self) -> Ending:
        while (event := await self.worker.channel.receive()) is not None:
            known = self._reader.read(event)
            if event.get("type") != "done":
                if known is not None:
                    await self.output.add(known)
            elif event.get("number") == self.number:
                self.worker.idleness = Idleness()
                self.worker.kill_at = None
                if known is not None and self.stopped is None:
                    await self.output.add(known)
                return "done"
        return "died"
