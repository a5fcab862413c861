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
_MOST_IN_PIECES = 15_000_000  # characters: more than any output that is kept


class EventReader:
    """Puts together what a worker tells: long forms come ahead, in pieces."""

    def __init__(self) -> None:
        """Begin without pieces."""
        self._pieces: list[str] = []
        self._size = 0

    def read(self, event: dict[str, Any]) -> OutputEvent | None:
        """Return what an event puts out, the exception at the end of code included."""
        kind = event.get("type")
        if kind == "done":
            return _raised(event.get("error"))
        if kind == "piece":
            self._keep(event.get("text"))
            return None
        if kind == "display":
            pieces, self._pieces, self._size = self._pieces, [], 0
            return _displayed(event, pieces)
        return _printed(event)

    def _keep(self, piece: object) -> None:
        if not isinstance(piece, str):
            return
        self._size += len(piece)
        if self._size > _MOST_IN_PIECES:
            self._pieces.clear()
        else:
            self._pieces.append(piece)


def _printed(event: dict[str, Any]) -> Printed | None:
    text, stream = event.get("text"), event.get("type")
    if isinstance(text, str) and (stream == "stdout" or stream == "stderr"):
        return Printed(stream, _clean(text))
    return None


def _displayed(event: dict[str, Any], pieces: list[str]) -> Displayed | None:
    text, data = event.get("text"), event.get("data")
    if not isinstance(text, dict) or not isinstance(data, dict):
        return None
    if len(text) + len(data) > _MOST_FORMS or any(map(_is_odd, (*text, *data))):
        return None
    forms: dict[str, str | bytes] = {}
    for mime, form in text.items():
        if isinstance(whole := _whole(form, pieces), str):
            forms[mime] = _clean(whole)
    for mime, encoded in data.items():
        try:
            forms[mime] = base64.b64decode(_whole(encoded, pieces), validate=True)
        except (TypeError, ValueError, binascii.Error):
            continue
    return Displayed(forms, event.get("is_result") is True) if forms else None


def _whole(form: Any, pieces: list[str]) -> Any:
    """Return a form, or so many pieces, which are used up then."""
    if not isinstance(form, int) or not 0 < form <= len(pieces):
        return form
    first, pieces[:] = pieces[:form], pieces[form:]
    return "".join(first)


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
