"""Files, uploads and vector stores: OpenAI's own client, and hostile forms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError
from tests.conftest import EngineFactory
from tests.documents import archive, billion_laughs, encrypted_pdf, word
from tests.server.conftest import Connect

from langchain_assistants import AssistantsEngine, Settings

Http = Callable[..., httpx.Client]
TEXT = b"Neptune is 30 astronomical units from the Sun.\n"


def stored(engine: AssistantsEngine, tmp_path: Path) -> list[Path]:
    """Return the files with contents that an engine has on the disk."""
    return [path for path in tmp_path.rglob("*.files/*") if path.is_file()]


def error_of(answered: httpx.Response, status: int) -> dict[str, Any]:
    assert answered.status_code == status, answered.text
    error: dict[str, Any] = answered.json()["error"]
    return error


def test_a_file_is_uploaded_listed_downloaded_and_deleted(
    engine_factory: EngineFactory, connect: Connect, tmp_path: Path
) -> None:
    files = connect(engine_factory()).files
    path = tmp_path / "planets.txt"
    path.write_bytes(TEXT)
    made = files.create(file=path, purpose="user_data")
    assert (made.filename, made.bytes, made.status) == (
        "planets.txt",
        len(TEXT),
        "processed",
    )
    named = files.create(
        file=("a.bin", bytes(range(256)), "application/x"),
        purpose="vision",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert named.expires_at == named.created_at + 3600
    assert [file.id for file in files.list()] == [named.id, made.id]
    assert [file.id for file in files.list(purpose="user_data", limit=1)] == [made.id]
    assert files.retrieve(made.id) == made
    assert files.wait_for_processing(made.id) == made
    assert files.content(made.id).read() == TEXT
    assert files.content(named.id).read() == bytes(range(256))
    assert files.delete(made.id).deleted is True
    with pytest.raises(NotFoundError, match=f"No such File object: {made.id}") as gone:
        files.retrieve(made.id)
    assert gone.value.param == "id"


def test_what_was_uploaded_for_assistants_is_not_downloaded(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    files = connect(engine_factory()).files
    made = files.create(file=("a.txt", TEXT), purpose="assistants")
    with pytest.raises(BadRequestError, match="Not allowed to download files of purp"):
        files.content(made.id)


def test_a_content_is_nothing_that_a_browser_shows(
    engine_factory: EngineFactory, http: Http
) -> None:
    client = http(engine_factory())
    page = {"file": ("x.html", b"<script>alert(1)</script>", "text/html")}
    made = client.post("/v1/files", files=page, data={"purpose": "user_data"}).json()
    answered = client.get(f"/v1/files/{made['id']}/content")
    assert answered.content == b"<script>alert(1)</script>"
    assert answered.headers["content-type"] == "application/octet-stream"
    assert answered.headers["content-disposition"] == "attachment"
    assert answered.headers["x-content-type-options"] == "nosniff"


def test_a_file_is_uploaded_in_parts(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory())
    upload = client.uploads.create(
        filename="planets.txt",
        purpose="assistants",
        bytes=len(TEXT),
        mime_type="text/plain",
    )
    parts = [
        client.uploads.parts.create(upload.id, data=piece).id
        for piece in (TEXT[10:], TEXT[:10])
    ]
    done = client.uploads.complete(
        upload.id,
        part_ids=parts[::-1],
        md5=hashlib.md5(TEXT, usedforsecurity=False).hexdigest(),
    )
    assert done.status == "completed"
    assert done.file is not None
    assert client.files.retrieve(done.file.id).bytes == len(TEXT)
    other = client.uploads.create(
        filename="b.txt", purpose="assistants", bytes=1, mime_type="text/plain"
    )
    assert client.uploads.cancel(other.id).status == "cancelled"
    with pytest.raises(BadRequestError):
        client.uploads.parts.create(other.id, data=b"x")


def test_a_vector_store_lives_through_all_of_its_operations(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory())
    stores = client.vector_stores
    store = stores.create(name="Planets", metadata={"a": "b"})
    assert stores.retrieve(store.id) == store
    assert stores.update(store.id, name="Suns").name == "Suns"
    assert [found.id for found in stores.list()] == [store.id]
    file = stores.files.upload_and_poll(
        vector_store_id=store.id,
        file=("a.txt", TEXT),
        attributes={"year": 2026},
        poll_interval_ms=10,
    )
    assert file.status == "completed"
    assert file.last_error is None
    assert file.usage_bytes == len(TEXT)
    assert stores.files.retrieve(file.id, vector_store_id=store.id) == file
    changed = stores.files.update(
        file.id, vector_store_id=store.id, attributes={"year": 2027}
    )
    assert changed.attributes == {"year": 2027}
    assert [f.id for f in stores.files.list(store.id, filter="completed")] == [file.id]
    assert list(stores.files.list(store.id, filter="failed")) == []
    [content] = stores.files.content(file.id, vector_store_id=store.id)
    assert content.text == TEXT.decode()
    [result] = stores.search(store.id, query="How far is Neptune?")
    assert (result.file_id, result.attributes) == (file.id, {"year": 2027})
    assert stores.files.delete(file.id, vector_store_id=store.id).deleted is True
    assert client.files.retrieve(file.id).id == file.id
    assert stores.delete(store.id).object == "vector_store.deleted"
    with pytest.raises(
        NotFoundError, match=f"No vector store found with id '{store.id}'"
    ):
        stores.retrieve(store.id)


def test_files_are_attached_in_a_batch(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory())
    stores = client.vector_stores
    store = stores.create()
    batch = stores.file_batches.upload_and_poll(
        store.id, files=[("a.txt", TEXT), ("b.txt", TEXT)], poll_interval_ms=10
    )
    assert batch.file_counts.completed == 2
    assert batch.file_counts.total == 2
    listed = stores.file_batches.list_files(batch.id, vector_store_id=store.id)
    assert len(list(listed)) == 2
    assert stores.file_batches.retrieve(batch.id, vector_store_id=store.id) == batch
    kept = stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert kept.id == batch.id


def test_hostile_files_fail_with_a_reason_and_the_good_one_is_found(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory())
    hostile = {
        "bomb.docx": archive(1, 17 * 2**20),
        "laughs.docx": billion_laughs(),
        "secret.pdf": encrypted_pdf("secret"),
        "letter.pdf": word("letter"),
        "endless.html": b"<!--" * 100_000,
        "binary.txt": bytes(range(256)) * 9,
        "empty.md": b"",
        "old.doc": TEXT,
    }
    store = client.vector_stores.create()
    batches = client.vector_stores.file_batches
    batch = batches.upload_and_poll(
        store.id, files=[*hostile.items(), ("good.txt", TEXT)], poll_interval_ms=10
    )
    assert batch.status == "completed"
    assert (batch.file_counts.failed, batch.file_counts.completed) == (8, 1)
    listed = batches.list_files(batch.id, vector_store_id=store.id, filter="failed")
    for file in listed:
        assert file.last_error is not None
        name = client.files.retrieve(file.id).filename
        code = "unsupported_file" if name == "old.doc" else "invalid_file"
        assert file.last_error.code == code, name
        assert file.last_error.message.startswith(("The ", "Files ")), name
    [result] = client.vector_stores.search(store.id, query="How far is Neptune?")
    assert result.filename == "good.txt"


# Forms.


@pytest.fixture
def engine(engine_factory: EngineFactory) -> AssistantsEngine:
    return engine_factory(settings=Settings(max_file_bytes=1000))


@pytest.fixture
def client(engine: AssistantsEngine, http: Http) -> httpx.Client:
    return http(engine)


def test_the_content_may_come_before_the_fields(client: httpx.Client) -> None:
    body = (
        b'--X\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        b'1\r\n--X\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n'
        b"vision\r\n--X--\r\n"
    )
    kind = {"content-type": "multipart/form-data; boundary=X"}
    made = client.post("/v1/files", content=body, headers=kind).json()
    assert (made["bytes"], made["purpose"]) == (1, "vision")


@pytest.mark.parametrize(
    "given",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "..\\..\\boot.ini",
        "C:\\x\\boot.ini",
        "..",
        "",
    ],
)
def test_a_file_name_never_becomes_a_path(
    engine: AssistantsEngine, client: httpx.Client, tmp_path: Path, given: str
) -> None:
    before = set(tmp_path.rglob("*"))
    body = (
        b'--X\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision\r\n'
        b'--X\r\nContent-Disposition: form-data; name="file"; filename="'
        + given.encode()
        + b'"\r\n\r\n1\r\n--X--\r\n'
    )
    kind = {"content-type": "multipart/form-data; boundary=X"}
    answered = client.post("/v1/files", content=body, headers=kind)
    if answered.status_code == 200:
        name = answered.json()["filename"]
        assert "/" not in name
        assert "\\" not in name
        assert name not in ("", ".", "..")
        [content] = stored(engine, tmp_path)
        assert content.name == answered.json()["id"]
    else:
        error_of(answered, 400)
    others = {path for path in tmp_path.rglob("*") if ".files" not in str(path)}
    assert {path.name for path in others - before} <= {
        "engine_0.db-wal",
        "engine_0.db-shm",
    }


def test_a_file_that_is_too_large_leaves_nothing(
    engine: AssistantsEngine, client: httpx.Client, tmp_path: Path
) -> None:
    data = {"purpose": "vision"}
    over = client.post("/v1/files", files={"file": b"x" * 1001}, data=data)
    assert "more than 1000 bytes" in error_of(over, 413)["message"]
    huge = client.post("/v1/files", files={"file": b"x" * 3_000_000}, data=data)
    assert "larger than" in error_of(huge, 413)["message"]
    assert stored(engine, tmp_path) == []

    def endless() -> Iterator[bytes]:
        yield (
            b'--X\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        )
        for _ in range(40):
            yield b"x" * 65_536

    kind = {"content-type": "multipart/form-data; boundary=X"}
    chunked = client.post("/v1/files", content=endless(), headers=kind)
    assert "larger than" in error_of(chunked, 413)["message"]
    assert stored(engine, tmp_path) == []
    fits = client.post("/v1/files", files={"file": b"x" * 1000}, data=data)
    assert fits.json()["bytes"] == 1000


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/files", "multipart/form-data; boundary=X"),
        ("/v1/uploads/upload_x/parts", "multipart/form-data; boundary=X"),
        ("/v1/threads", "application/json"),
    ],
)
def test_a_body_that_is_said_to_fill_the_disk_is_refused_before_it_is_sent(
    client: httpx.Client, path: str, kind: str
) -> None:
    connection = HTTPConnection(client.base_url.host, client.base_url.port or 80)
    with closing(connection):
        connection.putrequest("POST", path)
        connection.putheader("content-type", kind)
        connection.putheader("content-length", str(10**13))
        connection.endheaders()
        answered = connection.getresponse()
        assert answered.status == 413
        assert "larger than" in json.loads(answered.read())["error"]["message"]


FORM = {"content-type": "multipart/form-data; boundary=X"}


@pytest.mark.parametrize(
    ("content", "headers", "status", "message"),
    [
        (b"{}", {"content-type": "application/json"}, 415, "only accepts 'multipart"),
        (b"x", {"content-type": "multipart/form-data"}, 400, "parse the form"),
        (b"no form at all", FORM, 400, "parse the form"),
        (b"", FORM, 400, "Missing required parameter"),
        (b"--X\r\nContent-Disp", FORM, 400, ""),
        (b"--X\r\n\r\nx\r\n--X--\r\n", FORM, 400, "parse the form"),
        (
            b'--X\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision\r\n'
            b'--X\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--X--\r\n',
            FORM,
            400,
            "Invalid type for 'file': expected a file",
        ),
        (
            b'--X\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n'
            + b"x" * 100_000
            + b"\r\n--X--\r\n",
            FORM,
            400,
            "parse the form",
        ),
    ],
    ids=[
        "JSON",
        "no boundary",
        "no parts",
        "empty",
        "cut",
        "no name",
        "text as file",
        "long field",
    ],
)
def test_a_wrong_form_is_refused(
    engine: AssistantsEngine,
    client: httpx.Client,
    tmp_path: Path,
    content: bytes,
    headers: dict[str, str],
    status: int,
    message: str,
) -> None:
    answered = client.post("/v1/files", content=content, headers=headers)
    assert message in error_of(answered, status)["message"]
    assert stored(engine, tmp_path) == []


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        ({}, "missing_required_parameter", "purpose"),
        ({"purpose": "magic"}, "invalid_value", "purpose"),
        ({"purpose": "vision", "x": "1"}, "unknown_parameter", "x"),
        (
            {
                "purpose": "vision",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "1",
            },
            "integer_below_min_value",
            "expires_after.seconds",
        ),
        (
            {"purpose": "vision", "expires_after": "soon"},
            "invalid_type",
            "expires_after",
        ),
    ],
)
def test_a_field_of_a_form_that_breaks_a_rule_is_named(
    client: httpx.Client, data: dict[str, str], code: str, param: str
) -> None:
    error = error_of(client.post("/v1/files", files={"file": b"x"}, data=data), 400)
    assert (error["code"], error["param"]) == (code, param)


def test_several_files_in_one_form_are_refused(client: httpx.Client) -> None:
    files = [("file", b"x"), ("file", b"y")]
    answered = client.post("/v1/files", files=files, data={"purpose": "vision"})
    assert "parse the form" in error_of(answered, 400)["message"]


def test_files_and_uploads_need_no_beta_header_even_of_a_strict_server(
    engine_factory: EngineFactory, http: Http
) -> None:
    strict = http(engine_factory(), strict_beta_header=True)
    assert strict.get("/v1/files").status_code == 200
    assert strict.post("/v1/uploads/upload_x/cancel").status_code == 404
    assert strict.get("/v1/vector_stores").status_code == 400
