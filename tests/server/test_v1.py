"""The first Assistants API over plain HTTP: what curl sends, and gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.conftest import EngineFactory

from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.engine.v1_files import store_name
from langchain_assistants.server.v1 import V1Answers, v1_shape

V1 = {"OpenAI-Beta": "assistants=v1"}
RETRIEVAL = {"type": "retrieval"}
CODE = {"type": "code_interpreter"}
Http = Callable[..., httpx.Client]


@pytest.fixture
def engine(engine_factory: EngineFactory) -> AssistantsEngine:
    return engine_factory(["Hello."])


@pytest.fixture
def client(engine: AssistantsEngine, http: Http) -> httpx.Client:
    """A client that sends the header of the first API with everything."""
    client = http(engine)
    client.headers.update(V1)
    return client


def uploaded(engine: AssistantsEngine, name: str = "a.txt") -> str:
    return engine.files.create(file=(name, b"text"), purpose="assistants").id


def post(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("tools", "resources"),
    [
        ([CODE], {"code_interpreter"}),
        ([RETRIEVAL], {"file_search"}),
        ([CODE, RETRIEVAL], {"code_interpreter", "file_search"}),
        ([], set()),
    ],
    ids=["code", "retrieval", "both", "neither"],
)
def test_the_files_of_an_assistant_go_to_its_tools(
    tools: list[dict[str, str]],
    resources: set[str],
    engine: AssistantsEngine,
    client: httpx.Client,
) -> None:
    first, second = uploaded(engine), uploaded(engine)
    made = post(
        client, "/v1/assistants", model="m", tools=tools, file_ids=[first, second]
    )
    assert made["file_ids"] == [first, second]
    assert made["tools"] == tools
    assert "tool_resources" not in made
    stored = engine.assistants.retrieve(made["id"]).to_dict()["tool_resources"]
    assert stored.pop("file_ids") == [first, second]
    assert stored.keys() == resources
    if "file_search" in resources:
        [store_id] = stored["file_search"]["vector_store_ids"]
        store = engine.vector_stores.retrieve(store_id)
        assert store.name == store_name(made["id"])
        assert store.expires_after is None
        attached = engine.vector_stores.files.list(store_id, order="asc")
        assert [file.id for file in attached] == [first, second]


def test_a_later_tool_gets_the_files_and_a_store_follows_them(
    engine: AssistantsEngine, client: httpx.Client
) -> None:
    first, second = uploaded(engine), uploaded(engine)
    made = post(client, "/v1/assistants", model="m", file_ids=[first])
    path = f"/v1/assistants/{made['id']}"
    post(client, path, tools=[RETRIEVAL])
    store_id = store_of(engine, made["id"])
    assert files_of(engine, store_id) == {first}
    assert post(client, path, file_ids=[second])["file_ids"] == [second]
    assert store_of(engine, made["id"]) == store_id
    assert files_of(engine, store_id) == {second}
    assert post(client, path, name="Other")["file_ids"] == [second]
    assert client.post(path, json={"file_ids": ["file-none"]}).status_code == 404
    assert files_of(engine, store_id) == {second}


def store_of(engine: AssistantsEngine, assistant_id: str) -> str:
    resources = engine.assistants.retrieve(assistant_id).to_dict()["tool_resources"]
    [store_id] = resources["file_search"]["vector_store_ids"]
    return str(store_id)


def files_of(engine: AssistantsEngine, store_id: str) -> set[str]:
    return {file.id for file in engine.vector_stores.files.list(store_id)}


def test_a_store_of_ones_own_is_left_alone(
    engine: AssistantsEngine, client: httpx.Client
) -> None:
    own = engine.vector_stores.create(name="Mine")
    assistant = engine.assistants.create(
        model="m",
        tools=[{"type": "file_search"}],
        tool_resources={"file_search": {"vector_store_ids": [own.id]}},
    )
    file_id = uploaded(engine)
    post(client, f"/v1/assistants/{assistant.id}/files", file_id=file_id)
    assert files_of(engine, own.id) == set()
    assert store_of(engine, assistant.id) == own.id


def test_what_is_mixed_is_taken_and_the_header_alone_shapes_the_answer(
    engine: AssistantsEngine, client: httpx.Client
) -> None:
    file_id = uploaded(engine)
    v2 = {"OpenAI-Beta": "assistants=v2"}
    body = {"model": "m", "tools": [RETRIEVAL], "file_ids": [file_id]}
    made = client.post("/v1/assistants", json=body, headers=v2).json()
    assert made["tools"] == [{"type": "file_search"}]
    assert "file_ids" not in made
    old = client.get(f"/v1/assistants/{made['id']}").json()
    assert (old["tools"], old["file_ids"]) == ([RETRIEVAL], [file_id])
    listed = client.get("/v1/assistants").json()
    assert [one["file_ids"] for one in listed["data"]] == [[file_id]]


def test_everything_of_a_run_has_the_old_shapes(
    engine: AssistantsEngine, client: httpx.Client
) -> None:
    file_id = uploaded(engine)
    assistant = post(client, "/v1/assistants", model="m")
    thread = post(
        client,
        "/v1/threads",
        messages=[{"role": "user", "content": "Hi", "file_ids": [file_id]}],
    )
    assert "tool_resources" not in thread
    body = {"assistant_id": assistant["id"], "stream": True}
    with client.stream("POST", f"/v1/threads/{thread['id']}/runs", json=body) as answer:
        frames = [line for line in answer.iter_lines() if line.startswith("data: {")]
    events = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    shaped = [e for e in events if e["object"] in ("thread.run", "thread.message")]
    assert {event["object"] for event in shaped} == {"thread.run", "thread.message"}
    assert all(event["file_ids"] == [] for event in shaped)
    assert not any("attachments" in event for event in events)
    messages = client.get(f"/v1/threads/{thread['id']}/messages").json()["data"]
    assert [message["file_ids"] for message in messages] == [[], [file_id]]


def test_a_step_of_file_search_is_one_of_retrieval() -> None:
    call = {"id": "call_1", "type": "file_search", "file_search": {"results": []}}
    details = {"type": "tool_calls", "tool_calls": [dict(call)]}
    old = {"id": "call_1", "type": "retrieval", "retrieval": {}}
    step = {"object": "thread.run.step", "step_details": details}
    assert v1_shape(step)["step_details"]["tool_calls"] == [old]
    delta = {"step_details": {"type": "tool_calls", "tool_calls": [dict(call)]}}
    event = {"object": "thread.run.step.delta", "delta": delta}
    assert v1_shape(event)["delta"]["step_details"]["tool_calls"] == [old]
    chosen = {
        "object": "thread.run",
        "tools": [],
        "tool_choice": {"type": "file_search"},
    }
    assert v1_shape(chosen)["tool_choice"] == RETRIEVAL


@pytest.mark.parametrize("size", [1, 7, 1_000])
async def test_events_are_shaped_however_they_are_cut(size: int) -> None:
    step = {"object": "thread.run", "id": "run_1", "tools": [{"type": "file_search"}]}
    frame = b"id: 1\nevent: thread.run.queued\ndata: %s\n\n" % json.dumps(step).encode()
    text = frame + b": ping\n\n" + frame + b"event: done\ndata: [DONE]\n\n"
    cuts = [text[at : at + size] for at in range(0, len(text), size)]
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kind = (b"content-type", b"text/event-stream; charset=utf-8")
        start = {"type": "http.response.start", "status": 200, "headers": [kind]}
        await send(start)
        for cut in cuts:
            await send({"type": "http.response.body", "body": cut, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "path": "/v1/threads/runs",
        "query_string": b"",
        "headers": [(b"openai-beta", b"assistants=v1")],
    }
    await V1Answers(app)(scope, receive, send)
    body = b"".join(message["body"] for message in sent[1:]).decode()
    assert body.count('"tools":[{"type":"retrieval"}]') == 2
    assert body.count('"file_ids":[]') == 2
    assert body.endswith("event: done\ndata: [DONE]\n\n")
    assert ": ping\n\n" in body


def test_the_content_of_a_file_is_nobodys_to_shape(
    engine: AssistantsEngine, client: httpx.Client
) -> None:
    content = b'{"object": "assistant", "tools": []}'
    file = engine.files.create(
        file=("a.json", content, "application/json"), purpose="vision"
    )
    assert client.get(f"/v1/files/{file.id}/content").content == content


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/assistants/{a}/files/file-none"),
        ("DELETE", "/v1/assistants/{a}/files/file-none"),
        ("GET", "/v1/assistants/asst_none/files"),
        ("GET", "/v1/assistants/{a}/files?after=file-none"),
        ("GET", "/v1/threads/thread_none/messages/msg_none/files"),
    ],
)
def test_what_is_not_there_is_not_found(
    method: str, path: str, engine: AssistantsEngine, client: httpx.Client
) -> None:
    assistant = engine.assistants.create(model="m")
    answer = client.request(method, path.format(a=assistant.id))
    assert answer.status_code == 404, answer.text


def test_a_strict_server_refuses_the_first_api(
    engine: AssistantsEngine, http: Http
) -> None:
    client = http(engine, strict_beta_header=True)
    answer = client.get("/v1/assistants/asst_1/files", headers=V1)
    assert answer.status_code == 400
    assert "The v1 Assistants API has been deprecated" in answer.text


def test_in_python_the_old_names_warn(engine: AssistantsEngine) -> None:
    file_id = uploaded(engine)
    with pytest.warns(DeprecationWarning, match="'retrieval' is Assistants v1"):
        assistant = engine.assistants.create(model="m", tools=[RETRIEVAL])
    with pytest.warns(DeprecationWarning, match="`file_ids` is Assistants v1"):
        engine.assistants.update(assistant.id, file_ids=[file_id])
    assert files_of(engine, store_of(engine, assistant.id)) == {file_id}
    message: Any = {"role": "user", "content": "Hi", "file_ids": [file_id]}
    with pytest.warns(DeprecationWarning, match="`file_ids` is Assistants v1"):
        thread = engine.threads.create(messages=[message])
    with pytest.warns(DeprecationWarning, match="`file_ids` is Assistants v1"):
        engine.messages.create(thread.id, **message)
    both = [{"type": "file_search"}, {"type": "code_interpreter"}]
    attached = [{"file_id": file_id, "tools": both}]
    for found in engine.messages.list(thread.id):
        assert found.to_dict()["attachments"] == attached


def test_a_runnable_takes_the_old_names_and_warns(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["Read.", "Read again."])
    file_id = uploaded(engine)
    with pytest.warns(DeprecationWarning, match="`file_ids` is Assistants v1"):
        agent = AssistantRunnable.create_assistant(
            "Reader", "Read.", [], "m", engine=engine, file_ids=[file_id]
        )
    given = {"content": "Hi", "file_ids": [file_id]}
    with pytest.warns(DeprecationWarning, match="`file_ids` is Assistants v1"):
        [answer] = agent.invoke(given)
    on_the_same = given | {"thread_id": answer.thread_id}
    with pytest.warns(DeprecationWarning, match="`file_ids` is Assistants v1"):
        agent.invoke(on_the_same)
    asked = [m for m in engine.messages.list(answer.thread_id) if m.role == "user"]
    attached = [[one.file_id for one in m.attachments or ()] for m in asked]
    assert attached == [[file_id], [file_id]]
