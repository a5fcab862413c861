"""A run as the timeline of its steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from langchain_assistants.types.html.conversation import body
from langchain_assistants.types.html.elements import (
    Child,
    badge,
    block,
    code,
    count,
    duration,
    element,
    folded,
    head,
    moment,
    muted,
    note,
    title,
)
from langchain_assistants.types.html.files import (
    Files,
    stored_picture,
    without_pictures_of,
)
from langchain_assistants.types.messages import Message
from langchain_assistants.types.records import RunRecord
from langchain_assistants.types.runs import LastError, RequiredAction, Run, Usage
from langchain_assistants.types.steps import (
    CodeInterpreterCall,
    FileSearchCall,
    FunctionCall,
    LogsOutput,
    MessageCreationDetails,
    RunStep,
    ToolCall,
)

_LONGEST_OUTPUT = 10_000
_LONGEST_LINE = 100
_MOST_STEPS = 100
# Longer arguments are not decoded, only shown.
_LONGEST_ARGUMENTS = 20_000
_BADGES = {
    "completed": "good",
    "queued": "busy",
    "in_progress": "busy",
    "requires_action": "ask",
    "incomplete": "ask",
    "failed": "bad",
    "expired": "bad",
}


def timeline(record: RunRecord, files: Files) -> Element:
    """Show a run that is known with its steps, and what it asks for."""
    run = record.run
    assert run is not None
    steps = record.steps[-_MOST_STEPS:]
    left_out = len(record.steps) - len(steps)
    return element(
        "div",
        "card",
        run_head(run),
        note(f"… {count(left_out, 'earlier step')}" if left_out else None),
        step_rows(steps, record, files),
        *_endings(run, record),
        note(record.remark),
    )


def run_head(run: Run) -> Element:
    """Show a run's status, name, time and cost on one line."""
    took = duration(
        run.started_at or run.created_at,
        run.completed_at,
        run.failed_at,
        run.cancelled_at,
    )
    return head(
        title("Run"),
        badge(run.status, _BADGES.get(run.status, "")),
        code(run.model),
        None if took is None else muted(took),
        _tokens(run.usage),
        element("span", "end", moment(run.created_at), " · ", _faint(run.id)),
    )


def step_rows(
    steps: Sequence[RunStep], record: RunRecord, files: Files
) -> Element | None:
    """Show steps below each other; None: there are none.

    Messages are taken from the record. A picture that one has is not shown by the
    call that made it too.
    """
    if not steps:
        return None
    messages = [_message(step, record) for step in steps]
    of_calls = without_pictures_of(filter(None, messages), files)
    rows = (
        _step(step, message, of_calls if message is None else files)
        for step, message in zip(steps, messages, strict=True)
    )
    return element("div", "steps", *rows, role="list")


def _message(step: RunStep, record: RunRecord) -> Message | None:
    """Return the message that a step wrote, if it is known."""
    details = step.step_details
    if not isinstance(details, MessageCreationDetails):
        return None
    return record.message(details.message_creation.message_id)


def _step(step: RunStep, message: Message | None, files: Files) -> Element:
    details = step.step_details
    took = duration(
        step.created_at,
        step.completed_at,
        step.failed_at,
        step.cancelled_at,
        step.expired_at,
    )
    ended_well = step.status == "completed"
    style = _BADGES.get(step.status, "")
    shown: list[Child] = []
    if isinstance(details, MessageCreationDetails):
        kind = "Message"
        if message is None:
            shown.append(_faint(details.message_creation.message_id))
        else:
            shown.append(element("div", "bubble", *body(message, files)))
    else:
        kind = "Tool call" if len(details.tool_calls) == 1 else "Tool calls"
        shown += [_call(call, step.status, files) for call in details.tool_calls]
    line = head(
        title(kind),
        None if ended_well else badge(step.status, style),
        None if took is None else muted(took),
        _tokens(step.usage),
    )
    shown.append(_error(step.last_error))
    return element("div", f"step {style}", line, *shown, role="listitem")


def signature(name: str, arguments: str) -> Iterator[Element]:
    """Yield a call: on one line as Python writes it, else the arguments below."""
    given = _decoded(arguments)
    line = arguments.strip()
    if isinstance(given, dict):
        line = ", ".join(f"{key}={_json(value)}" for key, value in given.items())
    fits = len(line) <= _LONGEST_LINE and "\n" not in line
    called = element("span", "name", name)
    yield element("code", "", called, f"({line})" if fits else "(…)")
    if not fits:
        text = arguments if given is None else _json(given, indent=2)
        yield folded("Arguments", text, "output", longest=_LONGEST_OUTPUT)


def _endings(run: Run, record: RunRecord) -> Iterator[Element]:
    """Yield why the run stopped, and what it waits for."""
    error = _error(run.last_error)
    if error is not None:
        yield error
    if run.status == "incomplete" and run.incomplete_details is not None:
        reason = run.incomplete_details.reason or "its budget"
        yield element("div", "box ask", f"Stopped at {reason}.")
    if run.required_action is not None:
        yield from required(run.required_action)
    if record.error is not None:
        broken = f"The stream broke: {record.error.message}"
        yield element("div", "box bad", *block(broken, "text", longest=_LONGEST_OUTPUT))


def required(action: RequiredAction) -> Iterator[Element]:
    """Yield what a run waits for."""
    if action.submit_tool_outputs is not None:
        calls = action.submit_tool_outputs.tool_calls
        box = element("div", "box ask", title("Waits for outputs of"))
        for call in calls:
            line, *arguments = signature(call.function.name, call.function.arguments)
            box.append(element("div", "", line, " ", _faint(call.id)))
            box.extend(arguments)
        yield box
    if action.approval is not None:
        box = element("div", "box ask", title("Waits for approval"))
        for request in action.approval.requests:
            asked = _json(request.value, indent=2)
            box.append(element("div", "", _faint(request.id)))
            box.extend(block(asked, "output", longest=_LONGEST_OUTPUT))
        yield box


def _call(call: ToolCall, status: str, files: Files) -> Element:
    match call:
        case FunctionCall(function=function):
            shown = [*signature(function.name, function.arguments)]
            if function.output is not None:
                shown.append(_output("Output", function.output))
            elif status == "in_progress":
                shown.append(element("div", "", muted("no output yet")))
        case CodeInterpreterCall(code_interpreter=execution):
            name = element("span", "name", "code_interpreter")
            shown = [element("code", "", name)]
            shown.append(_output("Code", execution.input, style="code"))
            for output in execution.outputs:
                if isinstance(output, LogsOutput):
                    shown.append(_output("Output", output.logs))
                else:
                    shown.append(stored_picture(output.image.file_id, files))
        case FileSearchCall(file_search=search):
            query = "" if search.query is None else _json({"query": search.query})
            shown = [*signature("file_search", query)]
            for result in search.results or ():
                page = "" if result.page is None else f"p. {result.page} "
                line = f"{result.score:.2f}  {result.file_name} {page}"
                shown.append(element("div", "", line, _faint(result.file_id)))
                shown += [_output("Text", found.text) for found in result.content or ()]
    return element("div", "call", *shown)


def _output(label: str, text: str, *, style: str = "output") -> Element:
    return folded(label, text or "(empty)", style, longest=_LONGEST_OUTPUT)


def _error(error: LastError | None) -> Element | None:
    if error is None:
        return None
    return element(
        "div",
        "box bad",
        title(error.code),
        *block(error.message, "text", longest=_LONGEST_OUTPUT),
    )


def _tokens(usage: Usage | None) -> Element | None:
    if usage is None or not usage.total_tokens:
        return None
    shown = muted(count(usage.total_tokens, "token"))
    shown.set(
        "title",
        f"{usage.prompt_tokens:,} prompt, {usage.completion_tokens:,} completion",
    )
    return shown


def _faint(name: str) -> Element:
    return muted(code(name))


def _decoded(arguments: str) -> Any:
    """Decode JSON; None where a model wrote something else."""
    if len(arguments) > _LONGEST_ARGUMENTS:
        return None
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return None


def _json(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)
