"""Structured output: what `response_format` may be, and how an answer is parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from langchain_assistants.errors import AssistantsError
from langchain_assistants.types.messages import Message, RefusalContent
from langchain_assistants.types.runs import Run

_WIRE_FORMATS = ("text", "json_object", "json_schema")
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]+")


def to_wire_format(wanted: Any) -> Any:
    """Return a response format as the wire has it.

    Args:
        wanted: A pydantic class, dataclass, TypedDict or JSON schema, as LangChain's
            agents take them; all else is returned as it is.

    Raises:
        TypeError: A type does not describe an object.
    """
    if isinstance(wanted, type):
        name, schema = wanted.__name__, _adapter(wanted).json_schema()
        if schema.get("type", "object") != "object":
            raise TypeError(
                f"response_format={name} describes no object: give a pydantic class, "
                "a dataclass, a TypedDict or a JSON schema of an object."
            )
    elif isinstance(wanted, Mapping) and _is_schema(wanted):
        name, schema = str(wanted.get("title", "answer")), dict(wanted)
    else:
        return wanted
    name = _NOT_IN_A_NAME.sub("_", name)[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


@lru_cache(maxsize=64)
def _adapter(described: Any) -> TypeAdapter[Any]:
    return TypeAdapter(described)


def _is_schema(wanted: Mapping[str, Any]) -> bool:
    return wanted.get("type") not in _WIRE_FORMATS and "properties" in wanted


def to_answer_type(wanted: Any) -> type[Any] | None:
    """Return the type that answers in a response format are parsed to, if any."""
    return wanted if isinstance(wanted, type) else None


def asks_for_json(run: Run) -> bool:
    """Tell whether a run's answer follows a JSON schema."""
    wanted = run.response_format
    return isinstance(wanted, Mapping) and wanted["type"] == "json_schema"


def parse_answer(message: Message, answer_type: Any, run: Run) -> Any:
    """Parse a message of structured output; a refusal gives None.

    Args:
        message: The answer.
        answer_type: What to make of it; None: plain JSON.
        run: The run that wrote it.

    Raises:
        AssistantsError: The text does not follow the format.
    """
    if any(isinstance(part, RefusalContent) for part in message.content):
        return None
    try:
        if answer_type is None:
            return json.loads(message.text)
        return _adapter(answer_type).validate_json(message.text)
    except ValueError as error:
        raise AssistantsError(
            f"The answer of run {run.id} does not follow its response_format: "
            f"{type(error).__name__}. The message {message.id} holds the text."
        ) from error
