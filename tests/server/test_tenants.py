"""A tenant sees nothing of another's: his objects answer as if there were none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.conftest import EngineFactory

Http = Callable[..., httpx.Client]

_ID = re.compile(r"\b([a-z]+[_-])[A-Za-z0-9]{20,}\b")
_DIFFERS_ALWAYS = {"date", "x-request-id", "openai-processing-ms", "content-length"}


def absent(text: str) -> str:
    """Put ids that nothing has in the place of all ids."""
    return _ID.sub(r"\1absent", text)


class Tenants:
    """A served engine, and the requests of two of its tenants."""

    def __init__(self, client: httpx.Client, ours: str, theirs: str) -> None:
        """Take the keys of both."""
        self.client = client
        self.ours = {"authorization": f"Bearer {ours}"}
        self.theirs = {"authorization": f"Bearer {theirs}"}

    def make(self, path: str, **body: Any) -> str:
        """Make an object of ours and return its id."""
        made = self.client.post(f"/v1{path}", json=body, headers=self.ours)
        assert made.status_code == 200, made.text
        id: str = made.json()["id"]
        return id

    def read(self, path: str) -> Any:
        """Read what is ours."""
        return self.client.get(f"/v1{path}", headers=self.ours).json()

    def refused(self, method: str, path: str, **sent: Any) -> None:
        """Check that the others cannot tell what is ours from what is not there."""
        foreign = self._asked(method, path, sent)
        nowhere = self._asked(
            method, absent(path), json.loads(absent(json.dumps(sent)))
        )
        assert foreign.status_code == nowhere.status_code == 404, f"{method} {path}"
        assert absent(foreign.text) == nowhere.text
        assert _told(foreign) == _told(nowhere)

    def _asked(self, method: str, path: str, sent: dict[str, Any]) -> httpx.Response:
        content = {"files": {"data": b"x"}} if path.endswith("/parts") else {}
        body = {**content, **({"json": sent} if sent else {})}
        return self.client.request(method, f"/v1{path}", headers=self.theirs, **body)


def _told(answered: httpx.Response) -> dict[str, str]:
    headers = answered.headers.items()
    return {name: value for name, value in headers if name not in _DIFFERS_ALWAYS}


@pytest.fixture
def tenants(engine_factory: EngineFactory, http: Http) -> Tenants:
    engine = engine_factory(["Hello."])
    ours, theirs = (engine.api_keys.create(tenant=name).key for name in ("a", "b"))
    return Tenants(http(engine, keys="required"), ours, theirs)


def test_one_tenant_cannot_tell_anothers_runs_from_none(tenants: Tenants) -> None:
    make, refused = tenants.make, tenants.refused
    assistant = make("/assistants", model="m")
    said = {"role": "user", "content": "Hi"}
    thread = make("/threads", messages=[said])
    on_thread = f"/threads/{thread}"
    on_run = f"{on_thread}/runs/{make(f'{on_thread}/runs', assistant_id=assistant)}"
    assert tenants.read(on_run)["status"] == "completed"
    [newest] = tenants.read(f"{on_thread}/messages?limit=1")["data"]
    [step] = tenants.read(f"{on_run}/steps")["data"]
    message = f"{on_thread}/messages/{newest['id']}"
    for path in (
        f"/assistants/{assistant}",
        on_thread,
        f"{on_thread}/messages",
        message,
        f"{on_thread}/runs",
        on_run,
        f"{on_run}/steps",
        f"{on_run}/steps/{step['id']}",
        f"{on_run}/stream",
        f"/assistants?after={assistant}",
    ):
        refused("GET", path)
    refused("POST", f"/assistants/{assistant}", name="x")
    refused("POST", on_thread, metadata={})
    refused("POST", f"{on_thread}/messages", **said)
    refused("POST", message, metadata={})
    refused("POST", f"{on_thread}/runs", assistant_id=assistant)
    refused("POST", f"{on_thread}/runs", assistant_id=assistant, stream=True)
    refused("POST", on_run, metadata={})
    refused("POST", f"{on_run}/cancel")
    refused("POST", f"{on_run}/submit_tool_outputs", tool_outputs=[])
    refused("POST", "/threads/runs", assistant_id=assistant)
    for path in (f"/assistants/{assistant}", on_thread, message):
        refused("DELETE", path)
    listed = tenants.client.get("/v1/assistants", headers=tenants.theirs)
    assert listed.json()["data"] == []
    assert tenants.read(on_thread)["id"] == thread


def test_one_tenant_cannot_tell_anothers_files_from_none(tenants: Tenants) -> None:
    make, refused, client = tenants.make, tenants.refused, tenants.client
    form: dict[str, Any] = {"files": {"file": b"x"}, "data": {"purpose": "user_data"}}
    file = client.post("/v1/files", headers=tenants.ours, **form).json()["id"]
    store = f"/vector_stores/{make('/vector_stores', file_ids=[file])}"
    batch = make(f"{store}/file_batches", file_ids=[file])
    described = {"filename": "a", "purpose": "vision", "mime_type": "text/plain"}
    upload = f"/uploads/{make('/uploads', bytes=1, **described)}"
    for path in (
        f"/files/{file}",
        f"/files/{file}/content",
        f"/files?after={file}",
        store,
        f"{store}/files",
        f"{store}/files/{file}",
        f"{store}/files/{file}/content",
        f"{store}/file_batches/{batch}",
        f"{store}/file_batches/{batch}/files",
    ):
        refused("GET", path)
    refused("POST", store, name="x")
    refused("POST", f"{store}/search", query="x")
    refused("POST", f"{store}/files", file_id=file)
    refused("POST", f"{store}/files/{file}", attributes={})
    refused("POST", f"{store}/file_batches", file_ids=[file])
    refused("POST", f"{store}/file_batches/{batch}/cancel")
    refused("POST", "/vector_stores", file_ids=[file])
    refused("POST", f"{upload}/parts")
    refused("POST", f"{upload}/complete", part_ids=["part_x"])
    refused("POST", f"{upload}/cancel")
    for path in (f"{store}/files/{file}", store, f"/files/{file}"):
        refused("DELETE", path)
    for path in ("/v1/files", "/v1/vector_stores"):
        assert client.get(path, headers=tenants.theirs).json()["data"] == []
