"""What an owner takes out in bulk, and the wire does not offer; nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from langchain_core.messages import BaseMessage
from sqlalchemy import select

from langchain_assistants.engine.file_rows import file_row
from langchain_assistants.engine.history import entries_of
from langchain_assistants.engine.message_rows import thread_end
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.resource import Resource
from langchain_assistants.engine.step_rows import select_tool_calls, to_step
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    param,
    to_json,
)
from langchain_assistants.storage.functions import strings_of
from langchain_assistants.storage.tables import messages, run_steps, runs
from langchain_assistants.types.steps import RunStep
from langchain_assistants.types.validation import check_id

_PAGE = 500

_asked = strings_of(param("ids")).table_valued("value")
_STEPS = Statement(
    select(*run_steps.c, runs.c.assistant_id)
    .join(runs, runs.c.id == run_steps.c.run_id)
    .where(
        run_steps.c.run_id.in_(select(_asked.c.value)),
        runs.c.tenant == param("tenant"),
    )
    .order_by(runs.c.seq, run_steps.c.seq)
)
_MESSAGES = Statement(
    select(messages.c.seq, messages.c.id, messages.c.role, messages.c.run_id)
    .add_columns(messages.c.content, messages.c.model_content)
    .where(messages.c.thread_id == param("thread_id"), messages.c.seq > param("after"))
    .order_by(messages.c.seq)
    .limit(param("limit"))
)
_TOOL_CALLS = Statement(
    select_tool_calls(run_steps.c.position <= param("high")).order_by(
        run_steps.c.position, run_steps.c.created_at, run_steps.c.seq
    )
)


class Transcript(NamedTuple):
    """A part of a conversation, with the tool calls in it.

    Attributes:
        messages: As a chat model saw them, the oldest first.
        next: Where the next part begins; None: this is the last.
    """

    messages: list[BaseMessage]
    next: int | None


class Exports(Resource):
    """Takes objects of one tenant out; `langchain_assistants.exporters` writes them."""

    async def acontent(self, file_id: str, path: str) -> int:
        """Write a file's content to a path, whatever its purpose; return its size.

        Raises:
            NotFoundError: There is no such file.
            StorageError: Its content is missing, or cannot be read.
            OSError: The path cannot be written.
        """
        check_id(file_id, "file_id", "file-")
        place = self._workplace
        row = file_row(file_id, self._tenant, place.clock())
        await place.database.read(row)
        size = 0
        blob = await place.blobs.open(file_id)
        with open(path, "wb") as target:  # noqa: ASYNC230 - beside no other work
            async for piece in blob:
                size += target.write(piece)
        return size

    async def asteps(self, run_ids: Sequence[str]) -> list[RunStep]:
        """Return the steps of some runs, in the order of the runs."""

        def read() -> Transaction[list[Row]]:
            return (yield _STEPS(ids=to_json(list(run_ids)), tenant=self._tenant))

        return [to_step(row) for row in await self._workplace.database.read(read())]

    async def atranscript(self, thread_id: str, after: int = 0) -> Transcript:
        """Return the next part of a thread's conversation.

        Args:
            thread_id: The thread.
            after: What the part before gave as `next`; 0: from the beginning.

        Raises:
            NotFoundError: There is no such thread.
        """
        check_id(thread_id, "thread_id", "thread_")

        def read() -> Transaction[Transcript]:
            yield from thread_end(thread_id, self._tenant)
            rows = yield _MESSAGES(thread_id=thread_id, after=after, limit=_PAGE)
            last = rows[-1]["seq"] if len(rows) == _PAGE else None
            calls = yield _TOOL_CALLS(
                thread_id=thread_id,
                low=after + 1 if after else 0,
                high=2**62 if last is None else last,
            )
            said = [message for _, message in entries_of(rows, calls)]
            return Transcript(said, last)

        return await self._workplace.database.read(read())

    content = blocking(acontent)
    steps = blocking(asteps)
    transcript = blocking(atranscript)
