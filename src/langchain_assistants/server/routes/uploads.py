"""Uploads: files that arrive in parts."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from langchain_assistants.server.answers import answer
from langchain_assistants.server.bodies import body_of
from langchain_assistants.server.callers import Caller
from langchain_assistants.server.documentation import doc
from langchain_assistants.server.forms import form_of
from langchain_assistants.types.base import request as request_body
from langchain_assistants.types.uploads import (
    MAX_PART_BYTES,
    Upload,
    UploadComplete,
    UploadCreate,
    UploadPart,
)

router = APIRouter(prefix="/uploads", tags=["uploads"])


@request_body
class _NoFields(TypedDict):
    """A part is its content alone."""


@router.post("", **doc(takes=UploadCreate, gives=Upload))
async def create_upload(request: Request, caller: Caller) -> Response:
    """Begin an upload."""
    body = await body_of(request, UploadCreate)
    return answer(await caller.uploads.acreate(**body))


@router.post("/{upload_id}/parts", **doc(gives=UploadPart, content="data"))
async def add_part(request: Request, caller: Caller, upload_id: str) -> Response:
    """Add a part to an upload."""
    async with form_of(
        request, _NoFields, content="data", limit=MAX_PART_BYTES
    ) as form:
        return answer(await caller.uploads.aadd_part(upload_id, data=form.content))


@router.post("/{upload_id}/complete", **doc(takes=UploadComplete, gives=Upload))
async def complete_upload(request: Request, caller: Caller, upload_id: str) -> Response:
    """Make a file of the parts."""
    body = await body_of(request, UploadComplete)
    return answer(await caller.uploads.acomplete(upload_id, **body))


@router.post("/{upload_id}/cancel", **doc(gives=Upload))
async def cancel_upload(caller: Caller, upload_id: str) -> Response:
    """Give an upload up."""
    return answer(await caller.uploads.acancel(upload_id))
