"""What is mended of an object before it is checked; every mend is told.

Old data has v1's names in it, times in milliseconds, and the shapes of requests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

JSON: TypeAlias = dict[str, Any]
Mend: TypeAlias = Callable[[JSON], Iterator[str]]
"""Changes an object in place and yields what was wrong with it."""

_LATEST = 2**33
"""Seconds after which a time is none: the year 2242."""

_TIMES = {
    f"{what}_at"
    for what in (
        "cancelled",
        "completed",
        "created",
        "expired",
        "expires",
        "failed",
        "incomplete",
        "last_active",
        "started",
    )
}
_PARTS = ("text", "image_file", "image_url", "refusal")
_CALLS = ("code_interpreter", "file_search", "function")
_BOTH = ({"type": "file_search"}, {"type": "code_interpreter"})
_ACTIVE = ("queued", "in_progress", "requires_action", "cancelling")
_RUN_CODES = ("server_error", "rate_limit_exceeded", "invalid_prompt")
_RUN_REASONS = ("max_completion_tokens", "max_prompt_tokens")


def mend_times(item: JSON) -> Iterator[str]:
    """Turn milliseconds, microseconds and dates into seconds."""
    told: set[str] = set()
    for name in _TIMES & item.keys():
        value = item[name]
        if value is None or isinstance(value, bool):
            continue
        if isinstance(value, int) and 0 <= value < _LATEST:
            continue
        seconds, was = _seconds(value)
        if was is not None:
            item[name] = seconds
            told.add(was)
    yield from (f"its times were {was} and are seconds now" for was in sorted(told))


def _seconds(value: Any) -> tuple[Any, str | None]:
    if isinstance(value, str):
        try:
            if value.strip().replace(".", "", 1).isdecimal():
                value = float(value)
            else:
                return int(datetime.fromisoformat(value).timestamp()), "dates"
        except ValueError:
            return value, None
        return _seconds(value)[0], "text"
    if not isinstance(value, int | float) or not math.isfinite(value):
        return value, None
    for factor, unit in ((1_000, "milliseconds"), (1_000_000, "microseconds")):
        # 1973 in that unit is later than 2242 in seconds.
        if 10**8 * factor <= value < _LATEST * factor:
            return int(value // factor), unit
    return (int(value), None) if isinstance(value, int) else (int(value), "fractions")


def mend_metadata(item: JSON) -> Iterator[str]:
    """Make every value of the metadata text."""
    metadata = item.get("metadata")
    if not isinstance(metadata, Mapping):
        if metadata is not None:
            item["metadata"] = {}
            yield "its metadata was no object"
        return
    if any(not isinstance(value, str) for value in metadata.values()):
        item["metadata"] = {name: str(value) for name, value in metadata.items()}
        yield "values of its metadata are text now"


def mend_tools(item: JSON) -> Iterator[str]:
    """Read v1's `retrieval` as file search."""
    for tool in item.get("tools") or ():
        if isinstance(tool, dict) and tool.get("type") == "retrieval":
            tool["type"] = "file_search"
            yield "its tool retrieval is file_search now (v1)"
    choice = item.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "retrieval":
        item["tool_choice"] = {"type": "file_search"}


def mend_message(item: JSON) -> Iterator[str]:
    """Give a message the shape of an answer, with parts that are known."""
    content = item.get("content")
    if isinstance(content, str):
        item["content"] = content = [{"type": "text", "text": content}]
        yield "its content was plain text"
    if isinstance(content, list):
        known = list(_known(content, _PARTS))
        for part in known:
            _mend_text(part)
        if known and len(known) < len(content):
            item["content"] = known
            dropped = len(content) - len(known)
            yield f"{dropped} of its parts had an unknown type and were left out"
    yield from _mend_message_files(item)
    if item.get("status") == "in_progress":
        item["status"] = "incomplete"
        item["incomplete_details"] = {"reason": "run_expired"}
        item["incomplete_at"] = item.get("created_at")
        yield "it was in progress and is incomplete now"


def _mend_text(part: JSON) -> None:
    """Write a part of a request as answers have it."""
    if part["type"] == "text" and isinstance(part.get("text"), str):
        part["text"] = {"value": part["text"], "annotations": []}


def _mend_message_files(item: JSON) -> Iterator[str]:
    file_ids = item.pop("file_ids", None)
    attachments = item.get("attachments")
    if attachments is None:
        item["attachments"] = attachments = []
    if isinstance(attachments, list):
        for attachment in attachments:
            if isinstance(attachment, dict):
                for _ in mend_tools(attachment):
                    yield "the tool retrieval of an attachment is file_search now (v1)"
    if file_ids and not attachments:
        item["attachments"] = [
            {"file_id": file_id, "tools": list(_BOTH)} for file_id in file_ids
        ]
        yield "its file_ids are attachments now (v1)"


def mend_run(item: JSON) -> Iterator[str]:
    """End a run that was at work, and drop what no run can have."""
    item.pop("file_ids", None)
    if item.get("instructions") is None:
        item["instructions"] = ""
    if item.get("parallel_tool_calls") is None:
        item["parallel_tool_calls"] = True
    yield from _mend_status(item)
    item["required_action"] = None
    _keep(item, "last_error", "code", _RUN_CODES, "server_error")
    _keep(item, "incomplete_details", "reason", _RUN_REASONS, None)


def mend_step(item: JSON) -> Iterator[str]:
    """End a step that was open, and read v1's calls."""
    yield from _mend_status(item)
    _keep(item, "last_error", "code", _RUN_CODES, "server_error")
    details = item.get("step_details")
    calls = details.get("tool_calls") if isinstance(details, dict) else None
    if not isinstance(details, dict) or not isinstance(calls, list):
        return
    for call in calls:
        if isinstance(call, dict) and call.get("type") == "retrieval":
            call.pop("retrieval", None)
            call |= {"type": "file_search", "file_search": {}}
            yield "its call of retrieval is one of file_search now (v1)"
    details["tool_calls"] = list(_known(calls, _CALLS))
    dropped = len(calls) - len(details["tool_calls"])
    if dropped:
        yield f"{dropped} of its calls had an unknown type and were left out"


def _mend_status(item: JSON) -> Iterator[str]:
    if item.get("status") in _ACTIVE:
        was = item["status"]
        item["status"] = "expired"
        yield f"it was {was} and is expired now: nobody works on it any more"


def _keep(
    item: JSON, name: str, field: str, known: tuple[str, ...], other: str | None
) -> None:
    """Keep a detail of an object if its code is known."""
    detail = item.get(name)
    if isinstance(detail, dict) and detail.get(field) not in known:
        item[name] = None if other is None else {**detail, field: other}


def _known(parts: list[Any], types: tuple[str, ...]) -> Iterator[JSON]:
    return (p for p in parts if isinstance(p, dict) and p.get("type") in types)


def clean(value: Any) -> Any:
    """Replace characters that no database stores: NUL, and halves of surrogates."""
    if isinstance(value, str):
        kept = value.replace("\0", "\ufffd")
        return kept.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {clean(name): clean(item) for name, item in value.items()}
    return value


def is_clean(value: Any) -> bool:
    """Tell whether a value has no character that `clean` replaces."""
    if isinstance(value, str):
        if "\0" in value:
            return False
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, list):
        return all(map(is_clean, value))
    if isinstance(value, dict):
        return all(map(is_clean, value)) and all(map(is_clean, value.values()))
    return True
