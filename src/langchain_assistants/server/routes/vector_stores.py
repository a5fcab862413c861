"""Vector stores, the files in them, and batches of these."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from langchain_assistants.server.answers import answer
from langchain_assistants.server.bodies import body_of
from langchain_assistants.server.callers import Caller
from langchain_assistants.server.documentation import doc
from langchain_assistants.server.holding import POLL_AFTER_MS
from langchain_assistants.server.queries import list_query
from langchain_assistants.types.base import Deleted
from langchain_assistants.types.vector_store_search import (
    SearchResultsPage,
    VectorStoreSearch,
)
from langchain_assistants.types.vector_stores import (
    FileBatchCreate,
    FileContentPage,
    VectorStore,
    VectorStoreCreate,
    VectorStoreFile,
    VectorStoreFileBatch,
    VectorStoreFileCreate,
    VectorStoreFileListParams,
    VectorStoreFileUpdate,
    VectorStoreUpdate,
)

router = APIRouter(prefix="/vector_stores", tags=["vector stores"])

_ONE = "/{vector_store_id}"
_FILES = "/{vector_store_id}/files"
_FILE = "/{vector_store_id}/files/{file_id}"
_BATCHES = "/{vector_store_id}/file_batches"
_BATCH = "/{vector_store_id}/file_batches/{batch_id}"


@router.post("", **doc(takes=VectorStoreCreate, gives=VectorStore))
async def create_vector_store(request: Request, caller: Caller) -> Response:
    """Create a vector store."""
    body = await body_of(request, VectorStoreCreate)
    return answer(await caller.vector_stores.acreate(**body))


@router.get("", **doc(lists=VectorStore))
async def list_vector_stores(request: Request, caller: Caller) -> Response:
    """List vector stores."""
    return answer(await caller.vector_stores.alist(**list_query(request)))


@router.get(_ONE, **doc(gives=VectorStore))
async def retrieve_vector_store(caller: Caller, vector_store_id: str) -> Response:
    """Retrieve a vector store."""
    return answer(await caller.vector_stores.aretrieve(vector_store_id))


@router.post(_ONE, **doc(takes=VectorStoreUpdate, gives=VectorStore))
async def update_vector_store(
    request: Request, caller: Caller, vector_store_id: str
) -> Response:
    """Replace fields of a vector store."""
    body = await body_of(request, VectorStoreUpdate)
    return answer(await caller.vector_stores.aupdate(vector_store_id, **body))


@router.delete(_ONE, **doc(gives=Deleted))
async def delete_vector_store(caller: Caller, vector_store_id: str) -> Response:
    """Delete a vector store; its files stay."""
    return answer(await caller.vector_stores.adelete(vector_store_id))


@router.post(f"{_ONE}/search", **doc(takes=VectorStoreSearch, gives=SearchResultsPage))
async def search_vector_store(
    request: Request, caller: Caller, vector_store_id: str
) -> Response:
    """Search a vector store."""
    body = await body_of(request, VectorStoreSearch)
    return answer(await caller.vector_stores.asearch(vector_store_id, **body))


@router.post(_FILES, **doc(takes=VectorStoreFileCreate, gives=VectorStoreFile))
async def create_vector_store_file(
    request: Request, caller: Caller, vector_store_id: str
) -> Response:
    """Attach a file to a vector store."""
    body = await body_of(request, VectorStoreFileCreate)
    return _paced(await caller.vector_stores.files.acreate(vector_store_id, **body))


@router.get(_FILES, **doc(lists=VectorStoreFile))
async def list_vector_store_files(
    request: Request, caller: Caller, vector_store_id: str
) -> Response:
    """List the files of a vector store, or those of a status (`filter`)."""
    params = list_query(request, VectorStoreFileListParams)
    return answer(await caller.vector_stores.files.alist(vector_store_id, **params))


@router.get(_FILE, **doc(gives=VectorStoreFile))
async def retrieve_vector_store_file(
    caller: Caller, vector_store_id: str, file_id: str
) -> Response:
    """Retrieve a file of a vector store."""
    return _paced(await caller.vector_stores.files.aretrieve(vector_store_id, file_id))


@router.post(_FILE, **doc(takes=VectorStoreFileUpdate, gives=VectorStoreFile))
async def update_vector_store_file(
    request: Request, caller: Caller, vector_store_id: str, file_id: str
) -> Response:
    """Replace the attributes of a file of a vector store."""
    body = await body_of(request, VectorStoreFileUpdate)
    files = caller.vector_stores.files
    return answer(await files.aupdate(vector_store_id, file_id, **body))


@router.delete(_FILE, **doc(gives=Deleted))
async def delete_vector_store_file(
    caller: Caller, vector_store_id: str, file_id: str
) -> Response:
    """Take a file out of a vector store; the file itself stays."""
    return answer(await caller.vector_stores.files.adelete(vector_store_id, file_id))


@router.get(f"{_FILE}/content", **doc(gives=FileContentPage))
async def retrieve_vector_store_file_content(
    caller: Caller, vector_store_id: str, file_id: str
) -> Response:
    """Retrieve the text that was read from a file."""
    return answer(await caller.vector_stores.files.acontent(vector_store_id, file_id))


@router.post(_BATCHES, **doc(takes=FileBatchCreate, gives=VectorStoreFileBatch))
async def create_file_batch(
    request: Request, caller: Caller, vector_store_id: str
) -> Response:
    """Attach files to a vector store together."""
    body = await body_of(request, FileBatchCreate)
    batches = caller.vector_stores.file_batches
    return _paced(await batches.acreate(vector_store_id, **body))


@router.get(_BATCH, **doc(gives=VectorStoreFileBatch))
async def retrieve_file_batch(
    caller: Caller, vector_store_id: str, batch_id: str
) -> Response:
    """Retrieve a batch."""
    batches = caller.vector_stores.file_batches
    return _paced(await batches.aretrieve(vector_store_id, batch_id))


@router.post(f"{_BATCH}/cancel", **doc(gives=VectorStoreFileBatch))
async def cancel_file_batch(
    caller: Caller, vector_store_id: str, batch_id: str
) -> Response:
    """Cancel what of a batch is still to be indexed."""
    batches = caller.vector_stores.file_batches
    return answer(await batches.acancel(vector_store_id, batch_id))


@router.get(f"{_BATCH}/files", **doc(lists=VectorStoreFile))
async def list_file_batch_files(
    request: Request, caller: Caller, vector_store_id: str, batch_id: str
) -> Response:
    """List the files of a batch."""
    params = list_query(request, VectorStoreFileListParams)
    batches = caller.vector_stores.file_batches
    return answer(await batches.alist_files(vector_store_id, batch_id, **params))


def _paced(found: VectorStoreFile | VectorStoreFileBatch) -> Response:
    """Answer, and pace the SDKs' poll helpers while there is something to wait for."""
    if found.status != "in_progress":
        return answer(found)
    return answer(found, openai_poll_after_ms=str(POLL_AFTER_MS))
