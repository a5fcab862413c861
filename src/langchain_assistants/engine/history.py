"""What a run shows to the model of the thread so far, as LangChain messages.

Messages and tool calls are read by cursor, so a turn costs the same in a thread of a
hundred messages and of a hundred thousand. Every call comes with an output.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    messages_from_dict,
    messages_to_dict,
)
from langchain_core.messages.utils import count_tokens_approximately, trim_messages
from sqlalchemy import select, update

from langchain_assistants.engine.call_types import for_model, outcome
from langchain_assistants.engine.run_settings import RunSettings
from langchain_assistants.engine.step_rows import select_tool_calls
from langchain_assistants.storage.database import (
    Row,
    Statement,
    Transaction,
    from_json,
    param,
    to_json,
)
from langchain_assistants.storage.tables import messages, run_steps, runs, threads

_WINDOW = Statement(
    select(
        messages.c.seq,
        messages.c.id,
        messages.c.role,
        messages.c.run_id,
        messages.c.content,
        messages.c.model_content,
    )
    .where(
        messages.c.thread_id == param("thread_id"),
        messages.c.seq >= param("low"),
        messages.c.seq <= param("cursor"),
    )
    .order_by(messages.c.seq.desc())
    .limit(param("limit"))
)
_NEWEST_FIRST = (
    run_steps.c.position.desc(),
    run_steps.c.created_at.desc(),
    run_steps.c.seq.desc(),
)
_TOOL_CALLS = Statement(
    select_tool_calls(
        run_steps.c.position <= param("cursor"), run_steps.c.run_id != param("run_id")
    )
    .order_by(*_NEWEST_FIRST)
    .limit(param("limit"))
)
_TOOL_CALLS_BEFORE_FORK = Statement(
    select_tool_calls(
        run_steps.c.position <= param("through"), runs.c.seq <= param("last_run")
    )
    .join(runs, runs.c.id == run_steps.c.run_id)
    .order_by(*_NEWEST_FIRST)
    .limit(param("limit"))
)
_PARENT = Statement(
    select(threads.c.parent_id, threads.c.parent_seq, threads.c.parent_run).where(
        threads.c.id == param("id")
    )
)
_THREAD = Statement(
    select(
        threads.c.parent_id,
        threads.c.context,
        threads.c.summary,
        select(runs.c.status)
        .where(runs.c.id == param("run_id"))
        .scalar_subquery()
        .label("run_status"),
    ).where(threads.c.id == param("id"))
)
_SET_SUMMARY = Statement(
    update(threads).where(threads.c.id == param("id")).values(summary=param("summary"))
)

_MISSING_OUTPUT = "Error: the run ended as {status} before this call had an output."


@dataclass(slots=True)
class Window:
    """The part of a thread that a run shows to the model.

    Attributes:
        messages: Oldest first; human first, every tool call followed by its outputs.
        positions: By id, the number of the thread message an entry is or follows.
        context: The thread's own context, to be rendered into the prompt.
        run_status: Of the run, read at the same moment.
        sources: Results of searches that the messages show.
    """

    messages: list[BaseMessage] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    context: Mapping[str, Any] | None = None
    run_status: str | None = None
    sources: list[Mapping[str, Any]] = field(default_factory=list)


def read_window(
    thread_id: str, run_id: str, cursor: int, settings: RunSettings, limit: int
) -> Transaction[Window]:
    """Read what a run on a thread may show to the model.

    Args:
        thread_id: The thread.
        run_id: The run; its own tool calls are in its state, not in the history.
        cursor: Number of the newest message that the run answers.
        settings: Say how many messages, and whether tool calls are shown.
        limit: Most messages, unless the run asks for `last_messages`.
    """
    thread = (yield _THREAD(id=thread_id, run_id=run_id))[0]
    summary = from_json(thread["summary"]) or {}
    strategy, most_steps = settings.truncation_strategy, limit
    if strategy["type"] == "last_messages":
        limit = strategy["last_messages"]
    low = summary.get("seq", 0)
    rows = yield _WINDOW(thread_id=thread_id, low=low, cursor=cursor, limit=limit)
    steps: Sequence[Row] = ()
    if settings.history == "full":
        if len(rows) == limit and rows:
            low = rows[-1]["seq"]
        newest = yield _TOOL_CALLS(
            thread_id=thread_id, low=low, cursor=cursor, run_id=run_id, limit=most_steps
        )
        if thread["parent_id"] is not None:
            newest += yield from _calls_before_fork(
                thread_id, low, most_steps - len(newest)
            )
        steps = newest[::-1]
    entries = list(entries_of(list(reversed(rows)), steps))
    window = Window(
        context=from_json(thread["context"]),
        run_status=thread["run_status"],
        sources=[source for step in steps for source in _sources(step)],
    )
    if summary:
        entries = _after(entries, summary["through"])
        window.messages = list(messages_from_dict(summary["messages"]))
    # A window that cuts through a turn begins with the next user message.
    started = bool(window.messages)
    for seq, message in entries:
        started = started or isinstance(message, HumanMessage)
        if started:
            window.messages.append(message)
            window.positions[message.id or ""] = seq
    return window


def _calls_before_fork(thread_id: str, low: int, limit: int) -> Transaction[list[Row]]:
    """Read tool calls of the threads that a fork comes from, newest first."""
    found: list[Row] = []
    through: int | None = None
    last_run: int | None = None
    while len(found) < limit:
        parents = yield _PARENT(id=thread_id)
        if not parents or (thread_id := parents[0]["parent_id"]) is None:
            break
        reach, newest = parents[0]["parent_seq"], parents[0]["parent_run"]
        through = reach if through is None else min(through, reach)
        last_run = newest if last_run is None else min(last_run, newest)
        found += yield _TOOL_CALLS_BEFORE_FORK(
            thread_id=thread_id,
            low=low,
            through=through,
            last_run=last_run,
            limit=limit - len(found),
        )
    return found


def set_summary(
    thread_id: str, through: str, seq: int, prefix: Sequence[BaseMessage]
) -> Transaction[None]:
    """Keep what a middleware made of the messages up to and with `through`."""
    summary = {"through": through, "seq": seq, "messages": messages_to_dict(prefix)}
    yield _SET_SUMMARY(id=thread_id, summary=to_json(summary))


def system_message(
    instructions: str | None,
    context: Mapping[str, Any] | None,
    notes: Sequence[str] = (),
) -> SystemMessage | None:
    """Render instructions, the thread's context and notes; None where there is none."""
    parts = [instructions] if instructions else []
    if context:
        lines = [
            f"- {name}: {value if isinstance(value, str) else json.dumps(value)}"
            for name, value in context.items()
        ]
        parts.append("\n".join(["Context of this conversation:", *lines]))
    parts += notes
    return SystemMessage("\n\n".join(parts)) if parts else None


def fit(
    history: Sequence[BaseMessage],
    max_tokens: int,
    count: Callable[[Sequence[BaseMessage]], int] = count_tokens_approximately,
) -> list[BaseMessage]:
    """Keep the newest messages that fit, from a user message on; maybe none.

    Args:
        history: Oldest first.
        max_tokens: The budget, in approximate tokens.
        count: How tokens are counted.
    """
    if count(history) <= max_tokens:
        return list(history)
    return trim_messages(
        history,
        max_tokens=max_tokens,
        strategy="last",
        start_on="human",
        token_counter=count,
    )


def entries_of(
    rows: Sequence[Row], steps: Sequence[Row]
) -> Iterator[tuple[int, BaseMessage]]:
    """Merge messages and tool calls into the order in which they happened.

    Args:
        rows: Messages by number.
        steps: Steps with tool calls, by position.

    Yields:
        LangChain messages, each with the number of the message it is or follows.
    """
    pending = iter(steps)
    step = next(pending, None)
    first = rows[0]["seq"] if rows else None
    while step is not None and (first is None or step["position"] < first):
        yield from _tool_turn(step, None)
        step = next(pending, None)
    for row in rows:
        message = _message(row)
        # Before it come the calls behind a message that was deleted.
        while step is not None and step["position"] <= row["seq"]:
            said = None
            if step["position"] == row["seq"]:
                # Text and calls of one model answer are one message again.
                said = message if step["run_id"] == row["run_id"] else None
                if said is None and message is not None:
                    yield row["seq"], message
                message = None
            yield from _tool_turn(step, said)
            step = next(pending, None)
        if message is not None:
            yield row["seq"], message
    while step is not None:
        yield from _tool_turn(step, None)
        step = next(pending, None)


def _message(row: Row) -> BaseMessage | None:
    parts = from_json(row["model_content"] or row["content"])
    if row["role"] == "user":
        return HumanMessage(_model_content(parts, pictures=True), id=row["id"])
    content = _model_content(parts, pictures=False)
    return AIMessage(content, id=row["id"]) if content else None


def _model_content(
    parts: Sequence[Mapping[str, Any]], *, pictures: bool
) -> str | list[Any]:
    """Return content parts in LangChain's form; one text as a plain string.

    Args:
        parts: As stored.
        pictures: Whether stored pictures stay what they are, to be read later; no
            provider takes one in a model's own message.
    """
    blocks: list[Any] = []
    for part in parts:
        kind = part["type"]
        if kind == "text":
            blocks.append({"type": "text", "text": part["text"]["value"]})
        elif kind == "refusal":
            blocks.append({"type": "text", "text": part["refusal"]})
        elif kind == "image_url":
            blocks.append({"type": "image_url", "image_url": part["image_url"]})
        elif pictures:
            blocks.append({"type": "image_file", "image_file": part["image_file"]})
        else:
            file_id = part["image_file"]["file_id"]
            blocks.append({"type": "text", "text": f"[image {file_id}]"})
    if len(blocks) == 1 and blocks[0]["type"] == "text":
        text: str = blocks[0]["text"]
        return text
    return blocks


def _tool_turn(
    step: Row, said: BaseMessage | None
) -> Iterator[tuple[int, BaseMessage]]:
    calls: list[ToolCall] = []
    outputs: list[ToolMessage] = []
    for call in from_json(step["details"])["tool_calls"]:
        name, arguments, output = for_model(call)
        if output is None and not _is_object(arguments):
            continue  # cut off while the model was writing it
        calls.append(ToolCall(name=name, args=_arguments(arguments), id=call["id"]))
        missing = output is None
        outputs.append(
            ToolMessage(
                _MISSING_OUTPUT.format(status=step["status"]) if missing else output,
                name=name,
                tool_call_id=call["id"],
                id=f"{step['id']}:{call['id']}",
                status="error" if missing else "success",
            )
        )
    if not calls:
        if said is not None:
            yield step["position"], said
        return
    answer_id = step["id"] if said is None else said.id
    content = "" if said is None else said.content
    position = step["position"]
    yield position, AIMessage(content, tool_calls=calls, id=answer_id)
    for output_message in outputs:
        yield position, output_message


def _sources(step: Row) -> Iterator[Mapping[str, Any]]:
    if '"file_search"' in step["details"]:
        for call in from_json(step["details"])["tool_calls"]:
            if call["type"] == "file_search":
                yield from outcome(call) or ()


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except ValueError:
        return False


def _arguments(text: str) -> dict[str, Any]:
    """Decode arguments; the malformed ones of a call that was answered are empty."""
    return json.loads(text) if _is_object(text) else {}


def _after(
    entries: Sequence[tuple[int, BaseMessage]], through: str
) -> list[tuple[int, BaseMessage]]:
    for index, (_, message) in enumerate(entries):
        if message.id == through:
            return list(entries[index + 1 :])
    return list(entries)
