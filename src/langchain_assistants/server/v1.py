"""The first Assistants API: its answers, and its routes for the files of an object.

What it takes is taken from everybody; the header or Azure's version only chooses how
answers look. Nothing is stored in its shapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from fastapi import APIRouter
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from langchain_assistants.engine.tenant import TenantResources
from langchain_assistants.errors import NotFoundError
from langchain_assistants.server.answers import JSON, answer, encoded
from langchain_assistants.server.bodies import body_of
from langchain_assistants.server.callers import Caller
from langchain_assistants.server.placing import message_of
from langchain_assistants.server.queries import list_query
from langchain_assistants.types.assistants import Assistant
from langchain_assistants.types.base import Deleted, WireObject
from langchain_assistants.types.pages import AsyncPage
from langchain_assistants.types.vector_stores import VectorStoreFileCreate

AZURE_VERSIONS = {"2024-02-15-preview", "2024-03-01-preview"}
"""Azure's versions whose answers have the shapes of the first API."""

_SHAPED = ("/v1/assistants", "/v1/threads")
_EVENTS = "text/event-stream"
_DATA = b"\ndata: "
_END = b"\n\n"

Item: TypeAlias = dict[str, Any]


def asks_for_v1(scope: Scope) -> bool:
    """Tell whether a request wants answers in the shapes of the first API."""
    beta = Headers(scope=scope).get("openai-beta", "")
    asked = {part.strip() for part in beta.split(",")}
    versions = parse_qs(scope["query_string"].decode("latin-1")).get("api-version", ())
    return "assistants=v1" in asked or not AZURE_VERSIONS.isdisjoint(versions)


class V1Answers:
    """Wraps an application: answers to who asks for the first API look like its own.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        shaped = scope["type"] == "http" and scope["path"].startswith(_SHAPED)
        if shaped and asks_for_v1(scope):
            send = _Rewritten(send).send
        await self._app(scope, receive, send)


class _Rewritten:
    """One answer: a JSON body, and each event of a stream, is held till it is whole."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = {}
        self._kind = ""
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            self._kind = headers.get("content-type", "").partition(";")[0]
            self._start = message
            if self._kind == JSON:
                return
        elif message["type"] == "http.response.body":
            if self._kind == _EVENTS:
                self._body += message.get("body", b"")
                message = {**message, "body": self._whole_events()}
            elif self._kind == JSON:
                self._body += message.get("body", b"")
                if not message.get("more_body"):
                    await self._send_json(message)
                return
        await self._send(message)

    def _whole_events(self) -> bytes:
        """Take the events that have come to their end."""
        *frames, rest = bytes(self._body).split(_END)
        self._body = bytearray(rest)
        return b"".join(_event(frame) + _END for frame in frames)

    async def _send_json(self, last: Message) -> None:
        body = encoded(v1_shape(json.loads(bytes(self._body))))
        headers = MutableHeaders(raw=list(self._start["headers"]))
        headers["content-length"] = str(len(body))
        await self._send({**self._start, "headers": headers.raw})
        await self._send({**last, "body": body})


def _event(frame: bytes) -> bytes:
    head, found, data = frame.partition(_DATA)
    if not found or not data.startswith(b"{"):
        return frame
    return head + _DATA + encoded(v1_shape(json.loads(data)))


def v1_shape(value: Any) -> Any:
    """Return an answer in the shape of the first API; what it did not know stays."""
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("data"), list):
        return {**value, "data": [v1_shape(item) for item in value["data"]]}
    shape = SHAPES.get(value.get("object", ""))
    return value if shape is None else shape(value)


def _assistant(item: Item) -> Item:
    resources = item.pop("tool_resources", None) or {}
    interpreter = resources.get("code_interpreter") or {}
    file_ids = resources.get("file_ids")
    item["file_ids"] = interpreter.get("file_ids", []) if file_ids is None else file_ids
    return _with_retrieval(item)


def _thread(item: Item) -> Item:
    item.pop("tool_resources", None)
    return item


def _message(item: Item) -> Item:
    attachments = item.pop("attachments", None) or ()
    ids = (attachment.get("file_id") for attachment in attachments)
    item["file_ids"] = list(dict.fromkeys(filter(None, ids)))
    return item


def _run(item: Item) -> Item:
    item["file_ids"] = []
    return _with_retrieval(item)


def _step(item: Item) -> Item:
    _rename_searches(item["step_details"])
    return item


def _step_delta(item: Item) -> Item:
    _rename_searches(item["delta"].get("step_details") or {})
    return item


def _rename_searches(details: Item) -> None:
    for call in details.get("tool_calls") or ():
        if call.get("type") == "file_search":
            call.pop("file_search", None)
            call |= {"type": "retrieval", "retrieval": {}}


def _with_retrieval(item: Item) -> Item:
    item["tools"] = [
        {"type": "retrieval"} if tool.get("type") == "file_search" else tool
        for tool in item.get("tools") or ()
    ]
    choice = item.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "file_search":
        item["tool_choice"] = {"type": "retrieval"}
    return item


SHAPES: Mapping[str, Callable[[Item], Item]] = {
    "assistant": _assistant,
    "thread": _thread,
    "thread.message": _message,
    "thread.run": _run,
    "thread.run.step": _step,
    "thread.run.step.delta": _step_delta,
}
"""What changes an object into its old shape, by its `object`."""


class AssistantFile(WireObject):
    """Say that an assistant has a file."""

    id: str
    object: str = "assistant.file"
    created_at: int
    assistant_id: str


class MessageFile(WireObject):
    """Say that a message has a file."""

    id: str
    object: str = "thread.message.file"
    created_at: int
    message_id: str


router = APIRouter(include_in_schema=False)


@router.post("/assistants/{assistant_id}/files")
async def add_assistant_file(
    request: Request, caller: Caller, assistant_id: str
) -> Response:
    """Give an assistant a file."""
    body = await body_of(request, VectorStoreFileCreate)
    assistant = await caller.assistants.aretrieve(assistant_id)
    file_ids = [*dict.fromkeys([*_files_of(assistant), body["file_id"]])]
    await _give(caller, assistant, file_ids)
    return answer(_assistant_file(assistant, body["file_id"]))


@router.get("/assistants/{assistant_id}/files")
async def list_assistant_files(
    request: Request, caller: Caller, assistant_id: str
) -> Response:
    """List the files of an assistant."""
    assistant = await caller.assistants.aretrieve(assistant_id)
    files = [_assistant_file(assistant, one) for one in _files_of(assistant)]
    return _page(request, files)


@router.get("/assistants/{assistant_id}/files/{file_id}")
async def retrieve_assistant_file(
    caller: Caller, assistant_id: str, file_id: str
) -> Response:
    """Retrieve a file of an assistant."""
    assistant = await caller.assistants.aretrieve(assistant_id)
    _require(file_id, _files_of(assistant), f"assistant '{assistant_id}'")
    return answer(_assistant_file(assistant, file_id))


@router.delete("/assistants/{assistant_id}/files/{file_id}")
async def remove_assistant_file(
    caller: Caller, assistant_id: str, file_id: str
) -> Response:
    """Take a file from an assistant; the file itself stays."""
    assistant = await caller.assistants.aretrieve(assistant_id)
    file_ids = _files_of(assistant)
    _require(file_id, file_ids, f"assistant '{assistant_id}'")
    await _give(caller, assistant, [one for one in file_ids if one != file_id])
    return answer(Deleted(id=file_id, object="assistant.file.deleted"))


@router.get("/threads/{thread_id}/messages/{message_id}/files")
async def list_message_files(
    request: Request, caller: Caller, thread_id: str, message_id: str
) -> Response:
    """List the files of a message."""
    return _page(request, await _message_files(caller, thread_id, message_id))


@router.get("/threads/{thread_id}/messages/{message_id}/files/{file_id}")
async def retrieve_message_file(
    caller: Caller, thread_id: str, message_id: str, file_id: str
) -> Response:
    """Retrieve a file of a message."""
    files = await _message_files(caller, thread_id, message_id)
    _require(file_id, [file.id for file in files], f"message '{message_id}'")
    return answer(next(file for file in files if file.id == file_id))


async def _message_files(
    caller: TenantResources, thread_id: str, message_id: str
) -> list[MessageFile]:
    message = await message_of(caller, thread_id, message_id)
    at = message.created_at
    return [
        MessageFile(id=file_id, created_at=at, message_id=message_id)
        for file_id in _message(message.to_dict())["file_ids"]
    ]


def _files_of(assistant: Assistant) -> list[str]:
    file_ids: list[str] = _assistant(assistant.to_dict())["file_ids"]
    return file_ids


def _assistant_file(assistant: Assistant, file_id: str) -> AssistantFile:
    return AssistantFile(
        id=file_id, created_at=assistant.created_at, assistant_id=assistant.id
    )


async def _give(
    caller: TenantResources, assistant: Assistant, file_ids: list[str]
) -> None:
    resources: Any = assistant.to_dict()["tool_resources"] or {}
    resources["file_ids"] = file_ids
    await caller.assistants.aupdate(assistant.id, tool_resources=resources)


def _require(file_id: str, known: list[str], owner: str) -> None:
    if file_id not in known:
        raise NotFoundError(f"No file found with id '{file_id}' of {owner}.")


def _page(request: Request, files: list[Any]) -> Response:
    """Return a page of at most twenty files."""
    query = list_query(request)
    if query.get("order") != "asc":
        files = files[::-1]
    ids = [file.id for file in files]
    if (after := query.get("after")) is not None:
        _require(after, ids, "the list")
        files = files[ids.index(after) + 1 :]
    limit = query.get("limit") or len(files)
    page = AsyncPage(
        files[:limit],
        has_more=len(files) > limit,
        order=query.get("order") or "desc",
        fetch_next=None,
    )
    return answer(page)
