"""Assistants."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from langchain_assistants.server.answers import answer
from langchain_assistants.server.bodies import body_of
from langchain_assistants.server.callers import Caller
from langchain_assistants.server.documentation import doc
from langchain_assistants.server.queries import list_query
from langchain_assistants.types.assistants import (
    Assistant,
    AssistantCreate,
    AssistantUpdate,
)
from langchain_assistants.types.base import Deleted

router = APIRouter(tags=["assistants"])


@router.post("/assistants", **doc(takes=AssistantCreate, gives=Assistant))
async def create_assistant(request: Request, caller: Caller) -> Response:
    """Create an assistant."""
    body = await body_of(request, AssistantCreate)
    return answer(await caller.assistants.acreate(**body))


@router.get("/assistants", **doc(lists=Assistant))
async def list_assistants(request: Request, caller: Caller) -> Response:
    """List assistants."""
    return answer(await caller.assistants.alist(**list_query(request)))


@router.get("/assistants/{assistant_id}", **doc(gives=Assistant))
async def retrieve_assistant(caller: Caller, assistant_id: str) -> Response:
    """Retrieve an assistant."""
    return answer(await caller.assistants.aretrieve(assistant_id))


@router.post(
    "/assistants/{assistant_id}", **doc(takes=AssistantUpdate, gives=Assistant)
)
async def update_assistant(
    request: Request, caller: Caller, assistant_id: str
) -> Response:
    """Replace fields of an assistant."""
    body = await body_of(request, AssistantUpdate)
    return answer(await caller.assistants.aupdate(assistant_id, **body))


@router.delete("/assistants/{assistant_id}", **doc(gives=Deleted))
async def delete_assistant(caller: Caller, assistant_id: str) -> Response:
    """Delete an assistant."""
    return answer(await caller.assistants.adelete(assistant_id))
