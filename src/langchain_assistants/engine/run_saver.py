"""RunSaver: LangGraph's checkpointer for run graphs, durable together with the step.

A stock saver commits beside the rows of the run: killed between the two, a run repeats
its step. Here a checkpoint lives in memory until the transaction that stores the step
(or `requires_action`) takes it along; see design section 4.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from sqlalchemy import and_, delete, select
from sqlalchemy.dialects.sqlite import insert

from langchain_assistants.errors import AssistantsError, ConfigurationError
from langchain_assistants.storage.database import (
    Database,
    Query,
    Row,
    Statement,
    Transaction,
    each,
    first,
    param,
)
from langchain_assistants.storage.tables import run_checkpoints as table

T = TypeVar("T")

LATEST = ""
_MESSAGES = "messages"

_of_namespace = and_(
    table.c.thread_id == param("thread_id"), table.c.namespace == param("namespace")
)
_insert = insert(table).values({c.name: param(c.name) for c in table.c})
_PUT = Statement(
    _insert.on_conflict_do_update(
        index_elements=[table.c.thread_id, table.c.namespace, table.c.slot],
        set_={
            name: _insert.excluded[name]
            for name in ("id", "parent_id", "type", "data", "metadata", "writes")
        },
    )
)
_NEWEST = Statement(
    select(table).where(_of_namespace).order_by(table.c.id.desc()).limit(1)
)
_BY_ID = Statement(select(table).where(_of_namespace, table.c.id == param("id")))
_ALL = Statement(
    select(table)
    .where(table.c.thread_id == param("thread_id"))
    .order_by(table.c.id.desc())
)
_DELETE = Statement(delete(table).where(table.c.thread_id == param("thread_id")))


def strict_serializer() -> JsonPlusSerializer:
    """Return a serializer that rebuilds messages and JSON, nothing else."""
    return JsonPlusSerializer(allowed_msgpack_modules=None)


class ExecutingRun(Protocol):
    """What the saver needs of the run that executes on a thread."""

    resumed: bool
    """Whether an earlier part of this run has left a checkpoint."""
    history: Mapping[str, BaseMessage]
    """The messages that the run found, by id: a checkpoint holds only their ids."""

    async def commit(self, checkpoint: Callable[[], Query]) -> bool:
        """Store what the run has to store, with this; False if it had nothing."""
        ...

    def confirm(self) -> Transaction[None]:
        """Refuse to go on where the run is no longer this worker's."""
        ...


@dataclass(slots=True)
class _Live:
    """The newest checkpoint of a namespace, with the writes that came after it."""

    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    parent_id: str | None
    writes: dict[tuple[str, int], tuple[str, Any, str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """What is in memory of one thread: its run, if one executes, and checkpoints."""

    run: ExecutingRun | None = None
    run_id: str = ""
    loop: asyncio.AbstractEventLoop | None = None
    live: dict[str, _Live] = field(default_factory=dict)


class RunSaver(BaseCheckpointSaver[int]):
    """A checkpointer keyed by the assistant thread's id.

    Args:
        database: Where checkpoints become durable.
        keep: Keep each checkpoint (`Settings.keep_checkpoints`) instead of the latest,
            and write each at once.
    """

    def __init__(self, database: Database, *, keep: bool = False) -> None:
        """Begin with nothing in memory."""
        super().__init__(serde=strict_serializer())
        self._database = database
        self._keep = keep
        # Runs of several threads and loops meet here: each has an entry of its own.
        self._open: dict[str, _Open] = {}

    def begin(self, thread_id: str, run_id: str, run: ExecutingRun) -> None:
        """Take the checkpoints of a thread for those of this run."""
        self._open[thread_id] = _Open(run, run_id, asyncio.get_running_loop())

    def drop(self, thread_id: str, run: ExecutingRun | None = None) -> None:
        """Forget what is in memory of a thread; what is durable stays.

        Args:
            thread_id: The thread.
            run: Only if it is still this run's: the next one may have begun already.
        """
        if run is None or self._at(thread_id).run is run:
            self._open.pop(thread_id, None)

    def queries(self, thread_id: str) -> list[Query]:
        """Return what makes a thread's checkpoints durable (at `requires_action`)."""
        return [self._put(thread_id, name) for name in list(self._at(thread_id).live)]

    def _at(self, thread_id: str) -> _Open:
        return self._open.get(thread_id) or self._open.setdefault(thread_id, _Open())

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the newest checkpoint, or the one that the config names."""
        thread_id, namespace, checkpoint_id = _address(config)
        place = self._at(thread_id)
        live = place.live.get(namespace)
        if live is None or checkpoint_id not in (None, live.checkpoint["id"]):
            run = place.run
            if run is not None and not run.resumed and checkpoint_id is None:
                return None  # a run that begins has no checkpoint: no need to ask
            row = await self._database.read(_read(thread_id, namespace, checkpoint_id))
            if row is None:
                return None
            stored = self._load(row)
            if checkpoint_id is not None:
                return _tuple(thread_id, namespace, stored)
            live = place.live[namespace] = stored
        return _tuple(thread_id, namespace, live)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield a thread's stored checkpoints, newest first."""
        if config is None:
            raise NotImplementedError("RunSaver lists the checkpoints of one thread.")
        thread_id, namespace, checkpoint_id = _address(config)
        bound = _address(before)[2] if before else None
        every_namespace = "checkpoint_ns" not in config["configurable"]

        def read() -> Transaction[list[Row]]:
            return (yield _ALL(thread_id=thread_id))

        found = 0
        for row in await self._database.read(read()):
            if limit is not None and found >= limit:
                return
            stored = self._load(row)
            if (
                (every_namespace or row["namespace"] == namespace)
                and checkpoint_id in (None, row["id"])
                and (bound is None or row["id"] < bound)
                and _matches(stored.metadata, filter)
            ):
                found += 1
                yield _tuple(thread_id, row["namespace"], stored)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint; it becomes durable with what its run has to store."""
        thread_id, namespace, parent_id = _address(config)
        place = self._at(thread_id)
        place.live[namespace] = _Live(
            checkpoint.copy(), get_checkpoint_metadata(config, metadata), parent_id
        )
        run = place.run
        # Encoded only if it is stored: one checkpoint of five in a turn is.
        stored = run is not None and await run.commit(
            lambda: self._put(thread_id, namespace)
        )
        if not stored and self._is_durable_at_once(place, namespace):
            await self._store(thread_id, namespace)
        return _config(thread_id, namespace, checkpoint["id"])

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Keep what a task wrote after a checkpoint."""
        thread_id, namespace, checkpoint_id = _address(config)
        place = self._at(thread_id)
        live = place.live.get(namespace)
        if live is None or live.checkpoint["id"] != checkpoint_id:
            return
        for index, (channel, value) in enumerate(writes):
            key = task_id, WRITES_IDX_MAP.get(channel, index)
            # LangGraph's rule: ordinary writes of a task count once.
            if key[1] < 0 or key not in live.writes:
                live.writes[key] = channel, value, task_path
        if self._is_durable_at_once(place, namespace):
            await self._store(thread_id, namespace)

    # A synchronous tool may call a graph of its own: it gets the saver of the run.

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint; see `aget_tuple`."""
        return self._wait(config, self.aget_tuple(config))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint; see `aput`."""
        kept = self.aput(config, checkpoint, metadata, new_versions)
        return self._wait(config, kept)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Keep what a task wrote; see `aput_writes`."""
        self._wait(config, self.aput_writes(config, writes, task_id, task_path))

    def _wait(self, config: RunnableConfig, operation: Coroutine[Any, Any, T]) -> T:
        """Execute an operation on the loop of the thread's run.

        Raises:
            ConfigurationError: The caller is on that loop, or no run executes.
        """
        loop = self._at(_address(config)[0]).loop
        if loop is None or loop is _running_loop():
            operation.close()
            raise ConfigurationError(
                "A graph was invoked synchronously on the event loop of the run whose "
                "tool calls it; await its ainvoke there."
            )
        return asyncio.run_coroutine_threadsafe(operation, loop).result()

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread's checkpoints."""
        self.drop(thread_id)
        await self._write(_DELETE(thread_id=thread_id))

    async def _write(self, *queries: Query) -> None:
        await self._database.write(each(queries))

    def _is_durable_at_once(self, place: _Open, namespace: str) -> bool:
        # A graph inside a tool has no steps of the run that would take it along.
        return self._keep or place.run is None or namespace != ""

    async def _store(self, thread_id: str, namespace: str) -> None:
        run, query = self._at(thread_id).run, self._put(thread_id, namespace)

        def store() -> Transaction[None]:
            if run is not None:
                yield from run.confirm()
            yield from each([query])

        await self._database.write(store())

    def _put(self, thread_id: str, namespace: str) -> Query:
        place = self._at(thread_id)
        live, run = place.live[namespace], place.run
        checkpoint = live.checkpoint
        if run is not None and run.history:
            checkpoint = _with_messages(checkpoint, partial(_by_id, run.history))
        type_, data = self.serde.dumps_typed(checkpoint)
        writes = [
            (*key, channel, *self.serde.dumps_typed(value), path)
            for key, (channel, value, path) in live.writes.items()
        ]
        return _PUT(
            thread_id=thread_id,
            namespace=namespace,
            slot=live.checkpoint["id"] if self._keep else LATEST,
            id=live.checkpoint["id"],
            parent_id=live.parent_id,
            type=type_,
            data=data,
            metadata=self.serde.dumps_typed(live.metadata)[1],
            writes=self.serde.dumps_typed(writes)[1],
        )

    def _load(self, row: Row) -> _Live:
        """Rebuild a checkpoint from its row.

        Raises:
            AssistantsError: It cannot be read, or a message that it names is no longer
                in the thread. Trying again would not help: the run fails.
        """
        place = self._at(row["thread_id"])
        try:
            return self._decode(row, place.run)
        except Exception as error:
            whose = f"run {place.run_id} on " if place.run is not None else ""
            raise AssistantsError(
                f"The checkpoint of {whose}thread {row['thread_id']} cannot be read "
                f"({type(error).__name__}): the run cannot go on. Start another one."
            ) from error

    def _decode(self, row: Row, run: ExecutingRun | None) -> _Live:
        checkpoint: Checkpoint = self.serde.loads_typed((row["type"], row["data"]))
        if run is not None:  # else it is only looked at: ids stay ids
            known = run.history
            checkpoint = _with_messages(
                checkpoint, lambda m: known[m] if isinstance(m, str) else m
            )
        live = _Live(
            checkpoint,
            self.serde.loads_typed(("msgpack", row["metadata"])),
            row["parent_id"],
        )
        for task_id, index, channel, type_, data, path in self.serde.loads_typed(
            ("msgpack", row["writes"])
        ):
            value = self.serde.loads_typed((type_, data))
            live.writes[task_id, index] = channel, value, path
        return live


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _by_id(history: Mapping[str, BaseMessage], message: BaseMessage) -> Any:
    """Return the id of a message that the thread holds unchanged, else itself."""
    known = message.id is not None and history.get(message.id) is message
    return message.id if known else message


def _with_messages(checkpoint: Checkpoint, convert: Callable[[Any], Any]) -> Checkpoint:
    values = checkpoint["channel_values"]
    messages = values.get(_MESSAGES)
    if not isinstance(messages, list):
        return checkpoint
    changed = checkpoint.copy()
    changed["channel_values"] = {**values, _MESSAGES: [convert(m) for m in messages]}
    return changed


def _read(
    thread_id: str, namespace: str, checkpoint_id: str | None
) -> Transaction[Row | None]:
    if checkpoint_id is None:
        return first((yield _NEWEST(thread_id=thread_id, namespace=namespace)))
    return first(
        (yield _BY_ID(thread_id=thread_id, namespace=namespace, id=checkpoint_id))
    )


def _address(config: RunnableConfig) -> tuple[str, str, str | None]:
    configurable = config["configurable"]
    return (
        configurable["thread_id"],
        configurable.get("checkpoint_ns", ""),
        configurable.get("checkpoint_id"),
    )


def _config(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint_id,
        }
    }


def _tuple(thread_id: str, namespace: str, live: _Live) -> CheckpointTuple:
    parent = live.parent_id
    return CheckpointTuple(
        _config(thread_id, namespace, live.checkpoint["id"]),
        live.checkpoint,
        live.metadata,
        None if parent is None else _config(thread_id, namespace, parent),
        [(key[0], channel, value) for key, (channel, value, _) in live.writes.items()],
    )


def _matches(metadata: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    items: Iterable[tuple[str, Any]] = wanted.items() if wanted else ()
    return all(metadata.get(key) == value for key, value in items)
