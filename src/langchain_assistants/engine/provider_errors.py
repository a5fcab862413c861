"""Errors of model providers: which to try again, how late, and what to call them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

ErrorCode = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]

_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
# Providers wrap connection errors in types of their own; all are named like these.
_TRANSIENT_NAMES = (
    "APIConnectionError",
    "APITimeoutError",
    "ConnectError",
    "ReadTimeout",
    "ConnectTimeout",
    "RemoteProtocolError",
    "ReadError",
    "ServiceUnavailable",
    "InternalServerError",
)
_PROMPT_CODES = ("content_policy", "content_filter", "invalid_prompt", "image")


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of a provider's answer, if there was one."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "http_status", "status"):
            status = getattr(holder, name, None)
            if isinstance(status, int):
                return status
    return None


def is_transient(error: BaseException) -> bool:
    """Tell whether the same call may succeed a little later."""
    status = status_of(error)
    if status is not None:
        exhausted = _code_of(error) == "insufficient_quota"
        return (status in _TRANSIENT_STATUS or status >= 500) and not exhausted
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return any(kind.__name__ in _TRANSIENT_NAMES for kind in type(error).__mro__)


def retry_after(error: BaseException) -> float | None:
    """Return the seconds that the provider asks to wait, if it says so."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if not isinstance(headers, Mapping):
        return None
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue  # a date instead of seconds: back off as usual
    return None


def last_error(error: BaseException) -> dict[str, str]:
    """Return the wire's `last_error` of a run that ended with this exception."""
    return {"code": _error_code(error), "message": _message(error)}


def _error_code(error: BaseException) -> ErrorCode:
    status = status_of(error)
    if status == 429:
        return "rate_limit_exceeded"
    code = (_code_of(error) or "").lower()
    if status == 400 and any(part in code for part in _PROMPT_CODES):
        return "invalid_prompt"
    return "server_error"


def _message(error: BaseException) -> str:
    for text in _texts(error):
        if text:
            return text
    return type(error).__name__


def _texts(error: BaseException) -> Iterator[str]:
    body = getattr(error, "body", None)
    if isinstance(body, Mapping) and isinstance(body.get("message"), str):
        yield body["message"]
    from langchain_assistants.errors import AssistantsError

    text = str(error)
    yield (
        text
        if isinstance(error, AssistantsError)
        else f"{type(error).__name__}: {text}"
    )


def _code_of(error: BaseException) -> str | None:
    code: Any = getattr(error, "code", None)
    return code if isinstance(code, str) else None
