"""Runs: an assistant at work on a thread, from its creation to its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from typing_extensions import Unpack

from langchain_assistants.engine.conductor import Conductor
from langchain_assistants.engine.events import EventLog, event_number
from langchain_assistants.engine.listing import Slice
from langchain_assistants.engine.message_rows import thread_end
from langchain_assistants.engine.origin import run_record
from langchain_assistants.engine.portal import blocking
from langchain_assistants.engine.replay import ATTEMPT, replayed
from langchain_assistants.engine.resource import (
    ObjectList,
    Resource,
    list_params,
    read_slice,
)
from langchain_assistants.engine.run_creation import RunRequest
from langchain_assistants.engine.run_rows import (
    KIND,
    OF_THREAD,
    PREFIX,
    run_row,
    set_metadata,
    to_run,
)
from langchain_assistants.engine.threads import Threads
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import InvalidRequestError, NotFoundError
from langchain_assistants.storage.database import Row, Transaction
from langchain_assistants.types.events import RunEvent
from langchain_assistants.types.pages import AsyncPaginator, ListParams, Page
from langchain_assistants.types.runs import (
    Run,
    RunCreate,
    RunUpdate,
    ThreadRunCreate,
    ToolOutputs,
)
from langchain_assistants.types.validation import check_id, validate


class Runs(Resource):
    """Runs of one tenant's threads; they execute in the background."""

    def __init__(
        self, workplace: Workplace, *, tenant: str, conductor: Conductor
    ) -> None:
        """Bind the resource to who executes runs."""
        super().__init__(workplace, tenant=tenant)
        self._conductor = conductor

    def _request(self, thread_id: str, fields: Mapping[str, Any]) -> RunRequest:
        check_id(thread_id, "thread_id", "thread_")
        body = validate(RunCreate, fields)
        check_id(body["assistant_id"], "assistant_id", "asst_")
        return RunRequest(self._tenant, thread_id, body)

    async def acreate(self, thread_id: str, **fields: Unpack[RunCreate]) -> Run:
        """Start a run in the background; it is returned as `queued`.

        Raises:
            ActiveRunError: Another run is active on the thread and `on_active_run` is
                "reject".
            InvalidRequestError: A field breaks a rule.
            NotFoundError: There is no such thread or assistant.
        """
        request = self._request(thread_id, fields)
        _refuse_streaming(request)
        started = await self._conductor.start(request)
        return self.bound(to_run(started, status="queued"))

    async def astream(
        self, thread_id: str, **fields: Unpack[RunCreate]
    ) -> AsyncGenerator[RunEvent, None]:
        """Start a run and yield its events as they happen.

        The stream ends with `requires_action` or a terminal status. Leaving it does
        not cancel the run (as the original).

        Raises:
            As `acreate`.
        """
        log = EventLog(origin=self._origin)
        await self._conductor.start(self._request(thread_id, fields), log=log)
        async for event in log.follow():
            yield event

    async def acreate_with_thread(self, **fields: Unpack[ThreadRunCreate]) -> Run:
        """Start a run on a new thread, both in one transaction; see `acreate`."""
        request = self._thread_request(fields)
        _refuse_streaming(request)
        started = await self._conductor.start(request)
        return self.bound(to_run(started, status="queued"))

    async def astream_with_thread(
        self, **fields: Unpack[ThreadRunCreate]
    ) -> AsyncGenerator[RunEvent, None]:
        """Start a run on a new thread and yield its events; see `astream`.

        The first event is `thread.created`.
        """
        log = EventLog(origin=self._origin)
        await self._conductor.start(self._thread_request(fields), log=log)
        async for event in log.follow():
            yield event

    def _thread_request(self, fields: Mapping[str, Any]) -> RunRequest:
        body = validate(ThreadRunCreate, fields)
        check_id(body["assistant_id"], "assistant_id", "asst_")
        thread = dict(body.pop("thread", None) or {})
        resources = body.pop("tool_resources", None) or {}
        own = thread.get("tool_resources") or {}
        thread["tool_resources"] = {**resources, **own}
        threads = Threads(self._workplace, tenant=self._tenant)
        return RunRequest(self._tenant, threads.new(thread), body)

    async def afollow(
        self, run_id: str, *, after: str | None = None
    ) -> AsyncGenerator[RunEvent, None]:
        """Yield a run's events from any moment on (extension).

        Those of a run that streams, or did a moment ago, have the ids they had there.
        Of any other run a replay comes as soon as it stops: the same story, but with
        each text in one piece and with ids of its own.

        Args:
            run_id: The run.
            after: The id of the last event that is known.

        Raises:
            NotFoundError: There is none with this id.
        """
        log = await self._recent_log(run_id)
        if log is not None:
            async for event in log.follow(after):
                yield event
            return
        for event in await self._replay(run_id, after):
            yield event

    def follow(
        self, run_id: str, *, after: str | None = None
    ) -> Generator[RunEvent, None, None]:
        """Return an iterator of a run's events from any moment on; see `afollow`."""
        log = self.portal.call(lambda: self._recent_log(run_id))
        if log is not None:
            yield from log.follow_blocking(after)
            return
        yield from self.portal.call(lambda: self._replay(run_id, after))

    async def _recent_log(self, run_id: str) -> EventLog | None:
        check_id(run_id, "run_id", PREFIX)
        await self._conductor.look(run_id, self._tenant)
        return self._conductor.recent_logs.get(run_id)

    async def _replay(self, run_id: str, after: str | None) -> list[RunEvent]:
        await self._conductor.settled(run_id, self._tenant, None)
        attempt, known = event_number(after)
        record = await self._workplace.database.read(run_record(run_id, self._tenant))
        events = [*replayed(record, known if attempt == ATTEMPT else 0)]
        for event in events:
            if event.data is not None:
                self.bound(event.data)
        return events

    def stream(
        self, thread_id: str, **fields: Unpack[RunCreate]
    ) -> Generator[RunEvent, None, None]:
        """Start a run and return an iterator of its events; see `astream`."""
        log = EventLog(origin=self._origin)
        request = self._request(thread_id, fields)
        self.portal.call(lambda: self._conductor.start(request, log=log))
        return log.follow_blocking()

    def stream_with_thread(
        self, **fields: Unpack[ThreadRunCreate]
    ) -> Generator[RunEvent, None, None]:
        """Start a run on a new thread and return an iterator of its events."""
        log = EventLog(origin=self._origin)
        request = self._thread_request(fields)
        self.portal.call(lambda: self._conductor.start(request, log=log))
        return log.follow_blocking()

    async def aretrieve(self, run_id: str) -> Run:
        """Return a run as it is now.

        Raises:
            NotFoundError: There is none with this id.
        """
        check_id(run_id, "run_id", PREFIX)
        return self.bound(to_run(await self._conductor.look(run_id, self._tenant)))

    async def aupdate(self, run_id: str, **fields: Unpack[RunUpdate]) -> Run:
        """Replace a run's metadata."""
        check_id(run_id, "run_id", PREFIX)
        body = validate(RunUpdate, fields)

        def store() -> Transaction[Row]:
            row = yield from run_row(run_id, self._tenant)
            if "metadata" not in body:
                return row
            yield from set_metadata(run_id, body["metadata"] or {})
            return (yield from run_row(run_id, self._tenant))

        return self.bound(to_run(await self._workplace.database.write(store())))

    async def acancel(self, run_id: str) -> Run:
        """Cancel a run; one that nobody executes is `cancelled` at once.

        Raises:
            InvalidRequestError: It has ended, or is being cancelled already.
        """
        check_id(run_id, "run_id", PREFIX)
        return self.bound(to_run(await self._conductor.cancel(run_id, self._tenant)))

    async def asubmit_tool_outputs(
        self, run_id: str, **fields: Unpack[ToolOutputs]
    ) -> Run:
        """Submit the outputs of all open calls; the run goes on in the background.

        Outputs of a second, identical request are refused: the first one wins.

        Raises:
            InvalidRequestError: The run waits for no outputs, or for others.
        """
        check_id(run_id, "run_id", PREFIX)
        outputs = validate(ToolOutputs, fields)["tool_outputs"]
        row = await self._conductor.submit(run_id, self._tenant, outputs)
        return self.bound(to_run(row, status="queued"))

    async def asubmit_tool_outputs_stream(
        self, run_id: str, **fields: Unpack[ToolOutputs]
    ) -> AsyncGenerator[RunEvent, None]:
        """Submit outputs and yield the events that follow."""
        check_id(run_id, "run_id", PREFIX)
        outputs = validate(ToolOutputs, fields)["tool_outputs"]
        log = EventLog(origin=self._origin)
        await self._conductor.submit(run_id, self._tenant, outputs, log=log)
        async for event in log.follow():
            yield event

    def submit_tool_outputs_stream(
        self, run_id: str, **fields: Unpack[ToolOutputs]
    ) -> Generator[RunEvent, None, None]:
        """Submit outputs and return an iterator of the events that follow."""
        check_id(run_id, "run_id", PREFIX)
        outputs = validate(ToolOutputs, fields)["tool_outputs"]
        log = EventLog(origin=self._origin)
        self.portal.call(
            lambda: self._conductor.submit(run_id, self._tenant, outputs, log=log)
        )
        return log.follow_blocking()

    async def await_(self, run_id: str, timeout: float | None = None) -> Run:
        """Wait until a run requires action or has ended; the twin of `wait`.

        Raises:
            TimeoutError: It did neither within `timeout` seconds; it goes on.
        """
        check_id(run_id, "run_id", PREFIX)
        row = await self._conductor.settled(run_id, self._tenant, timeout)
        return self.bound(to_run(row))

    def wait(self, run_id: str, timeout: float | None = None) -> Run:
        """Wait until a run requires action or has ended; see `await_`."""
        return self.portal.call(lambda: self.await_(run_id, timeout))

    def _list(self, thread_id: str) -> ObjectList:
        check_id(thread_id, "thread_id", "thread_")

        def anchor(run_id: str) -> Transaction[int]:
            row = yield from run_row(run_id, self._tenant)
            if row["thread_id"] != thread_id:
                raise NotFoundError.for_id(KIND, run_id)
            return int(row["seq"])

        def read(params: Mapping[str, Any]) -> Transaction[Slice]:
            yield from thread_end(thread_id, self._tenant)
            return (
                yield from read_slice(OF_THREAD, params, anchor, thread_id=thread_id)
            )

        return ObjectList(self._workplace, read, lambda row: self.bound(to_run(row)))

    def alist(
        self, thread_id: str, **params: Unpack[ListParams]
    ) -> AsyncPaginator[Run]:
        """List a thread's runs: await a page, or iterate over all of them."""
        return self._list(thread_id).paginate(list_params(**params))

    def list(self, thread_id: str, **params: Unpack[ListParams]) -> Page[Run]:
        """List a thread's runs; iterating goes on over all pages."""
        return self._list(thread_id).page(list_params(**params))

    create = blocking(acreate)
    create_with_thread = blocking(acreate_with_thread)
    retrieve = blocking(aretrieve)
    update = blocking(aupdate)
    cancel = blocking(acancel)
    submit_tool_outputs = blocking(asubmit_tool_outputs)


def _refuse_streaming(request: RunRequest) -> None:
    if request.body.get("stream"):
        raise InvalidRequestError(
            "Use runs.stream (or astream) for a run that streams its events.",
            code="invalid_value",
            param="stream",
        )
