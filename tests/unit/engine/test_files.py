"""Files: stored as the original does, under ids, for one tenant, until they expire."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.stored import everything, path_of
from tests.unit.engine.conftest import Do

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.engine.expiry import sweep_expired
from langchain_assistants.engine.files import Files
from langchain_assistants.errors import (
    FileTooLargeError,
    InvalidRequestError,
    NotFoundError,
    StorageError,
)
from langchain_assistants.storage.database import Database

DAY = 86_400
CONTENT = b"year,profit\n2026,7\n"


def contents(engine: AssistantsEngine) -> list[str]:
    """Return what lies in the folder beside the database."""
    folder = Path(f"{path_of(engine)}.files")
    return sorted(os.listdir(folder)) if folder.exists() else []


def upload(engine: AssistantsEngine, **fields: Any) -> str:
    fields = {"file": CONTENT, "purpose": "user_data"} | fields
    return engine.files.create(**fields).id


def of_another_tenant(engine: AssistantsEngine) -> Files:
    return Files(engine._workplace, tenant="other")


def sweep(engine: AssistantsEngine, clock: Clock) -> None:
    asyncio.run(sweep_expired(engine._workplace, clock()))


def test_a_file_is_stored_and_shown_as_the_original_does(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    made = do(
        engine.files.create,
        file=("profit.csv", CONTENT, "text/csv"),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3_600},
    )
    assert made.id.startswith("file-")
    assert len(made.id) == len("file-") + 24
    assert made.to_dict() == {
        "id": made.id,
        "object": "file",
        "bytes": len(CONTENT),
        "created_at": int(clock()),
        "expires_at": int(clock()) + 3_600,
        "filename": "profit.csv",
        "purpose": "user_data",
        "status": "processed",
    }
    assert do(engine.files.retrieve, made.id) == made
    assert do(engine.files.content, made.id) == CONTENT
    with engine_factory.reopen() as other:
        assert other.files.content(made.id) == CONTENT


def test_without_a_policy_only_batch_files_expire(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    for purpose in ("assistants", "fine-tune", "vision", "user_data", "evals"):
        made = engine.files.create(file=b"", purpose=purpose, expires_after=None)
        assert "expires_at" not in made.to_dict()
    batch = engine.files.create(file=b"", purpose="batch")
    assert batch.expires_at == int(clock()) + 30 * DAY


async def stream() -> AsyncIterator[bytes]:
    yield CONTENT[:3]
    yield CONTENT[3:]


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (lambda path: path, "profit.csv"),
        (lambda path: path.open("rb"), "profit.csv"),
        (lambda path: CONTENT, "upload"),
        (lambda path: bytearray(CONTENT), "upload"),
        (lambda path: memoryview(CONTENT), "upload"),
        (lambda path: io.BytesIO(CONTENT), "upload"),
        (lambda path: stream(), "upload"),
        (lambda path: ("a.csv", io.BytesIO(CONTENT)), "a.csv"),
        (lambda path: ("a.csv", path), "a.csv"),
        (lambda path: (None, path), "profit.csv"),
        (lambda path: (None, CONTENT, None), "upload"),
        (lambda path: ("a.csv", stream(), "text/csv"), "a.csv"),
    ],
)
def test_a_file_may_be_given_in_many_forms(
    engine_factory: EngineFactory, tmp_path: Path, form: Any, name: str
) -> None:
    engine, path = engine_factory(), tmp_path / "profit.csv"
    path.write_bytes(CONTENT)
    given = form(path)
    made = engine.files.create(file=given, purpose="vision")
    assert (made.filename, made.bytes) == (name, len(CONTENT))
    assert engine.files.content(made.id) == CONTENT
    if isinstance(given, io.BufferedReader):
        given.close()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("report.csv", "pass pathlib.Path"),
        (("a.csv", "text"), "pass pathlib.Path"),
        (7, "not a Python int"),
        (("a.csv",), "a tuple is"),
        ((7, b""), "name and MIME type are strings"),
        (("a", b"", 7), "name and MIME type are strings"),
        (io.StringIO("text"), "opened as text"),
    ],
)
def test_what_holds_no_bytes_is_refused(
    engine_factory: EngineFactory, file: Any, said: str
) -> None:
    engine = engine_factory()
    with pytest.raises(TypeError, match=said):
        engine.files.create(file=file, purpose="vision")
    assert everything(engine)["files"] == contents(engine) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\Users\\me\\a.txt", "a.txt"),
        ("..", "upload"),
        ("a/..", "upload"),
        ("/", "upload"),
        ("", "upload"),
        ("résumé 履歴書.pdf", "résumé 履歴書.pdf"),
        ("a\nb.txt", "a\nb.txt"),
        ("-rf", "-rf"),
        ("con", "con"),
    ],
)
def test_a_name_never_becomes_a_path(
    engine_factory: EngineFactory, name: str, shown: str
) -> None:
    engine = engine_factory()
    made = engine.files.create(file=(name, CONTENT), purpose="vision")
    assert made.filename == shown
    assert contents(engine) == [made.id]
    assert engine.files.content(made.id) == CONTENT


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"purpose": "fun"}, "invalid_value", "purpose"),
        ({"purpose": "assistants_output"}, "invalid_value", "purpose"),
        ({"purpose": 7}, "invalid_type", "purpose"),
        ({"purpose": None}, "invalid_type", "purpose"),
        ({"file": None}, "missing_required_parameter", "file"),
        ({"file": ("a\0b", b"")}, "invalid_value", "filename"),
        ({"file": ("a\ud800b", b"")}, "invalid_value", "filename"),
        ({"file": ("x" * 256, b"")}, "string_above_max_length", "filename"),
        ({"file": ("a", b"", "text/\0")}, "invalid_value", "mime_type"),
        (
            {"expires_after": {"anchor": "created_at", "seconds": 3_599}},
            "integer_below_min_value",
            "expires_after.seconds",
        ),
        (
            {"expires_after": {"anchor": "created_at", "seconds": 2_592_001}},
            "integer_above_max_value",
            "expires_after.seconds",
        ),
        (
            {"expires_after": {"anchor": "last_active_at", "seconds": 3_600}},
            "invalid_value",
            "expires_after.anchor",
        ),
        (
            {"expires_after": {"anchor": "created_at"}},
            "missing_required_parameter",
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
        do(engine.files.create, **{"file": b"", "purpose": "vision"} | fields)
    assert (error.value.code, error.value.param) == (code, param)
    assert everything(engine)["files"] == contents(engine) == []


def test_an_unknown_argument_is_a_type_error(engine_factory: EngineFactory) -> None:
    with pytest.raises(TypeError, match="did you mean 'purpose'"):
        engine_factory().files.create(file=b"", purpos="vision")  # type: ignore[call-arg]


def test_a_file_may_be_as_large_as_the_settings_say(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory(settings=Settings(max_file_bytes=10))
    assert do(engine.files.create, file=b"x" * 10, purpose="vision").bytes == 10
    with pytest.raises(FileTooLargeError, match="more than 10 bytes") as error:
        do(engine.files.create, file=io.BytesIO(b"x" * 11), purpose="vision")
    assert (error.value.code, error.value.param) == (None, None)
    assert len(everything(engine)["files"]) == len(contents(engine)) == 1


def test_an_empty_file_is_one(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    made = engine.files.create(file=b"", purpose="vision")
    assert made.bytes == 0
    assert engine.files.content(made.id) == b""


async def test_a_file_is_read_in_pieces(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    large = os.urandom(3 * 2**20)
    made = await engine.files.acreate(
        file=("a.bin", large, "application/x-a"), purpose="vision"
    )
    opened = await engine.files.aopen(made.id)
    await engine.files.adelete(made.id)
    assert (opened.file, opened.mime_type) == (made, "application/x-a")
    pieces = [piece async for piece in opened]
    assert max(map(len, pieces)) <= 2**20
    assert b"".join(pieces) == large
    await opened.aclose()


async def test_the_content_of_assistants_files_is_not_given_out(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    made = await engine.files.acreate(file=CONTENT, purpose="assistants")
    for read in (engine.files.acontent, engine.files.aopen):
        with pytest.raises(InvalidRequestError) as error:
            await read(made.id)
        assert (
            str(error.value) == "Not allowed to download files of purpose: assistants"
        )
        assert (error.value.code, error.value.param) == (None, None)


def test_a_deleted_file_is_gone_from_the_disk_and_from_vector_stores(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    kept, gone = upload(engine), upload(engine)
    store = engine.vector_stores.create(file_ids=[kept, gone])
    assert do(engine.files.delete, gone).to_dict() == {
        "id": gone,
        "object": "file",
        "deleted": True,
    }
    assert contents(engine) == [kept]
    assert [file.id for file in engine.vector_stores.files.list(store.id)] == [kept]
    assert engine.vector_stores.retrieve(store.id).file_counts.total == 1
    for method in ("retrieve", "content", "delete"):
        with pytest.raises(NotFoundError) as error:
            do(getattr(engine.files, method), gone)
        assert str(error.value) == f"No such File object: {gone}"
        assert (error.value.code, error.value.param) == (None, "id")


@pytest.mark.parametrize("method", ["retrieve", "content", "delete"])
@pytest.mark.parametrize("file_id", ["thread_1", "", "file-\0", "../file-1", 7])
def test_what_is_no_id_of_a_file_is_refused(
    do: Do, engine_factory: EngineFactory, method: str, file_id: Any
) -> None:
    with pytest.raises(InvalidRequestError) as error:
        do(getattr(engine_factory().files, method), file_id)
    assert error.value.param == "file_id"


def test_files_are_listed_newest_first_by_purpose_and_by_pages(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    ids = [upload(engine, purpose=p) for p in ("vision", "batch", "vision", "vision")]
    files = engine.files
    assert [file.id for file in files.list()] == ids[::-1]
    assert [file.id for file in files.list(order="asc", limit=3)] == ids
    assert [file.id for file in files.list(order="asc", limit=3).data] == ids[:3]
    assert [file.id for file in files.list(after=ids[2])] == ids[1::-1]
    seen = [file.id for file in files.list(purpose="vision", limit=1)]
    assert seen == [ids[3], ids[2], ids[0]]
    assert list(files.list(purpose="evals")) == list(files.list(purpose="fun")) == []

    async def paged() -> list[str]:
        return [file.id async for file in files.alist(purpose="vision", limit=2)]

    assert asyncio.run(paged()) == seen


@pytest.mark.parametrize(
    ("params", "error_class"),
    [
        ({"limit": 0}, InvalidRequestError),
        ({"limit": 10_001}, InvalidRequestError),
        ({"order": "up"}, InvalidRequestError),
        ({"purpose": 7}, InvalidRequestError),
        ({"after": "file-none"}, NotFoundError),
        ({"before": "file-none"}, TypeError),
    ],
)
def test_a_list_that_cannot_be_given_says_why(
    engine_factory: EngineFactory,
    params: dict[str, Any],
    error_class: type[Exception],
) -> None:
    with pytest.raises(error_class):
        engine_factory().files.list(**params)


def test_a_list_takes_ten_thousand_files_at_once_by_default(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    for _ in range(21):
        upload(engine)
    assert len(engine.files.list().data) == 21
    assert len(engine.files.list(limit=10_000).data) == 21


def test_one_tenant_never_sees_the_files_of_another(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    made, other = upload(engine), of_another_tenant(engine)
    assert list(other.list()) == []
    before = everything(engine)
    for use in (other.retrieve, other.content, other.delete):
        with pytest.raises(NotFoundError) as foreign:
            use(made)
        with pytest.raises(NotFoundError) as absent:
            use("file-none")
        assert str(foreign.value) == str(absent.value).replace("file-none", made)
    with pytest.raises(NotFoundError):
        other.list(after=made)
    assert everything(engine) == before
    assert contents(engine) == [made]


def test_an_expired_file_vanishes_at_once_and_is_swept_up(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    policy = {"anchor": "created_at", "seconds": 3_600}
    kept, gone = upload(engine), upload(engine, expires_after=policy)
    store = engine.vector_stores.create(file_ids=[kept, gone])
    clock.advance(3_599)
    assert engine.files.content(gone) == CONTENT
    clock.advance(1)
    for use in (engine.files.retrieve, engine.files.content, engine.files.delete):
        with pytest.raises(NotFoundError, match=f"No such File object: {gone}"):
            use(gone)
    assert [file.id for file in engine.files.list()] == [kept]
    sweep(engine, clock)
    assert [row["id"] for row in everything(engine)["files"]] == [kept]
    assert [file.id for file in engine.vector_stores.files.list(store.id)] == [kept]
    engine.close()
    assert contents(engine) == [kept]


def test_a_sweep_ends_some_at_a_time(
    engine_factory: EngineFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langchain_assistants.engine.expiry._AT_ONCE", 2)
    engine = engine_factory(clock=clock)
    engine._heartbeat.stop()
    for _ in range(3):
        upload(engine, purpose="batch")
    sweep(engine, clock)
    assert len(contents(engine)) == 3
    clock.advance(30 * DAY)
    for left in (1, 0, 0):
        sweep(engine, clock)
        assert len(everything(engine)["files"]) == len(contents(engine)) == left


def test_the_heartbeat_sweeps_expired_files(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    engine._heartbeat.stop()
    upload(engine, purpose="batch")
    clock.advance(30 * DAY)
    asyncio.run(engine._heartbeat.sweep())
    assert contents(engine) == []


class _Killed(BaseException):
    """Stands for the death of the process."""


def test_a_content_without_a_row_is_seen_by_the_doctor_only(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory()
    kept = upload(engine)

    async def killed(database: Database, transaction: Any) -> None:
        raise _Killed

    with monkeypatch.context() as patched, suppress(_Killed):
        patched.setattr(type(engine.database), "write", killed)
        asyncio.run(engine.files.acreate(file=b"lost", purpose="vision"))
    [orphan] = set(contents(engine)) - {kept}
    assert [file.id for file in engine.files.list()] == [kept]
    with pytest.raises(NotFoundError):
        engine.files.content(orphan)
    # Young, it may be that of a process that is about to write its row.
    assert engine.doctor(repair=True).healthy
    assert orphan in contents(engine)

    folder = Path(f"{path_of(engine)}.files")
    for name in (orphan, kept):
        os.utime(folder / name, (1, 1))
    (folder / "notes.txt").touch()
    os.utime(folder / "notes.txt", (1, 1))
    [problem] = engine.doctor().problems
    assert (problem.subject, problem.ids) == ("contents", (orphan,))
    assert "belong to no file" in problem.message
    assert engine.doctor(repair=True).healthy
    assert contents(engine) == sorted([kept, "notes.txt"])
    assert engine.doctor().healthy


def test_a_row_that_cannot_be_written_leaves_no_content(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory()

    async def full(database: Database, transaction: Any) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(type(engine.database), "write", full)
    with pytest.raises(StorageError, match="full"):
        upload(engine)
    assert contents(engine) == []


def test_a_file_whose_content_is_missing_says_so_and_can_be_deleted(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    made = upload(engine)
    (Path(f"{path_of(engine)}.files") / made).unlink()
    with pytest.raises(StorageError, match=f"content of {made} is missing"):
        engine.files.content(made)
    [problem] = engine.doctor(repair=True).problems
    assert (problem.subject, problem.ids) == ("contents", (made,))
    engine.files.delete(made)
    assert engine.doctor().healthy


def test_a_database_in_memory_keeps_its_files_in_a_folder_that_goes() -> None:
    with AssistantsEngine("sqlite:///:memory:") as engine:
        made = upload(engine)
        folder = engine._workplace.blobs._folder
        assert folder is not None
        assert engine.files.content(made) == CONTENT
        assert engine.doctor().healthy
    assert not folder.exists()


def test_uploads_at_once_are_all_stored(engine_factory: EngineFactory) -> None:
    engine = engine_factory()

    async def at_once() -> list[str]:
        made = await asyncio.gather(
            *(
                engine.files.acreate(file=str(n).encode(), purpose="vision")
                for n in range(50)
            )
        )
        return [file.id for file in made]

    ids = asyncio.run(at_once())
    assert contents(engine) == sorted(ids)
    assert [engine.files.content(id) for id in ids] == [b"%d" % n for n in range(50)]
