"""Threads."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from langchain_assistants.server.answers import answer
from langchain_assistants.server.bodies import body_of
from langchain_assistants.server.callers import Caller
from langchain_assistants.server.documentation import doc
from langchain_assistants.types.base import Deleted
from langchain_assistants.types.threads import Thread, ThreadCreate, ThreadUpdate

router = APIRouter(tags=["threads"])


@router.post("/threads", **doc(takes=ThreadCreate, gives=Thread))
async def create_thread(request: Request, caller: Caller) -> Response:
    """Create a thread."""
    body = await body_of(request, ThreadCreate)
    return answer(await caller.threads.acreate(**body))


@router.get("/threads/{thread_id}", **doc(gives=Thread))
async def retrieve_thread(caller: Caller, thread_id: str) -> Response:
    """Retrieve a thread."""
    return answer(await caller.threads.aretrieve(thread_id))


@router.post("/threads/{thread_id}", **doc(takes=ThreadUpdate, gives=Thread))
async def update_thread(request: Request, caller: Caller, thread_id: str) -> Response:
    """Replace fields of a thread."""
    body = await body_of(request, ThreadUpdate)
    return answer(await caller.threads.aupdate(thread_id, **body))


@router.delete("/threads/{thread_id}", **doc(gives=Deleted))
async def delete_thread(caller: Caller, thread_id: str) -> Response:
    """Delete a thread with everything on it."""
    return answer(await caller.threads.adelete(thread_id))
