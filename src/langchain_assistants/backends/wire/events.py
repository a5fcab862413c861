"""The wire's events as ours, and what they tell of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from langchain_assistants.backends.wire.sdk import Frame, as_json
from langchain_assistants.errors import AssistantsError
from langchain_assistants.types.base import WireObject
from langchain_assistants.types.events import (
    EVENT_NAMES,
    EventName,
    MessageDelta,
    RunStepDelta,
    StreamError,
)
from langchain_assistants.types.messages import Message
from langchain_assistants.types.runs import Run
from langchain_assistants.types.steps import RunStep
from langchain_assistants.types.threads import Thread

ObjectT = TypeVar("ObjectT", bound=WireObject)

_STATUS_EVENTS = {name.removeprefix("thread.run."): name for name in EVENT_NAMES}
# The first beginning that fits.
_TYPES: tuple[tuple[str, type[WireObject]], ...] = (
    ("thread.created", Thread),
    ("thread.message.delta", MessageDelta),
    ("thread.message.", Message),
    ("thread.run.step.delta", RunStepDelta),
    ("thread.run.step.", RunStep),
    ("thread.run.", Run),
    ("error", StreamError),
)
_KINDS: Mapping[str, tuple[EventName, type[WireObject]]] = {
    name: (name, next(kind for begin, kind in _TYPES if name.startswith(begin)))
    for name in EVENT_NAMES
    if name != "done"
}


def read_object(kind: type[ObjectT], data: Any) -> ObjectT:
    """Return one of the wire's objects.

    Raises:
        AssistantsError: The server does not speak the Assistants API.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise AssistantsError(
            f"The server's answer is no {kind.__name__} of the Assistants API "
            f"({place or 'it'}: {first['msg']}); is the client's base_url right?"
        ) from None


def read_event(frame: Frame) -> tuple[EventName, WireObject] | None:
    """Return the name and the object of an event; None for `done` and unknown ones.

    A server that does not stream answers with the run alone.
    """
    if frame.event is None:
        run = read_object(Run, as_json(frame))
        return status_event(run), run
    if frame.event not in _KINDS:
        return None
    name, kind = _KINDS[frame.event]
    data = as_json(frame)
    if kind is StreamError and isinstance(data, dict):
        inner = data.get("error")
        data = {"message": "The server had an error.", **(inner or data)}
    return name, read_object(kind, data)


def is_piece(frame: Frame) -> bool:
    """Tell whether an event is a piece of what a later one tells as a whole."""
    return frame.event is not None and frame.event.endswith(".delta")


def status_event(run: Run) -> EventName:
    """Return the name of the event that tells a run's status."""
    return _STATUS_EVENTS[run.status]
