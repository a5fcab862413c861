"""Wire objects as HTML for notebooks: self-contained, without scripts.

Everything in them is untrusted, whether a user, a model or a tool wrote it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar
from xml.etree.ElementTree import Element

from langchain_assistants.types.assistants import Assistant
from langchain_assistants.types.base import WireObject
from langchain_assistants.types.html.cards import (
    assistant_card,
    rows,
    thread_context,
    thread_head,
)
from langchain_assistants.types.html.conversation import chat, turn
from langchain_assistants.types.html.elements import count, element, note, write
from langchain_assistants.types.html.files import Files, read_files
from langchain_assistants.types.html.timeline import step_rows, timeline
from langchain_assistants.types.messages import Message
from langchain_assistants.types.pages import AsyncPage, Page
from langchain_assistants.types.records import Origin, RunRecord, origin_of
from langchain_assistants.types.runs import Run
from langchain_assistants.types.steps import RunStep
from langchain_assistants.types.threads import Thread

logger = logging.getLogger(__name__)

T = TypeVar("T")
AnyPage = Page[WireObject] | AsyncPage[WireObject]


def to_html(item: object) -> str | None:
    """Return an object or a page as HTML; None: it has no form but its text.

    It never raises: a notebook must be able to show a broken object too.
    """
    try:
        view = _view(item)
        return None if view is None else write(view)
    except Exception as error:
        logger.warning("display_failed", extra={"error": type(error).__name__})
        logger.debug("display_failed_by", exc_info=error)
        return None


def _view(item: object) -> Element | None:
    match item:
        case Thread():
            return _thread(item)
        case Run():
            return _run(item)
        case Message():
            return turn(item, _files(item, messages=[item]))
        case RunStep():
            return step_rows([item], RunRecord(), _files(item, steps=[item]))
        case Assistant():
            return assistant_card(item)
        case RunRecord(run=Run()):
            return _timeline(item)
        case Page() | AsyncPage():
            return _page(item)
        case [Message(), *_]:
            messages = [part for part in item if isinstance(part, Message)]
            if len(messages) < len(item):
                return None
            return chat(messages, _files(messages[0], messages=messages))
        case _:
            return None


def _thread(thread: Thread) -> Element:
    conversation = _read(thread, lambda origin: origin.conversation(thread.id))
    card = element("div", "card", thread_head(thread), thread_context(thread))
    if conversation is None:
        hint = f'engine.messages.list("{thread.id}") gives its messages.'
        card.append(element("div", "note", hint))
    else:
        left, shown = conversation.earlier, conversation.messages
        earlier = f"… {count(left, 'earlier message')}" if left else None
        files = _files(thread, messages=shown)
        card.append(chat(shown, files, earlier=earlier))
    return card


def _run(run: Run) -> Element:
    record = _read(run, lambda origin: origin.record(run.id))
    if record is None or record.run is None:
        hint = f'engine.steps.list("{run.id}") gives its steps.'
        return _timeline(RunRecord(run, remark=hint))
    now = record.run.status
    if now != run.status:
        record.remark = (
            f"This object says {run.status}; now the run is {now}: "
            f'engine.runs.retrieve("{run.id}").'
        )
    record.run = run
    return _timeline(record)


def _timeline(record: RunRecord) -> Element:
    assert record.run is not None
    files = _files(record.run, messages=record.messages, steps=record.steps)
    return timeline(record, files)


def _page(page: AnyPage) -> Element | None:
    newest_first = page.order == "desc"
    items = page.data[::-1] if newest_first else page.data
    more = "… more on the next page" if page.has_more else None
    before, after = (more, None) if newest_first else (None, more)
    messages = [item for item in items if isinstance(item, Message)]
    steps = [item for item in items if isinstance(item, RunStep)]
    if messages:
        files = _files(messages[0], messages=messages)
        list_ = chat(messages, files, earlier=before)
    elif steps:
        rows_ = step_rows(steps, RunRecord(), _files(steps[0], steps=steps))
        list_ = element("div", "", note(before), rows_)
    else:
        return rows(page.data, more=more)
    return element("div", "card", list_, note(after))


def _files(
    item: WireObject,
    *,
    messages: Sequence[Message] = (),
    steps: Sequence[RunStep] = (),
) -> Files:
    """Read the files of objects where one of them comes from."""
    return _read(item, lambda origin: read_files(origin, messages, steps)) or {}


def _read(item: WireObject, read: Callable[[Origin], T]) -> T | None:
    """Read what belongs to an object; None: its engine is unknown or closed."""
    origin = origin_of(item)
    if origin is None:
        return None
    try:
        return read(origin)
    except Exception as error:
        logger.debug("origin_not_readable", exc_info=error)
        return None
