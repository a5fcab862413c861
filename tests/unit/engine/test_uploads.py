"""Uploads: files that arrive in parts; whole or absent."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.stored import everything, path_of
from tests.unit.engine.conftest import Do

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine import uploads as module
from langchain_assistants.engine.expiry import sweep_expired
from langchain_assistants.engine.uploads import Uploads
from langchain_assistants.errors import (
    FileTooLargeError,
    InvalidRequestError,
    NotFoundError,
    StorageError,
)
from langchain_assistants.storage.blobs import Blobs, OpenBlob
from langchain_assistants.types import Upload

FIELDS: dict[str, Any] = {
    "filename": "a.txt",
    "purpose": "vision",
    "bytes": 6,
    "mime_type": "text/plain",
}


def begin(engine: AssistantsEngine, **fields: Any) -> Upload:
    return engine.uploads.create(**FIELDS | fields)


def parts(engine: AssistantsEngine, upload: Upload, *data: bytes) -> list[str]:
    return [engine.uploads.add_part(upload.id, data=one).id for one in data]


def contents(engine: AssistantsEngine) -> list[str]:
    folder = Path(f"{path_of(engine)}.files")
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_parts_become_a_file_in_the_order_that_is_asked_for(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    policy = {"anchor": "created_at", "seconds": 3_600}
    upload = do(engine.uploads.create, **FIELDS, expires_after=policy)
    shown = {
        "id": upload.id,
        "object": "upload",
        "bytes": 6,
        "created_at": int(clock()),
        "filename": "a.txt",
        "purpose": "vision",
        "status": "pending",
        "expires_at": int(clock()) + 3_600,
        "file": None,
    }
    assert upload.id.startswith("upload_")
    assert upload.to_dict() == shown
    second = do(engine.uploads.add_part, upload.id, data=b"def")
    first = do(engine.uploads.add_part, upload.id, data=io.BytesIO(b"abc"))
    do(engine.uploads.add_part, upload.id, data=b"left out")
    assert second.to_dict() == {
        "id": second.id,
        "object": "upload.part",
        "created_at": int(clock()),
        "upload_id": upload.id,
    }
    clock.advance(10)
    done = do(
        engine.uploads.complete,
        upload.id,
        part_ids=[first.id, second.id],
        md5=hashlib.md5(b"abcdef").hexdigest().upper(),
    )
    file = done.file
    assert file.to_dict() == {
        "id": file.id,
        "object": "file",
        "bytes": 6,
        "created_at": int(clock()),
        "expires_at": int(clock()) + 3_600,
        "filename": "a.txt",
        "purpose": "vision",
        "status": "processed",
    }
    assert done.to_dict() == shown | {"status": "completed", "file": file.to_dict()}
    assert engine.files.retrieve(file.id) == file
    assert engine.files.content(file.id) == b"abcdef"
    assert contents(engine) == [file.id]
    assert everything(engine)["upload_parts"] == []


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"filename": None}, "invalid_type", "filename"),
        ({"filename": "a\0"}, "invalid_value", "filename"),
        ({"filename": "\udfff"}, "invalid_value", "filename"),
        ({"filename": "x" * 256}, "string_above_max_length", "filename"),
        ({"purpose": "fun"}, "invalid_value", "purpose"),
        ({"bytes": 0}, "integer_below_min_value", "bytes"),
        ({"bytes": 8 * 2**30 + 1}, "integer_above_max_value", "bytes"),
        ({"bytes": "6"}, "invalid_type", "bytes"),
        ({"mime_type": 7}, "invalid_type", "mime_type"),
        (
            {"expires_after": {"anchor": "created_at", "seconds": 1}},
            "integer_below_min_value",
            "expires_after.seconds",
        ),
    ],
)
def test_a_create_that_breaks_a_rule_stores_nothing(
    do: Do,
    engine_factory: EngineFactory,
    fields: dict[str, Any],
    code: str,
    param: str,
) -> None:
    engine = engine_factory()
    with pytest.raises(InvalidRequestError) as error:
        do(engine.uploads.create, **FIELDS | fields)
    assert (error.value.code, error.value.param) == (code, param)
    assert everything(engine)["uploads"] == []


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_required(engine_factory: EngineFactory, name: str) -> None:
    fields = {key: value for key, value in FIELDS.items() if key != name}
    with pytest.raises(InvalidRequestError) as error:
        engine_factory().uploads.create(**fields)
    assert error.value.code == "missing_required_parameter"
    assert error.value.param == name


def test_folders_are_dropped_from_the_name(engine_factory: EngineFactory) -> None:
    assert begin(engine_factory(), filename="../../etc/passwd").filename == "passwd"


def test_a_part_may_have_64_mb_and_no_more(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.MAX_PART_BYTES == 64 * 2**20
    monkeypatch.setattr(module, "MAX_PART_BYTES", 10)
    engine = engine_factory()
    upload = begin(engine)
    parts(engine, upload, b"x" * 10)
    with pytest.raises(FileTooLargeError, match="more than 10 bytes"):
        parts(engine, upload, b"x" * 11)
    assert len(contents(engine)) == len(everything(engine)["upload_parts"]) == 1


def test_an_upload_may_hold_8_gb_and_no_more(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module.MAX_UPLOAD_BYTES == 8 * 2**30
    monkeypatch.setattr(module, "MAX_UPLOAD_BYTES", 10)
    engine = engine_factory()
    upload = begin(engine)
    parts(engine, upload, b"x" * 6, b"x" * 4)
    with pytest.raises(InvalidRequestError, match="more than 10 bytes"):
        parts(engine, upload, b"x")
    assert len(contents(engine)) == len(everything(engine)["upload_parts"]) == 2


def test_parts_may_arrive_at_once(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    upload = begin(engine, bytes=50)

    async def at_once() -> list[str]:
        made = await asyncio.gather(
            *(engine.uploads.aadd_part(upload.id, data=b"%02d" % n) for n in range(25))
        )
        return [part.id for part in made]

    done = engine.uploads.complete(upload.id, part_ids=asyncio.run(at_once()))
    assert done.file is not None
    content = engine.files.content(done.file.id)
    assert content == b"".join(b"%02d" % n for n in range(25))


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"part_ids": ["first"]}, "invalid_value", "part_ids"),
        ({"part_ids": ["first", "second", "third"]}, "invalid_value", "part_ids"),
        ({"part_ids": ["first", "first"]}, "invalid_value", "part_ids[1]"),
        ({"part_ids": ["first", "part_none"]}, "invalid_value", "part_ids[1]"),
        ({"part_ids": ["foreign", "first"]}, "invalid_value", "part_ids[0]"),
        ({"part_ids": ["../file-1"]}, "invalid_value", "part_ids[0]"),
        ({"part_ids": []}, "empty_array", "part_ids"),
        ({"part_ids": "first"}, "invalid_type", "part_ids"),
        ({}, "missing_required_parameter", "part_ids"),
        ({"part_ids": ["first", "second"], "md5": "0" * 32}, "invalid_value", "md5"),
        ({"part_ids": ["first", "second"], "md5": "ä"}, "invalid_value", "md5"),
        ({"part_ids": ["first", "second"], "md5": 7}, "invalid_type", "md5"),
    ],
)
def test_an_upload_that_cannot_be_completed_stays_as_it_is(
    do: Do,
    engine_factory: EngineFactory,
    fields: dict[str, Any],
    code: str,
    param: str,
) -> None:
    engine = engine_factory()
    upload = begin(engine)
    names = dict(
        zip(
            ("first", "second", "third", "foreign"),
            parts(engine, upload, b"abc", b"def", b"ghi")
            + parts(engine, begin(engine), b"abc"),
            strict=True,
        )
    )
    given = fields.get("part_ids")
    if isinstance(given, list):
        fields = fields | {"part_ids": [names.get(part, part) for part in given]}
    before = everything(engine), contents(engine)
    with pytest.raises(InvalidRequestError) as error:
        do(engine.uploads.complete, upload.id, **fields)
    assert (error.value.code, error.value.param) == (code, param)
    assert (everything(engine), contents(engine)) == before
    done = engine.uploads.complete(
        upload.id, part_ids=[names["second"], names["third"]]
    )
    assert done.status == "completed"


def test_a_cancelled_upload_has_no_parts(do: Do, engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    upload = begin(engine)
    parts(engine, upload, b"abc")
    assert do(engine.uploads.cancel, upload.id).status == "cancelled"
    assert contents(engine) == everything(engine)["upload_parts"] == []


def uses(engine: AssistantsEngine, upload_id: str) -> list[Callable[[], Any]]:
    return [
        lambda: engine.uploads.add_part(upload_id, data=b"abc"),
        lambda: engine.uploads.complete(upload_id, part_ids=["part_x"]),
        lambda: engine.uploads.cancel(upload_id),
    ]


@pytest.mark.parametrize("status", ["completed", "cancelled", "expired"])
def test_an_upload_that_has_ended_takes_nothing_more(
    engine_factory: EngineFactory, clock: Clock, status: str
) -> None:
    engine = engine_factory(clock=clock)
    upload = begin(engine)
    made = parts(engine, upload, b"abcdef")
    if status == "completed":
        engine.uploads.complete(upload.id, part_ids=made)
    elif status == "cancelled":
        engine.uploads.cancel(upload.id)
    else:
        clock.advance(3_600)
    for use in uses(engine, upload.id):
        with pytest.raises(InvalidRequestError, match=f"{upload.id} is {status};"):
            use()


def test_an_expired_upload_is_swept_up(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    engine._heartbeat.stop()
    upload = begin(engine)
    parts(engine, upload, b"abc", b"def")
    clock.advance(3_599)
    asyncio.run(sweep_expired(engine._workplace, clock()))
    assert len(contents(engine)) == 2
    clock.advance(1)
    asyncio.run(sweep_expired(engine._workplace, clock()))
    assert contents(engine) == everything(engine)["upload_parts"] == []
    assert [row["status"] for row in everything(engine)["uploads"]] == ["expired"]


def test_one_tenant_never_sees_the_uploads_of_another(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    upload = begin(engine)
    made = parts(engine, upload, b"abcdef")
    other = Uploads(engine._workplace, tenant="other")
    before = everything(engine), contents(engine)
    for use in (
        lambda: other.add_part(upload.id, data=b"abc"),
        lambda: other.complete(upload.id, part_ids=made),
        lambda: other.cancel(upload.id),
    ):
        with pytest.raises(NotFoundError) as error:
            use()
        assert str(error.value) == f"No upload found with id '{upload.id}'."
    assert (everything(engine), contents(engine)) == before


@pytest.mark.parametrize("upload_id", ["file-1", "upload_\0", 7])
def test_what_is_no_id_of_an_upload_is_refused(
    engine_factory: EngineFactory, upload_id: Any
) -> None:
    for use in uses(engine_factory(), upload_id):
        with pytest.raises(InvalidRequestError) as error:
            use()
        assert error.value.param == "upload_id"


def test_a_part_needs_data(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    upload = begin(engine)
    with pytest.raises(InvalidRequestError) as error:
        engine.uploads.add_part(upload.id, data=None)  # type: ignore[arg-type]
    assert error.value.param == "data"
    assert error.value.code == "missing_required_parameter"


@pytest.mark.parametrize("end", ["complete", "cancel"])
async def test_an_upload_that_somebody_ends_while_it_is_completed_is_left_to_them(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    engine = engine_factory()
    upload = await engine.uploads.acreate(**FIELDS)
    part = await engine.uploads.aadd_part(upload.id, data=b"abcdef")
    opened = Blobs.open

    async def open_late(blobs: Blobs, name: str) -> OpenBlob:
        monkeypatch.setattr(Blobs, "open", opened)
        other: Callable[[], Awaitable[Upload]] = {
            "complete": lambda: engine.uploads.acomplete(upload.id, part_ids=[part.id]),
            "cancel": lambda: engine.uploads.acancel(upload.id),
        }[end]
        await other()
        return await opened(blobs, name)

    monkeypatch.setattr(Blobs, "open", open_late)
    with pytest.raises(InvalidRequestError, match=f"is {end}"):
        await engine.uploads.acomplete(upload.id, part_ids=[part.id])
    ids = [row["id"] for row in everything(engine)["files"]]
    assert contents(engine) == ids
    assert len(ids) == (end == "complete")


async def test_a_part_that_is_missing_on_the_disk_is_told(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    upload = await engine.uploads.acreate(**FIELDS)
    part = await engine.uploads.aadd_part(upload.id, data=b"abcdef")
    await engine._workplace.blobs.delete([part.id])
    with pytest.raises(StorageError, match=part.id):
        await engine.uploads.acomplete(upload.id, part_ids=[part.id])
    assert contents(engine) == everything(engine)["files"] == []
