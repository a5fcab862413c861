"""Attacks that use what nobody sees: each a coroutine that says whether it held."""

from __future__ import annotations

import asyncio
import os
import threading

from tests.interpreters.havoc import ATTACKS, attack
from tests.interpreters.scene import HELD, Scene, closing, end_of, loses

from langchain_assistants.errors import InterpreterError

__all__ = ["ATTACKS"]

PRELUDE = """
import ctypes, os, shutil, signal, subprocess, threading, time
libc = ctypes.CDLL(None)
def nameless(name):
    file = open(name, "w+b", buffering=0)
    os.unlink(name)
    return file
def hoard():
    files = [nameless("x") for _ in range(12)]
    for file in files:
        file.write(bytes(900_000))
    return files
def grow(path):
    os.makedirs(path)
    for n in range(900):
        os.link("one", f"{path}/{n:0250}")
def between_looks(act):
    os.mkdir("folder")
    def looked_at():
        return os.stat("folder").st_atime_ns
    while True:
        open("folder/x", "w").close()
        os.unlink("folder/x")
        before = looked_at()
        while looked_at() == before:
            time.sleep(0.003)
        act()
"""
_MAPPED = """
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3,
                      ctypes.c_long]
for n in range(12):
    with nameless("x") as file:
        file.write(bytes(900_000))
        libc.mmap(None, 4096, 1, 1, file.fileno(), 0)
time.sleep(30)
"""
_LEADERLESS = """
def hold():
    files = hoard()
    time.sleep(30)
threading.Thread(target=hold, daemon=True).start()
libc.syscall({exit}, 0)
"""
_OWN_DESCRIPTORS = """
def hold():
    libc.syscall(436, 100_000, 100_001, 2)  # close_range: a table of its own
    files = hoard()
    time.sleep(30)
threading.Thread(target=hold, daemon=True).start()
time.sleep(30)
"""
_MOVED_DESCRIPTORS = """
import itertools
files = [nameless("x") for _ in range(12)]
places = [os.dup(file.fileno()) for file in files]
for file in files:
    file.close()
for place in places:
    os.write(place, bytes(900_000))
free = [n for n in range(100, 240)]
for turn in itertools.count():
    index = turn % len(places)
    new = free.pop(turn * 7 % len(free))
    os.dup2(places[index], new)
    os.close(places[index])
    free.append(places[index])
    places[index] = new
"""
_FLEETING_THREADS = """
import _thread
def go():
    _thread.start_new_thread(go, ())
files = hoard()
go()
libc.syscall({exit}, 0)
"""
_HANDED_ON = """
if os.fork() == 0:
    files = hoard()
    while True:
        child = libc.fork()
        if child > 0:  # else it goes on, or there are too many that nobody buried yet
            libc._exit(0)
time.sleep(50)
"""
_LEADERLESS_MEMORY = """
def hold():
    block = bytearray(200 << 20)
    for page in range(0, len(block), 4096):
        block[page] = 1
    time.sleep(30)
for _ in range(4):
    if os.fork() == 0:
        threading.Thread(target=hold, daemon=True).start()
        libc.syscall({exit}, 0)
time.sleep(30)
"""
_FOLDERS = """
open("one", "w").close()
def fill():
    grow("d")
    folder = os.open("d", os.O_RDONLY)
    shutil.rmtree("d")
    return folder
folders = [fill() for _ in range(40)]
time.sleep(30)
"""
_FOLDERS_ABOVE = """
open("one", "w").close()
def pin():
    path = "d"
    for _ in range(10):
        grow(path)
        for name in os.listdir(path):
            os.unlink(f"{path}/{name}")
        path += "/d"
    folder = os.open(path[:-2], os.O_RDONLY)
    shutil.rmtree("d")
    return folder
folders = [pin() for _ in range(4)]
time.sleep(30)
"""
_FOLDERS_ABOVE_FILES = """
open("one", "w").close()
def pin():
    grow("d")
    {make}("d/file")
    file = os.open("d/file", os.O_RDWR)
    shutil.rmtree("d")
    return file
files = [pin() for _ in range(40)]
time.sleep(30)
"""
_GHOSTS = """
libc.mmap.restype = ctypes.c_void_p
size = 100 << 20
place = libc.mmap(None, ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0))
def ghost():
    ready, filled = os.pipe()
    going, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        ctypes.memset(place, 1, size)
        os.write(filled, b"x")
        os.read(going, 1)
        os._exit(0)
    os.read(ready, 1)
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    buffer = bytearray(1 << 20)
    def read():
        while os.preadv(memory, [buffer] * 100, place):
            pass
    for _ in range(3):
        threading.Thread(target=read, daemon=True).start()
        time.sleep(0.02)
    os.write(go, b"x")
    os.waitpid(pid, 0)
for _ in range(3):
    ghost()
time.sleep(30)
"""
_EMPTY = """
def chain():
    os.mkdir("0")
    folder = os.open("0", os.O_RDONLY)
    for n in range(12):
        os.mkdir("above")
        os.rename("0", "above/0")
        os.rename("above", "0")
        os.rmdir("0/0")
    os.rmdir("0")
    return folder
folders = [chain() for _ in range(100)]
time.sleep(30)
"""
_FILES = """
def write():
    for n in range(12):
        with open(f"f{n}", "wb") as file:
            file.write(bytes(900_000))
"""
_BETWEEN_LOOKS = """
def write_and_delete():
    write()
    time.sleep(0.15)
    for n in range(12):
        os.unlink(f"f{n}")
between_looks(write_and_delete)
"""
_LATER = """
def later():
    time.sleep(0.4)
    write()
threading.Thread(target=later).start()
"""
_CHANNELS = """
import socket
pairs = [socket.socketpair() for _ in range(100)]
time.sleep(30)
"""
_SECRET = """
shutil.copy("/usr/bin/cat", "own")
os.chmod("own", 0o111)
files = [nameless("x") for _ in range(12)]
child = subprocess.Popen(["./own"], stdin=subprocess.PIPE,
                         pass_fds=[file.fileno() for file in files])
for file in files:
    file.write(bytes(900_000))
    file.close()
time.sleep(30)
"""
_PIECES = """
libc.mmap.restype = ctypes.c_void_p
pages = {pages}
start = libc.mmap(None, ctypes.c_size_t(pages * 4096), 1, 0x22, -1, ctypes.c_long(0))
for page in range(0, pages, 2):
    libc.mprotect(ctypes.c_void_p(start + page * 4096), ctypes.c_size_t(4096), 0)
"""
_FORKS = """
for _ in range(18):
    if os.fork() == 0:
        signal.pause()
"""
_EXIT = {"x86_64": 60, "aarch64": 93}.get(os.uname().machine)


async def _loses(scene: Scene, code: str) -> str:
    return await loses(scene, PRELUDE + code)


async def _dies(
    scene: Scene, code: str, reason: str, *, with_children: bool = True
) -> str:
    """Run code whose interpreter has to be killed; without children it fails."""
    async with closing(scene.small.session()) as session:
        result = await session.run(PRELUDE + code, timeout=60)
        error = result.error
        if scene.jail == "landlock" and with_children:
            return HELD if error and "Permission" in error.name else repr(result)
        told = error.message if error else ""
        return HELD if reason in told and result.state_lost else repr(result)


@attack
async def mapped_files_without_a_name(scene: Scene) -> str:
    return await _loses(scene, _MAPPED)


@attack
async def files_of_a_thread_whose_leader_is_dead(scene: Scene) -> str:
    return await _loses(scene, _LEADERLESS.format(exit=_EXIT))


@attack
async def files_in_descriptors_of_one_thread(scene: Scene) -> str:
    return await _loses(scene, _OWN_DESCRIPTORS)


@attack
async def files_in_descriptors_that_move(scene: Scene) -> str:
    return await _loses(scene, _MOVED_DESCRIPTORS)


@attack
async def files_of_fleeting_threads(scene: Scene) -> str:
    return await _is_seen(scene, _FLEETING_THREADS.format(exit=_EXIT))


@attack
async def files_that_are_handed_on_by_forking(scene: Scene) -> str:
    if scene.jail == "landlock":
        return HELD  # there are no children
    return await _is_seen(scene, _HANDED_ON)


async def _is_seen(scene: Scene, code: str) -> str:
    """Run code that writes too much in secret: either is found out."""
    session = scene.small.session()
    try:
        result = await session.run(PRELUDE + code, timeout=60)
        told = result.error.message if result.error else ""
        return HELD if "hid what it uses" in told else repr(result)
    except InterpreterError as error:
        return HELD if "written more" in str(error) else repr(error)
    finally:
        await session.close()


@attack
async def folders_without_a_name(scene: Scene) -> str:
    return await _loses(scene, _FOLDERS)


@attack
async def folders_above_one_without_a_name(scene: Scene) -> str:
    return await _loses(scene, _FOLDERS_ABOVE)


@attack
async def folders_above_a_file_without_a_name(scene: Scene) -> str:
    make = "(lambda path: open(path, 'w').close())"
    return await _loses(scene, _FOLDERS_ABOVE_FILES.format(make=make))


@attack
async def folders_above_a_file_with_another_name(scene: Scene) -> str:
    make = "(lambda path: os.link('one', path))"
    return await _loses(scene, _FOLDERS_ABOVE_FILES.format(make=make))


@attack
async def memory_of_processes_that_are_gone(scene: Scene) -> str:
    return await _dies(scene, _GHOSTS, "hid what it uses")


@attack
async def more_things_without_a_name_than_a_session_keeps(scene: Scene) -> str:
    return await _loses(scene, _EMPTY)


@attack
async def files_that_are_there_between_two_looks(scene: Scene) -> str:
    return await _loses(scene, _FILES + _BETWEEN_LOOKS)


@attack
async def files_of_an_interpreter_that_is_gone(scene: Scene) -> str:
    return await _loses(scene, f"{_FILES}write(); os._exit(0)")


@attack
async def files_that_nobody_waits_for(scene: Scene) -> str:
    async with closing(scene.small.session()) as session:
        await session.run(PRELUDE + _FILES + _LATER, timeout=60)
        assert session.lodging is not None
        first, path = session.id, session.lodging.folder.path
        assert session.lodging.worker is not None
        with end_of(session.lodging.worker) as ended:
            assert await ended()
        warden = (await session._keeper())._warden
        await asyncio.wrap_future(warden.ask(warden._look))
        for thread in threading.enumerate():
            if thread.name == "interpreter-deletion":
                await asyncio.to_thread(thread.join)
        left = path.exists() or await session.list_files()
        again = await session.run("1", timeout=60)
        is_new = again.state_lost and session.id != first
        return HELD if is_new and not left else f"{left} {again}"


@attack
async def pipes_and_sockets(scene: Scene) -> str:
    return await _dies(scene, _CHANNELS, "pipes and sockets", with_children=False)


@attack
async def memory_of_threads_whose_leader_is_dead(scene: Scene) -> str:
    return await _dies(scene, _LEADERLESS_MEMORY.format(exit=_EXIT), "too much memory")


@attack
async def files_of_a_program_that_cannot_be_looked_at(scene: Scene) -> str:
    if os.geteuid() == 0 and scene.jail == "bubblewrap":
        return await _loses(scene, _SECRET)
    return await _dies(scene, _SECRET, "hid what it uses")


@attack
async def more_mappings_than_can_be_looked_through(scene: Scene) -> str:
    code = f"{_PIECES.format(pages=64_000)}time.sleep(30)"
    return await _dies(scene, code, "in too many pieces", with_children=False)


@attack
async def more_mappings_of_many_than_can_be_looked_through(scene: Scene) -> str:
    code = f"{_PIECES.format(pages=8_600)}{_FORKS}time.sleep(30)"
    return await _dies(scene, code, "in too many pieces")
