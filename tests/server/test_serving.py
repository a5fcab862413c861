"""A server's life: health, documents, metrics, log, and its end."""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.conftest import EngineFactory
from tests.conversations import Gate, assistant_with
from tests.server.conftest import Servers

from langchain_assistants.errors import ConfigurationError, StorageError
from langchain_assistants.server.app import create_app
from langchain_assistants.server.logs import write_logs
from langchain_assistants.server.serving import Server
from langchain_assistants.testing import Reply

Http = Callable[..., httpx.Client]

OPERATIONS = 48 + 1  # the wire's, and the stream of a run that one joins


def test_health_and_readiness_are_told_to_anybody(
    engine_factory: EngineFactory, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = http(engine_factory(), keys="required")
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}

    async def fail(*_: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr("langchain_assistants.storage.sqlite.SQLiteDatabase.read", fail)
    assert client.get("/health").status_code == 200
    assert client.get("/ready").status_code == 503
    key = {"api-key": "x"}
    answered = client.get("/v1/assistants", headers={**key, "host": "localhost"})
    assert answered.status_code == 401


def test_a_database_that_fails_is_a_503_that_clients_retry(
    engine_factory: EngineFactory, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = http(engine_factory())

    async def fail(*_: object) -> None:
        raise StorageError("The disk /secret is full.")

    monkeypatch.setattr("langchain_assistants.storage.sqlite.SQLiteDatabase.read", fail)
    answered = client.get("/v1/assistants")
    assert answered.status_code == 503
    assert answered.json()["error"]["type"] == "server_error"
    assert "secret" not in answered.text


def test_the_document_describes_every_operation(
    engine_factory: EngineFactory, http: Http
) -> None:
    client = http(engine_factory())
    document = client.get("/openapi.json").json()
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) == OPERATIONS
    assert len({operation["operationId"] for *_, operation in operations}) == OPERATIONS
    text = json.dumps(document)
    names = set(document["components"]["schemas"])
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= names
    assert "x-takes" not in text
    run = document["paths"]["/v1/threads/{thread_id}/runs"]["post"]
    assert set(run["responses"]["200"]["content"]) == {
        "application/json",
        "text/event-stream",
    }
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert page.text.count("<details>") == OPERATIONS
    assert "<script" not in page.text


def test_the_metrics_count_requests_by_route_without_ids(
    engine_factory: EngineFactory, http: Http
) -> None:
    client = http(engine_factory())
    for _ in range(2):
        client.get("/v1/threads/thread_secret")
    client.get("/nowhere")
    told = client.get("/metrics").text
    route = 'method="GET",route="/threads/{thread_id}",status="404"'
    assert f"langchain_assistants_requests_total{{{route}}} 2.0" in told
    assert 'route="unmatched",status="404"' in told
    assert "secret" not in told


def test_a_client_that_vanishes_while_it_sends_is_logged_and_breaks_nothing(
    engine_factory: EngineFactory,
    http: Http,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="langchain_assistants")
    client = http(engine_factory())
    told = threading.Event()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if vars(record).get("status") == 499:
                told.set()

    handler = Told()
    logging.getLogger("langchain_assistants").addHandler(handler)
    for path, kind in (
        ("/v1/threads", "application/json"),
        ("/v1/files", "multipart/form-data; boundary=X"),
    ):
        told.clear()
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address) as connection:
            connection.sendall(
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
                "Content-Length: 100\r\n\r\n--X".encode()
            )
        assert told.wait(20)
    logging.getLogger("langchain_assistants").removeHandler(handler)
    assert client.get("/v1/assistants").status_code == 200


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log of a server as it is written; afterwards logging is as before."""
    names = ("langchain_assistants", "uvicorn")
    loggers = [logging.getLogger(name) for name in names]
    before = [(a.handlers, a.level, a.propagate) for a in loggers]
    stream = io.StringIO()
    write_logs(stream)
    yield stream
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_the_log_tells_ids_and_no_content(
    engine_factory: EngineFactory, http: Http, log: io.StringIO
) -> None:
    client = http(engine_factory(["a secret answer"]))
    assistant = client.post(
        "/v1/assistants", json={"model": "m", "instructions": "a secret"}
    ).json()["id"]
    run = client.post("/v1/threads/runs", json={"assistant_id": assistant})
    ids = run.json()
    path = f"/v1/threads/{ids['thread_id']}/runs/{ids['id']}"
    client.get(path, headers={"authorization": "Bearer a-secret-key"})
    client.get("/v1/threads/thread_x%0Asecret")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    finished = [line for line in lines if line["event"] == "request_finished"]
    created = next(a for a in finished if a["route"] == "/threads/runs")
    assert created["request_id"] == run.headers["x-request-id"]
    assert created["run_id"] == ids["id"]
    assert created["thread_id"] == ids["thread_id"]
    assert (created["tenant"], created["status"]) == ("default", 200)
    assert "secret" not in log.getvalue()


def test_an_exception_is_logged_by_its_type_alone(log: io.StringIO) -> None:
    logger = logging.getLogger("langchain_assistants.test")
    try:
        raise ValueError("a secret")
    except ValueError:
        logger.exception("it_broke", extra={"run_id": "run_1"})
    [line] = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (line["event"], line["error"], line["run_id"]) == (
        "it_broke",
        "ValueError",
        "run_1",
    )
    assert "secret" not in log.getvalue()


def test_a_port_that_is_taken_is_told(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Cannot listen on 127.*{port}"):
            Server(engine, create_app(engine), port=port)
    with pytest.raises(ConfigurationError, match="Cannot listen on"):
        Server(engine, create_app(engine), host="no.such.host.test")


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_headers(
    engine_factory: EngineFactory, servers: Servers
) -> None:
    servers.serve(engine_factory())
    [(server, _)] = servers.running
    # asyncio switches Nagle's algorithm off for connections of this protocol only.
    assert server._listener.proto == socket.IPPROTO_TCP


def test_a_stream_goes_on_to_its_end_after_the_server_was_told_to_stop(
    engine_factory: EngineFactory, servers: Servers
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Hello.", wait_for=gate)])
    body = {"assistant_id": assistant_with(engine).id, "stream": True}
    url = servers.serve(engine, drain_seconds=30)
    [(server, thread)] = servers.running
    with (
        httpx.Client(base_url=url) as client,
        client.stream("POST", "/v1/threads/runs", json=body) as answered,
    ):
        lines = answered.iter_lines()
        assert "event: thread.run.in_progress" in lines
        gate.wait_until_reached()
        server.stop()
        gate.open()
        assert "event: thread.run.completed" in lines
        assert "event: done" in lines
    thread.join(20)
    assert not thread.is_alive()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_a_stream_that_lasts_too_long_ends_with_an_error_and_its_run_goes_on(
    engine_factory: EngineFactory, servers: Servers
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Hello.", wait_for=gate)])
    body = {"assistant_id": assistant_with(engine).id, "stream": True}
    url = servers.serve(engine, drain_seconds=0)
    [(server, _)] = servers.running
    told: list[str] = []

    def read() -> None:
        with (
            httpx.Client(base_url=url) as client,
            client.stream("POST", "/v1/threads/runs", json=body) as answered,
        ):
            told.extend(answered.iter_lines())

    reader = threading.Thread(target=read)
    reader.start()
    gate.wait_until_reached()
    server.stop()
    reader.join(20)
    events = [line for line in told if line.startswith("event: ")]
    assert events[-2:] == ["event: error", "event: done"]
    gate.open()
    run_id = next(line for line in told if '"thread.run"' in line).split('"')[3]
    assert engine.runs.wait(run_id, timeout=20).status == "completed"
