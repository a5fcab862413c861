from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.conversations import TIMEOUT

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import StorageError
from langchain_assistants.storage.database import (
    Conflict,
    Statement,
    Transaction,
    each,
    first,
    from_json,
    to_json,
)
from langchain_assistants.storage.sqlite import SQLiteDatabase

CREATE = Statement(text("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)"))
INSERT = Statement(text("INSERT INTO notes VALUES (:p_id, :p_body)"))
SELECT = Statement(text("SELECT id FROM notes ORDER BY id"))
BROKEN = Statement(text("SELECT id FROM nowhere"))


def ids() -> Transaction[list[int]]:
    return [row["id"] for row in (yield SELECT())]


def insert(*numbers: int, body: str = "") -> Transaction[int]:
    for number in numbers:
        yield INSERT(id=number, body=body)
    return len(numbers)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notes.db")


@pytest.fixture
def database(path: str) -> Iterator[SQLiteDatabase]:
    database = SQLiteDatabase(path, busy_timeout=0.01)
    asyncio.run(database.write(each([CREATE()])))
    yield database
    database.close()


async def test_a_write_is_seen_by_the_next_read(database: SQLiteDatabase) -> None:
    assert await database.write(insert(1, 2)) == 2
    assert await database.read(ids()) == [1, 2]


async def test_no_loop_waits_for_the_disk(database: SQLiteDatabase) -> None:
    threads: set[int] = set()
    database.trace(lambda _: threads.add(threading.get_ident()))
    await database.write(insert(1))
    await database.read(ids())
    assert len(threads) == 2
    assert threading.get_ident() not in threads


async def test_many_rows_are_written_by_one_query(database: SQLiteDatabase) -> None:
    def many(*numbers: int) -> Transaction[None]:
        assert (yield INSERT.many([{"id": n, "body": ""} for n in numbers])) == []

    await database.write(many(1, 2, 3))
    with pytest.raises(Conflict):
        await database.write(many(4, 1))
    await database.write(many())
    assert await database.read(ids()) == [1, 2, 3]


async def test_a_survey_sees_one_state_and_holds_up_nobody(
    database: SQLiteDatabase,
) -> None:
    begun, released = threading.Event(), threading.Event()

    def slow() -> Transaction[tuple[int, int]]:
        before = yield SELECT()
        begun.set()
        assert released.wait(TIMEOUT)
        return len(before), len((yield SELECT()))

    surveying = asyncio.create_task(database.survey(slow()))
    assert await asyncio.to_thread(begun.wait, TIMEOUT)
    await database.write(insert(1))
    assert await database.read(ids()) == [1]
    released.set()
    assert await surveying == (0, 0)
    assert await database.survey(ids()) == [1]


async def test_surveys_take_turns_and_fail_alone(database: SQLiteDatabase) -> None:
    def broken() -> Transaction[None]:
        yield BROKEN()

    await database.write(insert(1))
    done = await asyncio.gather(
        database.survey(broken()), database.survey(ids()), return_exceptions=True
    )
    assert isinstance(done[0], StorageError)
    assert done[1] == [1]


@pytest.mark.parametrize("surveyed", [False, True])
async def test_a_closed_database_refuses_surveys(path: str, surveyed: bool) -> None:
    database = SQLiteDatabase(path)
    await database.write(each([CREATE()]))
    if surveyed:
        await database.survey(ids())
    database.close()
    with pytest.raises(StorageError, match="is closed"):
        await database.survey(ids())


async def test_a_database_in_memory_is_surveyed_as_it_is_read() -> None:
    database = SQLiteDatabase(":memory:")
    await database.write(each([CREATE()]))
    await database.write(insert(1))
    assert await database.survey(ids()) == [1]
    database.close()


async def test_a_read_does_not_wait_for_a_writer(database: SQLiteDatabase) -> None:
    begun, released = threading.Event(), threading.Event()

    def slow() -> Transaction[None]:
        yield INSERT(id=1, body="")
        begun.set()
        assert released.wait(TIMEOUT)

    writing = asyncio.create_task(database.write(slow()))
    assert await asyncio.to_thread(begun.wait, TIMEOUT)
    assert await database.read(ids()) == []
    released.set()
    await writing
    assert await database.read(ids()) == [1]


async def test_an_error_of_a_read_reaches_its_caller_only(
    database: SQLiteDatabase,
) -> None:
    outcomes = await asyncio.gather(
        database.read(each([BROKEN()])), database.read(ids()), return_exceptions=True
    )
    assert isinstance(outcomes[0], StorageError)
    assert outcomes[1] == []


async def test_an_error_undoes_the_transaction_and_reaches_the_caller_unchanged(
    database: SQLiteDatabase,
) -> None:
    refusal = ValueError("no")

    def refused() -> Transaction[None]:
        yield INSERT(id=1, body="")
        raise refusal

    with pytest.raises(ValueError, match="no") as error:
        await database.write(refused())
    assert error.value is refusal
    assert await database.read(ids()) == []


async def test_a_conflict_may_be_handled_inside_its_transaction(
    database: SQLiteDatabase,
) -> None:
    def once() -> Transaction[str]:
        try:
            yield INSERT(id=1, body="")
        except Conflict:
            return "known"
        return "new"

    assert await database.write(once()) == "new"
    assert await database.write(once()) == "known"
    with pytest.raises(StorageError, match="UNIQUE constraint"):
        await database.write(insert(1))


async def test_what_sqlite_reports_is_a_storage_error(
    database: SQLiteDatabase,
) -> None:
    for call in (database.write, database.read):
        with pytest.raises(StorageError, match="reported: no such table: nowhere"):
            await call(each([BROKEN()]))
    assert await database.write(insert(1)) == 1


async def in_one_batch(
    database: SQLiteDatabase, *members: Transaction[Any]
) -> list[Any]:
    """Queue transactions while the writer is busy, so that they share a commit."""
    begun, release = threading.Event(), threading.Event()

    def hold() -> Transaction[None]:
        begun.set()
        assert release.wait(TIMEOUT)
        yield SELECT()

    holding = asyncio.create_task(database.write(hold()))
    await asyncio.to_thread(begun.wait, TIMEOUT)
    tasks = [asyncio.create_task(database.write(member)) for member in members]
    await asyncio.sleep(0)
    release.set()
    await holding
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_concurrent_writes_share_a_commit_and_failing_ones_fail_alone(
    database: SQLiteDatabase,
) -> None:
    def refused() -> Transaction[None]:
        yield INSERT(id=50, body="")
        raise ValueError("refused")

    def broken() -> Transaction[None]:
        yield INSERT(id=60, body="")
        yield BROKEN()

    statements: list[str] = []
    database.trace(statements.append)
    results = await in_one_batch(
        database, insert(1), refused(), insert(2), broken(), insert(1), insert(3)
    )
    database.trace(None)
    assert [type(result).__name__ for result in results] == [
        "int",
        "ValueError",
        "int",
        "StorageError",
        "Conflict",
        "int",
    ]
    assert await database.read(ids()) == [1, 2, 3]
    assert statements.count("COMMIT") == 2  # the holder's and the batch's


async def test_more_writes_than_fit_a_batch_are_all_done(
    database: SQLiteDatabase,
) -> None:
    results = await in_one_batch(database, *(insert(n) for n in range(200)))
    assert results == [1] * 200
    assert await database.read(ids()) == list(range(200))


async def test_a_file_that_another_process_holds_is_waited_for_and_then_told(
    database: SQLiteDatabase, path: str
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError) as error:
            await database.write(insert(1))
        assert str(error.value) == (
            f"The database {path} was locked by another process for more than 0.01 s; "
            "try again, or raise Settings.busy_timeout."
        )
        assert await database.read(ids()) == []
        other.execute("ROLLBACK")
    assert await database.write(insert(1)) == 1


async def test_everybody_who_waits_is_told_of_the_lock(
    database: SQLiteDatabase, path: str
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        results = await asyncio.gather(
            *(database.write(insert(n)) for n in range(5)), return_exceptions=True
        )
        other.execute("ROLLBACK")
    assert [type(result) for result in results] == [StorageError] * 5
    assert await database.read(ids()) == []


async def test_a_read_only_file_is_told(database: SQLiteDatabase, path: str) -> None:
    await database.write(each([Statement(text("PRAGMA query_only = ON"))()]))
    with pytest.raises(StorageError) as error:
        await database.write(insert(1))
    assert str(error.value) == (
        f"The database {path} is read-only: nothing was stored. Make the file and its "
        "folder writable, or open a copy."
    )
    assert await database.read(ids()) == []


async def test_a_full_disk_is_told_and_loses_nothing_that_was_stored(
    database: SQLiteDatabase,
) -> None:
    await database.write(insert(1))
    await database.write(each([Statement(text("PRAGMA max_page_count = 8"))()]))
    with pytest.raises(StorageError, match="is full"):
        await database.write(insert(2, body="x" * 100_000))
    assert await database.read(ids()) == [1]
    results = await in_one_batch(
        database, insert(3), insert(4, body="x" * 100_000), insert(5)
    )
    stored = await database.read(ids())
    for number, result in zip((3, 4, 5), results, strict=True):
        assert (number in stored) is (result == 1)
        assert result == 1 or isinstance(result, StorageError)
    assert await database.write(insert(6)) == 1


async def test_a_closed_database_says_so(database: SQLiteDatabase, path: str) -> None:
    await database.read(ids())
    database.close()
    database.close()
    for call in (database.write, database.read):
        with pytest.raises(StorageError) as error:
            await call(ids())
        assert str(error.value) == f"The database {path} is closed."


async def test_closing_finishes_what_was_queued(
    database: SQLiteDatabase, path: str
) -> None:
    writes = [asyncio.create_task(database.write(insert(n))) for n in range(20)]
    await asyncio.sleep(0)
    database.close()
    assert await asyncio.gather(*writes) == [1] * 20
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (20,)


async def test_a_cancelled_writer_gets_its_result_and_then_its_cancellation(
    database: SQLiteDatabase,
) -> None:
    begun, release = threading.Event(), threading.Event()
    got: list[int] = []

    def hold() -> Transaction[int]:
        begun.set()
        assert release.wait(TIMEOUT)
        return (yield from insert(1))

    async def write() -> None:
        got.append(await database.write(hold()))
        await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await asyncio.to_thread(begun.wait, TIMEOUT)
    task.cancel()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert got == [1]


def test_a_loop_that_is_gone_does_not_disturb_the_writer(
    database: SQLiteDatabase,
) -> None:
    begun, release = threading.Event(), threading.Event()

    def hold() -> Transaction[int]:
        begun.set()
        assert release.wait(TIMEOUT)
        return (yield from insert(1))

    loop = asyncio.new_event_loop()
    writing = database.write(hold())
    task = loop.create_task(writing)
    loop.run_until_complete(asyncio.sleep(0))
    assert begun.wait(TIMEOUT)
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    release.set()
    assert asyncio.run(database.write(insert(2))) == 1
    assert asyncio.run(database.read(ids())) == [1, 2]
    writing.close()


async def test_a_database_in_memory_reads_what_it_wrote() -> None:
    database = SQLiteDatabase(":memory:")
    await database.write(each([CREATE()]))
    await database.write(insert(1))
    assert await database.read(ids()) == [1]
    database.close()


async def test_readers_of_many_threads_do_not_disturb_each_other(
    database: SQLiteDatabase,
) -> None:
    await database.write(insert(*range(50)))

    def read() -> list[int]:
        return asyncio.run(database.read(ids()))

    results = await asyncio.gather(*(asyncio.to_thread(read) for _ in range(16)))
    assert all(result == list(range(50)) for result in results)


@pytest.mark.parametrize("mode", ["OFF", "NORMAL", "FULL", "EXTRA"])
def test_durability_is_as_the_setting_says(path: str, mode: Any) -> None:
    database = SQLiteDatabase(path, synchronous=mode)
    row = database._writer.execute("PRAGMA synchronous").fetchone()
    assert row[0] == ["OFF", "NORMAL", "FULL", "EXTRA"].index(mode)
    assert database._writer.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    database.close()


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "app.db"
    with pytest.raises(StorageError, match="writable directory"):
        SQLiteDatabase(str(path))
    with pytest.raises(StorageError, match="writable directory"):
        AssistantsEngine(f"sqlite:///{path}")
    with pytest.raises(StorageError, match="writable directory"):
        AssistantsEngine(f"sqlite:///{path.parent / 'folder' / 'app.db'}")
    with pytest.raises(StorageError):
        AssistantsEngine(f"sqlite:///{tmp_path}")


def test_an_engine_makes_the_folders_of_its_file(tmp_path: Path) -> None:
    with AssistantsEngine(f"sqlite:///{tmp_path}/a/b/app.db"):
        assert (tmp_path / "a" / "b" / "app.db").exists()


@pytest.mark.parametrize("value", ["é 日本 🦉", "\ud800", "\0", {"a": [1, None]}])
def test_every_value_survives_json(value: Any) -> None:
    encoded = to_json(value)
    encoded.encode()
    assert from_json(encoded) == value
    assert from_json(None) is None
    assert first([]) is None
