"""Files, whose contents are streamed both ways."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from langchain_assistants.engine.files import OpenFile
from langchain_assistants.server.answers import answer
from langchain_assistants.server.callers import Caller
from langchain_assistants.server.documentation import doc
from langchain_assistants.server.forms import form_of
from langchain_assistants.server.queries import list_query
from langchain_assistants.types.base import Deleted
from langchain_assistants.types.files import File, FileCreate, FileListParams

router = APIRouter(prefix="/files", tags=["files"])


@router.post("", **doc(takes=FileCreate, gives=File, content="file"))
async def create_file(request: Request, caller: Caller) -> Response:
    """Upload a file."""
    limit = request.app.state.engine.settings.max_file_bytes
    async with form_of(request, FileCreate, content="file", limit=limit) as form:
        return answer(await caller.files.acreate(file=form.content, **form.fields))


@router.get("", **doc(lists=File))
async def list_files(request: Request, caller: Caller) -> Response:
    """List files, by default all of them."""
    return answer(await caller.files.alist(**list_query(request, FileListParams)))


@router.get("/{file_id}", **doc(gives=File))
async def retrieve_file(caller: Caller, file_id: str) -> Response:
    """Retrieve a file's description."""
    return answer(await caller.files.aretrieve(file_id))


@router.delete("/{file_id}", **doc(gives=Deleted))
async def delete_file(caller: Caller, file_id: str) -> Response:
    """Delete a file, and take it out of every vector store."""
    return answer(await caller.files.adelete(file_id))


@router.get("/{file_id}/content", **doc())
async def retrieve_content(caller: Caller, file_id: str) -> Response:
    """Download a file's content."""
    return _Content(await caller.files.aopen(file_id))


class _Content(StreamingResponse):
    """A content, of which no browser shall make a page of this server."""

    def __init__(self, opened: OpenFile) -> None:
        super().__init__(
            opened,
            media_type="application/octet-stream",
            headers={
                "content-length": str(opened.file.bytes),
                "content-disposition": "attachment",
                "x-content-type-options": "nosniff",
            },
        )
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._opened.aclose()
