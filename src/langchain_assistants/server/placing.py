"""Makes sure that an object lies where a request's path says it does.

The engine finds messages, runs and steps by their own ids; the wire names their
parents too.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from langchain_assistants.engine.tenant import TenantResources
from langchain_assistants.errors import NotFoundError
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import Run
from langchain_assistants.types.steps import RunStep
from langchain_assistants.types.validation import check_id

ObjectT = TypeVar("ObjectT", Message, Run)


async def message_of(
    caller: TenantResources, thread_id: str, message_id: str
) -> Message:
    """Return a message of a thread.

    Raises:
        NotFoundError: There is no such thread, or no such message on it.
    """
    check_id(thread_id, "thread_id", "thread_")
    found = caller.messages.aretrieve(message_id)
    return await _on_thread(caller, thread_id, found, "message")


async def run_of(caller: TenantResources, thread_id: str, run_id: str) -> Run:
    """Return a run of a thread.

    Raises:
        NotFoundError: There is no such thread, or no such run on it.
    """
    check_id(thread_id, "thread_id", "thread_")
    return await _on_thread(caller, thread_id, caller.runs.aretrieve(run_id), "run")


async def step_of(
    caller: TenantResources, thread_id: str, run_id: str, step_id: str
) -> RunStep:
    """Return a step of a run of a thread.

    Raises:
        NotFoundError: There is no such thread, run or step.
    """
    await run_of(caller, thread_id, run_id)
    step = await caller.steps.aretrieve(step_id)
    if step.run_id != run_id:
        raise NotFoundError.for_id("run step", step_id)
    return step


async def _on_thread(
    caller: TenantResources, thread_id: str, finding: Awaitable[ObjectT], kind: str
) -> ObjectT:
    try:
        found = await finding
    except NotFoundError:
        await caller.threads.aretrieve(thread_id)  # tells of the thread if it is that
        raise
    if found.thread_id != thread_id:
        await caller.threads.aretrieve(thread_id)
        raise NotFoundError.for_id(kind, found.id)
    return found
