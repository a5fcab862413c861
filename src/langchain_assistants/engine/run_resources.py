"""The tool resources that a run has: its assistant's and its thread's."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import select

from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    from_json,
    param,
)
from langchain_assistants.storage.tables import assistants, threads

_RESOURCES = Statement(
    select(
        select(assistants.c.tool_resources)
        .where(assistants.c.id == param("assistant_id"))
        .scalar_subquery()
        .label("assistant"),
        threads.c.tool_resources.label("thread"),
    ).where(threads.c.id == param("thread_id"))
)


class RunResources(NamedTuple):
    """Resources of one tool, as on the wire; empty where there are none."""

    assistant: dict[str, Any]
    thread: dict[str, Any]


def run_resources(run: Row, tool: str) -> Transaction[RunResources]:
    """Read what a run's assistant, if it is still there, and its thread have."""
    rows = yield _RESOURCES(
        assistant_id=run["assistant_id"], thread_id=run["thread_id"]
    )
    return RunResources(
        *((from_json(rows[0][of]) or {}).get(tool) or {} for of in RunResources._fields)
    )
