"""Folders of strangers: walked, listed and deleted, whatever they do."""

from __future__ import annotations

import os
import stat
import time
import tracemalloc
from pathlib import Path

import pytest

from langchain_assistants.interpreters.local import folder as folders
from langchain_assistants.interpreters.local import trees
from langchain_assistants.interpreters.local.folder import LISTED_FILES, SessionFolder


def test_a_walk_notices_what_has_changed_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(trees, "_TICK", 0)
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(4096))
    now = time.time_ns()
    while (tmp_path / "b").stat().st_ctime_ns < now:
        os.truncate(tmp_path / "b", 0)
    with pytest.raises(trees.Unsteady):
        list(trees.walk(tmp_path, since=now))
    assert len(list(trees.walk(tmp_path))) == 2


def test_a_walk_notices_what_is_moved_in_front_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(trees, "_TICK", 0)
    for name in ("a", "b"):
        (tmp_path / name / name).mkdir(parents=True)
    now = time.time_ns()
    assert len(list(trees.walk(tmp_path, since=now))) == 4
    walked = trees.walk(tmp_path, since=now)
    (first,), _ = next(walked)
    begun = time.time_ns()
    while (tmp_path / first).stat().st_ctime_ns <= begun:
        (tmp_path / first / first).rename(tmp_path / first / "moved")
        (tmp_path / first / "moved").rename(tmp_path / first / first)
    with pytest.raises(trees.Unsteady):
        list(walked)


def test_a_deep_folder_is_deleted_where_nothing_can_be_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    top = tmp_path / "top"
    fd = os.open(tmp_path, os.O_RDONLY)
    for name in ("top", *("x" * 200 for _ in range(100))):  # longer than any path
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        os.close(fd)
        fd = inner
    os.close(fd)
    (top / "closed").mkdir(mode=0)
    for call in ("mkdir", "rename", "link", "symlink"):
        monkeypatch.setattr(os, call, lambda *_, **__: pytest.fail("the disk is full"))
    descriptors = os.listdir("/proc/self/fd")
    trees.delete_tree(top)
    trees.delete_tree(top)  # it is gone
    assert os.listdir(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)


def test_nothing_else_is_deleted_when_somebody_moves_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inner, other = tmp_path / "top" / "a" / "b", tmp_path / "other"
    for folder in (inner, other):
        folder.mkdir(parents=True)
    (inner / "file").touch()
    unlink = os.unlink

    def move(name: str, *, dir_fd: int) -> None:
        unlink(name, dir_fd=dir_fd)
        inner.rename(other / "b")

    monkeypatch.setattr(os, "unlink", move)
    with pytest.raises(OSError, match="moves folders"):
        trees.delete_tree(tmp_path / "top")
    assert (other / "b").exists()


def test_a_list_of_files_has_an_end(tmp_path: Path) -> None:
    folder = SessionFolder(tmp_path, None)
    for number in range(9):
        folder.write(f"{number}.txt", b"")
    assert len(folder.files(most=9)) == 9
    assert len(folder.files(most=4)) == 4


def test_a_list_of_files_with_long_names_is_not_kept_all_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = SessionFolder(tmp_path, None)
    names = ["x" * 255] * 15
    info = folder.data.stat()
    regular = os.stat_result((stat.S_IFREG, 1, 1, 1, *info[4:]))
    walked = (((*names, f"{n:05}"), regular) for n in range(20_000))
    monkeypatch.setattr(folders, "walk", lambda _: walked)
    tracemalloc.start()
    try:
        found = folder.files(most=20_000)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == LISTED_FILES
    walked = iter([((*names, *names), regular)])
    assert folder.files(most=1) == []  # no call takes a path that long
    assert most < 2 * LISTED_FILES * len(found[0].path)
