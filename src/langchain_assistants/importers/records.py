"""Objects as they are taken in: recognised by `object`, mended, checked against types.

Where they came from and where they go to is not here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from langchain_assistants.engine.v1_files import store_name
from langchain_assistants.importers.repairs import (
    JSON,
    Mend,
    clean,
    is_clean,
    mend_message,
    mend_metadata,
    mend_run,
    mend_step,
    mend_times,
    mend_tools,
)
from langchain_assistants.types.assistants import Assistant
from langchain_assistants.types.base import WireObject
from langchain_assistants.types.files import File
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import Run
from langchain_assistants.types.steps import RunStep
from langchain_assistants.types.threads import Thread
from langchain_assistants.types.vector_stores import VectorStore, VectorStoreFile

_ID = re.compile(r"[a-z]+[_-][A-Za-z0-9_-]{1,120}", re.ASCII)


class Kind(NamedTuple):
    """A kind of object that is taken.

    Attributes:
        type: Its wire object.
        prefix: How its ids begin.
        parent: The field that names what it belongs to.
        mends: What is mended of it, besides times and metadata.
    """

    type: type[WireObject]
    prefix: str
    parent: str | None = None
    mends: tuple[Mend, ...] = ()


KINDS: Mapping[str, Kind] = {
    "file": Kind(File, "file-"),
    "vector_store": Kind(VectorStore, "vs_"),
    "vector_store.file": Kind(VectorStoreFile, "file-", "vector_store_id"),
    "assistant": Kind(Assistant, "asst_", None, (mend_tools,)),
    "thread": Kind(Thread, "thread_"),
    "thread.message": Kind(Message, "msg_", "thread_id", (mend_message,)),
    "thread.run": Kind(Run, "run_", "thread_id", (mend_tools, mend_run)),
    "thread.run.step": Kind(RunStep, "step_", "run_id", (mend_step,)),
}
"""The kinds in the order in which they are taken: what is named comes before."""

NOT_NEEDED = {
    "assistant.file",
    "thread.message.file",
    "upload",
    "upload.part",
    "vector_store.file_batch",
    "vector_store.files_batch",
}
"""What says nothing that other objects do not say."""


class Record(NamedTuple):
    """An object that is ready to be taken.

    Attributes:
        kind: Its `object`.
        parent: The id of what it belongs to; "" of what belongs to nothing.
        created_at: In seconds.
        run_id: Of a message, the run that wrote it.
        json: Its fields as on the wire, none unknown.
        repairs: What was mended, in words.
    """

    kind: str
    id: str
    parent: str
    created_at: int
    run_id: str | None
    json: str
    repairs: Sequence[str] = ()


class Refused(Exception):
    """An object cannot be taken; the message says why."""


def is_object(item: Mapping[str, Any]) -> bool:
    """Tell an object of some API from what contains some."""
    return isinstance(item.get("object"), str) and item["object"] != "list"


def to_records(
    item: JSON, model_map: Mapping[str, str], *, plain: bool = False
) -> Iterator[Record]:
    """Yield the record of an object, and those of what is made for it.

    Args:
        item: The object as it was found; it is changed.
        model_map: New names for the models of assistants.
        plain: Whether all its characters are known to be such as can be stored.

    Raises:
        Refused: It cannot be taken.
    """
    kind = KINDS.get(item["object"])
    if kind is None:
        if item["object"] in NOT_NEEDED:
            return
        raise Refused("its `object` is none of the Assistants API")
    repairs: list[str] = []
    if not plain and not is_clean(item):
        item = clean(item)
        repairs.append("characters that cannot be stored were replaced")
    for mend in (mend_times, mend_metadata, *kind.mends):
        repairs += mend(item)
    made: Sequence[Record] = ()
    if item["object"] == "assistant":
        made = _mend_assistant(item, model_map, repairs)
    yield from made
    yield _record(item, kind, repairs)


def _record(item: JSON, kind: Kind, repairs: Sequence[str]) -> Record:
    _check_id(item.get("id"), "id", kind.prefix)
    parent = ""
    if kind.parent is not None:
        prefix = kind.parent.removesuffix("_id")
        _check_id(item.get(kind.parent), kind.parent, _PARENT_PREFIXES[prefix])
        parent = item[kind.parent]
    created_at = item.get("created_at")
    if not isinstance(created_at, int) or not 0 <= created_at < 2**33:
        raise Refused("its `created_at` is no time")
    known = kind.type.model_fields
    try:
        checked = kind.type.model_validate(
            {name: value for name, value in item.items() if name in known}
        )
    except ValidationError as error:
        raise Refused(_reason(error)) from None
    return Record(
        item["object"],
        item["id"],
        parent,
        created_at,
        checked.run_id if isinstance(checked, Message) else None,
        checked.model_dump_json(),
        repairs,
    )


_PARENT_PREFIXES = {"thread": "thread_", "run": "run_", "vector_store": "vs_"}


def _check_id(value: object, name: str, prefix: str) -> None:
    if not isinstance(value, str) or not value.startswith(prefix):
        raise Refused(f"its `{name}` is no id that begins with {prefix}")
    if not _ID.fullmatch(value):
        raise Refused(f"its `{name}` has characters that no id has")


def _reason(error: ValidationError) -> str:
    """Say which field breaks which rule, and nothing of what is in it."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"`{path}` has an unknown type"
    return f"`{path}`: {first['msg'][0].lower()}{first['msg'][1:]}"


def _mend_assistant(
    item: JSON, model_map: Mapping[str, str], repairs: list[str]
) -> list[Record]:
    """Map the model, and v1's `file_ids`; return the vector store that is made."""
    model = item.get("model")
    if isinstance(model, str) and model in model_map:
        item["model"] = model_map[model]
        repairs.append("its model has the name of the model map")
    file_ids = item.pop("file_ids", None)
    resources = item.get("tool_resources") or {}
    if not file_ids or resources or not isinstance(file_ids, list):
        return []
    types = {
        tool.get("type") for tool in item.get("tools") or () if isinstance(tool, dict)
    }
    repairs.append("its file_ids are tool_resources now (v1)")
    resources["file_ids"] = file_ids
    if "code_interpreter" in types:
        resources["code_interpreter"] = {"file_ids": file_ids}
    made: list[Record] = []
    if "file_search" in types:
        made = list(_store_of(str(item.get("id")), item.get("created_at"), file_ids))
        resources["file_search"] = {"vector_store_ids": [made[0].id]}
    item["tool_resources"] = resources
    return made


def _store_of(
    assistant_id: str, created_at: Any, file_ids: Sequence[str]
) -> Iterator[Record]:
    """Yield a vector store of an assistant's files; its id follows from his."""
    digest = hashlib.sha256(assistant_id.encode()).hexdigest()
    at = {"created_at": created_at}
    store_id = f"vs_{digest[:24]}"
    store = {
        **at,
        "id": store_id,
        "object": "vector_store",
        "name": store_name(assistant_id),
        "usage_bytes": 0,
        "file_counts": {},
        "status": "completed",
        "last_active_at": created_at,
        "metadata": {},
    }
    yield _record(store, KINDS["vector_store"], ())
    for file_id in file_ids:
        attached = {
            **at,
            "id": file_id,
            "object": "vector_store.file",
            "vector_store_id": store_id,
            "usage_bytes": 0,
            "status": "completed",
        }
        yield _record(attached, KINDS["vector_store.file"], ())
