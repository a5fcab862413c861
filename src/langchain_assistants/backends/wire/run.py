"""One run on a server, followed for its caller: rounds, events, tools, cancelling."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig

from langchain_assistants.backends.base import CallContext
from langchain_assistants.backends.wire.events import (
    is_piece,
    read_event,
    read_object,
    status_event,
)
from langchain_assistants.backends.wire.local_tools import outputs_of
from langchain_assistants.backends.wire.sdk import Feed, Wire
from langchain_assistants.backends.wire.token_callbacks import TokenCallbacks
from langchain_assistants.engine.cancellation import outlast
from langchain_assistants.engine.executor import Execution
from langchain_assistants.errors import (
    AssistantsError,
    InvalidRequestError,
    ToolError,
)
from langchain_assistants.types.base import WireObject
from langchain_assistants.types.events import STOP_EVENTS, EventName
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import (
    TERMINAL_STATUSES,
    LastError,
    RequiredAction,
    RequiredToolCall,
    Run,
    SubmitToolOutputs,
)
from langchain_assistants.types.steps import RunStep

logger = logging.getLogger(__name__)

STOPS = TERMINAL_STATUSES | {"requires_action"}

# How long a caller who goes away may wait for the run's id, to cancel it.
_ID_SECONDS = 10.0
_GOES_ON = ("thread.run.queued", "thread.run.in_progress")


class WireRun:
    """A run on a server.

    Args:
        wire: Reaches the server.
        context: Who listens, and what is executed for the caller.
        poll_seconds: How often the run is looked at where no events come.
        run: The run, if it is a known one that goes on.
        fails: Whether a tool's failure ends the run; None: as the settings say.
    """

    def __init__(
        self,
        wire: Wire,
        context: CallContext,
        poll_seconds: float,
        run: Run | None = None,
        *,
        fails: bool | None = None,
    ) -> None:
        """Ask for nothing yet."""
        self._wire = wire
        self._context = context
        self._poll_seconds = poll_seconds
        self._run = run
        self._fails = fails
        self._messages: dict[str, Message] = {}
        # Messages of a known run, and those of a stream that broke, have to be read.
        self._knows_messages = run is None
        self._feed: Feed | None = None
        self._goes = False
        self._rounds = 0
        self._open_step_id: str | None = None
        self._tokens = TokenCallbacks()

    async def start(self, path: str, body: Mapping[str, Any]) -> Execution:
        """Make the request that starts the run, and follow it to the caller's stop.

        When the caller is cancelled, or the run cannot be followed, it is cancelled
        before the exception leaves.
        """
        return await self._followed(self._round(path, body))

    async def submit(self, outputs: Sequence[Mapping[str, Any]]) -> Execution:
        """Submit a caller's outputs, and follow the run to the caller's next stop.

        Outputs of calls that are executed here are made now, and submitted with them.
        """
        return await self._followed(self._joined(outputs))

    async def go_on(self) -> Execution:
        """Follow a known run to the caller's stop."""
        return await self._followed(self._settled())

    async def finish(self, outputs: Sequence[Mapping[str, Any]]) -> Execution:
        """Submit outputs so that the thread has them, and tell the run as completed.

        The API would ask the model again: the run is cancelled before it answers.
        """
        assert self._run is not None
        await self._wire.post(outputs_path(self._run), {"tool_outputs": list(outputs)})
        run = await self.stop()
        return Execution(run.model_copy(update={"status": "completed"}), [])

    async def stop(self) -> Run:
        """Cancel the run, and wait until its thread is free."""
        await self._cancel()
        await self._looked()
        return await self._settled()

    async def _followed(self, first: Coroutine[Any, Any, Run]) -> Execution:
        try:
            run = await first
            while calls := self._own_calls(run):
                run = await self._submitted(run, await self._executed(calls))
        except ToolError as error:
            run = await self._failed(error)
        except BaseException as error:
            if self._goes or not isinstance(error, Exception):
                await outlast(self._cancel())
            raise
        finally:
            await self._tokens.end()
            await self._end_feed()
        run = self._for_caller(run)
        self._emit(status_event(run), run)
        return Execution(run, await self._written(run), self._open_step_id)

    @property
    def _config(self) -> RunnableConfig:
        """The caller's configuration, with the run's ids for traces."""
        config, run = self._context.config, self._run
        if run is None:
            return config
        ids = {
            "assistant_id": run.assistant_id,
            "run_id": run.id,
            "thread_id": run.thread_id,
        }
        return {**config, "metadata": {**(config.get("metadata") or {}), **ids}}

    # Tools.

    async def _joined(self, outputs: Sequence[Mapping[str, Any]]) -> Run:
        """Submit the caller's outputs together with ours."""
        assert self._run is not None
        tools = self._context.tools
        given = {output["tool_call_id"] for output in outputs}
        own = [
            call
            for call in required_calls(self._run)
            if tools and call.function.name in tools.names and call.id not in given
        ]
        joined = [*outputs, *await self._executed(own)]
        return await self._round(outputs_path(self._run), {"tool_outputs": joined})

    async def _submitted(self, run: Run, outputs: Sequence[Mapping[str, Any]]) -> Run:
        """Submit outputs of ours, unless the run has ended while they were made."""
        try:
            return await self._round(outputs_path(run), {"tool_outputs": outputs})
        except InvalidRequestError:
            ended = await self._looked()
            if ended.status not in TERMINAL_STATUSES:
                raise
            return ended

    async def _executed(
        self, calls: Sequence[RequiredToolCall]
    ) -> list[dict[str, Any]]:
        tools = self._context.tools
        if tools is None:
            return []
        return await outputs_of(calls, tools, self._config, fails=self._fails)

    def _own_calls(self, run: Run) -> list[RequiredToolCall]:
        """Return the calls that the run waits for, if none of them is the caller's.

        All outputs are submitted at once. Where the caller has a part in them, ours
        are made when the caller's come: nothing is kept in between.
        """
        tools = self._context.tools
        calls = required_calls(run)
        if tools is None or any(c.function.name not in tools.names for c in calls):
            return []
        return calls

    def _for_caller(self, run: Run) -> Run:
        """Return a run that requires only what its caller has to execute."""
        tools = self._context.tools
        calls = required_calls(run)
        open_calls = [c for c in calls if tools and c.function.name not in tools.names]
        if tools is None or not open_calls or len(open_calls) == len(calls):
            return run
        action = RequiredAction(
            submit_tool_outputs=SubmitToolOutputs(tool_calls=open_calls)
        )
        return run.model_copy(update={"required_action": action})

    def _check_tools(self, run: Run) -> None:
        """Log which tools the run does not offer to its model."""
        tools = self._context.tools
        names = {getattr(getattr(t, "function", None), "name", None) for t in run.tools}
        if tools is not None and (unknown := tools.names - names):
            logger.warning("run_tools_not_offered", extra={"tools": sorted(unknown)})

    # A round: a request, and its events up to the run's next stop.

    async def _round(self, path: str, body: Mapping[str, Any]) -> Run:
        await self._end_feed()
        feed = self._feed = self._wire.stream(path, {**body, "stream": True})
        stopped = await self._listen(feed)
        self._rounds += 1
        if not stopped:
            # There is no stream here, or it broke: the run itself goes on.
            self._knows_messages = False
            return await self._settled()
        assert self._run is not None
        return self._run

    async def _listen(self, feed: Feed) -> bool:
        """Take in the events of a round; tell whether they led to a stop."""
        stopped = self._goes = False
        try:
            while not stopped and (frame := await feed.next()) is not None:
                if is_piece(frame) and not self._hears_pieces:
                    continue
                if (told := read_event(frame)) is not None:
                    stopped = await self._take(*told)
        except AssistantsError:
            raise
        except Exception as error:
            if not self._goes:
                raise
            logger.info("stream_broken", extra={"error": type(error).__name__})
        if not self._goes:
            raise AssistantsError(
                "The server sent no event of a run; is the client's base_url that of "
                "an Assistants API?"
            )
        return stopped

    @property
    def _hears_pieces(self) -> bool:
        """Whether anybody listens to what is written while it is written."""
        return self._context.log is not None or self._tokens.told

    async def _take(self, name: EventName, data: WireObject) -> bool:
        """Take in one event; tell whether it is the run's stop."""
        if name == "error":
            return False  # the stream has broken; what became of the run is read
        if isinstance(data, Run):
            if self._run is None:
                self._check_tools(data)
            self._run, self._goes = data, True
            if name in STOP_EVENTS:
                return True  # told when it is clear that it is one for the caller too
            if self._rounds > 0 and name in _GOES_ON:
                return False
        elif isinstance(data, Message) and name != "thread.message.created":
            self._messages[data.id] = data
        elif isinstance(data, RunStep) and data.type == "tool_calls":
            self._open_step_id = data.id if data.status == "in_progress" else None
        self._emit(name, data)
        await self._tokens.take(name, data, self._run, self._config)
        return False

    def _emit(self, name: EventName, data: WireObject | None) -> None:
        if self._context.log is not None:
            self._context.log.emit(name, data)

    async def _settled(self) -> Run:
        """Look at the run until it has stopped."""
        assert self._run is not None
        while self._run.status not in STOPS:
            if (await self._looked()).status not in STOPS:
                await asyncio.sleep(self._poll_seconds)
        return self._run

    async def _looked(self) -> Run:
        """Read the run."""
        assert self._run is not None
        self._run = read_object(Run, await self._wire.get(run_path(self._run)))
        return self._run

    # The end.

    async def _failed(self, error: ToolError) -> Run:
        """Cancel a run that is to fail with its tool, and tell it as failed.

        Only a server can let a run fail, and the tool is not there.
        """
        assert self._run is not None
        await self._cancel()
        cause = LastError(code="server_error", message=str(error))
        return self._run.model_copy(
            update={"status": "failed", "last_error": cause, "required_action": None}
        )

    async def _written(self, run: Run) -> list[Message]:
        """Return all messages of the run, oldest first."""
        if self._knows_messages:
            return list(self._messages.values())
        return await messages_of(self._wire, run)

    async def _cancel(self) -> None:
        """Cancel the run, if there is one and it has not ended."""
        try:
            await self._know_run()
            run = self._run
            if run is not None and run.status not in TERMINAL_STATUSES:
                await self._wire.post(f"{run_path(run)}/cancel", {})
        except Exception as error:
            # It may have ended meanwhile; else its deadline ends it.
            logger.info("run_not_cancelled", extra={"error": type(error).__name__})
        finally:
            await self._end_feed()

    async def _end_feed(self) -> None:
        """Let the request end whose events were taken in."""
        if self._feed is not None:
            await self._feed.aclose()

    async def _know_run(self) -> None:
        """Wait for the run's id where the request for it is under way."""
        if self._run is not None or self._feed is None:
            return
        async with asyncio.timeout(_ID_SECONDS):
            while (frame := await self._feed.next()) is not None:
                told = read_event(frame)
                if told is not None and isinstance(told[1], Run):
                    self._run = told[1]
                    return


def run_path(run: Run) -> str:
    """Return the address of a run."""
    return f"/threads/{run.thread_id}/runs/{run.id}"


def outputs_path(run: Run) -> str:
    """Return the address that takes a run's tool outputs."""
    return f"{run_path(run)}/submit_tool_outputs"


def required_calls(run: Run) -> list[RequiredToolCall]:
    """Return the function calls that a run waits for."""
    action = run.required_action
    if run.status != "requires_action" or action is None:
        return []
    submit = action.submit_tool_outputs
    return [] if submit is None else submit.tool_calls


async def messages_of(wire: Wire, run: Run) -> list[Message]:
    """Read the messages of a run, oldest first."""
    query: dict[str, Any] = {"run_id": run.id, "order": "asc", "limit": 100}
    messages: list[Message] = []
    while True:
        path = f"/threads/{run.thread_id}/messages"
        page = await wire.get(path, query)
        items = [read_object(Message, item) for item in page.get("data") or ()]
        # A server may know no such filter.
        messages.extend(item for item in items if item.run_id == run.id)
        if not items or not page.get("has_more"):
            return messages
        query["after"] = items[-1].id
