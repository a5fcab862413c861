"""The local provider: its choice of a jail, its pool, its end and its errors."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.interpreters.scene import left_over
from tests.interpreters.staging import ROOT

from langchain_assistants.errors import ConfigurationError, InterpreterError
from langchain_assistants.interpreters.local import (
    Limits,
    LocalInterpreter,
    jails,
    keeper,
    provider,
    users,
)
from langchain_assistants.interpreters.local.jails import Bubblewrap, Landlock
from langchain_assistants.interpreters.local.processes import Processes
from langchain_assistants.interpreters.local.session import LocalSession
from langchain_assistants.interpreters.local.trees import delete_tree


def pids(session: LocalSession) -> list[int]:
    """Return the processes of a session that has started."""
    assert session.lodging is not None
    assert session.lodging.worker is not None
    return [process.pid for process in Processes().tree(session.lodging.worker.pid)]


async def test_bubblewrap_is_taken_first() -> None:
    async with LocalInterpreter() as interpreter:
        assert interpreter.jail is None
        assert interpreter.check() == []
        assert interpreter.jail == "bubblewrap"


async def test_without_bubblewrap_landlock_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jails.shutil, "which", lambda name: None)
    async with LocalInterpreter() as interpreter:
        result = await interpreter.session().run("print(1)", timeout=60)
        assert result.stdout == "1\n"
        assert interpreter.jail == "landlock"


async def test_a_bubblewrap_that_cannot_make_namespaces_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho No permissions to create new namespace >&2\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(jails.shutil, "which", lambda name: str(refusing))
    async with LocalInterpreter(pool_size=0) as interpreter:
        await interpreter.session().start()
        assert interpreter.jail == "landlock"
    async with LocalInterpreter(jail="bubblewrap") as interpreter:
        (problem,) = interpreter.check()
        assert "No permissions to create new namespace" in problem


async def test_without_a_jail_code_does_not_run_and_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jails.shutil, "which", lambda name: None)
    monkeypatch.setattr(jails.landlock, "abi", lambda: 0)
    interpreter = LocalInterpreter()
    with pytest.raises(ConfigurationError) as caught:
        await interpreter.session().run("1", timeout=60)
    for words in ("Install bubblewrap", "Landlock", "e2b", "adapter", "unsafe-local"):
        assert words in str(caught.value)
    assert interpreter.check() == [str(caught.value)]
    await interpreter.aclose()


@pytest.mark.parametrize("abi", [1, 3])
async def test_an_older_landlock_holds_too(
    abi: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jails.landlock, "abi", lambda: abi)
    async with LocalInterpreter(jail="landlock", pool_size=0) as interpreter:
        assert interpreter.check() == []


async def test_a_jail_that_leaks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Leaking(Landlock):
        def command(self, *args: object, **options: object) -> list[str]:
            command = super().command(*args, **options)  # type: ignore[arg-type]
            leak = f'"read": ["{tempfile.gettempdir()}", '
            return [part.replace('"read": [', leak) for part in command]

    monkeypatch.setattr(jails, "Landlock", Leaking)
    (problem,) = LocalInterpreter(jail="landlock").check()
    assert "code in it can read a file of yours" in problem
    assert "list a folder of yours" in problem


@pytest.mark.parametrize("platform", ["darwin", "win32"])
async def test_on_other_systems_the_error_names_the_other_ways(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider.sys, "platform", platform)
    interpreter = LocalInterpreter()
    with pytest.raises(ConfigurationError, match=f"needs Linux, not {platform}"):
        interpreter.session()
    (problem,) = interpreter.check()
    for words in ('interpreter="e2b"', "deepagents backend", '"unsafe-local"'):
        assert words in problem
    assert "Install" not in problem
    await interpreter.aclose()


def test_an_unknown_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jails.platform, "machine", lambda: "riscv64")
    for jail in (Bubblewrap(), Landlock()):
        assert jail.missing() == "there is no table of system calls for riscv64"


async def test_a_session_from_the_pool_is_there_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with LocalInterpreter(jail="landlock", pool_size=2) as interpreter:
        sessions = [interpreter.session() for _ in range(3)]
        ids = [await session.start() for session in sessions]
        assert len(set(ids)) == 3
        for session in sessions:
            assert (await session.run("print(1)", timeout=60)).stdout == "1\n"


async def test_eight_sessions_work_at_once_and_do_not_mix() -> None:
    async with LocalInterpreter() as interpreter:
        sessions = [interpreter.session() for _ in range(8)]

        async def use(number: int) -> str:
            session = sessions[number]
            code = f"n = {number}; open('n', 'w').write(str(n))"
            await session.run(code, timeout=60)
            again = await session.run("print(n, open('n').read())", timeout=60)
            return again.stdout

        said = await asyncio.gather(*map(use, range(8)))
        assert said == [f"{number} {number}\n" for number in range(8)]
        assert len({session.id for session in sessions}) == 8
        owners = {s.lodging.folder.uid for s in sessions if s.lodging}
        assert len(owners) == (8 if os.geteuid() == 0 else 1)


async def test_closing_ends_every_session_and_the_pool_and_leaves_no_file() -> None:
    interpreter = LocalInterpreter(jail="bubblewrap", pool_size=2)
    session, idle = interpreter.session(), interpreter.session()
    await session.run("open('x', 'w').close()", timeout=60)
    await idle.start()
    used = [*pids(session), *pids(idle)]
    assert session.lodging is not None
    base = session.lodging.folder.path.parent
    await interpreter.aclose()
    await interpreter.aclose()
    assert left_over(used) == []
    assert not base.exists()
    assert (await session.run("print(1)", timeout=60)).stdout == "1\n"
    await interpreter.aclose()


async def test_the_first_process_keeps_no_descriptor_of_the_host() -> None:
    limits = Limits(open_files=16)
    others = [os.open("/dev/null", os.O_RDONLY) for _ in range(64)]
    async with LocalInterpreter(
        jail="bubblewrap", limits=limits, pool_size=0
    ) as interpreter:
        session = interpreter.session()
        await session.run("1", timeout=60)
        _, first, _ = pids(session)
        if os.geteuid() == 0:
            assert sorted(os.listdir(f"/proc/{first}/fd")) == ["0", "1", "2"]
        else:
            with pytest.raises(PermissionError):
                os.listdir(f"/proc/{first}/fd")
    for fd in others:
        os.close(fd)


PARENT = """
import asyncio, sys
ENDLESS = '''
import ctypes, os, platform, signal
libc = ctypes.CDLL(None)
forever = {"x86_64": bytes.fromhex("ebfe"), "aarch64": bytes.fromhex("00000014")}
try:
    with open("/proc/1/mem", "r+b", buffering=0) as first:
        for name in ("wait4", "_exit"):
            first.seek(ctypes.cast(getattr(libc, name), ctypes.c_void_p).value)
            first.write(forever[platform.machine()])
except OSError:
    pass
os._exit = lambda code: signal.pause()
print("at work")
signal.pause()
'''
from langchain_assistants.interpreters.local import LocalInterpreter
from langchain_assistants.interpreters.local.processes import Processes

async def tell(event):
    print(event.text, end="", flush=True)

async def main():
    interpreter = LocalInterpreter(jail=sys.argv[1], pool_size=1)
    session = interpreter.session()
    await session.run("x = 1", timeout=60)
    print(session.lodging.folder.path.parent, flush=True)
    print(*[p.pid for p in Processes().tree(session.lodging.worker.pid)], flush=True)
    if sys.argv[2] == "kill":
        await session.run(ENDLESS, timeout=60, on_event=tell)
    sys.stdin.read()

asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["kill", "return"])
@pytest.mark.parametrize("jail", ["bubblewrap", "landlock"])
def test_nothing_survives_the_process(jail: str, end: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, jail, end],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        base = Path(parent.stdout.readline().strip())
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert left_over(workers) == sorted(workers)
        descriptors = [os.pidfd_open(pid) for pid in workers]
        if end == "kill":
            assert parent.stdout.readline() == "at work\n"
            parent.send_signal(signal.SIGKILL)
        parent.communicate(timeout=60)
    for fd in descriptors:
        ended, _, _ = select.select([fd], [], [], 60)
        assert ended
        os.close(fd)
    assert left_over(workers) == []
    if end == "kill":
        assert base.exists()
        delete_tree(base)
    assert not base.exists()


def test_what_a_killed_process_left_is_deleted_by_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = tmp_path / "langchain-assistants-sessions-old"
    (old / "local_1" / "data").mkdir(parents=True)
    os.utime(old, (0, 0))
    new = tmp_path / "langchain-assistants-sessions-new"
    new.mkdir()
    base, lock = keeper._new_base()
    os.utime(base, (0, 0))
    assert sorted(tmp_path.iterdir()) == sorted([base, new])
    _, another = keeper._new_base()
    assert base.exists()
    os.close(lock)
    os.close(another)


def test_a_user_is_given_to_one_session_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = 1_000_000 + 10 * os.getpid()  # claimed by no session of another test
    monkeypatch.setattr(users, "USERS", range(first, first + 2))
    taken = [users.User(), users.User()]
    assert len({user.uid for user in taken}) == 2
    with pytest.raises(InterpreterError, match="All 2 users"):
        users.User()
    taken[0].release()
    again = users.User()
    assert again.uid == taken[0].uid
    for user in (taken[1], again):
        user.release()


async def test_providers_do_not_know_each_others_sessions() -> None:
    limits = Limits(seconds=5)
    async with LocalInterpreter(jail="landlock", limits=limits, pool_size=0) as one:
        session = one.session()
        await session.run("x = 1", timeout=5)
        other = LocalInterpreter(jail="landlock", limits=limits, pool_size=0)
        stand_in = other.session(session.id)
        assert (await stand_in.run("1", timeout=5)).state_lost is True
        await asyncio.gather(other.aclose(), session.close())
