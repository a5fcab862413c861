"""What comes in later, or in part, finds its place, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.importers import saved_data as data
from tests.stored import broken_invariants, everything, rows

from langchain_assistants import AssistantsEngine, Settings
from langchain_assistants.importers import Report, import_saved

DAY = 86_400


@pytest.fixture
def engine(engine_factory: EngineFactory, clock: Clock) -> AssistantsEngine:
    """An engine on an empty database."""
    return engine_factory(clock=clock, settings=Settings(max_file_bytes=100))


def take(engine: AssistantsEngine, folder: Path, *items: Any, **options: Any) -> Report:
    """Import objects."""
    path = folder / "items.jsonl"
    path.write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    return import_saved(engine, path, **options)


def reasons(report: Report) -> list[str]:
    """Return why something was not taken as it was."""
    return [issue.why for issue in report.issues]


def test_runs_that_come_after_their_messages_find_their_place(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    messages, [run], steps = data.conversation(0)
    take(engine, tmp_path, data.thread(0), *messages)
    assert take(engine, tmp_path, run).complete
    assert take(engine, tmp_path, *steps).complete
    assert rows(engine, "SELECT cursor FROM runs") == [{"cursor": 1}]
    positions = rows(engine, "SELECT position FROM run_steps ORDER BY seq")
    assert [row["position"] for row in positions][:2] == [1, 1]
    assert broken_invariants(engine) == []


def test_what_is_older_than_what_is_there_is_refused(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    _, [run], steps = data.conversation(0)
    take(engine, tmp_path, data.thread(0), run, steps[1])
    earlier = data.run(0, 0)
    report = take(engine, tmp_path, earlier, steps[0])
    assert reasons(report) == [
        f"{data.thread_id(0)} has newer runs already",
        f"{run['id']} has newer steps already",
    ]


def test_changed_runs_steps_and_messages_are_refused(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    messages, [run], steps = data.conversation(0)
    take(engine, tmp_path, data.thread(0), *messages, run, *steps)
    before = everything(engine)
    report = take(
        engine,
        tmp_path,
        messages[0] | {"metadata": {"a": "b"}},
        messages[1] | {"thread_id": data.thread_id(1)},
        data.thread(1),
        run | {"model": "other"},
        steps[0] | {"metadata": {"a": "b"}},
        steps[1] | {"run_id": data.run(1)["id"]},
        data.run(1),
    )
    assert sorted(reasons(report)) == [
        "its id is another's here",
        "its id is another's here",
        "its id is here already with other content (metadata)",
        "its id is here already with other content (metadata)",
        "its id is here already with other content (model)",
    ]
    after = everything(engine)
    for name in ("messages", "run_steps"):
        assert after[name] == before[name]


def test_a_key_of_another_thread_is_not_taken_twice(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    own = engine.threads.create(key="customer:1")
    imported = data.thread(0, key="customer:1", context={"plan": "gold"})
    report = take(engine, tmp_path, imported)
    assert reasons(report) == ["its key is another thread's: it has none now"]
    assert engine.threads.get_or_create(key="customer:1").id == own.id
    found = engine.threads.retrieve(data.thread_id(0))
    assert (found.key, found.context) == (None, {"plan": "gold"})
    assert reasons(take(engine, tmp_path, imported)) == []


def test_a_vector_store_whose_time_is_over_begins_anew(
    engine: AssistantsEngine, clock: Clock, tmp_path: Path
) -> None:
    policy = {"anchor": "last_active_at", "days": 7}
    stale = data.store() | {"expires_after": policy}
    over = data.store() | {
        "id": "vs_over",
        "status": "expired",
        "expires_after": policy,
    }
    report = take(engine, tmp_path, stale, over)
    assert reasons(report) == ["its time would be over: it begins anew"]
    found = engine.vector_stores.retrieve(data.STORE)
    assert (found.status, found.expires_at) == ("completed", int(clock()) + 7 * DAY)
    assert engine.vector_stores.retrieve("vs_over").status == "expired"
    assert reasons(take(engine, tmp_path, stale, over)) == []


def test_a_file_in_a_store_may_be_cut_in_unknown_ways(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    file = engine.files.create(file=("a.txt", b"a"), purpose="assistants")
    attached = data.store_file() | {
        "id": file.id,
        "chunking_strategy": {"type": "other"},
        "attributes": None,
    }
    assert take(engine, tmp_path, data.store(), attached).complete
    [found] = engine.vector_stores.files.list(data.STORE)
    assert (found.id, found.created_at) == (file.id, data.BEGUN - 300)
    assert engine.vector_stores.retrieve(data.STORE).last_active_at == data.BEGUN
    again = take(engine, tmp_path, data.store(), attached)
    assert (again.complete, again.of("vector_store.file", "unchanged")) == (True, 1)
    changed = take(engine, tmp_path, attached | {"attributes": {"a": 1}})
    assert reasons(changed) == [
        "its id is here already with other content (attributes)"
    ]


def test_files_are_compared_by_their_contents(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    small = data.file("file-Small", "small.txt", b"small", "vision")
    large = data.file("file-Large", "large.txt", b"x" * 101, "vision")
    (tmp_path / "saved").mkdir()
    lines = "\n".join(map(json.dumps, (small, large)))
    (tmp_path / "saved" / "files.jsonl").write_text(lines)
    (tmp_path / "saved" / "small.txt").write_bytes(b"small")
    (tmp_path / "saved" / "large.txt").write_bytes(b"x" * 101)
    too_large = "The file has more than 100 bytes, the most that are accepted."
    assert reasons(import_saved(engine, tmp_path / "saved")) == [too_large]
    (tmp_path / "saved" / "small.txt").write_bytes(b"Small")
    assert reasons(import_saved(engine, tmp_path / "saved")) == [
        "its id is here already with other content (content)",
        too_large,
    ]
    assert engine.files.content("file-Small") == b"small"
    report = import_saved(engine, tmp_path / "saved", tenant="acme")
    assert "its id is another's here" in reasons(report)


def test_what_another_tenant_has_is_no_ones_else(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    items = (data.store(), data.assistant(), data.thread(0), data.run(0))
    assert take(engine, tmp_path, *items, tenant="acme").complete
    before = everything(engine)
    report = take(engine, tmp_path, *items, data.store_file())
    assert reasons(report) == [
        "its id is another's here",
        f"there is no vector store {data.STORE}",
        "its id is another's here",
        "its id is another's here",
        f"there is no thread {data.thread_id(0)}: add its object to what is imported",
    ]
    assert everything(engine) == before
