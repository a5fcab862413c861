"""Sends a run's events as they come, as server-sent events.

What the events are and when a stream ends is the engine's matter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Self

import anyio
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from langchain_assistants.server.answers import written
from langchain_assistants.server.metrics import Metrics
from langchain_assistants.server.queries import included
from langchain_assistants.server.refusals import BROKEN, error_body
from langchain_assistants.types.events import STOP_EVENTS, RunEvent
from langchain_assistants.types.runs import Run
from langchain_assistants.types.steps import RunStep
from langchain_assistants.types.threads import Thread

logger = logging.getLogger(__name__)

DONE = b"event: done\ndata: [DONE]\n\n"
PING = b": ping\n\n"
PING_SECONDS = 15.0
"""Proxies close connections that are silent for a minute; some for half of that."""

# Frames that wait for a client who reads slowly.
_MOST_WAITING = 64

_CUT = (
    "The stream ended before the run did. The run is not lost: retrieve it, or stream "
    "its events again."
)


class EventStream(Response):
    """The answer to a request for events; a client that vanishes stops nothing.

    The first event is awaited before the answer begins, so that what is wrong with
    the request is told by its status.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        first: RunEvent | None,
        events: AsyncGenerator[RunEvent, None],
        request: Request,
        *,
        found_texts: bool,
    ) -> None:
        """Take the events; use `begin`."""
        super().__init__(
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"}
        )
        del self.headers["content-length"]
        self._first = first
        self._events = events
        self._found_texts = found_texts
        self._metrics: Metrics = request.app.state.metrics
        self._ping_seconds: float = request.app.state.ping_seconds
        self._following = anyio.CancelScope()
        request.app.state.streams.add(self)

    @classmethod
    async def begin(
        cls, request: Request, events: AsyncGenerator[RunEvent, None]
    ) -> Self:
        """Wait for the first event.

        Raises:
            As the engine does when it is asked for the events.
        """
        found_texts = included(request)
        first = await anext(events, None)
        request.state.ids = _ids(first)
        return cls(first, events, request, found_texts=found_texts)

    def cut(self) -> None:
        """End the stream with an error before the run ends: the server stops."""
        self._following.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the run stops or the client is gone."""
        await send(
            {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        )
        frames: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)
        with self._metrics.streaming():
            async with aclosing(self._events), anyio.create_task_group() as tasks:
                tasks.start_soon(_until_gone, receive, tasks.cancel_scope)
                tasks.start_soon(self._write, frames)
                await _pass_on(frames, send, self._ping_seconds)
                tasks.cancel_scope.cancel()

    async def _write(self, frames: asyncio.Queue[bytes]) -> None:
        """Write what happens in the run, and how the stream ends."""
        stopped = False
        try:
            with self._following:
                async for event in self._all_events():
                    await frames.put(framed(self._shown(event)))
                    # Nothing follows but `done`, which goes out with it.
                    if stopped := event.event in STOP_EVENTS:
                        break
            cut = None if stopped else _CUT
        except Exception as error:
            logger.error("stream_crashed", extra={"error": type(error).__name__})
            logger.debug("stream_crashed_by", exc_info=error)
            cut = BROKEN
        if cut is not None:
            await frames.put(_frame("error", _merged(error_body(500, cut))))
        await frames.put(DONE)

    async def _all_events(self) -> AsyncGenerator[RunEvent, None]:
        if self._first is not None:
            yield self._first
        async for event in self._events:
            yield event

    def _shown(self, event: RunEvent) -> RunEvent:
        """Return an event without texts that searches found, unless asked for them."""
        step = event.data
        if self._found_texts or not isinstance(step, RunStep):
            return event
        if step.type != "tool_calls":
            return event
        return replace(event, data=step.without_found_texts())


def _ids(event: RunEvent | None) -> dict[str, str]:
    """Return the ids that the log of the request shows."""
    match event.data if event else None:
        case Run() as run:
            return {"run_id": run.id, "thread_id": run.thread_id}
        case RunStep() as step:
            return {"run_id": step.run_id, "thread_id": step.thread_id}
        case Thread() as thread:
            return {"thread_id": thread.id}
        case _:
            return {}


async def _pass_on(
    frames: asyncio.Queue[bytes], send: Send, ping_seconds: float
) -> None:
    """Send frames as they are written, and comments while there are none.

    Those that are there at one moment go out together: forty tokens that a model
    tells in a burst cost one write, and wake their client once.
    """
    body = b""
    while not body.endswith(DONE):
        body = PING
        with anyio.move_on_after(ping_seconds):
            body = await frames.get()
        while not frames.empty():
            body += frames.get_nowait()
        goes_on = not body.endswith(DONE)
        await send({"type": "http.response.body", "body": body, "more_body": goes_on})


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def framed(event: RunEvent) -> bytes:
    """Return one event as a frame; `error` in the form on which all SDKs raise."""
    if event.data is None:
        return DONE
    if event.event == "error":
        data = to_json(_merged(event.data.to_dict()))
    else:
        data = written(event.data)
    return b"id: " + event.id.encode() + b"\n" + _frame(event.event, data)


def _frame(name: str, data: bytes | dict[str, Any]) -> bytes:
    raw = data if isinstance(data, bytes) else to_json(data)
    return b"event: " + name.encode() + b"\ndata: " + raw + b"\n\n"


def _merged(error: dict[str, Any]) -> dict[str, Any]:
    """Return an error both bare, as the schema says, and as the SDKs look for it."""
    return {**error, "error": error}
