"""A client that polls is kept waiting until there is something to tell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from tests.conftest import EngineFactory
from tests.conversations import Gate, calls, function

from langchain_assistants.engine.conductor import Conductor
from langchain_assistants.server.holding import holding_seconds
from langchain_assistants.testing import Reply

Http = Callable[..., httpx.Client]


def run_of_gate(client: httpx.Client, gate: Gate) -> str:
    """Start a run and return its path once the model is being asked."""
    assistant = client.post("/v1/assistants", json={"model": "m"}).json()["id"]
    run = client.post("/v1/threads/runs", json={"assistant_id": assistant}).json()
    gate.wait_until_reached()
    return f"/v1/threads/{run['thread_id']}/runs/{run['id']}"


def test_a_request_for_a_live_run_is_answered_when_it_stops(
    engine_factory: EngineFactory, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, waiting = Gate(), threading.Event()
    client = http(engine_factory([Reply("Hello.", wait_for=gate)]))
    path = run_of_gate(client, gate)
    real = Conductor.settled

    async def settled(self: Conductor, *arguments: Any) -> Any:
        waiting.set()
        return await real(self, *arguments)

    monkeypatch.setattr(Conductor, "settled", settled)
    answers: list[httpx.Response] = []
    headers = {"x-stainless-poll-helper": "true"}
    thread = threading.Thread(
        target=lambda: answers.append(client.get(path, headers=headers))
    )
    thread.start()
    assert waiting.wait(20)
    gate.open()
    thread.join(20)
    assert answers[0].json()["status"] == "completed"
    assert "openai-poll-after-ms" not in answers[0].headers


def test_a_request_that_has_waited_long_enough_gets_the_run_as_it_is(
    engine_factory: EngineFactory, http: Http
) -> None:
    gate = Gate()
    client = http(engine_factory([Reply("Hello.", wait_for=gate)]))
    path = run_of_gate(client, gate)
    answered = client.get(path, headers={"x-stainless-read-timeout": "0.02"})
    assert answered.json()["status"] == "in_progress"
    assert answered.headers["openai-poll-after-ms"] == "100"
    gate.open()


def test_a_run_that_waits_for_outputs_is_answered_at_once(
    engine_factory: EngineFactory, http: Http
) -> None:
    client = http(engine_factory([calls("call_a")]))
    tools = [function("look_up")]
    body = {"model": "m", "tools": tools}
    assistant = client.post("/v1/assistants", json=body).json()["id"]
    run = client.post("/v1/threads/runs", json={"assistant_id": assistant}).json()
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    for _ in range(2):
        answered = client.get(path)
        assert answered.json()["status"] == "requires_action"
        assert "openai-poll-after-ms" not in answered.headers


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 1.0),
        ({"x-stainless-read-timeout": "600"}, 1.0),
        ({"x-stainless-read-timeout": "0.5"}, 0.25),
        ({"x-stainless-poll-helper": "true"}, 10.0),
        ({"x-stainless-poll-helper": "true", "x-stainless-read-timeout": "600"}, 10.0),
        ({"x-stainless-poll-helper": "true", "x-stainless-read-timeout": "6"}, 3.0),
        ({"x-stainless-read-timeout": "-1"}, 0.0),
        ({"x-stainless-read-timeout": "nan"}, 0.0),
        ({"x-stainless-read-timeout": "never"}, 1.0),
    ],
)
def test_how_long_a_request_is_held_depends_on_its_client(
    headers: Mapping[str, str], seconds: float
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert holding_seconds(Request({"type": "http", "headers": raw})) == seconds
