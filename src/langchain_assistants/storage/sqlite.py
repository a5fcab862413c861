"""SQLite: one writer thread with group commit, one reader thread beside it.

A third thread, with a connection of its own, begins with the first long read.

Measured against SQLAlchemy's async engine on aiosqlite: 0.08 ms a transaction instead
of 0.47 ms. Concurrent transactions share one commit; a savepoint keeps them apart. No
caller's loop ever waits for the disk; for a read that costs 0.05 ms.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, cast

import anyio.to_thread
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from langchain_assistants.errors import StorageError
from langchain_assistants.storage.backup import back_up_connection, back_up_file
from langchain_assistants.storage.database import Conflict, Query, Row, Transaction
from langchain_assistants.storage.schema import HEAD, REVISION_TABLE
from langchain_assistants.storage.sqlite_errors import storage_error
from langchain_assistants.storage.tables import metadata

T = TypeVar("T")
Synchronous = Literal["OFF", "NORMAL", "FULL", "EXTRA"]

_DIALECT = sqlite_dialect.dialect(paramstyle="named")
_MAX_BATCH = 64


class _Job(NamedTuple):
    transaction: Transaction[Any]
    future: asyncio.Future[Any]


class _Outcome(NamedTuple):
    value: Any
    error: BaseException | None


_Jobs: TypeAlias = "queue.SimpleQueue[_Job | None]"


class SQLiteDatabase:
    """A SQLite file (or memory) behind a writer thread and a reader thread.

    Args:
        path: The file, or ":memory:" (then reads go through the writer as well).
        synchronous: NORMAL survives the death of the process; a power cut may lose
            the last commits. FULL survives that too.
        busy_timeout: Seconds to wait for another process that holds the file.

    Raises:
        StorageError: The file cannot be opened as a database.
    """

    def __init__(
        self,
        path: str,
        *,
        synchronous: Synchronous = "NORMAL",
        busy_timeout: float = 5.0,
    ) -> None:
        """Open the file and start the threads."""
        self.path = path
        self._synchronous = synchronous
        self._busy_timeout = busy_timeout
        self._in_memory = path == ":memory:"
        self._trace: Callable[[str], None] | None = None
        self._all: list[sqlite3.Connection] = []
        self._closing = threading.Lock()
        # Held by a batch; between two of them no transaction is open.
        self._batch = threading.Lock()
        self._closed = False
        self._threads: list[tuple[threading.Thread, _Jobs]] = []
        self._writer = self._connect()
        self._reader = self._writer if self._in_memory else self._connect()
        self._reads = self._writes = self._start("writer", self._commit)
        if not self._in_memory:
            self._reads = self._start("reader", self._look)
        self._surveyor = self._reader
        self._surveys: _Jobs | None = self._reads if self._in_memory else None

    def _start(
        self,
        name: str,
        execute: Callable[[Sequence[_Job]], list[_Outcome]],
        *,
        at_once: int = _MAX_BATCH,
    ) -> _Jobs:
        """Start a thread that executes the jobs that wait, so many at once."""
        jobs: _Jobs = queue.SimpleQueue()

        def serve() -> None:
            for batch in _batches(jobs, at_once):
                _deliver(batch, execute(batch))

        # A daemon: an engine that nobody closed must not keep its process alive.
        thread = threading.Thread(
            target=serve, name=f"langchain-assistants-{name}", daemon=True
        )
        thread.start()
        self._threads.append((thread, jobs))
        return jobs

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self.path,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
                timeout=self._busy_timeout,
            )
            connection.row_factory = sqlite3.Row
            _use_wal(connection)
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
        except sqlite3.Error as error:
            raise self._translated(error) from error
        connection.set_trace_callback(self._trace)
        self._all.append(connection)
        return connection

    def create_all(self) -> None:
        """Create the tables in a database that lives in memory: nothing to migrate."""
        for statement in metadata.sorted_tables:
            self._writer.execute(str(CreateTable(statement).compile(dialect=_DIALECT)))
            for index in statement.indexes:
                self._writer.execute(str(CreateIndex(index).compile(dialect=_DIALECT)))
        # A backup of it is a file like any other.
        self._writer.execute(REVISION_TABLE)
        self._writer.execute("INSERT INTO alembic_version VALUES (?)", (HEAD,))

    def trace(self, callback: Callable[[str], None] | None) -> None:
        """Call back with the text of each statement (benchmarks count them)."""
        self._trace = callback
        for connection in self._all:
            connection.set_trace_callback(callback)

    async def write(self, transaction: Transaction[T], /) -> T:
        """Execute a transaction on the writer thread; it is durable on return.

        A caller that is cancelled meanwhile gets the result all the same, and the
        cancellation with its next await: it never has to guess what was committed.
        """
        future: asyncio.Future[T] = self._put(self._writes, transaction)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError as cancellation:
            if future.cancelled():
                raise
            await _outlast(cancellation, future)
        return future.result()

    async def read(self, transaction: Transaction[T], /) -> T:
        """Execute a reading transaction beside the writer."""
        future: asyncio.Future[T] = self._put(self._reads, transaction)
        return await future

    async def survey(self, transaction: Transaction[T], /) -> T:
        """Execute a long reading transaction beside the reader and the writer."""
        with self._closing:
            if self._surveys is None and not self._closed:
                self._surveyor = self._connect()
                self._surveys = self._start("surveyor", self._survey, at_once=1)
        return await self._put(self._surveys or self._reads, transaction)

    def _put(self, jobs: _Jobs, transaction: Transaction[T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._closing:
            if self._closed:
                raise StorageError(f"The database {self.path} is closed.")
            jobs.put(_Job(transaction, future))
        return future

    async def back_up(
        self, path: str | PathLike[str], *, overwrite: bool = False
    ) -> Path:
        """Copy the database into a file, on a thread of its own; return its path.

        Raises:
            StorageError: It cannot be read, or the file cannot be written.
        """
        given_up = threading.Event()

        def copy() -> Path:
            target = Path(path).expanduser().absolute()
            if not self._in_memory:
                source = Path(self.path)
                back_up_file(
                    source, target, overwrite=overwrite, stopped=given_up.is_set
                )
                return target
            with self._batch:
                if self._closed:
                    raise StorageError(f"The database {self.path} is closed.")
                back_up_connection(self._writer, target, overwrite=overwrite)
            return target

        try:
            return await anyio.to_thread.run_sync(copy, abandon_on_cancel=True)
        finally:
            given_up.set()

    def close(self) -> None:
        """Execute what is queued, then close every connection."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            for _, jobs in self._threads:
                jobs.put(None)
        for thread, _ in self._threads:
            thread.join()
        for connection in self._all:
            with suppress(sqlite3.Error):
                connection.close()

    def _look(self, batch: Sequence[_Job]) -> list[_Outcome]:
        return [self._seen(self._reader, job) for job in batch]

    def _survey(self, batch: Sequence[_Job]) -> list[_Outcome]:
        surveyor = self._surveyor
        try:
            surveyor.execute("BEGIN")
            return [self._seen(surveyor, job) for job in batch]
        except sqlite3.Error as error:
            return [_Outcome(None, self._translated(error))] * len(batch)
        finally:
            if surveyor.in_transaction:
                with suppress(sqlite3.Error):
                    surveyor.execute("ROLLBACK")

    def _seen(self, connection: sqlite3.Connection, job: _Job) -> _Outcome:
        try:
            return _Outcome(_drive(connection, job.transaction), None)
        except sqlite3.Error as error:
            return _Outcome(None, self._translated(error))
        except BaseException as error:
            return _Outcome(None, error)

    def _commit(self, batch: Sequence[_Job]) -> list[_Outcome]:
        with self._batch:
            return self._committed(batch)

    def _committed(self, batch: Sequence[_Job]) -> list[_Outcome]:
        writer = self._writer
        try:
            writer.execute("BEGIN IMMEDIATE")
            outcomes = [self._attempt(job, alone=len(batch) == 1) for job in batch]
            writer.execute("COMMIT")
        except sqlite3.Error as error:
            return [_Outcome(None, self._translated(error))] * len(batch)
        except BaseException as error:
            return [_Outcome(None, error)] * len(batch)
        else:
            return outcomes
        finally:
            if writer.in_transaction:
                with suppress(sqlite3.Error):
                    writer.execute("ROLLBACK")

    def _attempt(self, job: _Job, *, alone: bool) -> _Outcome:
        """Execute one member of a batch; alone, its error undoes the whole batch."""
        writer = self._writer
        if alone:
            return _Outcome(_drive(writer, job.transaction), None)
        writer.execute("SAVEPOINT member")
        try:
            outcome = _Outcome(_drive(writer, job.transaction), None)
        except BaseException as error:
            if not writer.in_transaction:
                raise  # a full disk makes SQLite roll back by itself
            writer.execute("ROLLBACK TO member")
            reported = (
                self._translated(error) if isinstance(error, sqlite3.Error) else error
            )
            outcome = _Outcome(None, reported)
        writer.execute("RELEASE member")
        return outcome

    def _translated(self, error: sqlite3.Error) -> StorageError:
        return storage_error(error, self.path, self._busy_timeout)


async def _outlast(
    cancellation: asyncio.CancelledError, future: asyncio.Future[Any]
) -> None:
    """Wait for a future although the task is cancelled, then cancel the task again.

    With the same message: by it anyio knows its own cancellations.
    """
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({future})
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
        task.cancel(*cancellation.args[:1])


def _use_wal(connection: sqlite3.Connection) -> None:
    """Let readers go on beside the writer; a read-only file stays as it is."""
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY:
            raise


def _drive(connection: sqlite3.Connection, transaction: Transaction[T]) -> T:
    """Run a transaction's generator against a connection."""
    rows: list[Row] | None = None
    try:
        step = transaction.send(rows)  # type: ignore[arg-type]
        while True:
            try:
                rows = _execute(connection, step)
            except sqlite3.IntegrityError as error:
                step = transaction.throw(Conflict(str(error)))
            else:
                step = transaction.send(rows)
    except StopIteration as end:
        return cast("T", end.value)
    finally:
        transaction.close()


def _execute(connection: sqlite3.Connection, step: Query) -> list[Row]:
    text, constants, returns_rows = step.statement.sql(_DIALECT)
    if not isinstance(step.values, Mapping):
        connection.executemany(text, ({**constants, **row} for row in step.values))
        return []
    values = {**constants, **step.values} if constants else step.values
    cursor = connection.execute(text, values)
    return cursor.fetchall() if returns_rows else []


def _batches(jobs: _Jobs, at_once: int) -> Iterator[list[_Job]]:
    """Yield the jobs that wait, together, until there is a None among them."""
    while (job := jobs.get()) is not None:
        batch = [job]
        while len(batch) < at_once and not jobs.empty():
            # Nobody else takes from this queue.
            following = jobs.get()
            if following is None:
                yield batch
                return
            batch.append(following)
        yield batch


def _deliver(batch: Sequence[_Job], outcomes: Sequence[_Outcome]) -> None:
    """Hand the outcomes to the waiting loops, one wake-up for each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job, _Outcome]]] = {}
    for job, outcome in zip(batch, outcomes, strict=True):
        by_loop.setdefault(job.future.get_loop(), []).append((job, outcome))
    for loop, results in by_loop.items():
        # The caller's loop may be gone (asyncio.run ended): nobody waits any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, results)


def _resolve(results: Sequence[tuple[_Job, _Outcome]]) -> None:
    for (_, future), (value, error) in results:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
