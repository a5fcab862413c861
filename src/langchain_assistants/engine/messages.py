"""Messages: what was said on a thread, in order; the truth about a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import Unpack

from langchain_assistants.engine.listing import Slice
from langchain_assistants.engine.message_rows import (
    KIND,
    OF_RUN,
    OF_THREAD,
    PREFIX,
    append_messages,
    check_room,
    delete_message,
    message_row,
    new_messages,
    set_metadata,
    thread_end,
    to_message,
)
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.resource import (
    ObjectList,
    Resource,
    list_params,
    read_slice,
)
from langchain_assistants.engine.run_changes import refuse_active_run
from langchain_assistants.engine.run_rows import run_span
from langchain_assistants.engine.thread_files import attach_to_thread, searched_files
from langchain_assistants.errors import NotFoundError
from langchain_assistants.storage.database import Row, Transaction
from langchain_assistants.types.base import Deleted
from langchain_assistants.types.messages import (
    Message,
    MessageCreate,
    MessageUpdate,
)
from langchain_assistants.types.pages import AsyncPaginator, ListParams, Page
from langchain_assistants.types.validation import check_id, validate


class Messages(Resource):
    """Messages of one tenant's threads."""

    async def acreate(self, thread_id: str, **fields: Unpack[MessageCreate]) -> Message:
        """Append a message to a thread.

        Raises:
            ActiveRunError: A run is active on the thread.
            InvalidRequestError: A field breaks a rule, or the thread is full.
            NotFoundError: There is no such thread.
        """
        check_id(thread_id, "thread_id", "thread_")
        body = validate(MessageCreate, fields)
        now = self._workplace.clock()
        added = new_messages([body], self._workplace.new_id)

        def store() -> Transaction[Row]:
            end = yield from thread_end(thread_id, self._tenant)
            yield from refuse_active_run(thread_id, now, adding_messages=True)
            # An expired run may just have left the message it was writing.
            end = yield from thread_end(thread_id, self._tenant)
            check_room(
                thread_id, end, added, self._workplace.settings.max_messages_per_thread
            )
            yield from append_messages(thread_id, end, added, now)
            yield from attach_to_thread(
                thread_id,
                added,
                tenant=self._tenant,
                now=now,
                new_id=self._workplace.new_id,
            )
            return (yield from message_row(added[0].id, self._tenant))

        row = await self._workplace.database.write(store())
        if searched_files(added):
            self._workplace.attached.ring()
        return self.bound(to_message(row))

    async def aretrieve(self, message_id: str) -> Message:
        """Return a message.

        Raises:
            NotFoundError: There is none with this id.
        """
        check_id(message_id, "message_id", PREFIX)
        transaction = message_row(message_id, self._tenant)
        return self.bound(to_message(await self._workplace.database.read(transaction)))

    async def aupdate(
        self, message_id: str, **fields: Unpack[MessageUpdate]
    ) -> Message:
        """Replace a message's metadata."""
        check_id(message_id, "message_id", PREFIX)
        body = validate(MessageUpdate, fields)

        def store() -> Transaction[Row]:
            row = yield from message_row(message_id, self._tenant)
            if "metadata" not in body:
                return row
            yield from set_metadata(message_id, body["metadata"])
            return (yield from message_row(message_id, self._tenant))

        row = await self._workplace.database.write(store())
        return self.bound(to_message(row))

    async def adelete(self, message_id: str) -> Deleted:
        """Delete a message.

        Raises:
            ActiveRunError: A run is active on its thread.
        """
        check_id(message_id, "message_id", PREFIX)
        now = self._workplace.clock()

        def remove() -> Transaction[None]:
            row = yield from message_row(message_id, self._tenant)
            yield from refuse_active_run(row["thread_id"], now, adding_messages=True)
            yield from delete_message(message_id)

        await self._workplace.database.write(remove())
        return Deleted(id=message_id, object="thread.message.deleted")

    def _list(self, thread_id: str, run_id: str | None) -> ObjectList:
        check_id(thread_id, "thread_id", "thread_")

        def anchor(message_id: str) -> Transaction[int]:
            row = yield from message_row(message_id, self._tenant)
            if row["thread_id"] != thread_id:
                raise NotFoundError.for_id(KIND, message_id)
            return int(row["seq"])

        def read(params: Mapping[str, Any]) -> Transaction[Slice]:
            yield from thread_end(thread_id, self._tenant)
            if run_id is None:
                return (
                    yield from read_slice(
                        OF_THREAD, params, anchor, thread_id=thread_id
                    )
                )
            span = yield from run_span(run_id, thread_id)
            return (
                yield from read_slice(
                    OF_RUN,
                    params,
                    anchor,
                    low=span.low,
                    high=span.high,
                    thread_id=thread_id,
                    run_id=run_id,
                )
            )

        return ObjectList(
            self._workplace, read, lambda row: self.bound(to_message(row))
        )

    def alist(
        self,
        thread_id: str,
        *,
        run_id: str | None = None,
        **params: Unpack[ListParams],
    ) -> AsyncPaginator[Message]:
        """List a thread's messages, or those one run wrote.

        Await the first page, or iterate over all messages.
        """
        return self._list(thread_id, run_id).paginate(list_params(**params))

    def list(
        self,
        thread_id: str,
        *,
        run_id: str | None = None,
        **params: Unpack[ListParams],
    ) -> Page[Message]:
        """List a thread's messages, or those one run wrote.

        Iterating over the page goes on over all pages.
        """
        return self._list(thread_id, run_id).page(list_params(**params))

    create = blocking(acreate)
    retrieve = blocking(aretrieve)
    update = blocking(aupdate)
    delete = blocking(adelete)
