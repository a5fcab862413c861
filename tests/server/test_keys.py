"""Who may come in, and whose objects they see."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from tests.conftest import EngineFactory

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.server.callers import is_loopback
from langchain_assistants.server.serving import check_host

Http = Callable[..., httpx.Client]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_without_a_key_nobody_comes_in_where_one_is_required(
    engine_factory: EngineFactory, http: Http
) -> None:
    client = http(engine_factory(), keys="required")
    for path in ("/v1/assistants", "/v1/threads/thread_x", "/metrics"):
        answered = client.get(path)
        assert answered.status_code == 401
        assert "You didn't provide an API key." in answered.json()["error"]["message"]
        assert answered.json()["error"]["code"] is None
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "key", ["nonsense", "sk-lca-" + "x" * 43, "sk-proj-" + "y" * 40]
)
def test_an_unknown_key_is_refused_and_not_repeated(
    engine_factory: EngineFactory, http: Http, key: str
) -> None:
    client = http(engine_factory(), keys="required")
    answered = client.get("/v1/assistants", headers=bearer(key))
    assert answered.status_code == 401
    error = answered.json()["error"]
    assert error["code"] == "invalid_api_key"
    assert error["message"].startswith("Incorrect API key provided: ")
    assert key not in answered.text


def test_a_key_comes_as_bearer_as_azure_sends_it_or_as_a_password(
    engine_factory: EngineFactory, http: Http
) -> None:
    engine = engine_factory()
    key = engine.api_keys.create().key
    client = http(engine, keys="required")
    for headers in (bearer(key), {"api-key": key}, {"authorization": f"bearer  {key}"}):
        assert client.get("/v1/assistants", headers=headers).status_code == 200
    for user in ("", "anybody"):
        assert client.get("/v1/assistants", auth=(user, key)).status_code == 200
    for nonsense in ("Basic", "Basic %%", "Basic /w==", "Basic OmE="):
        headers = {"authorization": nonsense}
        assert client.get("/v1/assistants", headers=headers).status_code == 401
    assert client.get("/metrics", headers=bearer(key)).status_code == 200


@pytest.mark.parametrize("keys", ["required", "loopback"])
def test_a_revoked_key_is_refused_from_the_next_request_on(
    engine_factory: EngineFactory, http: Http, keys: str
) -> None:
    engine = engine_factory()
    key = engine.api_keys.create()
    client = http(engine, keys=keys)
    assert client.get("/v1/assistants", headers=bearer(key.key)).status_code == 200
    engine.api_keys.revoke(key.id)
    answered = client.get("/v1/assistants", headers=bearer(key.key))
    assert answered.status_code == 401
    assert answered.json()["error"]["code"] == "invalid_api_key"


def test_on_loopback_a_known_key_chooses_its_tenant_and_any_other_is_the_default(
    engine_factory: EngineFactory, http: Http
) -> None:
    engine = engine_factory()
    key = engine.api_keys.create(tenant="acme").key
    client = http(engine, keys="loopback")
    made = client.post("/v1/assistants", json={"model": "m"}, headers=bearer(key))
    assert made.status_code == 200
    assert client.get("/v1/assistants", headers=bearer("sk-x")).json()["data"] == []
    assert client.get("/v1/assistants").json()["data"] == []
    [own] = client.get("/v1/assistants", headers=bearer(key)).json()["data"]
    assert own["id"] == made.json()["id"]
    assert engine.assistants.list().data == []
    assert [a.id for a in engine.for_tenant("acme").assistants.list()] == [own["id"]]


@pytest.mark.parametrize("host", ["evil.test", "evil.test:8000", "10.0.0.7"])
def test_without_a_key_only_a_loopback_name_is_served(
    engine_factory: EngineFactory, http: Http, host: str
) -> None:
    engine = engine_factory()
    client = http(engine, keys="loopback")
    answered = client.get("/v1/assistants", headers={"host": host})
    assert answered.status_code == 403
    key = engine.api_keys.create().key
    known = client.get("/v1/assistants", headers={"host": host, **bearer(key)})
    assert known.status_code == 200


def test_another_host_is_refused_until_there_is_a_key(
    engine_factory: EngineFactory,
) -> None:
    engine: AssistantsEngine = engine_factory()
    for host in ("127.0.0.1", "localhost", "::1"):
        check_host(engine, host)
    with pytest.raises(ConfigurationError, match="langchain-assistants keys create"):
        check_host(engine, "0.0.0.0")
    key = engine.api_keys.create()
    check_host(engine, "0.0.0.0")
    engine.api_keys.revoke(key.id)
    with pytest.raises(ConfigurationError, match="no API key"):
        check_host(engine, "::")


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.evil.test", False),
        ("", False),
    ],
)
def test_a_loopback_host_means_this_machine_alone(host: str, is_own: bool) -> None:
    assert is_loopback(host) is is_own


def test_the_beta_header_is_demanded_only_by_a_strict_server(
    engine_factory: EngineFactory, http: Http
) -> None:
    lenient = http(engine_factory())
    assert lenient.get("/v1/assistants").status_code == 200
    strict = http(engine_factory(), strict_beta_header=True)
    missing = strict.get("/v1/assistants")
    assert missing.status_code == 400
    assert missing.json()["error"]["code"] == "invalid_beta"
    assert "You must provide the 'OpenAI-Beta' header" in missing.text
    old = strict.get("/v1/assistants", headers={"openai-beta": "assistants=v1"})
    assert "The v1 Assistants API has been deprecated." in old.text
    given = strict.get("/v1/assistants", headers={"openai-beta": "assistants=v2"})
    assert given.status_code == 200


def test_another_origin_may_call_only_where_it_is_allowed(
    engine_factory: EngineFactory, http: Http
) -> None:
    asking = {"origin": "https://app.test", "access-control-request-method": "POST"}
    closed = http(engine_factory())
    answered = closed.options("/v1/threads", headers=asking)
    assert "access-control-allow-origin" not in answered.headers
    opened = http(engine_factory(), cors_origins=["https://app.test"])
    answered = opened.options("/v1/threads", headers=asking)
    assert answered.headers["access-control-allow-origin"] == "https://app.test"
