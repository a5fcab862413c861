"""Messages of a graph's state and messages of a thread, each made of the other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)

from langchain_assistants.actions import to_ai_message
from langchain_assistants.engine.executor import Execution
from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.run_input import message_content
from langchain_assistants.types.messages import MessageCreate
from langchain_assistants.types.validation import validate

logger = logging.getLogger(__name__)

EDITED = "langchain_assistants_edited_calls"
"""Marks, in an AI message, calls that a person changed, with what the model is told."""


class NewInput(NamedTuple):
    """What a graph's state has for a run.

    Attributes:
        bodies: Request bodies of messages for the thread.
        source_ids: Their ids in the state.
        instructions: Of system messages, for this run only.
        earlier: Ids of messages of former invocations: the state need not keep them.
    """

    bodies: list[dict[str, Any]]
    source_ids: list[str]
    instructions: str | None
    earlier: list[str]


def new_input(
    messages: Sequence[AnyMessage], run_id: str | None, *, own_state: bool
) -> NewInput:
    """Read the messages of a state.

    Args:
        messages: Of people, of this assistant, of other agents.
        run_id: The run that the state names.
        own_state: Whether the state is the assistant's alone: then system messages of
            former invocations are over. In a larger graph they stay in force.

    Raises:
        InvalidRequestError: A message holds what a thread cannot.
    """
    begin = _end_of_run(messages, run_id)
    earlier = [message.id or "" for message in messages[:begin]]
    bodies, source_ids, orders = [], [], []
    for place, message in enumerate(messages):
        if isinstance(message, SystemMessage):
            if place >= begin or not own_state:
                orders.append(str(message.text))
            continue
        body = None if own_state and place < begin else _body(message)
        if body is not None:
            bodies.append(body)
            source_ids.append(message.id or "")
    return NewInput(bodies, source_ids, "\n\n".join(orders) or None, earlier)


def check_input(messages: Any) -> None:
    """Refuse messages that no thread can hold, before a state has taken them.

    Raises:
        InvalidRequestError: A message is one.
    """
    given = messages if isinstance(messages, list) else [messages]
    for message in convert_to_messages(given):
        _body(message)


def open_calls(messages: Sequence[AnyMessage]) -> AIMessage | None:
    """Return the newest answer with calls if nobody has spoken since."""
    answer = _answer_with_calls(messages)
    if answer is None or has_spoken(messages[messages.index(answer) :]):
        return None
    return answer


def has_spoken(messages: Sequence[AnyMessage]) -> bool:
    """Tell whether a person has spoken."""
    return any(isinstance(message, HumanMessage) for message in messages)


def _answer_with_calls(messages: Sequence[AnyMessage]) -> AIMessage | None:
    for message in reversed(messages):
        if isinstance(message, AIMessage) and message.tool_calls:
            return message
    return None


def outputs(messages: Sequence[AnyMessage]) -> dict[str, str] | None:
    """Return the outputs of the newest answer's calls, by call id, if all are there."""
    answer = _answer_with_calls(messages)
    if answer is None:
        return None
    notes = answer.additional_kwargs.get(EDITED, {})
    given = {
        message.tool_call_id: notes.get(message.tool_call_id, "") + str(message.text)
        for message in messages[messages.index(answer) :]
        if isinstance(message, ToolMessage)
    }
    wanted = [call["id"] or "" for call in answer.tool_calls]
    if not all(call_id in given for call_id in wanted):
        return None
    return {call_id: given[call_id] for call_id in wanted}


def answers(execution: Execution, known: set[str | None]) -> list[AIMessage]:
    """Return what a run wrote since, and the calls that it requires, as AI messages."""
    run, action = execution.run, execution.run.required_action
    fresh = [message for message in execution.messages if message.id not in known]
    submit = None if action is None else action.submit_tool_outputs
    calls = [] if submit is None else submit.tool_calls
    if not calls:
        return [to_ai_message(run, [message], []) for message in fresh]
    made = to_ai_message(run, fresh[-1:], calls)
    made.id = made.id or execution.open_step_id
    return [*(to_ai_message(run, [message], []) for message in fresh[:-1]), made]


def _end_of_run(messages: Sequence[AnyMessage], run_id: str | None) -> int:
    """Return where the messages after a run's own begin."""
    if run_id is None:
        return 0
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        metadata = getattr(message, "response_metadata", None) or {}
        if isinstance(message, AIMessage) and metadata.get("run_id") == run_id:
            place += 1
            while place < len(messages) and isinstance(messages[place], ToolMessage):
                place += 1
            return place
    return 0


def _body(message: BaseMessage) -> dict[str, Any] | None:
    """Return the body of a message for the thread, None of one that has no place."""
    role = getattr(message, "role", None)
    if isinstance(message, HumanMessage) or (
        isinstance(message, ChatMessage) and role == "user"
    ):
        return _checked("user", message)
    if isinstance(message, AIMessage) or role == "assistant":
        return _checked("assistant", message) if str(message.text) else None
    if not isinstance(message, ToolMessage):
        logger.info("message_skipped", extra={"type": type(message).__name__})
    return None


def _checked(role: str, message: BaseMessage) -> dict[str, Any]:
    try:
        content = str(message.text) if role == "assistant" else message_content(message)
        return validate(MessageCreate, {"role": role, "content": content})
    except (TypeError, InvalidRequestError) as error:
        which = f"Message {message.id}" if message.id else "A message"
        raise InvalidRequestError(
            f"{which} of the graph's state cannot join the thread: {error}",
            code="invalid_value",
            param="messages",
        ) from error
