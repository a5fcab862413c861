"""Whatever is sent, the answer is the original's error body, and never a 500."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.conftest import EngineFactory
from tests.conversations import Gate, calls, function

from langchain_assistants import AssistantsEngine
from langchain_assistants.testing import Reply

JSON = {"content-type": "application/json"}
Http = Callable[..., httpx.Client]


@pytest.fixture
def engine(engine_factory: EngineFactory) -> AssistantsEngine:
    return engine_factory()


@pytest.fixture
def client(engine: AssistantsEngine, http: Http) -> httpx.Client:
    return http(engine)


def refused(
    answered: httpx.Response,
    status: int,
    message: str,
    code: str | None = None,
    param: str | None = None,
) -> None:
    """Check the whole error body, and the headers that every answer has."""
    body = answered.json()
    assert answered.status_code == status, body
    assert set(body) == {"error"}
    assert message in body["error"].pop("message")
    kind = "invalid_request_error" if status < 500 else "server_error"
    assert body["error"] == {"type": kind, "code": code, "param": param}
    assert answered.headers["x-request-id"].startswith("req_")


# The body as a whole.


@pytest.mark.parametrize(
    "body",
    [b"{", b"model=m", b"\xff\xfe", b'{"a": NaN}', b'{"a": "\\ud800"}', b"{}{}"],
    ids=["cut", "form", "no UTF-8", "NaN", "lone surrogate", "two objects"],
)
def test_what_is_no_json_is_refused(client: httpx.Client, body: bytes) -> None:
    answered = client.post("/v1/assistants", content=body, headers=JSON)
    refused(answered, 400, "We could not parse the JSON body of your request.")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_json_that_is_100_000_levels_deep_is_refused(
    client: httpx.Client, opening: str, closing: str
) -> None:
    for body in (opening * 100_000, opening * 100_000 + "1" + closing * 100_000):
        answered = client.post("/v1/assistants", content=body, headers=JSON)
        refused(answered, 400, "We could not parse the JSON body of your request.")


@pytest.mark.parametrize(
    ("body", "kind"), [("[]", "an array"), ('"text"', "a string"), ("null", "null")]
)
def test_a_body_that_is_no_object_is_refused(
    client: httpx.Client, body: str, kind: str
) -> None:
    answered = client.post("/v1/assistants", content=body, headers=JSON)
    message = f"expected an object, but got {kind} instead."
    refused(answered, 400, message, "invalid_type")


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", ""])
def test_a_body_of_another_content_type_is_refused(
    client: httpx.Client, kind: str
) -> None:
    answered = client.post(
        "/v1/threads", content=b"{}", headers={"content-type": kind} if kind else {}
    )
    message = f"Unsupported content type: '{kind}'."
    refused(answered, 415, message, "unsupported_content_type")


def test_a_content_type_with_parameters_is_accepted(client: httpx.Client) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/threads", content=b"{}", headers=headers).status_code == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    engine: AssistantsEngine, http: Http
) -> None:
    client = http(engine, max_body_bytes=1000)

    def pieces() -> Iterator[bytes]:
        yield b'{"model": "'
        yield b"x" * 1000
        yield b'"}'

    message = "The request body is larger than 1000 bytes."
    stated = client.post("/v1/assistants", json={"model": "m" * 1000})
    refused(stated, 413, message)
    chunked = client.post("/v1/assistants", content=pieces(), headers=JSON)
    refused(chunked, 413, message)
    assert client.post("/v1/assistants", json={"model": "m"}).status_code == 200


# Fields.


@pytest.mark.parametrize(
    ("fields", "message", "code", "param"),
    [
        (
            {},
            "Missing required parameter: 'model'.",
            "missing_required_parameter",
            "model",
        ),
        ({"model": "m", "x": 1}, "Unknown parameter: 'x'.", "unknown_parameter", "x"),
        (
            {"model": 1},
            "Invalid type for 'model': expected a string, but got an integer instead.",
            "invalid_type",
            "model",
        ),
        (
            {"model": "m", "name": "x" * 300},
            "Invalid 'name': string too long. Expected a string with maximum length "
            "256, but got a string with length 300 instead.",
            "string_above_max_length",
            "name",
        ),
        (
            {"model": "m", "tools": [{"type": "code_interpreter"}] * 217},
            "Invalid 'tools': array too long. Expected an array with maximum length "
            "128, but got an array with length 217 instead.",
            "array_above_max_length",
            "tools",
        ),
        (
            {"model": "m", "metadata": {str(n): "" for n in range(17)}},
            "Invalid 'metadata': too many properties. Expected an object with at most "
            "16 properties, but got an object with 17 properties instead.",
            "object_above_max_properties",
            "metadata",
        ),
        (
            {"model": "m", "reasoning_effort": "huge"},
            "Invalid value: 'huge'. Supported values are: ",
            "invalid_value",
            "reasoning_effort",
        ),
        ({"model": "m\0"}, "Expected text without NUL", "invalid_value", "model"),
        (
            {"model": "m", "metadata": {"\0": "x"}},
            "Expected text without NUL",
            "invalid_value",
            "metadata",
        ),
        (
            {"model": "m", "temperature": 10**400},
            "Expected a finite number",
            "invalid_value",
            "temperature",
        ),
    ],
)
def test_a_field_that_breaks_a_rule_is_named(
    client: httpx.Client, fields: Any, message: str, code: str, param: str
) -> None:
    refused(client.post("/v1/assistants", json=fields), 400, message, code, param)


def test_explicit_nulls_count_as_absent(client: httpx.Client) -> None:
    absent = [
        "name",
        "description",
        "instructions",
        "tools",
        "tool_resources",
        "metadata",
        "temperature",
        "top_p",
        "response_format",
        "reasoning_effort",
    ]
    body = {"model": "m", **dict.fromkeys(absent)}
    made = client.post("/v1/assistants", json=body).json()
    assert (made["tools"], made["metadata"]) == ([], {})
    nulls = dict.fromkeys(("messages", "tool_resources", "metadata"))
    thread = client.post("/v1/threads", json=nulls).json()["id"]
    message = {"role": "user", "content": "Hi", "attachments": None, "metadata": None}
    said = client.post(f"/v1/threads/{thread}/messages", json=message)
    assert said.json()["attachments"] == []


def test_a_run_with_every_optional_field_null_is_started(
    engine_factory: EngineFactory, http: Http
) -> None:
    client = http(engine_factory(["Hello."]))
    assistant = client.post("/v1/assistants", json={"model": "m"}).json()["id"]
    absent = [
        "model",
        "instructions",
        "additional_instructions",
        "additional_messages",
        "tools",
        "metadata",
        "temperature",
        "top_p",
        "max_prompt_tokens",
        "max_completion_tokens",
        "truncation_strategy",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "stream",
        "thread",
        "tool_resources",
    ]
    body = {"assistant_id": assistant, **dict.fromkeys(absent)}
    run = client.post("/v1/threads/runs", json=body).json()
    assert run["status"] == "queued"
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    assert client.get(path).json()["status"] == "completed"


# The query.


@pytest.mark.parametrize(
    ("query", "message", "code", "param"),
    [
        (
            "limit=500",
            "Invalid 'limit': integer above maximum value. Expected a value <= 100, "
            "but got 500 instead.",
            "integer_above_max_value",
            "limit",
        ),
        (
            "limit=0",
            "Expected a value >= 1, but got 0",
            "integer_below_min_value",
            "limit",
        ),
        (
            "limit=ten",
            "Invalid type for 'limit': expected an integer",
            "invalid_type",
            "limit",
        ),
        (f"limit={'9' * 5000}", "expected an integer", "invalid_type", "limit"),
        (
            "order=up",
            "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.",
            "invalid_value",
            "order",
        ),
        ("after=%00", "Expected text without NUL", "invalid_value", "after"),
    ],
)
def test_a_query_that_breaks_a_rule_is_refused(
    client: httpx.Client, query: str, message: str, code: str, param: str
) -> None:
    refused(client.get(f"/v1/assistants?{query}"), 400, message, code, param)


def test_an_anchor_that_does_not_exist_is_not_found(client: httpx.Client) -> None:
    answered = client.get("/v1/assistants?after=asst_gone")
    refused(answered, 404, "No assistant found with id 'asst_gone'.")


def test_unknown_and_empty_parameters_of_the_query_are_ignored(
    client: httpx.Client,
) -> None:
    query = "api-version=2024-05-01-preview&after=&limit="
    assert client.get(f"/v1/assistants?{query}").status_code == 200


# The path.


@pytest.mark.parametrize(
    ("path", "param", "prefix"),
    [
        ("/v1/assistants/x", "assistant_id", "asst_"),
        ("/v1/threads/x", "thread_id", "thread_"),
        ("/v1/threads/thread_%00", "thread_id", "thread_"),
        ("/v1/threads/x/messages", "thread_id", "thread_"),
        ("/v1/threads/x/messages/msg_x", "thread_id", "thread_"),
        ("/v1/threads/thread_x/runs/x", "run_id", "run_"),
    ],
)
def test_an_id_of_another_kind_is_refused(
    client: httpx.Client, path: str, param: str, prefix: str
) -> None:
    message = f"Expected an ID that begins with '{prefix}'."
    refused(client.get(path), 400, message, "invalid_value", param)


@pytest.mark.parametrize(
    ("path", "kind", "id"),
    [
        ("/v1/assistants/asst_x", "assistant", "asst_x"),
        ("/v1/threads/thread_x", "thread", "thread_x"),
        ("/v1/threads/thread_x/messages", "thread", "thread_x"),
        ("/v1/threads/thread_x/runs", "thread", "thread_x"),
        ("/v1/threads/thread_x/runs/run_x", "thread", "thread_x"),
        ("/v1/threads/thread_x/runs/run_x/steps", "thread", "thread_x"),
        ("/v1/threads/thread_x/runs/run_x/stream", "thread", "thread_x"),
        ("/v1/threads/{thread}/runs/run_x", "run", "run_x"),
        ("/v1/threads/{thread}/messages/msg_x", "message", "msg_x"),
    ],
)
def test_what_does_not_exist_is_not_found(
    engine: AssistantsEngine, client: httpx.Client, path: str, kind: str, id: str
) -> None:
    path = path.replace("{thread}", engine.threads.create().id)
    refused(client.get(path), 404, f"No {kind} found with id '{id}'.")


def test_an_unknown_url_and_a_wrong_method_are_refused(client: httpx.Client) -> None:
    refused(client.post("/v1/chat/x"), 404, "Invalid URL (POST /v1/chat/x)")
    refused(client.get("/openai/x"), 404, "Invalid URL (GET /openai/x)")
    refused(client.post("/threads"), 404, "(POST /threads): the API is under /v1")
    answered = client.put("/v1/assistants")
    refused(
        answered, 405, "Not allowed to PUT on /v1/assistants", "method_not_supported"
    )
    assert answered.headers["allow"] == "GET, POST"
    answered = client.request("OPTIONS", "/v1/threads/thread_x")
    assert answered.headers["allow"] == "DELETE, GET, POST"


@pytest.mark.parametrize("base", ["/openai", "/openai/v1"])
def test_azures_paths_lead_to_the_same_operations(
    client: httpx.Client, base: str
) -> None:
    answered = client.post(
        f"{base}/assistants?api-version=2024-05-01-preview",
        json={"model": "deployment"},
        headers={"api-key": "any"},
    )
    assert answered.json()["model"] == "deployment"


# Runs.


def test_the_thread_lock_is_a_400_that_no_client_retries(
    engine_factory: EngineFactory, http: Http
) -> None:
    gate = Gate()
    client = http(engine_factory([Reply(wait_for=gate)]))
    assistant = client.post("/v1/assistants", json={"model": "m"}).json()["id"]
    body = {"assistant_id": assistant}
    run = client.post("/v1/threads/runs", json=body).json()
    gate.wait_until_reached()
    thread = f"/v1/threads/{run['thread_id']}"
    busy = f"Thread {run['thread_id']} already has an active run {run['id']}."
    refused(client.post(f"{thread}/runs", json=body), 400, busy)
    refused(client.post(f"{thread}/runs", json={**body, "stream": True}), 400, busy)
    locked = (
        f"Can't add messages to {run['thread_id']} while a run {run['id']} is active."
    )
    said = client.post(f"{thread}/messages", json={"role": "user", "content": "x"})
    refused(said, 400, locked)
    early = client.post(
        f"{thread}/runs/{run['id']}/submit_tool_outputs", json={"tool_outputs": []}
    )
    refused(early, 400, 'Runs in status "in_progress" do not accept tool outputs.')
    gate.open()


def test_what_is_wrong_with_a_stream_is_told_by_its_status(
    engine_factory: EngineFactory, http: Http
) -> None:
    client = http(engine_factory([calls("call_a")]))
    assistant = client.post(
        "/v1/assistants", json={"model": "m", "tools": [function("look_up")]}
    ).json()["id"]
    unknown = {"assistant_id": "asst_x", "stream": True}
    answered = client.post("/v1/threads/runs", json=unknown)
    refused(answered, 404, "No assistant found with id 'asst_x'.")
    run = client.post("/v1/threads/runs", json={"assistant_id": assistant}).json()
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    assert client.get(path).json()["status"] == "requires_action"
    outputs = {"tool_outputs": [{"tool_call_id": "x", "output": ""}], "stream": True}
    answered = client.post(f"{path}/submit_tool_outputs", json=outputs)
    refused(answered, 400, "Expected tool outputs for call_ids ['call_a'], got ['x']")


def test_text_outside_the_basic_plane_survives(client: httpx.Client) -> None:
    text = "𝄞 ü 漢 \u2028 </script>"
    made = client.post(
        "/v1/threads", content=json.dumps({"metadata": {"k": text}}), headers=JSON
    )
    assert made.json()["metadata"] == {"k": text}


def test_an_error_that_nobody_foresaw_tells_nothing_of_itself(
    engine: AssistantsEngine,
    client: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def crash(*_: object, **__: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("langchain_assistants.engine.threads.Threads.acreate", crash)
    answered = client.post("/v1/threads", json={})
    refused(answered, 500, "The server had an error while processing your request.")
    assert "secret" not in answered.text
    assert "secret" not in caplog.text
    assert "request_crashed" in caplog.text
