"""Event streams as bytes: frames, comments, ends, joining and vanishing clients."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest
from openai import APIError, AssistantEventHandler, OpenAI, Stream
from openai.types.beta import AssistantStreamEvent
from tests.conftest import EngineFactory
from tests.conversations import Gate, calls, function, outputs
from tests.server.conftest import Servers

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.runs import Runs
from langchain_assistants.testing import Reply, ScriptedChatModel
from langchain_assistants.types import RunEvent

Http = Callable[..., httpx.Client]
Frame = tuple[str | None, str | None, Any]


def frames(lines: Iterator[str]) -> Iterator[Frame]:
    """Yield the id, the event and the data of each frame; comments are left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            if name:
                assert name not in fields, "each field is one line of a frame"
                fields[name] = value
        elif fields:
            data = fields["data"]
            read = data if data == "[DONE]" else json.loads(data)
            yield fields.get("id"), fields.get("event"), read
            fields = {}


def begun(client: httpx.Client, *tools: str) -> dict[str, Any]:
    """Return the body of a run of a new assistant on a new thread."""
    body = {"model": "m", "tools": [function(name) for name in tools]}
    assistant = client.post("/v1/assistants", json=body).json()["id"]
    return {"assistant_id": assistant}


def test_a_stream_is_frames_with_dense_ids_and_ends_with_done(
    engine_factory: EngineFactory, http: Http
) -> None:
    client = http(engine_factory(["Hello, Ada."]))
    body = {**begun(client), "stream": True}
    with client.stream("POST", "/v1/threads/runs", json=body) as answered:
        assert answered.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answered.headers["x-accel-buffering"] == "no"
        assert "content-length" not in answered.headers
        told = list(frames(answered.iter_lines()))
    assert told[-1] == (None, "done", "[DONE]")
    assert [id for id, *_ in told[:-1]] == [f"1.{n}" for n in range(1, len(told))]
    assert (told[0][1], told[-2][1]) == ("thread.created", "thread.run.completed")
    deltas = [data for _, event, data in told if event == "thread.message.delta"]
    [first] = deltas[0]["delta"]["content"]
    assert first == {
        "index": 0,
        "type": "text",
        "text": {"value": "Hello, ", "annotations": []},
    }
    assert deltas[1]["delta"]["content"][0]["text"] == {"value": "Ada."}


def test_a_stream_with_calls_ends_at_requires_action_and_the_next_one_goes_on(
    engine_factory: EngineFactory, http: Http
) -> None:
    client = http(engine_factory([calls("call_a", "call_b"), "Done."]))
    body = {**begun(client, "look_up"), "stream": True}
    with client.stream("POST", "/v1/threads/runs", json=body) as answered:
        told = list(frames(answered.iter_lines()))
    names = [str(event) for _, event, _ in told]
    assert names[-2:] == ["thread.run.requires_action", "done"]
    created = told[names.index("thread.run.step.created")][2]
    assert created["step_details"] == {"type": "tool_calls", "tool_calls": []}
    run = told[-2][2]
    submitted = {"tool_outputs": outputs("call_a", "call_b"), "stream": True}
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
    with client.stream("POST", path, json=submitted) as answered:
        told = list(frames(answered.iter_lines()))
    assert [event for _, event, _ in told][:4] == [
        "thread.run.step.completed",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
    ]
    assert [id for id, *_ in told[:-1]] == [f"2.{n}" for n in range(1, len(told))]
    assert [event for _, event, _ in told][-2:] == ["thread.run.completed", "done"]


def test_tokens_are_sent_as_they_come_and_comments_in_between(
    engine_factory: EngineFactory, http: Http
) -> None:
    gate = Gate()
    client = http(engine_factory([Reply("Hello.", wait_for=gate)]), ping_seconds=0.01)
    body = {**begun(client), "stream": True}
    with client.stream("POST", "/v1/threads/runs", json=body) as answered:
        lines = answered.iter_lines()
        # The model has said nothing yet, and everything before is here.
        assert "event: thread.run.in_progress" in iter(lines.__next__, ": ping")
        gate.open()
        assert "event: thread.run.completed" in lines


def test_a_client_that_vanishes_does_not_cancel_the_run(
    engine_factory: EngineFactory, http: Http
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Hello, Ada.", wait_for=gate)])
    client = http(engine)
    body = {**begun(client), "stream": True}
    with client.stream("POST", "/v1/threads/runs", json=body) as answered:
        told = frames(answered.iter_lines())
        run_id = next(data["id"] for _, event, data in told if "run.created" in event)
        gate.wait_until_reached()
    open_streams = re.compile(r"^langchain_assistants_streams_open ([1-9])", re.M)
    while open_streams.search(client.get("/metrics").text):
        pass  # until the server has noticed
    gate.open()
    assert engine.runs.wait(run_id, timeout=20).status == "completed"


def test_a_slow_reader_holds_up_nobody_and_misses_nothing(
    engine_factory: EngineFactory, http: Http
) -> None:
    gate, text = Gate(), "x" * 8_000_000
    engine = engine_factory([Reply(text, wait_for=gate)])
    client = http(engine)
    thread = engine.threads.create().id
    body = json.dumps({**begun(client), "stream": True})
    address = (client.base_url.host, client.base_url.port)
    with closing(HTTPConnection(*address)) as slow:
        slow.sock = socket.socket()
        slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sock.connect(address)
        slow.request(
            "POST",
            f"/v1/threads/{thread}/runs",
            body,
            {"content-type": "application/json"},
        )
        gate.wait_until_reached()
        gate.open()
        # It has read nothing yet: the run ends, and others are answered.
        [run] = engine.runs.list(thread)
        assert engine.runs.wait(run.id, timeout=20).status == "completed"
        assert client.get(f"/v1/threads/{thread}").status_code == 200
        lines = slow.getresponse().read().decode().split("\n")
    told = list(frames(iter(lines)))
    pieces = [data for _, event, data in told if event == "thread.message.delta"]
    assert "".join(d["delta"]["content"][0]["text"]["value"] for d in pieces) == text
    assert [event for _, event, _ in told][-2:] == ["thread.run.completed", "done"]


def test_a_client_that_comes_back_gets_what_it_missed_of_a_live_run(
    engine_factory: EngineFactory, http: Http
) -> None:
    gate = Gate()
    client = http(engine_factory([Reply("Hello, Ada.", wait_for=gate)]))
    body = {**begun(client), "stream": True}
    with client.stream("POST", "/v1/threads/runs", json=body) as answered:
        told = frames(answered.iter_lines())
        seen = [next(told) for _ in range(3)]
        gate.wait_until_reached()
    run = seen[1][2]
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/stream"
    gate.open()
    headers = {"last-event-id": str(seen[-1][0])}
    with client.stream("GET", path, headers=headers) as answered:
        rest = list(frames(answered.iter_lines()))
    ids = [id for id, *_ in [*seen, *rest[:-1]]]
    assert ids == [f"1.{number}" for number in range(1, len(ids) + 1)]
    assert rest[-2][1] == "thread.run.completed"
    # Its log is still there after its end.
    with client.stream("GET", path, headers={"last-event-id": ids[-3]}) as answered:
        assert list(frames(answered.iter_lines())) == rest[-3:]


def test_a_run_that_nobody_streamed_is_told_as_soon_as_it_stops(
    engine_factory: EngineFactory, http: Http
) -> None:
    gate = Gate()
    client = http(engine_factory([Reply("Hello, Ada.", wait_for=gate)]))
    run = client.post("/v1/threads/runs", json=begun(client)).json()
    gate.wait_until_reached()
    gate.open()
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/stream"
    with client.stream("GET", path) as answered:
        told = list(frames(answered.iter_lines()))
    assert [event for _, event, _ in told] == [
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.message.created",
        "thread.message.in_progress",
        "thread.message.delta",
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.completed",
        "done",
    ]
    assert told[7][2]["delta"]["content"][0]["text"]["value"] == "Hello, Ada."
    with client.stream("GET", path, headers={"last-event-id": "0.9"}) as answered:
        assert list(frames(answered.iter_lines())) == told[9:]


def test_openais_client_reads_a_replay_as_it_reads_a_live_stream(
    engine_factory: EngineFactory, servers: Servers
) -> None:
    engine = engine_factory([calls("call_a", "call_b"), "Hello, Ada."])
    client = OpenAI(api_key="any", base_url=f"{servers.serve(engine)}/v1")
    assistant = client.beta.assistants.create(model="m", tools=[function("look_up")])
    run = client.beta.threads.create_and_run_poll(assistant_id=assistant.id)
    client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id,
        thread_id=run.thread_id,
        tool_outputs=outputs("call_a", "call_b"),
    )
    stream: Any = client.get(
        f"/threads/{run.thread_id}/runs/{run.id}/stream",
        cast_to=AssistantStreamEvent,
        stream=True,
        stream_cls=Stream[AssistantStreamEvent],
    )
    handler = AssistantEventHandler()
    handler._init(stream)
    handler.until_done()
    steps = handler.get_final_run_steps()
    assert [step.type for step in steps] == ["tool_calls", "message_creation"]
    assert [call.id for call in steps[0].step_details.tool_calls] == [
        "call_a",
        "call_b",
    ]
    [message] = handler.get_final_messages()
    assert message.content[0].text.value == "Hello, Ada."
    client.close()


def broken_after(
    number: int, failure: Exception | None
) -> Callable[..., AsyncGenerator[RunEvent, None]]:
    """Return a stream of the engine that ends too early, or breaks."""
    real = Runs.astream_with_thread

    async def broken(self: Runs, **fields: Any) -> AsyncGenerator[RunEvent, None]:
        events = real(self, **fields)
        for _ in range(number):
            yield await anext(events)
        await events.aclose()
        if failure is not None:
            raise failure

    return broken


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (None, "The stream ended before the run did."),
        (RuntimeError("a secret"), "The server had an error"),
    ],
)
def test_a_stream_that_breaks_says_so_in_the_form_on_which_clients_raise(
    engine_factory: EngineFactory,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception | None,
    message: str,
) -> None:
    monkeypatch.setattr(
        "langchain_assistants.engine.runs.Runs.astream_with_thread",
        broken_after(3, failure),
    )
    engine = engine_factory(["Hello.", "Hello."])
    url = servers.serve(engine)
    with httpx.Client(base_url=url) as plain:
        body = {**begun(plain), "stream": True}
        with plain.stream("POST", "/v1/threads/runs", json=body) as answered:
            told = list(frames(answered.iter_lines()))
    assert [event for _, event, _ in told[-2:]] == ["error", "done"]
    error = told[-2][2]
    assert error["message"].startswith(message)
    assert error["error"] == {name: error[name] for name in error if name != "error"}
    assert (error["type"], error["code"], error["param"]) == (
        "server_error",
        None,
        None,
    )
    with (
        OpenAI(api_key="any", base_url=f"{url}/v1") as client,
        pytest.raises(APIError, match=message),
        client.beta.threads.create_and_run_stream(**begun_with(engine)) as stream,
    ):
        stream.until_done()
    assert "secret" not in json.dumps(error)


def begun_with(engine: AssistantsEngine) -> dict[str, Any]:
    return {"assistant_id": engine.assistants.create(model="m").id}


def test_fifty_streams_at_once_lose_no_event(
    engine_factory: EngineFactory, servers: Servers
) -> None:
    words = [f"w{number} " for number in range(20)]
    model = ScriptedChatModel(respond=lambda *_: "".join(words).strip(), record=False)
    engine = engine_factory(model)
    body = {**begun_with(engine), "stream": True}
    url = servers.serve(engine)

    async def streamed(client: httpx.AsyncClient) -> list[Frame]:
        async with client.stream("POST", "/v1/threads/runs", json=body) as answered:
            lines = [line async for line in answered.aiter_lines()]
        return list(frames(iter(lines)))

    async def all_streams() -> list[list[Frame]]:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
            return await asyncio.gather(*(streamed(client) for _ in range(50)))

    for told in asyncio.run(all_streams()):
        assert [id for id, *_ in told[:-1]] == [f"1.{n}" for n in range(1, len(told))]
        pieces = [d for _, event, d in told if event == "thread.message.delta"]
        text = "".join(d["delta"]["content"][0]["text"]["value"] for d in pieces)
        assert text == "".join(words).strip()
        assert told[-2][1] == "thread.run.completed"
