"""The worker's process as the host sees it: started, killed and waited for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

from langchain_assistants.interpreters.local.channel import Channel
from langchain_assistants.interpreters.local.folder import SessionFolder
from langchain_assistants.interpreters.local.idleness import Idleness
from langchain_assistants.interpreters.local.inside.confinement import (
    GO_FIRST_WHEN_MEMORY_ENDS,
    NICENESS,
)
from langchain_assistants.interpreters.local.jails import Jail
from langchain_assistants.interpreters.local.limits import Limits
from langchain_assistants.interpreters.local.processes import running

Excess = Literal["time", "memory", "tasks", "folder", "secrecy", "mappings", "channels"]

_START_SECONDS = 30.0
_DYING_SECONDS = 5.0
_COMPLAINT = 2_000
# In bubblewrap's namespaces nobody can write it any more, not even the worker.
_MODESTLY = ("/bin/sh", "-c", f'{GO_FIRST_WHEN_MEMORY_ENDS}; exec "$@"', "sh")


class WorkerProcess:
    """A process that was started in a jail, for one session's folder.

    Attributes:
        channel: What it is talked to by.
        kill_at: When the warden kills it, in seconds of the monotonic clock; None: it
            has nothing to do.
        idleness: What it does all the same since then.
        look_at: When the warden looks at it next.
        excess: Which limit the warden killed it for.
        is_fresh: It was given no code yet, and runs ours alone.
        is_struck: It was killed, and may be slow to die.
    """

    def __init__(self, jail: Jail, folder: SessionFolder, limits: Limits) -> None:
        """Start it; from a thread that lives on: its death signal is the thread's."""
        self.folder = folder
        self.kill_at: float | None = None
        self.idleness = Idleness()
        self.look_at = 0.0
        self.is_fresh = True
        self.is_struck = False
        self._is_ready = self._is_modest = False
        self._first: int | None = None
        self._first_fd = -1
        self.excess: Excess | None = None
        requests, to_worker = os.pipe()
        from_worker, events = os.pipe()
        self._info, info = os.pipe()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115
        command = jail.command(folder, limits, requests=requests, events=events)
        inherited = [requests, events]
        if jail.name == "bubblewrap":
            command = [*_MODESTLY, command[0], "--info-fd", str(info), *command[1:]]
            inherited.append(info)
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=inherited,
                env=jail.environment(folder),
                cwd=folder.data,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                start_new_session=True,
            )
        finally:
            for fd in (requests, events, info):
                os.close(fd)
        self.channel = Channel(to_worker, from_worker)

    async def ready(self) -> bool:
        """Wait until it takes orders; False: it will not."""
        if not self._is_ready:
            with suppress(TimeoutError):
                async with asyncio.timeout(_START_SECONDS):
                    event = await self.channel.receive()
                    self._is_ready = event is not None and event.get("type") == "ready"
        return self._is_ready

    @property
    def pid(self) -> int:
        """The process that all of the session descend from."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def complaint(self) -> str:
        """What it wrote to stderr before it could run any code."""
        self._complaints.seek(0)
        return self._complaints.read(_COMPLAINT).decode("utf-8", "replace").strip()

    @property
    def ended_by(self) -> str:
        """How it ended, in words."""
        code = self._process.poll()
        if code is None:
            return "running"
        # bubblewrap tells a signal as shells do.
        number = -code if code < 0 else code - 128
        if number > 0:
            with suppress(ValueError):
                return f"signal {signal.Signals(number).name}"
        return f"exit status {code}"

    def be_modest(self) -> None:
        """Leave the processors to others, as soon as the kernel lets us say so.

        Niceness counts within a session of processes, and that of sessions among them:
        autogroups of sched(7), where the kernel has them.
        """
        if not self._is_modest:
            with suppress(OSError), open(f"/proc/{self.pid}/autogroup", "wb", 0) as it:
                if it.write(b"%d" % NICENESS) is None:
                    return  # it takes one order in a tenth of a second
            self._is_modest = True

    def kill(self, patience: float = 0.0) -> None:
        """End it and all that descends from it; return when nothing can run any more.

        Args:
            patience: Seconds in which it may end by itself.
        """
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        if self.alive and not self.strike(_DYING_SECONDS):
            # One that a disk or a network holds ends later, and nobody waits for it.
            self._process.kill()
            self._ends(_DYING_SECONDS)

    def strike(self, seconds: float = 0.0) -> bool:
        """Kill it and all that descends from it; return whether it ends in time."""
        self.is_struck = True
        if not self.alive:  # its numbers may be somebody else's by now
            return True
        # With the first process of its namespace all others die, and bubblewrap
        # outlives them; killed itself, it would leave them a moment.
        first = self.first_in_namespace
        with suppress(ProcessLookupError):
            if first is None:
                os.killpg(self.pid, signal.SIGKILL)
            elif self._first_fd >= 0:
                signal.pidfd_send_signal(self._first_fd, signal.SIGKILL)
            else:
                os.kill(first, signal.SIGKILL)
        has_ended = self._ends(seconds)
        if first is None:
            kill_starting(self.folder.path)
        return has_ended

    def forget(self) -> None:
        """Close what is open for it, once it has ended and nobody talks to it."""
        self.channel.close()
        self._complaints.close()
        for fd in (self._info, self._first_fd):
            if fd >= 0:
                os.close(fd)
        self._info = self._first_fd = -1

    def _ends(self, seconds: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.alive

    @property
    def first_in_namespace(self) -> int | None:
        """The first process of the session's namespace; None: there is none yet."""
        if self._first is None and self._info >= 0:
            os.set_blocking(self._info, False)
            with suppress(BlockingIOError, ValueError, KeyError):
                self._first = int(json.loads(os.read(self._info, 4096))["child-pid"])
                with suppress(OSError):  # Linux 5.3
                    self._first_fd = os.pidfd_open(self._first)
        return self._first


def kill_starting(folder: Path) -> None:
    """Kill what waits for a bubblewrap that is gone; it would wait forever.

    Args:
        folder: Of the session, or of all the sessions of a process that is gone.
    """
    for pid in running("bwrap", str(folder)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
