"""The outermost layer of the application: ids, times, refusals, log and metrics.

It knows no route and no resource.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from langchain_assistants.server.metrics import Metrics
from langchain_assistants.server.refusals import refusal

logger = logging.getLogger(__name__)

WIRE_VERSION = "2020-10-01"
"""What the original states in `openai-version`, whatever the API's version."""

CLIENT_GONE = 499
"""The status in log and metrics of a request whose client did not wait."""

_AZURE = re.compile(r"/openai(?:/v1)?(?=/)")
_ID = re.compile(r"[a-z]+[_-][A-Za-z0-9]{1,64}")


class Frame:
    """Wraps an application so that each request is answered, counted and told.

    Args:
        app: The application.
        metrics: Where requests are counted.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        """Wrap the application."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens inside."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, send)
        inner = _at_v1(scope)
        inner.setdefault("state", {})["request_id"] = request.id
        with self._metrics.in_progress():
            try:
                await self._app(inner, receive, request.send)
            except ClientDisconnect:
                request.status = CLIENT_GONE
            except Exception as error:
                answer = refusal(error, method=scope["method"], path=scope["path"])
                if request.status is not None:
                    raise  # the server underneath breaks the connection
                await answer(inner, receive, request.send)
            finally:
                self._tell(request, inner)

    def _tell(self, request: _Request, scope: Scope) -> None:
        route = getattr(scope.get("route"), "path", "unmatched").removeprefix("/v1")
        status = CLIENT_GONE if request.status is None else request.status
        seconds = time.perf_counter() - request.begun
        self._metrics.count(scope["method"], route, status, seconds)
        logger.info(
            "request_finished",
            extra={
                "request_id": request.id,
                "method": scope["method"],
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1000, 1),
                **_ids(scope),
            },
        )


class _Request:
    """One request's id, begin and status; adds the headers to its answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.id = f"req_{uuid.uuid4().hex}"
        self.begun = time.perf_counter()
        self.status: int | None = None
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            spent = time.perf_counter() - self.begun
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.id
            headers["openai-version"] = WIRE_VERSION
            headers["openai-processing-ms"] = str(round(spent * 1000))
        await self._send(message)


def _at_v1(scope: Scope) -> dict[str, Any]:
    """Return the scope with Azure's path, `/openai/...`, as the wire's."""
    path = scope["path"]
    found = _AZURE.match(path)
    if found is None:
        return dict(scope)
    return {**scope, "path": "/v1" + path[found.end() :]}


def _ids(scope: Scope) -> dict[str, str]:
    """Return the tenant and the ids of the request: no other word of a client's."""
    named = {**scope.get("path_params", {}), **scope["state"].get("ids", {})}
    ids = {
        name: value
        for name, value in named.items()
        if isinstance(value, str) and _ID.fullmatch(value)
    }
    if tenant := scope["state"].get("tenant"):
        ids["tenant"] = tenant
    return ids
