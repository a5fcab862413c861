"""Turns exceptions into the wire's error bodies: the one place that knows both."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from langchain_assistants.errors import (
    AuthenticationError,
    RequestError,
    StorageError,
)

logger = logging.getLogger(__name__)

BROKEN = (
    "The server had an error while processing your request. Sorry about that! Its log "
    "has the cause under this request's id."
)
OVERLOADED = "The engine is currently overloaded, please try again later."
NOT_JSON = (
    "We could not parse the JSON body of your request. The API expects a JSON "
    "payload, but what was sent was not valid JSON."
)


def refusal(error: Exception, *, method: str, path: str) -> Response:
    """Return the answer to a request that ended with an exception.

    Args:
        error: What was raised; one that nobody foresaw is logged, and told as a 500
            that says nothing of it.
        method: Of the request.
        path: As the client wrote it.
    """
    if isinstance(error, RequestError):
        headers = (
            {"www-authenticate": "Bearer"}
            if isinstance(error, AuthenticationError)
            else None
        )
        return _answer(
            error.http_status, str(error), error.code, error.param, headers=headers
        )
    if isinstance(error, HTTPException):
        return _of_framework(error, method, path)
    if isinstance(error, StorageError):
        logger.error("storage_failed", extra={"error": type(error).__name__})
        logger.debug("storage_failed_by", exc_info=error)
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, OVERLOADED)
    logger.error("request_crashed", extra={"error": type(error).__name__})
    logger.debug("request_crashed_by", exc_info=error)
    return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, BROKEN)


def error_body(
    status: int, message: str, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """Return the inner object of an error body."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"message": message, "type": kind, "param": param, "code": code}


def _of_framework(error: HTTPException, method: str, path: str) -> Response:
    """Word what the router refuses as the original does."""
    message, code = str(error.detail), None
    if error.status_code == HTTPStatus.NOT_FOUND:
        message = f"Invalid URL ({method} {path})"
        if "/v1" not in path and "/openai" not in path:  # a base_url that lacks it
            message += ": the API is under /v1, its documentation at /docs"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        code = "method_not_supported"
        message = f"Not allowed to {method} on {path}."
    return _answer(error.status_code, message, code, headers=error.headers)


def _answer(
    status: int,
    message: str,
    code: str | None = None,
    param: str | None = None,
    *,
    headers: Any = None,
) -> Response:
    return JSONResponse(
        {"error": error_body(status, message, code, param)},
        status_code=int(status),
        headers=headers,
    )
