"""Messages of threads."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from langchain_assistants.server.answers import answer
from langchain_assistants.server.bodies import body_of
from langchain_assistants.server.callers import Caller
from langchain_assistants.server.documentation import doc
from langchain_assistants.server.placing import message_of
from langchain_assistants.server.queries import list_query
from langchain_assistants.types.base import Deleted
from langchain_assistants.types.messages import Message, MessageCreate, MessageUpdate

router = APIRouter(prefix="/threads/{thread_id}/messages", tags=["messages"])


@router.post("", **doc(takes=MessageCreate, gives=Message))
async def create_message(request: Request, caller: Caller, thread_id: str) -> Response:
    """Append a message to a thread."""
    body = await body_of(request, MessageCreate)
    return answer(await caller.messages.acreate(thread_id, **body))


@router.get("", **doc(lists=Message))
async def list_messages(request: Request, caller: Caller, thread_id: str) -> Response:
    """List the messages of a thread, or those that `run_id` wrote."""
    run_id = request.query_params.get("run_id") or None
    page = await caller.messages.alist(thread_id, run_id=run_id, **list_query(request))
    return answer(page)


@router.get("/{message_id}", **doc(gives=Message))
async def retrieve_message(caller: Caller, thread_id: str, message_id: str) -> Response:
    """Retrieve a message."""
    return answer(await message_of(caller, thread_id, message_id))


@router.post("/{message_id}", **doc(takes=MessageUpdate, gives=Message))
async def update_message(
    request: Request, caller: Caller, thread_id: str, message_id: str
) -> Response:
    """Replace a message's metadata."""
    body = await body_of(request, MessageUpdate)
    await message_of(caller, thread_id, message_id)
    return answer(await caller.messages.aupdate(message_id, **body))


@router.delete("/{message_id}", **doc(gives=Deleted))
async def delete_message(caller: Caller, thread_id: str, message_id: str) -> Response:
    """Delete a message."""
    await message_of(caller, thread_id, message_id)
    return answer(await caller.messages.adelete(message_id))
