"""Runs: create, stream, hold, cancel, submit."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from langchain_assistants.server.answers import answer
from langchain_assistants.server.bodies import body_of
from langchain_assistants.server.callers import Caller
from langchain_assistants.server.documentation import doc
from langchain_assistants.server.events import EventStream
from langchain_assistants.server.holding import poll_headers, settled_run
from langchain_assistants.server.placing import run_of
from langchain_assistants.server.queries import included, list_query
from langchain_assistants.types.runs import (
    Run,
    RunCreate,
    RunUpdate,
    ThreadRunCreate,
    ToolOutputs,
)

router = APIRouter(tags=["runs"])

_OF_THREAD = "/threads/{thread_id}/runs"
_ONE = "/threads/{thread_id}/runs/{run_id}"


@router.post("/threads/runs", **doc(takes=ThreadRunCreate, gives=Run, streams=True))
async def create_thread_and_run(request: Request, caller: Caller) -> Response:
    """Create a thread and start a run on it."""
    body = await body_of(request, ThreadRunCreate)
    if body.pop("stream", None):
        return await EventStream.begin(request, caller.runs.astream_with_thread(**body))
    return _started(request, await caller.runs.acreate_with_thread(**body))


@router.post(_OF_THREAD, **doc(takes=RunCreate, gives=Run, streams=True))
async def create_run(request: Request, caller: Caller, thread_id: str) -> Response:
    """Start a run on a thread."""
    body = await body_of(request, RunCreate)
    included(request)
    if body.pop("stream", None):
        return await EventStream.begin(request, caller.runs.astream(thread_id, **body))
    return _started(request, await caller.runs.acreate(thread_id, **body))


@router.get(_OF_THREAD, **doc(lists=Run))
async def list_runs(request: Request, caller: Caller, thread_id: str) -> Response:
    """List the runs of a thread."""
    return answer(await caller.runs.alist(thread_id, **list_query(request)))


@router.get(_ONE, **doc(gives=Run))
async def retrieve_run(
    request: Request, caller: Caller, thread_id: str, run_id: str
) -> Response:
    """Retrieve a run; while it is at work, the answer waits a while for its stop."""
    run = await run_of(caller, thread_id, run_id)
    run = await settled_run(caller.runs, run, request)
    return answer(run, **poll_headers(run))


@router.post(_ONE, **doc(takes=RunUpdate, gives=Run))
async def update_run(
    request: Request, caller: Caller, thread_id: str, run_id: str
) -> Response:
    """Replace a run's metadata."""
    body = await body_of(request, RunUpdate)
    await run_of(caller, thread_id, run_id)
    return answer(await caller.runs.aupdate(run_id, **body))


@router.post(f"{_ONE}/cancel", **doc(gives=Run))
async def cancel_run(caller: Caller, thread_id: str, run_id: str) -> Response:
    """Cancel a run."""
    await run_of(caller, thread_id, run_id)
    return answer(await caller.runs.acancel(run_id))


@router.post(
    f"{_ONE}/submit_tool_outputs", **doc(takes=ToolOutputs, gives=Run, streams=True)
)
async def submit_tool_outputs(
    request: Request, caller: Caller, thread_id: str, run_id: str
) -> Response:
    """Submit the outputs of all open calls; the run goes on."""
    body = await body_of(request, ToolOutputs)
    await run_of(caller, thread_id, run_id)
    if body.pop("stream", None):
        events = caller.runs.asubmit_tool_outputs_stream(run_id, **body)
        return await EventStream.begin(request, events)
    return _started(request, await caller.runs.asubmit_tool_outputs(run_id, **body))


@router.get(f"{_ONE}/stream", **doc(gives=Run, streams=True))
async def join_run(
    request: Request, caller: Caller, thread_id: str, run_id: str
) -> Response:
    """Stream a run's events from `Last-Event-ID` on, or from the first (extension)."""
    await run_of(caller, thread_id, run_id)
    after = request.headers.get("last-event-id")
    return await EventStream.begin(request, caller.runs.afollow(run_id, after=after))


def _started(request: Request, run: Run) -> Response:
    request.state.ids = {"run_id": run.id, "thread_id": run.thread_id}
    return answer(run, **poll_headers(run))
