"""Attacks that use up, break or smuggle: each a coroutine that says whether it held."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.interpreters.breakage import SURVIVED
from tests.interpreters.scene import HELD, Scene, closing, left_over, loses, survives

from langchain_assistants.errors import InterpreterError
from langchain_assistants.interpreters.local.folder import LISTED_FILES
from langchain_assistants.interpreters.local.processes import Processes

Attack = Callable[[Scene], Awaitable[str]]
ATTACKS: dict[str, Attack] = {}

_NAMELESS = """
import os, time
kept_open = []
while True:
    try:
        kept_open.append(open("x", "wb"))
    except OSError:
        time.sleep(30)
    os.unlink("x")
    kept_open[-1].write(bytes(1_000_000))
    kept_open[-1].flush()
"""
_MANY = "import os\nfor n in range({n}): open(f'f{{n:05}}', 'w').close()"
_CLOSED = """
import os, time
os.mkdir("d")
files = [open(f"d/{{n}}", "wb") for n in range(20)]
os.chmod("d", {mode})
for file in files:
    file.write(bytes(900_000))
    file.flush()
time.sleep(30)
"""
_DEEP = """
import os
for _ in range(300):
    os.mkdir("d")
    os.chdir("d")
import time; time.sleep(30)
"""
_FORKS = """
import os, signal
children = 0
try:
    while children < 500:
        if os.fork() == 0:
            signal.pause()
        children += 1
except OSError:
    pass
assert children < 64, children
"""
_FORKS_WITH_MEMORY = """
import os, signal, time
for _ in range(3):
    if os.fork() == 0:
        block = bytearray(200 << 20)
        for page in range(0, len(block), 4096):
            block[page] = 1
        signal.pause()
time.sleep(30)
"""
_POOL = """
import gc, multiprocessing, os, time
locks = [multiprocessing.get_context("fork").Lock() for _ in range(9)]
with multiprocessing.get_context("fork").Pool(3) as pool:
    found = pool.map(abs, range(-2, 1))
    time.sleep(2)  # meanwhile somebody looks
del pool, locks
gc.collect()
print(found, os.listdir("/dev/shm"))
"""
_THREADS = """
import threading, time
threading.stack_size(65536)
hold = threading.Event()
try:
    while True: threading.Thread(target=hold.wait, daemon=True).start()
except (RuntimeError, MemoryError):
    if threading.active_count() >= 64: time.sleep(60)
"""
_STUBBORN_FROM_HERE = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
print(1)
while True: pass
"""
_DAEMON = """
import os, signal
if os.fork() == 0:
    os.setpgid(0, 0)
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pause()
    os._exit(0)
os.wait()
"""
_SMUGGLED = """
import os, socket
os.makedirs("inner")
open("honest", "w").write("honest")
for name, act in {
    "symlink": lambda p: os.symlink("/etc/shadow", p),
    "symlink_inside": lambda p: os.symlink("honest", p),
    "hard_link": lambda p: (open("twin", "w").write("x"), os.link("twin", p)),
    "pipe": os.mkfifo,
    "device": lambda p: os.mknod(p, 0o020666, os.makedev(1, 3)),
    "inner/up": lambda p: os.symlink("../../..", p),
    "folder_link": lambda p: os.symlink("/etc", p),
    "new\\nline": lambda p: open(p, "w").close(),
    "escape\\x1b[2J": lambda p: open(p, "w").close(),
    b"not\\xfftext": lambda p: open(p, "w").close(),
}.items():
    try:
        act(name)
    except OSError:
        pass
"""


_TRAP = """
import os, tempfile
open("kept", "w").close()
trap = os.path.join(tempfile.gettempdir(), "trap")
os.symlink("/", trap)
os.chmod(tempfile.gettempdir(), 0)
os.chmod(".", 0)
os._exit(0)
"""
_IN_THE_TRAP = """
import os, tempfile
trap = os.path.join(tempfile.gettempdir(), "trap")
if os.path.lexists(trap) or not os.path.exists("kept"):
    raise RuntimeError
with open("kept", "a"), tempfile.TemporaryFile():
    pass
"""


def attack(function: Attack) -> Attack:
    """Add an attack to the table, under its name."""
    ATTACKS[function.__name__] = function
    return function


def _surviving(name: str, code: str, small: bool, expected: dict[str, object]) -> None:
    async def act(scene: Scene) -> str:
        interpreter = scene.small if small else scene.large
        async with closing(interpreter.session()) as session:
            return await survives(session, code, **expected)

    ATTACKS[name] = act


for _survived in SURVIVED:
    _surviving(*_survived)


@attack
async def a_fork_bomb(scene: Scene) -> str:
    async with closing(scene.large.session()) as session:
        result = await session.run(_FORKS, timeout=60)
        again = await session.run("1", timeout=60)
        return HELD if result.error is None and again.error is None else repr(result)


@attack
async def a_pool_of_processes(scene: Scene) -> str:
    """Harmless: its locks are deleted files in memory unless somebody sees to it."""
    async with closing(scene.small.session()) as session:
        result = await session.run(_POOL, timeout=60)
        if scene.jail == "landlock":
            return HELD if result.error and "Permission" in result.error.name else "?"
        return HELD if result.stdout == "[2, 1, 0] []\n" else repr(result)


@attack
async def a_thread_bomb(scene: Scene) -> str:
    async with closing(scene.small.session()) as session:
        result = await session.run(_THREADS, timeout=60)
        # The kernel refuses, or the memory ends, or where neither stops it soon the
        # warden comes.
        again = await session.run("1", timeout=60)
        held = (not result.error or result.state_lost) and not again.error
        return HELD if held else repr(result)


@attack
async def forks_with_memory(scene: Scene) -> str:
    async with closing(scene.small.session()) as session:
        result = await session.run(_FORKS_WITH_MEMORY, timeout=60)
        if scene.jail == "landlock":
            return HELD if result.error and "Permission" in result.error.name else "?"
        told = result.error.message if result.error else ""
        return HELD if "memory" in told and result.state_lost else repr(result)


@attack
async def a_full_disk(scene: Scene) -> str:
    return await loses(
        scene,
        "n = 0\nwhile True:\n  n += 1\n  open(f'{n}', 'wb').write(bytes(1_000_000))",
    )


@attack
async def files_without_a_name(scene: Scene) -> str:
    return await loses(scene, _NAMELESS)


@attack
async def files_in_a_closed_folder(scene: Scene) -> str:
    return await loses(scene, _CLOSED.format(mode=0))


@attack
async def files_in_a_folder_without_a_way_in(scene: Scene) -> str:
    return await loses(scene, _CLOSED.format(mode=0o444))


@attack
async def more_files_than_a_session_keeps(scene: Scene) -> str:
    return await loses(scene, _MANY.format(n=1_500) + "\nimport time; time.sleep(30)")


@attack
async def folders_without_an_end(scene: Scene) -> str:
    return await loses(scene, _DEEP)


@attack
async def ten_thousand_files(scene: Scene) -> str:
    async with closing(scene.large.session()) as session:
        await session.run(_MANY.format(n=10_000), timeout=60)
        files = await session.list_files()
        return HELD if len(files) == LISTED_FILES else str(len(files))


@attack
async def a_daemon_after_the_end(scene: Scene) -> str:
    session = scene.large.session()
    await session.run(_DAEMON, timeout=60)
    assert session.lodging is not None
    assert session.lodging.worker is not None
    pids = [p.pid for p in Processes().tree(session.lodging.worker.pid)]
    expected = 4 if scene.jail == "bubblewrap" else 1
    path = session.lodging.folder.path
    await session.close()
    if len(pids) < expected or left_over(pids) or path.exists():
        return f"{pids} {left_over(pids)} {path.exists()}"
    return HELD


def _memory_scores(pid: int) -> list[str]:
    processes = Processes().tree(pid)
    return [Path(f"/proc/{p.pid}/oom_score_adj").read_text() for p in processes]


@attack
async def a_machine_without_memory(scene: Scene) -> str:
    session = scene.large.session()
    await session.run("1", timeout=60)
    assert session.lodging is not None
    assert session.lodging.worker is not None
    scores = _memory_scores(session.lodging.worker.pid)
    await session.close()
    return HELD if scores and set(scores) == {"1000\n"} else str(scores)


@attack
async def files_that_are_none(scene: Scene) -> str:
    async with closing(scene.large.session()) as session:
        await session.run(_SMUGGLED, timeout=60)
        listed = [file.path for file in await session.list_files()]
        if listed != ["/mnt/data/honest"]:
            return f"listed: {listed}"
        for name in (
            *("symlink", "symlink_inside", "hard_link", "twin", "pipe", "device"),
            *("inner/up", "folder_link/passwd", "inner/up/etc/passwd", "inner", ""),
            *("../data/honest", "inner/../honest", "/etc/passwd", "a\0b", ".", "/"),
            *("/mnt/data/../../etc/passwd", "/mnt/database", str(scene.secret)),
        ):
            try:
                data = await session.download(name)
            except InterpreterError:
                continue
            return f"downloaded {name!r}: {len(data)} bytes"
        return HELD


@attack
async def uploads_through_links(scene: Scene) -> str:
    async with closing(scene.large.session()) as session:
        victim = scene.secret
        await session.run(
            f"import os\nos.symlink({str(victim)!r}, 'file')\n"
            f"os.symlink({str(victim.parent)!r}, 'folder')\n"
            "os.symlink('/', 'root')\nos.mkdir('taken')",
            timeout=60,
        )
        await session.upload("file", b"new")
        for name in ("folder/secret", "root/var/x", "../x", "/var/x", "taken"):
            try:
                await session.upload(name, b"new")
            except InterpreterError:
                continue
            return f"uploaded to {name!r}"
        await session.remove("folder/secret")
        if victim.read_text() != "secret":
            return "the host's file was changed"
        return HELD if await session.download("file") == b"new" else "not replaced"


@attack
async def a_closed_folder_is_deleted_all_the_same(scene: Scene) -> str:
    session = scene.large.session()
    await session.run(
        "import os\nos.makedirs('a/b/c')\nopen('a/b/c/f', 'w').close()\n"
        "os.chmod('a/b/c', 0)\nos.chmod('a/b', 0)\nos.chmod('a', 0)",
        timeout=60,
    )
    assert session.lodging is not None
    path = session.lodging.folder.path
    await session.close()
    left = await asyncio.to_thread(path.exists)
    return f"{path} is left" if left else HELD


@attack
async def a_trap_for_the_next_interpreter(scene: Scene) -> str:
    async with closing(scene.large.session()) as session:
        first = await session.run(_TRAP, timeout=60)
        second = await session.run(_IN_THE_TRAP, timeout=60)
        return HELD if first.state_lost and not second.error else repr(second)


@attack
async def a_caller_that_goes_away_from_stubborn_code(scene: Scene) -> str:
    session = scene.small.session()
    begun = asyncio.Event()

    async def on_event(_: object) -> None:
        begun.set()

    try:
        running = asyncio.create_task(
            session.run(_STUBBORN_FROM_HERE, timeout=60, on_event=on_event)
        )
        await begun.wait()
        running.cancel()
        await asyncio.wait([running])
        result = await session.run("1", timeout=60)
        return HELD if result.state_lost and not result.error else repr(result)
    finally:
        await session.close()
