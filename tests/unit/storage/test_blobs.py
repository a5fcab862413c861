"""Contents on the disk: whole or absent, in constant memory, under their ids only."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from langchain_assistants.errors import FileTooLargeError, StorageError
from langchain_assistants.storage import blobs as module
from langchain_assistants.storage.blobs import CHUNK, Blobs

NAME = "file-a"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "app.db.files"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs.beside(str(tmp_path / "app.db"))


def left_in(folder: Path) -> list[str] | None:
    return sorted(os.listdir(folder)) if folder.exists() else None


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def touch(path: Path) -> None:
    path.touch()


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


async def store(blobs: Blobs, *given: bytes, name: str = NAME) -> None:
    await blobs.store(name, pieces(*given), limit=2**40)


async def test_a_blob_is_stored_from_its_pieces_and_read_again(
    blobs: Blobs, folder: Path
) -> None:
    stored = await blobs.store(NAME, pieces(b"ab", b"", b"cd"), limit=4)
    assert stored == (4, hashlib.sha256(b"abcd").hexdigest())
    assert await blobs.read(NAME) == b"abcd"
    assert [piece async for piece in await blobs.open(NAME)] == [b"abcd"]
    assert blobs.has(NAME)
    assert list(blobs.names()) == [NAME]
    assert [mode(folder), mode(folder / NAME)] == [0o700, 0o600]


async def test_an_empty_blob_is_one_too(blobs: Blobs) -> None:
    assert (await blobs.store(NAME, pieces(), limit=0)).bytes == 0
    assert await blobs.read(NAME) == b""
    assert [piece async for piece in await blobs.open(NAME)] == []


async def test_nothing_is_made_before_the_first_blob(
    blobs: Blobs, folder: Path
) -> None:
    assert list(blobs.names()) == []
    assert not blobs.has(NAME)
    await blobs.delete([NAME])
    with pytest.raises(StorageError, match="missing"):
        await blobs.read(NAME)
    assert left_in(folder) is None


async def test_what_is_too_large_is_refused_before_it_fills_the_disk(
    blobs: Blobs, folder: Path
) -> None:
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield b"x" * 10

    with pytest.raises(FileTooLargeError, match="more than 35 bytes") as error:
        await blobs.store(NAME, endless(), limit=35)
    assert error.value.http_status == 413
    assert asked == 4
    assert left_in(folder) == []


async def test_large_blobs_are_stored_and_read_in_constant_memory(
    blobs: Blobs,
) -> None:
    async def large() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(CHUNK)

    tracemalloc.start()
    await blobs.store(NAME, large(), limit=64 * CHUNK)
    size = 0
    async for piece in await blobs.open(NAME):
        size += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 64 * CHUNK
    assert peak < 8 * CHUNK


async def test_a_source_that_breaks_leaves_nothing(blobs: Blobs, folder: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        await blobs.store(NAME, broken(), limit=10)
    assert left_in(folder) == []


async def test_a_writer_that_is_cancelled_leaves_nothing(
    blobs: Blobs, folder: Path
) -> None:
    begun = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"begun"
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(blobs.store(NAME, slow(), limit=10))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left_in(folder) == []


async def test_a_blob_appears_when_it_is_whole_and_on_the_disk(
    blobs: Blobs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        done.append("folder" if is_folder else "file")
        fsync(descriptor)

    def note_replace(part: Path, target: Path) -> Path:
        done.append("replace")
        return replace(part, target)

    async def watched() -> AsyncIterator[bytes]:
        yield b"whole"
        assert not blobs.has(NAME)

    monkeypatch.setattr(module.os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    await blobs.store(NAME, watched(), limit=10)
    assert done == ["file", "replace", "folder"]


async def test_a_full_disk_is_told_and_leaves_nothing(
    blobs: Blobs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(StorageError, match="No space left") as error:
        await store(blobs, b"abc")
    assert NAME in str(error.value)
    assert "Nothing was stored" in str(error.value)
    assert left_in(folder) == []


async def test_a_folder_that_cannot_be_made_is_told(blobs: Blobs, folder: Path) -> None:
    touch(folder)
    with pytest.raises(StorageError, match=r"Cannot store files in .*app.db.files"):
        await store(blobs, b"abc")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../etc", "a/b", "file-a/../b", "file-\0", "file-ä", "x"]
)
async def test_only_ids_become_paths(blobs: Blobs, name: str, tmp_path: Path) -> None:
    await store(blobs, b"abc")
    for use in (blobs.read(name), blobs.delete([name]), store(blobs, name=name)):
        with pytest.raises(ValueError, match="is no id"):
            await use
    assert not blobs.has(name)
    assert left_in(tmp_path) == ["app.db.files"]


async def test_a_blob_may_be_deleted_while_it_is_read(blobs: Blobs) -> None:
    content = os.urandom(3 * CHUNK)
    await store(blobs, content)
    reader = await blobs.open(NAME)
    await blobs.delete([NAME, "file-none"])
    assert b"".join([piece async for piece in reader]) == content
    with pytest.raises(StorageError, match=f"content of {NAME} is missing"):
        await blobs.open(NAME)


async def test_a_reader_may_be_closed_before_its_end(blobs: Blobs) -> None:
    await store(blobs, b"abc")
    reader = await blobs.open(NAME)
    await reader.aclose()
    with pytest.raises(ValueError, match="closed"):
        _ = [piece async for piece in reader]


async def test_what_cannot_be_deleted_is_left_and_logged(
    blobs: Blobs, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await store(blobs, b"abc", name="file-b")
    os.mkdir(folder / NAME)
    await blobs.delete([NAME, "file-b"])
    assert [record.message for record in caplog.records] == ["blob_not_deleted"]
    assert not blobs.has("file-b")


async def test_names_are_those_of_our_files_that_are_old_enough(
    blobs: Blobs, folder: Path
) -> None:
    for name in ("file-new", "part_old"):
        await store(blobs, b"abc", name=name)
    left = folder / "file-dead.0123abcd.part"
    for foreign in ("notes.txt", ".DS_Store", "file-a.bak"):
        touch(folder / foreign)
    touch(left)
    for path in (left, folder / "part_old", folder / "notes.txt"):
        os.utime(path, (1, 1))
    assert set(blobs.names()) == {"file-new", "part_old", left.name}
    old = list(blobs.names(older_than=3_600))
    assert set(old) == {"part_old", left.name}
    blobs.discard(old)
    assert list(blobs.names()) == ["file-new"]
    assert "notes.txt" in (left_in(folder) or ())


async def test_a_temporary_folder_goes_with_its_blobs() -> None:
    blobs = Blobs(None)
    assert not blobs.has(NAME)
    await blobs.delete([NAME])
    await store(blobs, b"abc")
    folder = blobs._folder
    assert folder is not None
    assert await blobs.read(NAME) == b"abc"
    blobs.close()
    blobs.close()
    assert left_in(folder) is None
    with pytest.raises(StorageError, match="closed"):
        await store(blobs, b"abc")


async def test_a_temporary_folder_that_is_forgotten_goes_too() -> None:
    blobs = Blobs(None)
    await store(blobs, b"abc")
    folder = blobs._folder
    del blobs
    assert folder is not None
    assert left_in(folder) is None
