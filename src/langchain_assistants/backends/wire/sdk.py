"""Requests through the clients of OpenAI's SDK, of either kind, in one async form.

It asks for addresses, not for `client.beta`: that part of the SDK is deprecated, and
gives objects of its own in place of the wire's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from langchain_assistants.engine.cancellation import forget
from langchain_assistants.engine.offloading import Offloading
from langchain_assistants.errors import (
    ActiveRunError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
)

try:
    import openai
except ImportError as error:
    raise ConfigurationError(
        "client= takes a client of OpenAI's SDK: pip install \"langchain-assistants"
        '[openai]"'
    ) from error

_HEADERS = {"OpenAI-Beta": "assistants=v2"}
# The SDK hands out the answer itself, unread, as its `with_streaming_response` does.
_UNREAD = {**_HEADERS, "X-Stainless-Raw-Response": "stream"}
_ACTIVE_RUN = (
    re.compile(r"(thread_\w+) already has an active run (run_\w+)"),
    re.compile(r"add messages to (thread_\w+) while a run (run_\w+) is active"),
)
# A stream has ended when it is told so; its connection may stay open a moment longer.
_LINGER_SECONDS = 1.0


class Frame(NamedTuple):
    """One server-sent event; an answer that is no stream has no name."""

    event: str | None
    data: str


class FrameDecoder:
    r"""Splits a stream into server-sent events.

    By bytes: a text may hold what `str.splitlines` would take for the end of a line.

    Example:
        >>> FrameDecoder().feed(b"event: done\ndata: [DONE]\n\n")
        [Frame(event='done', data='[DONE]')]
    """

    def __init__(self) -> None:
        """Begin at the start of a stream."""
        self._rest = b""
        self._event: str | None = None
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Frame]:
        """Return the events that a chunk completes."""
        frames: list[Frame] = []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.rstrip(b"\r").decode().partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._event = value
            elif name == "data":
                self._data.append(value)
            elif not name and not value:
                if self._data:
                    frames.append(Frame(self._event, "\n".join(self._data)))
                self._event, self._data = None, []
        return frames


Deliver: TypeAlias = Callable[[list[Frame]], None]


class Feed:
    """The frames of one request, which arrive whether or not anybody waits for them."""

    def __init__(self) -> None:
        """Begin to receive on this loop."""
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._work: asyncio.Task[None] | None = None

    def begin(self, work: Any) -> Feed:
        """Do the work that delivers the frames."""
        self._work = asyncio.ensure_future(work)
        self._work.add_done_callback(lambda _: self._arrived.put_nowait(None))
        return self

    def deliver(self, frames: list[Frame]) -> None:
        """Take frames that came at one moment, from any thread.

        Together: each time a loop is woken costs more than all of them.
        """
        # A reader whose loop was closed hears no more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.take, frames)

    def take(self, frames: list[Frame]) -> None:
        """Take frames, on the loop."""
        for frame in frames:
            self._arrived.put_nowait(frame)

    async def next(self) -> Frame | None:
        """Wait for the next frame; None: nothing follows.

        Raises:
            Exception: What ended the request.
        """
        frame = await self._arrived.get()
        if frame is None:
            self._arrived.put_nowait(None)
            assert self._work is not None
            self._work.result()
        return frame

    async def aclose(self) -> None:
        """Let the request end, and leave it behind if it does not."""
        work = self._work
        if work is None:
            return
        await asyncio.wait({work}, timeout=_LINGER_SECONDS)
        if not work.done():
            work.cancel()
        work.add_done_callback(forget)


class Wire(Protocol):
    """Reaches a server."""

    async def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of an answer.

        Raises:
            RequestError: The server refused the request, and said why.
            openai.OpenAIError: It could not be reached, or had an error.
        """
        ...

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON of an answer; it raises as `get` does."""
        ...

    def stream(self, path: str, body: Mapping[str, Any]) -> Feed:
        """Ask for events; what `get` raises is raised by the feed."""
        ...


class AsyncWire:
    """Requests of an asynchronous client, on the loop of the caller."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        """Take the client."""
        self._client = client

    async def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of an answer."""
        with refusals():
            return await self._client.get(
                path, cast_to=object, options=_options(query=query)
            )

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON of an answer."""
        with refusals():
            return await self._client.post(
                path, cast_to=object, body=dict(body), options=_options()
            )

    def stream(self, path: str, body: Mapping[str, Any]) -> Feed:
        """Ask for events."""
        feed = Feed()
        return feed.begin(self._pump(path, body, feed.take))

    async def _pump(self, path: str, body: Mapping[str, Any], to: Deliver) -> None:
        with refusals():
            answer: Any = await self._client.post(
                path, cast_to=object, body=dict(body), options=_options(_UNREAD)
            )
        try:
            if not _is_stream(answer):
                to([Frame(None, await answer.text())])
                return
            decoder = FrameDecoder()
            async for chunk in answer.iter_bytes():
                to(decoder.feed(chunk))
        finally:
            await answer.close()


class ThreadWire:
    """Requests of a synchronous client, on threads; from any loop."""

    def __init__(self, client: openai.OpenAI, threads: Offloading) -> None:
        """Take the client."""
        self._client = client
        self._threads = threads

    async def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of an answer."""
        with refusals():
            return await self._threads.call(
                self._client.get, path, cast_to=object, options=_options(query=query)
            )

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON of an answer."""
        with refusals():
            return await self._threads.call(
                self._client.post,
                path,
                cast_to=object,
                body=dict(body),
                options=_options(),
            )

    def stream(self, path: str, body: Mapping[str, Any]) -> Feed:
        """Ask for events."""
        feed = Feed()
        return feed.begin(self._threads.call(self._pump, path, body, feed.deliver))

    def _pump(self, path: str, body: Mapping[str, Any], to: Deliver) -> None:
        with refusals():
            answer: Any = self._client.post(
                path, cast_to=object, body=dict(body), options=_options(_UNREAD)
            )
        try:
            if not _is_stream(answer):
                to([Frame(None, answer.text())])
                return
            decoder = FrameDecoder()
            for chunk in answer.iter_bytes():
                to(decoder.feed(chunk))
        finally:
            answer.close()


def _options(
    headers: Mapping[str, str] = _HEADERS, query: Mapping[str, Any] | None = None
) -> Any:
    return {"headers": dict(headers), "params": dict(query or {})}


def _is_stream(answer: Any) -> bool:
    return str(answer.headers.get("content-type", "")).startswith("text/event-stream")


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Raise our errors for what a server refuses, from those of the SDK."""
    try:
        yield
    except openai.APIStatusError as error:
        ours = _refusal(error)
        if ours is None:
            raise
        raise ours from error


def _refusal(error: openai.APIStatusError) -> Exception | None:
    """Return our error; None for what says nothing of the request."""
    body: Mapping[str, Any] = error.body if isinstance(error.body, Mapping) else {}
    message = str(body.get("message") or error.message)
    told = {"code": body.get("code"), "param": body.get("param")}
    if error.status_code == 404:
        return NotFoundError(message, **told)
    if error.status_code == 401:
        return AuthenticationError(message, **told)
    if error.status_code not in (400, 413, 415, 422):
        return None
    for number, pattern in enumerate(_ACTIVE_RUN):
        if found := pattern.search(message):
            return ActiveRunError(*found.groups(), adding_messages=number == 1)
    return InvalidRequestError(message, **told)


def check_client(client: Any, name: str) -> None:
    """Refuse what is no client.

    Raises:
        ConfigurationError: It is none of OpenAI's SDK, or of the wrong kind.
    """
    kinds: Any = (openai.AsyncOpenAI,)
    if name == "client":
        kinds = (openai.OpenAI, openai.AsyncOpenAI)
    if not isinstance(client, kinds):
        raise ConfigurationError(
            f"{name}= takes {' or '.join(kind.__name__ for kind in kinds)} (or its "
            f"Azure kind) of the package openai, not {type(client).__name__}."
        )


_copies: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def for_another_loop(client: openai.AsyncOpenAI) -> openai.AsyncOpenAI:
    """Return the client with connections of its own, for the loop of sync calls.

    Raises:
        ConfigurationError: It has an HTTP client of the user's, which is no part of
            its options.
    """
    known: openai.AsyncOpenAI | None = _copies.get(client)
    if known is None:
        if type(client._client).__name__ != "AsyncHttpxClientWrapper":
            raise ConfigurationError(
                "A synchronous call needs a synchronous client: this AsyncOpenAI has "
                "an HTTP client of its own. Give client=OpenAI(...) as well, or await "
                "the async method."
            )
        fresh = openai.DefaultAsyncHttpxClient(
            base_url=client.base_url, timeout=client.timeout
        )
        # Nobody closes the copy, so it keeps no connection open.
        known = _copies[client] = client.with_options(
            http_client=fresh, default_headers={"Connection": "close"}
        )
    return known


def as_json(frame: Frame) -> Any:
    """Return the data of a frame; None of what is no JSON."""
    try:
        return json.loads(frame.data)
    except ValueError:
        return None
