"""Objects as OpenAI's API gave them, one by one; where they are written is not here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from langchain_assistants.engine.tenant import TenantResources
from langchain_assistants.types.base import WireObject
from langchain_assistants.types.runs import Run
from langchain_assistants.types.threads import Thread

_PAGE = 100

# A fork is a thread like any other where it is taken in.
_LEFT_OUT = {"parent_id"}


class Exported(NamedTuple):
    """An object to write.

    Attributes:
        group: What it is one of, such as `messages`.
        value: Its fields.
    """

    group: str
    value: dict[str, Any]


def objects(
    owner: TenantResources, *, thread_id: str | None = None
) -> Iterator[Exported]:
    """Yield everything of a tenant, the oldest first; what is named comes before.

    Args:
        owner: Whose objects.
        thread_id: Give this thread alone, with its messages, runs and steps.

    Raises:
        NotFoundError: There is no such thread.
    """
    if thread_id is not None:
        yield from _of_thread(owner, owner.threads.retrieve(thread_id))
        return
    yield from _all("files", owner.files.list(order="asc", limit=_PAGE))
    for store in owner.vector_stores.list(order="asc", limit=_PAGE):
        yield _exported("vector_stores", store)
        attached = owner.vector_stores.files.list(store.id, order="asc", limit=_PAGE)
        yield from _all("vector_store_files", attached)
    yield from _all("assistants", owner.assistants.list(order="asc", limit=_PAGE))
    for thread in owner.threads.list(order="asc", limit=_PAGE):
        yield from _of_thread(owner, thread)


def _of_thread(owner: TenantResources, thread: Thread) -> Iterator[Exported]:
    yield _exported("threads", thread)
    messages = owner.messages.list(thread.id, order="asc", limit=_PAGE)
    yield from _all("messages", messages)
    runs = iter(owner.runs.list(thread.id, order="asc", limit=_PAGE))
    while page := list(islice(runs, _PAGE)):
        yield from _with_steps(owner, page)


def _with_steps(owner: TenantResources, runs: Sequence[Run]) -> Iterator[Exported]:
    yield from _all("runs", runs)
    yield from _all("steps", owner.exports.steps([run.id for run in runs]))


def _all(group: str, found: Iterable[WireObject]) -> Iterator[Exported]:
    return (_exported(group, item) for item in found)


def _exported(group: str, item: WireObject) -> Exported:
    fields = item.to_dict().items()
    return Exported(group, {k: v for k, v in fields if k not in _LEFT_OUT})
