"""Runs on a server that speaks the Assistants API, ours or any other."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import openai

from langchain_assistants.backends.base import (
    CallContext,
    RunOrder,
    Standing,
    SubmitOrder,
    ToolBox,
)
from langchain_assistants.backends.wire.assistants import find_assistant
from langchain_assistants.backends.wire.events import read_object
from langchain_assistants.backends.wire.run import WireRun, required_calls, run_path
from langchain_assistants.backends.wire.sdk import (
    AsyncWire,
    ThreadWire,
    Wire,
    check_client,
    for_another_loop,
)
from langchain_assistants.backends.wire.tasks import (
    TASK_MARK,
    known_run_or_order,
    marked,
    with_tools,
)
from langchain_assistants.engine.executor import Execution
from langchain_assistants.engine.offloading import Offloading
from langchain_assistants.engine.portal import Portal
from langchain_assistants.engine.toolset import Implementations, ToolLike
from langchain_assistants.errors import (
    AssistantsError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
)
from langchain_assistants.settings import Settings
from langchain_assistants.types.assistants import Assistant, AssistantCreate
from langchain_assistants.types.runs import TERMINAL_STATUSES, Run
from langchain_assistants.types.threads import Thread
from langchain_assistants.types.validation import validate

# Fields of a run that the API does not take together with a new thread.
_ONLY_ON_A_THREAD = ("additional_instructions", "reasoning_effort")
_KEY_IS_OURS = (
    "thread_key needs a langchain-assistants server: this one knows no keys of "
    "threads. Keep the thread_id of the first answer, and give that."
)
_NOBODY = CallContext(None, {}, None)
_KEY_TAKEN = re.compile(r"Thread (thread_\w+) has the key already")


class _Place(NamedTuple):
    """What all calls over the wire share in one process."""

    portal: Portal
    threads: Offloading

    def implementations(self, tools: Sequence[ToolLike]) -> Implementations:
        """Return tools, none of which blocks a loop."""
        return Implementations(tools, self.threads)


@cache
def _place(process: int) -> _Place:
    return _Place(Portal(), Offloading())


class WireBackend:
    """The backend of a server; use `of`."""

    finds_tasks = False

    def __init__(
        self,
        client: openai.OpenAI | None,
        async_client: openai.AsyncOpenAI | None,
        poll_seconds: float,
    ) -> None:
        """Take the clients, of which one may be missing."""
        self._client = client
        self._async_client = async_client
        self._poll_seconds = poll_seconds
        self._place = _place(os.getpid())

    @classmethod
    def of(cls, client: Any, async_client: Any, poll_seconds: float) -> WireBackend:
        """Return the backend of clients as a runnable has them.

        Raises:
            ConfigurationError: One is no client of OpenAI's SDK.
        """
        if async_client is not None:
            check_client(async_client, "async_client")
        if client is not None:
            check_client(client, "client")
        if isinstance(client, openai.AsyncOpenAI):
            return cls(None, async_client or client, poll_seconds)
        return cls(client, async_client, poll_seconds)

    @property
    def portal(self) -> Portal:
        """The loop of this process for synchronous calls over the wire."""
        return self._place.portal

    @property
    def tool_box(self) -> ToolBox:
        """What brings tools into form."""
        return self._place

    @property
    def settings(self) -> Settings:
        """What the environment says."""
        return Settings()

    @property
    def _wire(self) -> Wire:
        """Reach the server by the client that suits the loop we are on."""
        blocked = self._place.portal.is_current
        if self._client is not None and (blocked or self._async_client is None):
            return ThreadWire(self._client, self._place.threads)
        assert self._async_client is not None
        if blocked:
            return AsyncWire(for_another_loop(self._async_client))
        return AsyncWire(self._async_client)

    async def create_assistant(
        self, fields: Mapping[str, Any], *, reuse: bool
    ) -> Assistant:
        """Store an assistant; or, with `reuse`, return the one with this content."""
        body = _given(validate(AssistantCreate, fields))
        wire = self._wire
        if reuse and (found := await find_assistant(wire, body)) is not None:
            return read_object(Assistant, found)
        return read_object(Assistant, await wire.post("/assistants", body))

    async def retrieve_assistant(self, assistant_id: str) -> Assistant:
        """Return an assistant."""
        return read_object(
            Assistant, await self._wire.get(f"/assistants/{assistant_id}")
        )

    async def run(self, order: RunOrder, context: CallContext) -> Execution:
        """Start a run and follow it to its stop; tools are executed here."""
        wire, thread = self._wire, order.thread
        if order.tools:
            order = await with_tools(wire, order)
        if not isinstance(thread, str) and thread.get("key") is not None:
            thread = await _thread_with_key(wire, _given(thread), context)
        if isinstance(thread, str):
            found = await known_run_or_order(wire, thread, order)
            if isinstance(found, Run):
                return await self._of(found, context).go_on()
            if (left := found.left.get(thread)) is not None:
                await self._make_room(thread, left)
            path, body = f"/threads/{thread}/runs", _on_thread(marked(found))
        else:
            path, body = await _on_new_thread(wire, thread, marked(order), context)
        mode = order.body.get("tool_errors")
        fails = None if mode is None else mode == "fail"
        run = WireRun(wire, context, self._poll_seconds, fails=fails)
        return await run.start(path, body)

    async def submit(self, order: SubmitOrder, context: CallContext) -> Execution:
        """Submit outputs and follow the run to its next stop."""
        if order.thread_id is None:
            raise InvalidRequestError(
                "Missing required parameter: 'thread_id'. Over the wire a run is "
                f"found by its thread; give that of {order.run_id}.",
                code="missing_required_parameter",
                param="thread_id",
            )
        run, _ = await self.look(order.run_id, order.thread_id)
        if order.task_id is not None:
            run = await self._noted(run, order.task_id)
        required = {call.id for call in required_calls(run)}
        outputs = [
            dict(output)
            for output in order.outputs
            if not order.from_agent or output["tool_call_id"] in required
        ]
        return await self._of(run, context).submit(outputs)

    async def look(self, run_id: str, thread_id: str) -> Standing:
        """Return where a run is."""
        path = f"/threads/{thread_id}/runs/{run_id}"
        run = read_object(Run, await self._wire.get(path))
        return Standing(run, (run.metadata or {}).get(TASK_MARK))

    async def finish(self, order: SubmitOrder) -> Execution:
        """Complete a run with its outputs; its model's answer is not waited for."""
        assert order.thread_id is not None, "a graph knows the thread of its run"
        run, _ = await self.look(order.run_id, order.thread_id)
        if order.task_id is not None:
            run = await self._noted(run, order.task_id)
        return await self._of(run).finish(order.outputs)

    async def cancel(self, run: Run) -> None:
        """Cancel a run, unless it has ended."""
        with contextlib.suppress(AssistantsError, openai.OpenAIError):
            await self._of(run).stop()

    @property
    def origin(self) -> None:
        """Nowhere: what else there is of an object is at the server."""

    def _of(self, run: Run, context: CallContext = _NOBODY) -> WireRun:
        return WireRun(self._wire, context, self._poll_seconds, run)

    async def _noted(self, run: Run, task_id: str) -> Run:
        """Mark a run as that of the task which moves it now."""
        body = {"metadata": {**(run.metadata or {}), TASK_MARK: task_id}}
        return read_object(Run, await self._wire.post(run_path(run), body))

    async def _make_room(self, thread_id: str, run_id: str) -> None:
        """Cancel a run that an agent loop or a graph has left, if it still waits."""
        with contextlib.suppress(NotFoundError):
            run, _ = await self.look(run_id, thread_id)
            if run.status not in TERMINAL_STATUSES:
                await self._of(run).stop()


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is null: to a server that is the same as absent, or wrong."""
    return {name: value for name, value in body.items() if value is not None}


def _on_thread(order: RunOrder) -> dict[str, Any]:
    """Return the body of a run that brings its messages: one request, or none."""
    body = _given(order.body)
    messages = [*order.messages, *body.pop("additional_messages", ())]
    if messages:
        body["additional_messages"] = [_given(message) for message in messages]
    return body


async def _on_new_thread(
    wire: Wire, thread: Mapping[str, Any], order: RunOrder, context: CallContext
) -> tuple[str, dict[str, Any]]:
    """Return the request for a run on a thread that is created with it."""
    body = _given(order.body)
    messages = [*order.messages, *body.pop("additional_messages", ())]
    new = {**_given(thread), "messages": [_given(message) for message in messages]}
    if not any(name in body for name in _ONLY_ON_A_THREAD):
        return "/threads/runs", {**body, "thread": new}
    thread_id = await _create_thread(wire, new, context)
    return f"/threads/{thread_id}/runs", body


async def _create_thread(
    wire: Wire, body: Mapping[str, Any], context: CallContext
) -> str:
    """Create a thread and return its id.

    Raises:
        ConfigurationError: It was to have a key, and the server knows none.
    """
    created = read_object(Thread, await wire.post("/threads", body))
    if created.key != body.get("key"):
        raise ConfigurationError(_KEY_IS_OURS)
    if context.log is not None:
        context.log.emit("thread.created", created)
    return created.id


async def _thread_with_key(
    wire: Wire, body: Mapping[str, Any], context: CallContext
) -> str:
    """Return the id of the thread with a key; it is created if there is none.

    Raises:
        ConfigurationError: The server knows no keys of threads.
    """
    try:
        return await _create_thread(wire, body, context)
    except InvalidRequestError as error:
        if error.param != "key":
            raise
        known = _KEY_TAKEN.search(str(error))
        if known is None:
            raise ConfigurationError(_KEY_IS_OURS) from error
        return known[1]
