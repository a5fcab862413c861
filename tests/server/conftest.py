"""Fixtures of the wire: the official client, in process and over a real socket."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from openai import OpenAI
from tests.conversations import TIMEOUT

from langchain_assistants import AssistantsEngine
from langchain_assistants.server.app import create_app
from langchain_assistants.server.serving import Server


class Servers:
    """Serves engines on loopback, and ends with the test."""

    def __init__(self) -> None:
        """Begin without any."""
        self.running: list[tuple[Server, threading.Thread]] = []

    def serve(
        self, engine: AssistantsEngine, *, drain_seconds: float = 0.0, **options: Any
    ) -> str:
        """Serve an engine and return the address, without the `/v1`."""
        options.setdefault("keys", "loopback")
        app = create_app(engine, **options)
        server = Server(engine, app, drain_seconds=drain_seconds)
        thread = threading.Thread(target=server.serve)
        thread.start()
        self.running.append((server, thread))
        return server.url

    def close(self) -> None:
        """Stop whatever still serves."""
        for server, thread in self.running:
            if thread.is_alive():
                server.stop()
            thread.join(TIMEOUT)
            assert not thread.is_alive(), "the server did not stop"
        self.running.clear()


@pytest.fixture
def servers(engine_factory: object) -> Iterator[Servers]:
    """Servers on loopback; they stop before their engines are closed."""
    servers = Servers()
    yield servers
    servers.close()


@pytest.fixture
def http(servers: Servers) -> Iterator[Callable[..., httpx.Client]]:
    """A plain HTTP client of a served engine: `http(engine, **options of the app)`."""
    clients: list[httpx.Client] = []

    def connect(engine: AssistantsEngine, **options: Any) -> httpx.Client:
        client = httpx.Client(
            base_url=servers.serve(engine, **options), timeout=TIMEOUT
        )
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()


Connect = Callable[[AssistantsEngine], OpenAI]


@pytest.fixture(params=["in process", "over HTTP"])
def connect(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Connect]:
    """OpenAI's own client of an engine: `connect(engine)`."""
    clients: list[OpenAI] = []

    def connect(engine: AssistantsEngine) -> OpenAI:
        if request.param == "in process":
            client = engine.openai()
        else:
            client = OpenAI(api_key="any", base_url=f"{servers.serve(engine)}/v1")
        clients.append(client.with_options(max_retries=0, timeout=TIMEOUT))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
