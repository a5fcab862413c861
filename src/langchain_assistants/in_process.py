"""`engine.openai()`: OpenAI's own client, whose calls reach an engine in process.

The one module above both engine and server. No socket, no second process: requests
and answers are handed over as ASGI messages, streams piece by piece.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from langchain_assistants.errors import ConfigurationError

try:
    from openai import AsyncOpenAI, DefaultHttpxClient, OpenAI

    from langchain_assistants.server.app import create_app
except ImportError as error:
    raise ConfigurationError(
        f"engine.openai() needs the package {error.name}: "
        'pip install "langchain-assistants[openai,server]"'
    ) from error

if TYPE_CHECKING:
    import httpx2 as httpx
    from starlette.types import ASGIApp, Message

    from langchain_assistants.engine.engine import AssistantsEngine
    from langchain_assistants.engine.portal import Portal

__all__ = [
    "AsyncOpenAI",
    "OpenAI",
    "application",
    "async_openai_client",
    "openai_client",
]

_BASE_URL = "http://in-process/v1"
_KEY = "in-process"

Deliver: TypeAlias = "Callable[[Message | None], None]"
"""Takes a message of the application's answer; None: nothing follows."""


def application(engine: AssistantsEngine) -> ASGIApp:
    """Return the application that an engine's clients share; it asks for no key."""
    return create_app(engine, keys="none")


def openai_client(app: ASGIApp, portal: Portal) -> OpenAI:
    """Return a synchronous client; its requests are answered on the portal's loop."""
    transport = _transports().sync(app, portal)
    http_client = _httpx().Client(transport=transport, base_url=_BASE_URL)
    return OpenAI(api_key=_KEY, base_url=_BASE_URL, http_client=http_client)


def async_openai_client(app: ASGIApp) -> AsyncOpenAI:
    """Return an asynchronous client; its requests are answered on the caller's loop."""
    transport = _transports().asynchronous(app)
    http_client = _httpx().AsyncClient(transport=transport, base_url=_BASE_URL)
    return AsyncOpenAI(api_key=_KEY, base_url=_BASE_URL, http_client=http_client)


@cache
def _httpx() -> Any:
    """Return the HTTP library of the installed SDK: httpx2 since openai 3, else httpx.

    The two have the same classes, but a client takes only its own.
    """
    return import_module(DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])


async def _answer(app: ASGIApp, request: httpx.Request, deliver: Deliver) -> None:
    """Let the application answer a request."""
    body = request.content
    gone = asyncio.Event()
    unread = True

    async def receive() -> Message:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        await gone.wait()  # the answer is cancelled when its reader leaves
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        deliver(message)

    url = request.url
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (url.host, url.port),
        "client": None,
    }
    try:
        await app(scope, receive, send)
    finally:
        deliver(None)


def _read_timeout(request: httpx.Request) -> float | None:
    timeout: float | None = request.extensions.get("timeout", {}).get("read")
    return timeout


class _SyncAnswer:
    """An answer that comes from the portal's loop to the caller's thread."""

    def __init__(self, app: ASGIApp, portal: Portal, request: httpx.Request) -> None:
        self._arrived: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._request = request
        self._call = portal.spawn(lambda: _answer(app, request, self._arrived.put))

    def next(self) -> Message | None:
        """Wait for the next message; None: nothing follows."""
        try:
            message = self._arrived.get(timeout=_read_timeout(self._request))
        except queue.Empty:
            self.close()
            raise _timed_out(self._request) from None
        except BaseException:
            self.close()
            raise
        if message is None:
            self._raise_failure(self._call.future)
        return message

    def __iter__(self) -> Iterator[bytes]:
        while (message := self.next()) is not None:
            yield message.get("body", b"")
            if not message.get("more_body"):
                return

    def close(self) -> None:
        """Stop the answer, if it still goes on."""
        self._call.cancel()

    def _raise_failure(self, future: Future[None]) -> None:
        if (failure := future.exception()) is not None:
            raise failure


class _AsyncAnswer:
    """An answer that comes from a task on the caller's own loop."""

    def __init__(self, app: ASGIApp, request: httpx.Request) -> None:
        self._arrived: asyncio.Queue[Message | None] = asyncio.Queue()
        self._request = request
        self._task = asyncio.create_task(
            _answer(app, request, self._arrived.put_nowait)
        )

    async def next(self) -> Message | None:
        """Wait for the next message; None: nothing follows."""
        try:
            async with asyncio.timeout(_read_timeout(self._request)):
                message = await self._arrived.get()
        except TimeoutError:
            await self.aclose()
            raise _timed_out(self._request) from None
        except BaseException:
            await self.aclose()
            raise
        if message is None:
            await self._task
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.next()) is not None:
            yield message.get("body", b"")
            if not message.get("more_body"):
                return

    async def aclose(self) -> None:
        """Stop the answer, if it still goes on."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


def _timed_out(request: httpx.Request) -> Exception:
    error: Exception = _httpx().ReadTimeout("The engine did not answer in time.")
    error.request = request  # type: ignore[attr-defined]
    return error


class _Transports(NamedTuple):
    sync: Callable[[ASGIApp, Portal], Any]
    asynchronous: Callable[[ASGIApp], Any]


@cache
def _transports() -> _Transports:
    """Return the two transports as classes of the SDK's own HTTP library."""
    http: Any = _httpx()

    class SyncBody(http.SyncByteStream):  # type: ignore[misc]
        def __init__(self, answer: _SyncAnswer) -> None:
            self._answer = answer

        def __iter__(self) -> Iterator[bytes]:
            return iter(self._answer)

        def close(self) -> None:
            self._answer.close()

    class AsyncBody(http.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, answer: _AsyncAnswer) -> None:
            self._answer = answer

        def __aiter__(self) -> AsyncIterator[bytes]:
            return aiter(self._answer)

        async def aclose(self) -> None:
            await self._answer.aclose()

    class EngineTransport(http.BaseTransport):  # type: ignore[misc]
        def __init__(self, app: ASGIApp, portal: Portal) -> None:
            self._app = app
            self._portal = portal

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            request.read()
            answer = _SyncAnswer(self._app, self._portal, request)
            return _response(answer.next(), SyncBody(answer))

    class AsyncEngineTransport(http.AsyncBaseTransport):  # type: ignore[misc]
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            answer = _AsyncAnswer(self._app, request)
            return _response(await answer.next(), AsyncBody(answer))

    return _Transports(EngineTransport, AsyncEngineTransport)


def _response(start: Message | None, body: Any) -> httpx.Response:
    assert start is not None, "an application answers or raises"
    response: httpx.Response = _httpx().Response(
        start["status"], headers=start["headers"], stream=body
    )
    return response
