"""The runnable on servers of other people: what they lack, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from tests.langchain.arithmetic import add
from tests.langchain.conftest import Ask

from langchain_assistants import AssistantRunnable, OpenAIAssistantRunnable
from langchain_assistants.errors import (
    ActiveRunError,
    AssistantsError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    RunFailed,
)

RUN = "/v1/threads/thread_1/runs/run_1"
MESSAGES = "/v1/threads/thread_1/messages"
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'},
}
MESSAGE = {
    "id": "msg_1",
    "object": "thread.message",
    "created_at": 1,
    "thread_id": "thread_1",
    "assistant_id": "asst_1",
    "run_id": "run_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "text", "text": {"value": "Three.", "annotations": []}}],
    "attachments": [],
    "metadata": {},
}


def run(status: str, **fields: Any) -> dict[str, Any]:
    """A run with the fields that every server gives."""
    return {
        "id": "run_1",
        "object": "thread.run",
        "created_at": 1,
        "thread_id": "thread_1",
        "assistant_id": "asst_1",
        "status": status,
        "model": "gpt-4o",
        "instructions": "",
        "tools": [],
        "metadata": {},
        **fields,
    }


def requiring(*calls: dict[str, Any]) -> dict[str, Any]:
    """A run that waits for outputs."""
    action = {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {"tool_calls": list(calls)},
    }
    return run("requires_action", required_action=action)


def page(*items: dict[str, Any]) -> dict[str, Any]:
    """A list with nothing behind it."""
    return {"object": "list", "data": list(items), "has_more": False}


class Stream(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """Events, and how they end: as they should, or with the connection."""

    def __init__(self, *events: tuple[str, Any], error: Exception | None = None):
        self._pieces = [
            f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
            for name, data in events
        ]
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._error is not None:
            raise self._error

    async def __aiter__(self) -> Any:
        for piece in self:
            yield piece


class OtherServer:
    """Answers requests as scripted, and notes them."""

    def __init__(self, script: dict[str, Any]) -> None:
        """Take answers by method and path; a list is played, its last for ever."""
        self.script = script
        self.asked: list[tuple[str, Any]] = []

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        name = f"{request.method} {request.url.path}"
        body = json.loads(request.content) if request.content else None
        self.asked.append((name, body))
        found = self.script[name]
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, Exception):
            raise found
        if isinstance(found, Stream):
            kind = {"content-type": "text/event-stream; charset=utf-8"}
            return httpx2.Response(200, headers=kind, stream=found)
        if isinstance(found, tuple):
            return httpx2.Response(found[0], json={"error": found[1]})
        if isinstance(found, str):
            return httpx2.Response(200, text=found)
        return httpx2.Response(200, json=found)

    def requests(self) -> list[str]:
        """Methods and paths, in order."""
        return [name for name, _ in self.asked]

    def clients(self) -> dict[str, Any]:
        """A client of each kind."""
        transport = httpx2.MockTransport(self._answer)
        options: Any = {"api_key": "k", "base_url": "http://x/v1", "max_retries": 0}
        return {
            "client": openai.OpenAI(
                http_client=httpx2.Client(transport=transport), **options
            ),
            "async_client": openai.AsyncOpenAI(
                http_client=httpx2.AsyncClient(transport=transport), **options
            ),
        }

    def agent(self, **options: Any) -> AssistantRunnable:
        """The assistant `asst_1` of the server; it looks at runs without a pause."""
        return OpenAIAssistantRunnable(
            assistant_id="asst_1", check_every_ms=0.001, **self.clients(), **options
        )


BROKEN = httpx2.ReadError("gone")


async def test_a_server_that_does_not_stream_is_looked_at(ask: Ask) -> None:
    server = OtherServer(
        {
            "POST /v1/threads/runs": run("queued"),
            f"GET {RUN}": [run("in_progress"), requiring(CALL), run("completed")],
            f"POST {RUN}/submit_tool_outputs": run("queued"),
            f"GET {MESSAGES}": page(MESSAGE, {**MESSAGE, "run_id": "run_0"}),
        }
    )
    (answer,) = await ask(server.agent(run_tools=[add]), "1 + 2?")
    assert answer.text == "Three."
    posted = [body for name, body in server.asked if name.startswith("POST")]
    assert posted[0]["thread"]["messages"][0]["content"] == "1 + 2?"
    assert posted[1]["tool_outputs"] == [{"tool_call_id": "call_1", "output": "3"}]


@pytest.mark.parametrize(
    "stream",
    [
        Stream(("thread.run.created", run("queued"))),
        Stream(("thread.run.created", run("queued")), error=BROKEN),
        Stream(
            ("thread.run.created", run("queued")),
            ("error", {"message": "restarting"}),
            ("done", "[DONE]"),
        ),
    ],
    ids=["ends early", "breaks", "says that it breaks"],
)
async def test_a_run_outlives_its_stream(ask: Ask, stream: Stream) -> None:
    server = OtherServer(
        {
            "POST /v1/threads/runs": stream,
            f"GET {RUN}": [run("in_progress"), run("completed")],
            f"GET {MESSAGES}": page(MESSAGE),
        }
    )
    (answer,) = await ask(server.agent(), "1 + 2?")
    assert answer.text == "Three."
    assert f"POST {RUN}/cancel" not in server.requests()


async def test_a_server_that_dies_is_told_by_the_clients_own_error(ask: Ask) -> None:
    stream = Stream(("thread.run.created", run("queued")), error=BROKEN)
    dead = httpx2.ConnectError("refused")
    server = OtherServer(
        {
            "POST /v1/threads/runs": stream,
            f"GET {RUN}": dead,
            f"POST {RUN}/cancel": dead,
        }
    )
    with pytest.raises(openai.APIConnectionError):
        await ask(server.agent(), "1 + 2?")
    assert server.requests()[-1] == f"POST {RUN}/cancel"


@pytest.mark.parametrize(
    ("status", "told", "error"),
    [
        (401, {"message": "Incorrect API key provided."}, AuthenticationError),
        (404, {"message": "No assistant found with id 'asst_1'."}, NotFoundError),
        (400, {"message": "Too long.", "param": "thread"}, InvalidRequestError),
        (
            400,
            {"message": "Thread thread_1 already has an active run run_9."},
            ActiveRunError,
        ),
        (429, {"message": "Slow down."}, openai.RateLimitError),
        (500, {"message": "Oh."}, openai.InternalServerError),
    ],
)
async def test_refusals_are_the_errors_of_an_engine_and_faults_the_clients(
    ask: Ask, status: int, told: dict[str, Any], error: type[Exception]
) -> None:
    server = OtherServer({"POST /v1/threads/runs": (status, told)})
    with pytest.raises(error, match=told["message"]) as raised:
        await ask(server.agent(), "Hi")
    assert type(raised.value) is error
    assert server.requests() == ["POST /v1/threads/runs"]
    if isinstance(raised.value, InvalidRequestError):
        assert raised.value.param == told.get("param")
    if isinstance(raised.value, ActiveRunError):
        assert (raised.value.thread_id, raised.value.run_id) == ("thread_1", "run_9")


@pytest.mark.parametrize("answer", ["<html>", {"object": "error"}, Stream()])
async def test_what_is_no_assistants_api_is_told_as_such(ask: Ask, answer: Any) -> None:
    server = OtherServer({"POST /v1/threads/runs": answer})
    with pytest.raises(AssistantsError, match="base_url"):
        await ask(server.agent(), "Hi")


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "thread_1", "object": "thread", "created_at": 1, "metadata": {}},
        (400, {"message": "Unknown parameter: 'key'.", "param": "key"}),
    ],
    ids=["ignored", "refused"],
)
async def test_a_server_without_keys_of_threads_is_told_as_such(
    ask: Ask, answer: Any
) -> None:
    server = OtherServer({"POST /v1/threads": answer})
    with pytest.raises(ConfigurationError, match="thread_key"):
        await ask(server.agent(), {"content": "Hi", "thread_key": "mine"})


async def test_a_failed_run_is_the_typed_error(ask: Ask) -> None:
    cause = {"code": "rate_limit_exceeded", "message": "Quota."}
    stream = Stream(("thread.run.failed", run("failed", last_error=cause)))
    server = OtherServer({"POST /v1/threads/runs": stream})
    with pytest.raises(RunFailed, match="Quota") as raised:
        await ask(server.agent(), "Hi")
    assert raised.value.run.last_error.code == "rate_limit_exceeded"


async def test_unknown_events_are_passed_over(ask: Ask) -> None:
    stream = Stream(
        ("thread.run.created", run("queued")),
        ("thread.run.dreamed", {"of": "sheep"}),
        ("thread.message.completed", MESSAGE),
        ("thread.run.completed", run("completed")),
    )
    server = OtherServer({"POST /v1/threads/runs": stream})
    (answer,) = await ask(server.agent(), "Hi")
    assert answer.text == "Three."


def test_an_async_client_with_connections_of_its_own_serves_no_sync_call() -> None:
    client = OtherServer({}).clients()["async_client"]
    agent = AssistantRunnable(assistant_id="asst_1", client=client)
    with pytest.raises(ConfigurationError, match="client=OpenAI"):
        agent.invoke("Hi")
