"""What was saved is taken in as it was: ids, times, order; twice is as once."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import EngineFactory
from tests.conversations import assistant_with, calls, texts, wait
from tests.importers import saved_data as data
from tests.ingesting import ended
from tests.stored import broken_invariants, everything

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.ingester import Ingester
from langchain_assistants.errors import ConfigurationError, StorageError
from langchain_assistants.importers import Report, import_saved
from langchain_assistants.importers import writer as writing
from langchain_assistants.storage.sqlite import SQLiteDatabase

TAKEN = {
    "assistant": 1,
    "file": 3,
    "thread": 10,
    "thread.message": 20,
    "thread.run": 10,
    "thread.run.step": 30,
    "vector_store": 1,
    "vector_store.file": 1,
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder as a person would have saved it."""
    return data.save(tmp_path / "saved")


@pytest.fixture
def engine(engine_factory: EngineFactory) -> AssistantsEngine:
    """An engine on an empty database."""
    return engine_factory()


def taken(report: Report) -> dict[str, int]:
    """Return how many objects were taken of each kind."""
    counts = {kind: report.of(kind, "taken") for kind in report.kinds}
    return {kind: count for kind, count in counts.items() if count}


def test_everything_of_a_folder_is_taken(engine: AssistantsEngine, saved: Path) -> None:
    report = import_saved(engine, saved)
    assert taken(report) == TAKEN
    assert report.complete
    assert report.issues == []
    assert broken_invariants(engine) == []


def test_objects_are_what_they_were(engine: AssistantsEngine, saved: Path) -> None:
    import_saved(engine, saved)
    messages, [run], steps = data.conversation(3)
    added = {"status": "completed", "incomplete_details": None}
    ends = {"completed_at": None, "incomplete_at": None}
    listed = engine.messages.list(data.thread_id(3), order="asc")
    assert [m.to_dict() for m in listed] == [m | added | ends for m in messages]
    [found] = engine.runs.list(data.thread_id(3))
    here = found.to_dict()
    assert {name: here[name] for name in run.keys() & here.keys() - {"usage"}} == {
        name: run[name] for name in run.keys() & here.keys() - {"usage"}
    }
    assert found.usage is not None
    assert found.usage.total_tokens == 150
    details = [s.step_details.to_dict() for s in engine.steps.list(run["id"])]
    assert details == [step["step_details"] for step in steps[::-1]]
    thread = engine.threads.retrieve(data.thread_id(3))
    assert thread.to_dict() == data.thread(3)
    assistant = engine.assistants.retrieve(data.ASSISTANT).to_dict()
    assert assistant | data.assistant() == assistant | {"reasoning_effort": None}
    assert engine.files.content(data.CHART) == data.PNG
    [attached] = engine.vector_stores.files.list(data.STORE)
    assert (attached.id, attached.attributes) == (data.MANUAL, {"year": 2026})


def test_a_second_import_changes_nothing(engine: AssistantsEngine, saved: Path) -> None:
    import_saved(engine, saved)
    ended(engine, data.STORE)
    before = everything(engine)
    report = import_saved(engine, saved)
    assert everything(engine) == before
    assert taken(report) == {}
    assert report.complete
    counts = {kind: report.of(kind, "unchanged") for kind in TAKEN}
    assert counts == TAKEN


def test_a_dry_run_tells_the_same_and_stores_nothing(
    engine: AssistantsEngine, saved: Path, tmp_path: Path
) -> None:
    before = everything(engine)
    report = import_saved(engine, saved, dry_run=True)
    assert report.dry_run
    assert taken(report) == TAKEN
    assert everything(engine) == before
    assert not Path(f"{engine.url.removeprefix('sqlite:///')}.files").exists()
    import_saved(engine, saved)
    again = import_saved(engine, saved, dry_run=True)
    assert taken(again) == {}


@pytest.mark.parametrize("form", ["zip", "one list", "lines", "array"])
def test_the_form_in_which_it_was_saved_does_not_matter(
    form: str, engine_factory: EngineFactory, saved: Path, tmp_path: Path
) -> None:
    folder, other = engine_factory(), engine_factory()
    import_saved(folder, saved)
    import_saved(other, _as(form, saved, tmp_path))
    ended(folder, data.STORE)
    if form == "zip":
        ended(other, data.STORE)
    of_files = {"files", "vector_store_files", "vector_stores", "chunks"}
    without_files = {*of_files, "assistants"}
    for name, expected in everything(folder).items():
        if form == "zip" or name not in without_files:
            assert everything(other)[name] == expected, name


def _as(form: str, saved: Path, folder: Path) -> Path:
    """Write what was saved in another form."""
    if form == "zip":
        with zipfile.ZipFile(folder / "saved.zip", "w") as archive:
            for path in sorted(saved.rglob("*")):
                archive.write(path, path.relative_to(saved))
        return folder / "saved.zip"
    items: list[Any] = []
    for number in range(data.THREADS):
        messages, runs, steps = data.conversation(number)
        items += [data.thread(number), *messages, *runs, *steps]
    path = folder / f"{form}.json"
    if form == "lines":
        path.write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    elif form == "array":
        path.write_text(json.dumps(items[::-1]), encoding="utf-16")
    else:
        path.write_text(json.dumps(data.page(items)), encoding="utf-8-sig")
    return path


def test_messages_of_one_second_keep_their_order(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    words = ["one", "two", "three"]
    messages = [
        data.message(0, n, "user", data.text(w), created_at=data.BEGUN)
        for n, w in enumerate(words)
    ]
    data.write(tmp_path / "page" / "messages.json", data.page(messages))
    data.write(tmp_path / "page" / "thread.json", data.thread(0))
    import_saved(engine, tmp_path / "page")
    assert texts(engine, data.thread_id(0)) == words


def test_pages_may_come_in_any_order(engine: AssistantsEngine, tmp_path: Path) -> None:
    messages = [data.message(0, n, "user", data.text(str(n))) for n in range(10)]
    folder = tmp_path / "pages"
    data.write(folder / "a.json", data.page(messages[3:6]))
    data.write(folder / "b.json", data.page(messages[:4]))  # one of them again
    data.write(folder / "c.json", messages[6:])
    data.write(folder / "z.json", data.thread(0))
    report = import_saved(engine, folder)
    assert texts(engine, data.thread_id(0)) == [str(n) for n in range(10)]
    assert report.complete
    assert report.of("thread.message", "unchanged") == 1


def test_models_are_mapped_on_the_way(engine: AssistantsEngine, saved: Path) -> None:
    mapping = {"gpt-4o": "anthropic:claude-sonnet-4-5"}
    report = import_saved(engine, saved, model_map=mapping)
    assistant = engine.assistants.retrieve(data.ASSISTANT)
    assert assistant.model == "anthropic:claude-sonnet-4-5"
    [run] = engine.runs.list(data.thread_id(0))
    assert run.model == "gpt-4o"  # that was the model then
    [issue] = report.issues
    assert (issue.outcome, issue.kind) == ("repaired", "assistant")
    assert taken(import_saved(engine, saved, model_map=mapping)) == {}


def test_a_tenant_gets_what_is_his(engine: AssistantsEngine, saved: Path) -> None:
    import_saved(engine, saved, tenant="acme")
    assert len(list(engine.for_tenant("acme").threads.list())) == 10
    assert list(engine.threads.list()) == []
    report = import_saved(engine, saved)  # ids are unique over all tenants
    assert taken(report) == {}
    assert {issue.why for issue in report.issues if issue.kind == "thread"} == {
        "its id is another's here"
    }


def test_another_content_of_the_same_id_is_refused(
    engine: AssistantsEngine, saved: Path
) -> None:
    import_saved(engine, saved)
    ended(engine, data.STORE)
    engine.threads.update(data.thread_id(1), metadata={"user": "changed here"})
    before = everything(engine)
    report = import_saved(engine, saved)
    [issue] = report.issues
    assert issue.id == data.thread_id(1)
    assert issue.why == "its id is here already with other content (metadata)"
    assert issue.place.endswith("thread.json:1")
    assert everything(engine) == before


class Killed(Exception):
    """Stands for the death of the process."""


def kills(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the database die before a transaction."""
    left = iter(range(after))
    write = SQLiteDatabase.write

    async def dying(self: SQLiteDatabase, transaction: Any) -> Any:
        if next(left, None) is None:
            transaction.close()
            raise Killed
        return await write(self, transaction)

    monkeypatch.setattr(SQLiteDatabase, "write", dying)


def test_an_import_that_was_killed_anywhere_is_completed_by_the_next(
    engine_factory: EngineFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = data.save(tmp_path / "saved", threads=2)
    monkeypatch.setattr(writing, "BATCH", 2)
    # What is imported is indexed in the background: that is another test's.
    monkeypatch.setattr(Ingester, "wake", lambda self: None)
    whole = engine_factory()
    import_saved(whole, saved)
    expected = everything(whole)
    # In each kind there are transactions before and behind one of these.
    for after in (0, 4, 7, 8, 10, 12):
        engine = engine_factory()
        with monkeypatch.context() as patch:
            kills(patch, after)
            with pytest.raises(Killed):
                import_saved(engine, saved)
        assert broken_invariants(engine) == []
        assert import_saved(engine, saved).complete
        assert everything(engine) == expected


def test_nothing_is_added_before_what_a_thread_has(
    engine: AssistantsEngine, saved: Path, tmp_path: Path
) -> None:
    import_saved(engine, saved)
    earlier = data.message(2, 0, "user", data.text("Before."), id="msg_earlier")
    data.write(tmp_path / "more" / "m.json", earlier | {"created_at": data.BEGUN})
    report = import_saved(engine, tmp_path / "more")
    assert "has newer messages already" in report.issues[0].why
    assert len(texts(engine, data.thread_id(2))) == 2


def test_a_thread_on_which_a_run_is_active_takes_no_messages(
    engine_factory: EngineFactory, saved: Path, tmp_path: Path
) -> None:
    engine = engine_factory([calls("call_1")])
    import_saved(engine, saved)
    assistant = assistant_with(engine, "look_up")
    run = engine.runs.create(data.thread_id(0), assistant_id=assistant.id)
    assert wait(engine, run).status == "requires_action"
    later = data.message(0, 90, "user", data.text("Later."))
    data.write(tmp_path / "more" / "m.json", later)
    report = import_saved(engine, tmp_path / "more")
    assert "while a run" in report.issues[0].why


def test_there_has_to_be_something(engine: AssistantsEngine, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no file and no folder"):
        import_saved(engine, tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert taken(import_saved(engine, tmp_path / "empty")) == {}


def test_all_issues_are_written_to_a_file(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    data.write(folder / "m.json", [data.message(0, n, "user") for n in range(3)])
    report = import_saved(engine, folder, report_file=tmp_path / "report.jsonl")
    lines = (tmp_path / "report.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        issue._asdict() for issue in report.issues
    ]
    assert json.loads(lines[0])["source"] == "m.json"
    with pytest.raises(ConfigurationError, match="cannot be written"):
        import_saved(engine, folder, report_file=tmp_path / "no" / "report.jsonl")


def test_a_database_that_cannot_be_written_is_told(
    engine: AssistantsEngine, saved: Path
) -> None:
    engine.close()
    with pytest.raises((StorageError, ConfigurationError), match="closed"):
        import_saved(engine, saved)
