"""Pictures in users' messages, as the model gets them: their bytes in a data URL."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage

from langchain_assistants.engine.file_rows import file_rows
from langchain_assistants.engine.workplace import Workplace
from langchain_assistants.errors import StorageError
from langchain_assistants.storage.database import Row
from langchain_assistants.tools.artifacts import mime_type

MOST_BYTES = 20_000_000
"""Of one picture: no provider takes a larger one."""


async def with_pictures(
    messages: Sequence[BaseMessage], place: Workplace, tenant: str
) -> list[BaseMessage]:
    """Return messages with stored pictures in place of their ids.

    A file that is no more, too large or no picture is named in words.

    Args:
        messages: A run's history; users' messages may hold `image_file` parts.
        place: Where the files are.
        tenant: Whose files may be shown.
    """
    wanted = [part["image_file"]["file_id"] for m in messages for part in _parts(m)]
    if not wanted:
        return list(messages)
    now = place.clock()
    rows = await place.database.read(file_rows(wanted, tenant, now))
    shown: list[BaseMessage] = []
    for message in messages:
        if any(True for _ in _parts(message)):
            content = [
                await _shown(part, rows, place) if _is_picture(part) else part
                for part in message.content
            ]
            message = message.model_copy(update={"content": content})
        shown.append(message)
    return shown


def _parts(message: BaseMessage) -> list[Any]:
    if not isinstance(message, HumanMessage) or isinstance(message.content, str):
        return []
    return [part for part in message.content if _is_picture(part)]


def _is_picture(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "image_file"


async def _shown(
    part: Any, rows: Mapping[str, Row], place: Workplace
) -> dict[str, Any]:
    held = part["image_file"]
    row = rows.get(held["file_id"])
    kind = row and (row["mime_type"] or mime_type(row["filename"]))
    if row is None or not str(kind).startswith("image/") or row["bytes"] > MOST_BYTES:
        return _named(held["file_id"])
    try:
        data = await place.blobs.read(row["id"])
    except StorageError:  # deleted meanwhile
        return _named(held["file_id"])
    address = {"url": f"data:{kind};base64,{base64.b64encode(data).decode()}"}
    if held.get("detail"):
        address["detail"] = held["detail"]
    return {"type": "image_url", "image_url": address}


def _named(file_id: str) -> dict[str, Any]:
    return {"type": "text", "text": f"[image {file_id}, which cannot be shown]"}
