"""Azure's client, with its paths, keys and versions, reaches the same operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from openai import AuthenticationError, AzureOpenAI
from tests.conftest import EngineFactory
from tests.conversations import TIMEOUT
from tests.server.conftest import Servers

from langchain_assistants import AssistantsEngine

V2 = "2024-05-01-preview"
PICTURE = b"\x89PNG"
Connect = Callable[..., AzureOpenAI]


@pytest.fixture
def engine(engine_factory: EngineFactory) -> AssistantsEngine:
    return engine_factory(["Hello."])


@pytest.fixture
def address(engine: AssistantsEngine, servers: Servers) -> str:
    return servers.serve(engine, keys="required")


@pytest.fixture
def connect(engine: AssistantsEngine) -> Iterator[Connect]:
    """Azure's client with a key of the tenant "acme"."""
    key = engine.api_keys.create(tenant="acme").key
    clients: list[AzureOpenAI] = []

    def connect(**options: Any) -> AzureOpenAI:
        given: Any = {"api_key": key, "api_version": V2, **options}
        clients.append(AzureOpenAI(timeout=TIMEOUT, max_retries=0, **given))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def converse(client: AzureOpenAI) -> list[str]:
    """Upload, create, run and read; return the texts."""
    file = client.files.create(file=("a.png", PICTURE), purpose="vision")
    assert client.files.content(file.id).read() == PICTURE
    store = client.vector_stores.create(name="Texts")
    assert client.vector_stores.retrieve(store.id).name == "Texts"
    assistant = client.beta.assistants.create(model="my-deployment")
    thread = client.beta.threads.create()
    client.beta.threads.messages.create(thread.id, role="user", content="Hi")
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant.id
    )
    assert run.status == "completed"
    listed = client.beta.threads.messages.list(thread.id, order="asc")
    return [
        part.text.value for m in listed for part in m.content if part.type == "text"
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"azure_endpoint": "{address}"},
        {"azure_endpoint": "{address}", "azure_deployment": "my-deployment"},
        {"base_url": "{address}/openai/v1", "api_version": "preview"},
        {"base_url": "{address}/v1", "api_version": "v1"},
    ],
    ids=["endpoint", "deployment", "base_url", "our own path"],
)
def test_a_conversation_works_by_every_way_to_name_the_address(
    options: dict[str, str],
    address: str,
    connect: Connect,
    engine: AssistantsEngine,
) -> None:
    given = {name: value.format(address=address) for name, value in options.items()}
    assert converse(connect(**given)) == ["Hi", "Hello."]
    assert len(list(engine.for_tenant("acme").threads.list())) == 1
    assert list(engine.threads.list()) == []


def test_an_entra_token_is_a_key_too(
    address: str, connect: Connect, engine: AssistantsEngine
) -> None:
    token = engine.api_keys.create(tenant="acme").key
    client = connect(
        azure_endpoint=address, api_key=None, azure_ad_token_provider=lambda: token
    )
    assert client.beta.assistants.create(model="m").id.startswith("asst_")
    with pytest.raises(AuthenticationError):
        connect(azure_endpoint=address, api_key="wrong").beta.assistants.list()


@pytest.mark.parametrize("version", ["2024-02-15-preview", "2024-03-01-preview"])
def test_an_old_version_gives_the_shapes_of_the_first_api(
    version: str, address: str, connect: Connect
) -> None:
    client = connect(azure_endpoint=address, api_version=version)
    tools: Any = [{"type": "retrieval"}]
    answer = client.beta.assistants.with_raw_response.create(model="m", tools=tools)
    made = answer.http_response.json()
    assert (made["tools"], made["file_ids"]) == (tools, [])
    new = connect(azure_endpoint=address).beta.assistants.retrieve(made["id"])
    assert [tool.type for tool in new.tools] == ["file_search"]


def test_azures_own_examples_send_no_beta_header(
    address: str, engine: AssistantsEngine
) -> None:
    key = engine.api_keys.create().key
    answer = httpx.post(
        f"{address}/openai/threads?api-version={V2}",
        headers={"api-key": key, "Content-Type": "application/json"},
        content="",
        timeout=TIMEOUT,
    )
    assert answer.status_code == 200
    assert answer.json()["object"] == "thread"
