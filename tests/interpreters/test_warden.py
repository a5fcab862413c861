"""The host's side of the local interpreter: it trusts no worker, and does not stall."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.interpreters.hiding import PRELUDE
from tests.interpreters.scene import end_of

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters.local import (
    Limits,
    LocalInterpreter,
    holdings,
    keeper,
    warden,
    worker_process,
)
from langchain_assistants.interpreters.local.folder import (
    HOME,
    SHARED_MEMORY,
    TEMPORARY,
    SessionFolder,
    Usage,
)
from langchain_assistants.interpreters.local.holdings import Held, held
from langchain_assistants.interpreters.local.idleness import Idleness
from langchain_assistants.interpreters.local.onlookers import eyes_of
from langchain_assistants.interpreters.local.processes import (
    Process,
    Processes,
    more_memory,
    stopped,
)
from langchain_assistants.interpreters.local.session import LocalSession
from langchain_assistants.interpreters.local.users import USERS
from langchain_assistants.interpreters.local.warden import Warden
from langchain_assistants.interpreters.local.worker_process import WorkerProcess

FORGED_END = """
import os
os.write(display._events._fd, b'{"type":"done","number":1,"error":null}\\n')
while True: pass
"""


ALL: Any = {"places": (), "besides": (), "most": 99}


def worker_of(session: LocalSession) -> WorkerProcess:
    assert session.lodging is not None
    assert session.lodging.worker is not None
    return session.lodging.worker


async def overstays(session: LocalSession, code: str, *, seconds: float) -> None:
    """Run code that goes on after its end; it has to be killed for it."""
    worker = worker_of(session)
    with end_of(worker) as ended:
        result = await session.run(code, timeout=60)
        assert (result.stopped, result.error) == (None, None)
        keeper = await session._keeper()
        keeper._warden._limits = Limits(seconds=seconds)
        assert await ended()
    assert worker.excess == "time"


@pytest.mark.parametrize("jail", ["bubblewrap", "landlock"])
async def test_code_that_forges_its_end_does_not_run_on(jail: Any) -> None:
    async with LocalInterpreter(jail=jail, pool_size=0) as interpreter:
        session = interpreter.session()
        await session.start()
        await overstays(session, FORGED_END, seconds=0.2)


BETWEEN_LOOKS = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody is told what children used
def work():
    until = time.monotonic() + 0.2
    if os.fork() == 0:
        while time.monotonic() < until:
            pass
        os._exit(0)
    time.sleep(0.21)
threading.Thread(target=between_looks, args=(work,), daemon=True).start()
"""


async def test_code_that_works_between_two_looks_is_seen() -> None:
    async with LocalInterpreter(jail="bubblewrap", pool_size=0) as interpreter:
        session = interpreter.session()
        await session.start()
        await overstays(session, PRELUDE + BETWEEN_LOOKS, seconds=1.5)


def test_processes_that_come_and_go_are_no_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    idleness = Idleness()

    def used(**seconds: float) -> float:
        return idleness.broken(
            Process(int(pid[1:]), 1, 1, 0, spent) for pid, spent in seconds.items()
        )

    assert used(p1=5.0) == 0
    assert used(p1=5.25) == 0.25
    assert used(p1=5.25, p2=0.0) == 1.25
    assert used(p1=5.25, p3=0.0) == 2.25
    assert used(p1=5.25, p3=0.0) == 2.25


async def test_a_host_without_descriptors_keeps_its_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    due: list[float] = []
    again = threading.Event()

    def look() -> Processes:
        due.append(worker.look_at)
        if len(due) < 3:
            raise OSError(errno.EMFILE, "Too many open files")
        again.set()
        return Processes()

    async with LocalInterpreter(jail="landlock", pool_size=0) as interpreter:
        session = interpreter.session()
        await session.run("x = 1", timeout=60)
        worker = worker_of(session)
        monkeypatch.setattr(warden, "Processes", look)
        assert await asyncio.to_thread(again.wait, 60)
        result = await session.run("print(x)", timeout=60)
        assert (result.stdout, result.state_lost) == ("1\n", False)
        assert due[0] < due[1] < due[2]


async def test_a_last_look_that_fails_ends_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with LocalInterpreter(jail="landlock", pool_size=0) as interpreter:
        session = interpreter.session()
        await session.run("open('kept', 'w').close()", timeout=60)
        worker = worker_of(session)
        looked: list[int | None] = []

        def usage(self: Any, most: int, *, since: int | None = None, **_: Any) -> Usage:
            looked.append(since)
            raise OSError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(SessionFolder, "usage", usage)
            worker.kill()
            watch = (await session._keeper())._warden
            await asyncio.wrap_future(watch.ask(watch._look))
        assert looked[-1] is None
        result = await session.run("1", timeout=60)
        assert result.state_lost
        assert [file.path for file in await session.list_files()] == ["/mnt/data/kept"]


async def test_who_cannot_be_looked_at_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look() -> Processes:
        raise OSError(errno.EIO, "Input/output error")

    async with LocalInterpreter(jail="landlock", pool_size=0) as interpreter:
        session = interpreter.session()
        await session.start()
        worker = worker_of(session)
        with end_of(worker) as ended:
            monkeypatch.setattr(warden, "Processes", look)
            assert await ended()
        assert worker.excess == "secrecy"


@pytest.mark.parametrize("jail", ["bubblewrap", "landlock"])
async def test_who_keeps_the_warden_waiting_is_stopped_and_looked_at(
    jail: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "_HASTE_SECONDS", -1.0)
    monkeypatch.setattr(warden, "_STOPPED_ANYWAY", 0.0)
    asked: list[bool] = []

    def look(tree: list[Process], *, steady: bool, **how: Any) -> Held:
        asked.append(steady)
        return held(tree, steady=steady, **how)

    monkeypatch.setattr(warden, "held", look)
    limits = Limits(folder_bytes=4_000_000)
    async with LocalInterpreter(jail=jail, pool_size=0, limits=limits) as interpreter:
        session = interpreter.session()
        await session.run("kept = 1", timeout=60)
        code = "file = open('x', 'wb')\nimport os\nos.unlink('x')\nprint(kept)"
        assert (await session.run(code, timeout=60)).stdout == "1\n"
        with pytest.raises(InterpreterError, match="written more"):
            await session.run(
                "file.write(bytes(8_000_000))\nwhile True: pass", timeout=60
            )
    assert asked[:2] == [True, False]


WAITING = """
import os, select, threading, time
read, write = os.pipe()
poll = select.poll()
poll.register(read, 0)
def wait():
    global told
    told = poll.poll()
ever = threading.Event().wait
waiting = [threading.Thread(target=act, daemon=True) for act in (wait, *[ever] * 4)]
for thread in waiting:
    thread.start()
time.sleep(0.2)
os.close(read)
waiting[0].join()
print(told == [(read, select.POLLNVAL)])
"""


async def test_nothing_is_held_for_long_by_waiting_for_it() -> None:
    async with LocalInterpreter(jail="landlock", pool_size=0) as interpreter:
        result = await interpreter.session().run(WAITING, timeout=60)
        assert (result.stdout, result.error) == ("True\n", None)


async def test_nobody_waits_forever_for_a_process_that_cannot_die(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with LocalInterpreter(jail="landlock", pool_size=0) as interpreter:
        session = interpreter.session()
        await session.start()
        worker = worker_of(session)
        asked: list[float | None] = []

        def wait(timeout: float | None = None) -> int:
            asked.append(timeout)
            raise subprocess.TimeoutExpired("worker", timeout or 0)

        with monkeypatch.context() as patch:
            patch.setattr(worker_process, "_DYING_SECONDS", 0.0)
            patch.setattr(worker._process, "wait", wait)
            worker.kill()
        assert asked
        assert None not in asked


async def test_nobody_else_waits_for_a_slow_death(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dying, dead = threading.Event(), threading.Event()
    kill = WorkerProcess.kill

    def slow(self: WorkerProcess, patience: float = 0.0) -> None:
        dying.set()
        assert dead.wait(60)
        kill(self, patience)

    async with LocalInterpreter(jail="landlock", pool_size=0) as interpreter:
        session, other = interpreter.session(), interpreter.session()
        await session.start()
        with monkeypatch.context() as patch:
            patch.setattr(WorkerProcess, "kill", slow)
            closing = asyncio.create_task(session.close())
            assert await asyncio.to_thread(dying.wait, 60)
            assert (await other.run("print(1)", timeout=60)).stdout == "1\n"
            assert not closing.done()
            dead.set()
            await closing


@pytest.mark.parametrize("jail", ["bubblewrap", "landlock"])
async def test_who_has_ended_is_not_killed_again(
    jail: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers may be somebody else's by then."""
    async with LocalInterpreter(jail=jail, pool_size=0) as interpreter:
        session = interpreter.session()
        await session.start()
        worker = worker_of(session)
        with end_of(worker) as ended:
            worker.strike()
            assert await ended()
        worker.kill()
        with monkeypatch.context() as patch:
            for module, name in ((os, "kill"), (os, "killpg")):
                patch.setattr(module, name, lambda *_: pytest.fail("killed again"))
            patch.setattr(signal, "pidfd_send_signal", os.kill)
            worker.strike()
            await session.close()


async def test_what_no_look_expected_ends_that_session_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with LocalInterpreter(jail="landlock", pool_size=0) as interpreter:
        session, other = interpreter.session(), interpreter.session()
        for each in (session, other):
            await each.run("kept = 1", timeout=60)
        worker, look = worker_of(session), Warden._look_at

        def look_at(self: Warden, seen: WorkerProcess, processes: Processes) -> Any:
            if seen is worker:
                raise ValueError
            return look(self, seen, processes)

        monkeypatch.setattr(Warden, "_look_at", look_at)
        with end_of(worker) as ended:
            assert await ended()
        assert worker.excess == "secrecy"
        assert (await other.run("print(kept)", timeout=60)).stdout == "1\n"


def test_what_a_killed_process_was_starting_is_ended_by_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = tmp_path / "langchain-assistants-sessions-old"
    (old / "local_1").mkdir(parents=True)
    os.utime(old, (0, 0))
    programs = [tmp_path / name for name in ("bwrap", "another")]
    for program in programs:
        program.symlink_to("/bin/sh")
    starting, other = (
        subprocess.Popen(
            [program, "-c", "echo; read line", str(old / "local_1")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for program in programs
    )
    for process in (starting, other):
        assert process.stdout is not None
        process.stdout.readline()  # its arguments can be seen only now
    _, lock = keeper._new_base()
    assert starting.wait(60) == -signal.SIGKILL
    assert not old.exists()
    os.close(lock)
    other.communicate(b"line\n")
    assert other.returncode == 0
    starting.communicate()


LEADERLESS = """
import ctypes, os, sys, threading

libc = ctypes.CDLL(None)

def hold():
    fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
    os.write(fd, bytes(4096))
    libc.mmap(None, ctypes.c_size_t(4096), 1, 1, fd, ctypes.c_long(0))
    os.close(fd)
    os.unlink(sys.argv[1])
    first = f"/proc/self/task/{os.getpid()}/stat"
    while open(first).read().rpartition(")")[2].split()[0] != "Z":
        pass
    print("held", flush=True)
    sys.stdin.read()
    os._exit(0)

threading.Thread(target=hold).start()
libc.pthread_exit(None)
"""


def test_files_of_a_process_without_its_first_thread_are_seen(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LEADERLESS, str(tmp_path / "file")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        tree = Processes().tree(process.pid)
        found = held(tree, **ALL)
        assert found.nameless.size >= 4096 or found.unknown
        process.communicate()


SHIELDED = """
import ctypes, sys, threading

CLONE_VFORK, SIGCHLD = 0x4000, 17
libc = ctypes.CDLL(None)

def work():
    print("works", flush=True)
    while True:
        pass

threading.Thread(target=work, daemon=True).start()
stack = ctypes.create_string_buffer(1 << 16)
top = ctypes.c_void_p(ctypes.addressof(stack) + (1 << 15))
libc.clone(ctypes.cast(libc.pause, ctypes.c_void_p), top, CLONE_VFORK | SIGCHLD, None)
"""


def test_who_waits_for_what_it_forked_is_stopped_all_the_same() -> None:
    command = [sys.executable, "-c", SHIELDED]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"works\n"
        while len(tree := Processes().tree(process.pid)) < 2:
            pass  # it has not forked yet
        try:
            with stopped(process.pid, None) as halted:
                assert len(halted) == 2
                states = {
                    state.read_text().rpartition(")")[2].split()[0]
                    for state in Path(f"/proc/{process.pid}/task").glob("*/stat")
                }
                assert states == {"D", "T"}
        finally:
            for each in tree:
                os.kill(each.pid, signal.SIGKILL)


def test_page_tables_are_memory_too() -> None:
    before = more_memory(os.getpid())
    pages, step = 256, 1 << 21  # each page of memory needs a page of the tables
    with mmap.mmap(-1, pages * step, flags=mmap.MAP_PRIVATE) as memory:
        for place in range(0, pages * step, step):
            memory[place]
        assert more_memory(os.getpid()) >= before + pages * 2048
    assert more_memory(0) == 0


def credentials() -> dict[str, str]:
    """What the kernel knows of this thread, and whether others may look into it."""
    status = Path("/proc/thread-self/status").read_text()
    known = dict(line.split(":\t", 1) for line in status.splitlines())
    dumpable = ctypes.CDLL(None).prctl(3)
    kept = {name: known[name] for name in ("Uid", "Gid", "CapEff", "CapPrm")}
    return {**kept, "dumpable": str(dumpable)}


def test_a_thread_that_looks_as_another_user_is_itself_again_afterwards() -> None:
    before = credentials()
    uid = USERS[0] if os.geteuid() == 0 else os.geteuid()
    with eyes_of(uid):
        inside = credentials()
    assert inside["Uid"].split() == [*before["Uid"].split()[:3], str(uid)]
    assert inside["CapEff"] == before["CapEff"]
    assert credentials() == before


def test_names_next_to_those_of_python_are_the_code_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (own,) = Processes().tree(os.getpid())[:1]
    python = tmp_path / "python"
    python.mkdir()

    def nameless() -> int:
        found = held([own], **ALL | {"besides": (str(python),)})
        return found.nameless.entries + len(found.unknown)

    before = nameless()
    with _mapped_without_a_name(python / "library"):
        assert nameless() == before
    with _mapped_without_a_name(tmp_path / "python-code"):
        assert nameless() > before
    written = [f"{place}/lib" for place in (HOME, TEMPORARY, SHARED_MEMORY)]
    names = ("/usr/lib", *written)
    monkeypatch.setattr(warden, "readable", lambda: names)
    assert warden._not_written.__wrapped__() == ("/usr/lib",)


@contextmanager
def _mapped_without_a_name(path: Path) -> Iterator[None]:
    path.write_bytes(bytes(4096))
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    with path.open("rb") as file:
        words = [ctypes.c_size_t(4096), 1, 1, file.fileno(), ctypes.c_long(0)]
        address = ctypes.c_void_p(libc.mmap(None, *words))
    path.unlink()
    yield
    libc.munmap(address, ctypes.c_size_t(4096))
