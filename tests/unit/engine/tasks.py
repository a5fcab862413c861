"""Runs as the tasks of a caller's graph ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.conversations import user

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.executor import Execution
from langchain_assistants.engine.graph_tasks import GraphTask
from langchain_assistants.engine.run_creation import RunRequest
from langchain_assistants.engine.threads import NewThread
from langchain_assistants.types import Assistant
from langchain_assistants.types.messages import MessageCreate
from langchain_assistants.types.runs import RunCreate
from langchain_assistants.types.validation import validate

TASK = GraphTask("task_1#0", "graph", "assistant")


def request(
    engine: AssistantsEngine,
    assistant: Assistant,
    thread: str | NewThread,
    *said: str,
    task: GraphTask | None = TASK,
    source_ids: Sequence[str] | None = None,
    body: dict[str, Any] | None = None,
    **given: Any,
) -> RunRequest:
    """Ask for a run as a node of a graph does; the texts are their messages' ids."""
    return RunRequest(
        engine.threads.tenant,
        thread,
        validate(RunCreate, {"assistant_id": assistant.id, **(body or {})}),
        messages=[validate(MessageCreate, user(text)) for text in said],
        source_ids=said if source_ids is None else source_ids,
        task=task,
        **given,
    )


def wrote(execution: Execution) -> list[str]:
    return [message.text for message in execution.messages]
