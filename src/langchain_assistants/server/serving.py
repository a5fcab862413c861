"""Listens for an application, and ends without breaking what is being answered."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from langchain_assistants.engine.engine import AssistantsEngine
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.server.callers import is_loopback
from langchain_assistants.server.events import EventStream

DRAIN_SECONDS = 30.0
"""How long streams may go on after SIGTERM; Kubernetes kills after as much."""

_FAREWELL_SECONDS = 3
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 2048
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def check_host(engine: AssistantsEngine, host: str) -> None:
    """Refuse to be reachable from other machines while there is no key.

    Raises:
        ConfigurationError: Nobody could be told from anybody else.
    """
    if is_loopback(host) or engine.api_keys.any():
        return
    raise ConfigurationError(
        f"Serving {host} would let every machine that reaches this one in, for there "
        "is no API key. Make one, or serve 127.0.0.1:\n"
        "  langchain-assistants keys create"
    )


class Server:
    """Listens for an application on the loop of its engine.

    Background runs execute on the same loop: a token reaches its client without
    changing threads.

    Args:
        engine: Whose application it is; it stays open.
        app: The application.
        host: The address to listen on.
        port: The port; 0: any that is free.
        drain_seconds: How long requests and streams may go on after `stop`.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """

    def __init__(
        self,
        engine: AssistantsEngine,
        app: FastAPI,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        """Listen; connections are accepted as soon as `serve` runs."""
        self._engine = engine
        self._app = app
        self._drain_seconds = drain_seconds
        self._listener = _bound(host, port)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=int(drain_seconds) + _FAREWELL_SECONDS,
            )
        )
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Serve until `stop`; on the main thread SIGINT and SIGTERM call it."""
        with closing(self._listener), _on_signals(self.stop):
            self._engine.portal.call(
                lambda: self._uvicorn.serve(sockets=[self._listener])
            )

    def stop(self) -> None:
        """Accept nothing more and let what goes on end; a second call ends at once."""
        if self._uvicorn.should_exit:
            self._uvicorn.force_exit = True
        self._uvicorn.should_exit = True
        self._app.state.draining = True
        self._engine.portal.start(lambda: _cut_streams(self._app, self._drain_seconds))


async def _cut_streams(app: FastAPI, delay: float) -> None:
    await asyncio.sleep(delay)
    streams: list[EventStream] = list(app.state.streams)
    for stream in streams:
        stream.cut()


def _bound(host: str, port: int) -> socket.socket:
    listener: socket.socket | None = None
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # Without the protocol asyncio leaves Nagle's algorithm on: 40 ms an answer.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {reason}. Choose another port or host."
        ) from error
    return listener


@contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call a function on the signals that end a server."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
