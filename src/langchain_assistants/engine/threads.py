"""Threads: conversations; a key of the caller's own finds one again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select, update
from typing_extensions import Unpack

from langchain_assistants.engine.deletion import delete_thread
from langchain_assistants.engine.forks import fork_after_message
from langchain_assistants.engine.ids import NewId
from langchain_assistants.engine.listing import Listing
from langchain_assistants.engine.message_rows import (
    NewMessage,
    check_room,
    insert_messages,
    new_messages,
)
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.resource import (
    ObjectList,
    Resource,
    list_params,
    required_row,
)
from langchain_assistants.engine.run_changes import refuse_active_run
from langchain_assistants.engine.thread_files import attach_to_thread, searched_files
from langchain_assistants.engine.vector_store_creation import (
    THREAD_STORES_LIVE,
    NewToolResources,
    stored_resources,
)
from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    first,
    from_json,
    param,
    to_json,
)
from langchain_assistants.storage.tables import threads as table
from langchain_assistants.types.base import Deleted
from langchain_assistants.types.pages import AsyncPaginator, ListParams, Page
from langchain_assistants.types.threads import Thread, ThreadCreate, ThreadUpdate
from langchain_assistants.types.validation import check_id, validate

PREFIX = "thread_"
KIND = "thread"

_INSERT = Statement(
    insert(table).values({c.name: param(c.name) for c in table.c if c.name != "seq"})
)
_BY_ID = Statement(
    select(table).where(table.c.id == param("id"), table.c.tenant == param("tenant"))
)
_BY_KEY = Statement(
    select(table).where(table.c.tenant == param("tenant"), table.c.key == param("key"))
)
_UPDATE = Statement(
    update(table)
    .where(table.c.id == param("id"))
    .values(
        {name: param(name) for name in ("metadata", "tool_resources", "context")},
    )
)
_ALL = Listing.of(table.c.seq, table.c.tenant == param("tenant"))


def thread_row(thread_id: str, tenant: str) -> Transaction[Row]:
    """Read a thread's row.

    Raises:
        NotFoundError: There is none with this id.
    """
    return (yield from required_row(_BY_ID, KIND, thread_id, tenant=tenant))


def thread_by_key(key: str, tenant: str) -> Transaction[Row | None]:
    """Read the row of the thread with a key, if there is one."""
    return first((yield _BY_KEY(key=key, tenant=tenant)))


def refuse_taken_key(key: str, tenant: str) -> Transaction[None]:
    """Check that no thread has a key.

    Raises:
        InvalidRequestError: One has.
    """
    known = yield from thread_by_key(key, tenant)
    if known is not None:
        raise InvalidRequestError(
            f"Thread {known['id']} has the key already; use "
            "threads.get_or_create, or another key.",
            code="invalid_value",
            param="key",
        )


def to_thread(row: Row) -> Thread:
    """Return the wire's object for a row."""
    return Thread(
        id=row["id"],
        created_at=int(row["created_at"]),
        metadata=from_json(row["metadata"]),
        tool_resources=from_json(row["tool_resources"]),
        key=row["key"],
        context=from_json(row["context"]),
        parent_id=row["parent_id"],
    )


class NewThread:
    """The rows of a thread that a transaction is about to insert."""

    def __init__(
        self,
        body: Mapping[str, Any],
        *,
        id: str,
        tenant: str,
        now: float,
        new_id: NewId,
        messages: Sequence[NewMessage],
    ) -> None:
        """Prepare the columns from a checked body."""
        self.messages = messages
        self._new_id = new_id
        self._resources = NewToolResources.of(
            body.get("tool_resources"),
            tenant=tenant,
            now=now,
            new_id=new_id,
            expires_after=THREAD_STORES_LIVE,
        )
        context = body.get("context")
        self.columns: dict[str, Any] = {
            "id": id,
            "tenant": tenant,
            "key": body.get("key"),
            "parent_id": None,
            "parent_seq": None,
            "parent_run": None,
            "last_seq": len(messages),
            "created_at": now,
            "metadata": to_json(body.get("metadata") or {}),
            "tool_resources": to_json(self._resources.stored),
            "context": None if context is None else to_json(context),
            "summary": None,
        }

    def existing(self) -> Transaction[Row | None]:
        """Read the thread that has the key already, if there is one."""
        key = self.columns["key"]
        if key is None:
            return None
        return (yield from thread_by_key(key, self.columns["tenant"]))

    def insert(self) -> Transaction[Row]:
        """Insert the thread and its first messages.

        Raises:
            InvalidRequestError: Another thread has the key.
            NotFoundError: A vector store is to be made of a file that is not there.
        """
        row = self.columns
        if row["key"] is not None:
            yield from refuse_taken_key(row["key"], row["tenant"])
        yield from self._resources.insert()
        yield _INSERT(**row)
        yield from insert_messages(row["id"], 0, self.messages, row["created_at"])
        changed = yield from attach_to_thread(
            row["id"],
            self.messages,
            tenant=row["tenant"],
            now=row["created_at"],
            new_id=self._new_id,
        )
        if changed is not None:
            row["tool_resources"] = changed
        return row

    @property
    def has_files(self) -> bool:
        """Whether files wait to be indexed with it."""
        return self._resources.has_files or bool(searched_files(self.messages))


class Threads(Resource):
    """Threads of one tenant."""

    def new(self, body: Mapping[str, Any]) -> NewThread:
        """Prepare a thread from a checked body; nothing is stored yet.

        Raises:
            InvalidRequestError: It would hold more messages than its limit.
        """
        place = self._workplace
        thread_id = place.new_id(PREFIX)
        messages = new_messages(body.get("messages") or (), place.new_id)
        check_room(thread_id, 0, messages, place.settings.max_messages_per_thread)
        return NewThread(
            body,
            id=thread_id,
            tenant=self._tenant,
            now=place.clock(),
            new_id=place.new_id,
            messages=messages,
        )

    async def acreate(self, **fields: Unpack[ThreadCreate]) -> Thread:
        """Store a new thread, with messages if any are given.

        Raises:
            InvalidRequestError: A field breaks a rule, or the key is taken.
        """
        thread = self.new(validate(ThreadCreate, fields))
        return await self._stored(thread, thread.insert())

    async def aget_or_create(self, **fields: Unpack[ThreadCreate]) -> Thread:
        """Return the thread with a key, or store it (extension).

        The other fields matter only where the thread is new.

        Raises:
            InvalidRequestError: No key is given, or a field breaks a rule.
        """
        body = validate(ThreadCreate, fields)
        key = body.get("key")
        if key is None:
            raise InvalidRequestError(
                "Missing required parameter: 'key'.",
                code="missing_required_parameter",
                param="key",
            )
        thread = self.new(body)

        def find_or_insert() -> Transaction[Row]:
            known = yield from thread_by_key(key, self._tenant)
            return known if known is not None else (yield from thread.insert())

        return await self._stored(thread, find_or_insert())

    async def _stored(self, thread: NewThread, store: Transaction[Row]) -> Thread:
        row = await self._workplace.database.write(store)
        if thread.has_files:
            self._workplace.attached.ring()
        return self.bound(to_thread(row))

    async def aretrieve(self, thread_id: str) -> Thread:
        """Return a thread.

        Raises:
            NotFoundError: There is none with this id.
        """
        check_id(thread_id, "thread_id", PREFIX)
        row = await self._workplace.database.read(thread_row(thread_id, self._tenant))
        return self.bound(to_thread(row))

    async def aupdate(self, thread_id: str, **fields: Unpack[ThreadUpdate]) -> Thread:
        """Replace the given fields; an absent one is kept, a null cleared."""
        check_id(thread_id, "thread_id", PREFIX)
        body = validate(ThreadUpdate, fields)

        def store() -> Transaction[Row]:
            row = yield from thread_row(thread_id, self._tenant)
            columns = {
                name: row[name] for name in ("metadata", "tool_resources", "context")
            }
            for name, value in body.items():
                if name == "tool_resources":
                    value = stored_resources(value)
                elif name == "metadata" and value is None:
                    value = {}
                columns[name] = None if value is None else to_json(value)
            yield _UPDATE(id=thread_id, **columns)
            return (yield from thread_row(thread_id, self._tenant))

        return self.bound(to_thread(await self._workplace.database.write(store())))

    async def afork(
        self, thread_id: str, *, after: str | None = None, key: str | None = None
    ) -> Thread:
        """Return a new thread with a copy of another's messages (extension).

        Args:
            thread_id: The thread; it may have an active run, which stays with it.
            after: The id of the last message to copy; None: all of them.
            key: A key for the new thread.

        Raises:
            NotFoundError: There is no such thread, or the message is not its own.
            InvalidRequestError: Another thread has the key.
        """
        check_id(thread_id, "thread_id", PREFIX)
        validate(ThreadCreate, {"key": key})
        fork_id, now = self._workplace.new_id(PREFIX), self._workplace.clock()

        def fork() -> Transaction[Row]:
            row = yield from thread_row(thread_id, self._tenant)
            if key is not None:
                yield from refuse_taken_key(key, self._tenant)
            return (yield from fork_after_message(row, after, fork_id, key, now))

        return self.bound(to_thread(await self._workplace.database.write(fork())))

    async def adelete(self, thread_id: str) -> Deleted:
        """Delete a thread with its messages, runs and steps.

        Raises:
            ActiveRunError: A run is active on it.
        """
        check_id(thread_id, "thread_id", PREFIX)
        now = self._workplace.clock()

        def remove() -> Transaction[None]:
            yield from thread_row(thread_id, self._tenant)
            yield from refuse_active_run(thread_id, now)
            yield from delete_thread(thread_id)

        await self._workplace.database.write(remove())
        return Deleted(id=thread_id, object="thread.deleted")

    def _list(self) -> ObjectList:
        return ObjectList.of_tenant(
            self._workplace,
            self._tenant,
            _ALL,
            thread_row,
            lambda row: self.bound(to_thread(row)),
        )

    def alist(self, **params: Unpack[ListParams]) -> AsyncPaginator[Thread]:
        """List threads (extension): await a page, or iterate over all of them."""
        return self._list().paginate(list_params(**params))

    def list(self, **params: Unpack[ListParams]) -> Page[Thread]:
        """List threads (extension); iterating goes on over all pages."""
        return self._list().page(list_params(**params))

    create = blocking(acreate)
    get_or_create = blocking(aget_or_create)
    retrieve = blocking(aretrieve)
    update = blocking(aupdate)
    fork = blocking(afork)
    delete = blocking(adelete)
