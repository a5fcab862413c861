"""The worker's events as ours; what is malformed is dropped, code can forge them."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from langchain_assistants.interpreters.base import (
    Displayed,
    OutputEvent,
    Printed,
    Raised,
)

_MOST_FORMS, _LONGEST_MIME_TYPE = 32, 200


def output_event(event: dict[str, Any]) -> OutputEvent | None:
    """Return what an event puts out, the exception at the end of code included."""
    if event.get("type") == "done":
        return _raised(event.get("error"))
    return _printed(event) or _displayed(event)


def _printed(event: dict[str, Any]) -> Printed | None:
    text, stream = event.get("text"), event.get("type")
    if isinstance(text, str) and (stream == "stdout" or stream == "stderr"):
        return Printed(stream, _clean(text))
    return None


def _displayed(event: dict[str, Any]) -> Displayed | None:
    text, data = event.get("text"), event.get("data")
    if event.get("type") != "display":
        return None
    if not isinstance(text, dict) or not isinstance(data, dict):
        return None
    if len(text) + len(data) > _MOST_FORMS or any(map(_is_odd, (*text, *data))):
        return None
    forms: dict[str, str | bytes] = {
        mime: _clean(form) for mime, form in text.items() if isinstance(form, str)
    }
    for mime, encoded in data.items():
        try:
            forms[mime] = base64.b64decode(encoded, validate=True)
        except (TypeError, ValueError, binascii.Error):
            continue
    return Displayed(forms, event.get("is_result") is True) if forms else None


def _raised(error: object) -> Raised | None:
    if not isinstance(error, dict):
        return None
    parts = [error.get(part) for part in ("name", "message", "traceback")]
    return Raised(*(_clean(part) if isinstance(part, str) else "" for part in parts))


def _is_odd(mime: str) -> bool:
    # It is put into headers and logs.
    return len(mime) > _LONGEST_MIME_TYPE or not (mime.isascii() and mime.isprintable())


def _clean(text: str) -> str:
    """Replace halves of characters, which no encoding can carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
