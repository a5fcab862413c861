"""What is wrong is told by file and line, and the rest is taken."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import EngineFactory
from tests.conversations import texts
from tests.importers import saved_data as data
from tests.stored import broken_invariants

from langchain_assistants import AssistantsEngine
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.importers import Report, import_saved


@pytest.fixture
def engine(engine_factory: EngineFactory) -> AssistantsEngine:
    """An engine on an empty database."""
    return engine_factory()


def lines(path: Path, *items: Any) -> Path:
    """Write items as JSON lines; text stands for itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "\n".join(i if isinstance(i, str) else json.dumps(i) for i in items),
        encoding="utf-8",
    )
    return path


def told(report: Report, outcome: str = "refused") -> list[tuple[str, str]]:
    """Return place and reason of the issues."""
    return [(i.place, i.why) for i in report.issues if i.outcome == outcome]


def asked(place: int, *parts: Any, **fields: Any) -> dict[str, Any]:
    """Return a message of the first thread."""
    content = parts or (data.text(f"Message {place}."),)
    return data.message(0, place, "user", *content, **fields)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"role": "system"}, "`role`: input should be 'user' or 'assistant'"),
        ({"thread_id": data.thread_id(7)}, f"there is no thread {data.thread_id(7)}"),
        ({"thread_id": None}, "its `thread_id` is no id that begins with thread_"),
        ({"id": "run_1"}, "its `id` is no id that begins with msg_"),
        ({"id": "msg_../../x"}, "its `id` has characters that no id has"),
        ({"id": 7}, "its `id` is no id that begins with msg_"),
        ({"created_at": None}, "its `created_at` is no time"),
        ({"created_at": -5}, "its `created_at` is no time"),
        ({"created_at": "soon"}, "its `created_at` is no time"),
        ({"content": [{"type": "audio"}]}, "`content.0` has an unknown type"),
        ({"content": 7}, "`content`: input should be a valid list"),
        ({"content": [{"type": "text"}]}, "`content.0.text.text`: field required"),
        ({"object": "thread.poem"}, "its `object` is none of the Assistants API"),
        ({"status": "lost"}, "`status`: input should be 'in_progress', 'incomplete'"),
    ],
    ids=str,
)
def test_one_wrong_object_is_refused_and_the_rest_taken(
    wrong: dict[str, Any], why: str, engine: AssistantsEngine, tmp_path: Path
) -> None:
    wrong = asked(2) | wrong
    path = lines(tmp_path / "all.jsonl", data.thread(0), asked(1), wrong, asked(3))
    report = import_saved(engine, path)
    [(place, reason)] = told(report)
    assert place == "all.jsonl:3"
    assert reason.startswith(why)
    assert texts(engine, data.thread_id(0)) == ["Message 1.", "Message 3."]
    assert not report.complete


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        ({"created_at": (data.BEGUN + 2) * 1_000}, "its times were milliseconds"),
        ({"created_at": (data.BEGUN + 2) * 1_000_000 + 7}, "its times were micro"),
        ({"created_at": "2025-06-15T15:06:42Z"}, "its times were dates"),
        ({"created_at": str(data.BEGUN + 2)}, "its times were text"),
        ({"created_at": data.BEGUN + 2.5}, "its times were fractions"),
        ({"content": "Message 2."}, "its content was plain text"),
        (
            {"content": [{"type": "audio"}, data.text("Message 2.")]},
            "1 of its parts had an unknown type",
        ),
        ({"metadata": {"n": 5}}, "values of its metadata are text now"),
        ({"metadata": "x"}, "its metadata was no object"),
        ({"status": "in_progress"}, "it was in progress and is incomplete now"),
        ({"file_ids": ["file-1"]}, "its file_ids are attachments now (v1)"),
    ],
    ids=str,
)
def test_what_can_be_mended_is_taken_and_told(
    odd: dict[str, Any], why: str, engine: AssistantsEngine, tmp_path: Path
) -> None:
    odd = asked(2) | odd
    path = lines(tmp_path / "all.jsonl", data.thread(0), asked(1), odd, asked(3))
    report = import_saved(engine, path)
    [(place, reason)] = told(report, "repaired")
    assert place == "all.jsonl:3"
    assert reason.startswith(why)
    found = list(engine.messages.list(data.thread_id(0), order="asc"))
    assert [m.text for m in found] == ["Message 1.", "Message 2.", "Message 3."]
    assert found[1].created_at == data.BEGUN + 2
    assert report.complete
    again = import_saved(engine, path)
    assert (told(again), told(again, "repaired")) == ([], [])


def test_characters_that_cannot_be_stored_are_replaced(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    path = tmp_path / "all.jsonl"
    lines(path, data.thread(0), asked(1, data.text("a\0b\ud800c")))
    with path.open("ab") as file:
        file.write(b"\n" + json.dumps(asked(2)).encode().replace(b"2.", b"\xff"))
    report = import_saved(engine, path)
    words = ["a\ufffdb\ufffdc", "Message \ufffd"]
    assert texts(engine, data.thread_id(0)) == words
    why = "characters that cannot be stored were replaced"
    assert [reason for _, reason in told(report, "repaired")] == [why, why]


def test_a_truncated_page_gives_what_was_whole(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    page = json.dumps(data.page([asked(n) for n in range(5)]), indent=2)
    data.write(folder / "thread.json", data.thread(0))
    (folder / "messages.json").write_text(page[: page.index("Message 1.")])
    report = import_saved(engine, folder)
    [(place, why)] = told(report)
    begun = page[: page.index("Message 1.")].rpartition('"id"')[0].rpartition("{")[0]
    assert place == f"messages.json:{begun.count(chr(10)) + 1}"
    assert why == "the text ends in the middle of a value"
    assert len(texts(engine, data.thread_id(0))) == 3


def test_of_two_contents_of_one_id_the_first_counts(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    other = asked(1, data.text("Other."))
    path = lines(tmp_path / "all.jsonl", data.thread(0), asked(1), asked(1), other)
    report = import_saved(engine, path)
    assert told(report) == [
        ("all.jsonl:4", "its id has other content in all.jsonl:2, which counts")
    ]
    assert texts(engine, data.thread_id(0)) == ["Message 1."]


def test_runs_that_were_at_work_are_expired(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    messages, _, steps = data.conversation(0)
    run = data.run(0, status="requires_action", completed_at=None)
    steps[-2] |= {"status": "in_progress", "completed_at": None}
    path = lines(tmp_path / "a.json", data.thread(0), *messages, run, *steps)
    report = import_saved(engine, path)
    assert engine.runs.retrieve(run["id"]).status == "expired"
    statuses = [s.status for s in engine.steps.list(run["id"], order="asc")]
    assert statuses == ["completed", "expired", "completed"]
    assert len(told(report, "repaired")) == 2
    assert broken_invariants(engine) == []


def test_what_belongs_to_nothing_is_refused(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    messages, [run], steps = data.conversation(0)
    lines(tmp_path / "in" / "a.json", data.store_file(), *steps, *messages, run)
    report = import_saved(engine, tmp_path / "in")
    reasons = {why for _, why in told(report)}
    assert reasons == {
        f"there is no thread {data.thread_id(0)}: add its object to what is imported",
        f"there is no run {run['id']}",
        f"there is no vector store {data.STORE}",
    }
    assert len(told(report)) == 7


def test_unknown_details_of_runs_and_steps_do_not_cost_them(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    run = data.run(
        0,
        status="incomplete",
        incomplete_details={"reason": "content_filter"},
        last_error={"code": "lost_patience", "message": "No."},
        response_format=None,
    )
    calls = data.calls(
        {"id": "call_1", "type": "retrieval", "retrieval": {}},
        {"id": "call_2", "type": "telepathy"},
    )
    step = data.step(run, 1, calls)
    path = lines(tmp_path / "a.json", data.thread(0), run, step)
    report = import_saved(engine, path)
    found = engine.runs.retrieve(run["id"])
    assert found.incomplete_details is None
    assert found.last_error is not None
    assert found.last_error.code == "server_error"
    [kept] = engine.steps.list(run["id"])
    assert kept.step_details.to_dict()["tool_calls"] == [
        {"id": "call_1", "type": "file_search", "file_search": {}}
    ]
    [(_, why)] = told(report, "repaired")
    assert "retrieval is one of file_search" in why
    assert "1 of its calls had an unknown type" in why


def test_files_without_or_with_another_content_are_told(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    gone = data.file("file-Gone", "gone.txt", b"gone", "vision")
    grown = data.file("file-Grown", "grown.txt", b"grown", "vision")
    old = data.file("file-Old", "old.txt", b"old", "vision") | {"expires_at": 5}
    data.write(folder / "files.json", [gone, grown, old])
    (folder / "file-Grown.txt").write_bytes(b"grown since")
    (folder / "file-Old").write_bytes(b"old")
    report = import_saved(engine, folder)
    assert [why for _, why in told(report)] == [
        "its content is not there: put it beside it, under its id or name",
        "it has expired",
    ]
    assert told(report, "repaired") == [
        ("files.json:13", "its content has 11 bytes, not 5")
    ]
    assert engine.files.content("file-Grown") == b"grown since"


def test_a_content_that_is_json_itself_is_no_fault(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    content = b'{"rows": [{"object": "chair"}, {"x": '
    file = data.file("file-Json", "table.json", content, "assistants")
    data.write(folder / "files.json", [file])
    (folder / "contents").mkdir()
    (folder / "contents" / "table.json").write_bytes(content)
    report = import_saved(engine, folder)
    assert report.of("file", "taken") == 1
    assert report.complete
    assert report.issues == []


def test_a_folder_is_not_left(engine: AssistantsEngine, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(data.thread(0)))
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "link.json").symlink_to(secret)
    (folder / "gone.json").symlink_to(tmp_path / "nothing")
    os.mkfifo(folder / "pipe.json")
    data.write(folder / "thread.json", data.thread(1))
    report = import_saved(engine, folder)
    assert dict(told(report)) == {
        "gone.json": "No such file or directory",
        "link.json": "it leads out of the folder",
        "pipe.json": "it is no regular file",
    }
    assert [t.id for t in engine.threads.list()] == [data.thread_id(1)]


def test_tricks_with_the_names_in_an_archive_are_told(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    path = tmp_path / "saved.zip"
    link = zipfile.ZipInfo("link.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    thread = json.dumps(data.thread(0))
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("../up.json", "/root.json", "a/../../b.json", "..\\w.json"):
            archive.writestr(name, thread)
        archive.writestr("C:/drive.json", thread)
        archive.writestr(link, "/etc/passwd")
        archive.writestr("twice.json", json.dumps(data.thread(1)))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("twice.json", thread)
    before = sorted(tmp_path.parent.rglob("*"))
    report = import_saved(engine, path)
    assert sorted(tmp_path.parent.rglob("*")) == before
    reasons = [why for _, why in told(report)]
    assert reasons.count("its name leads out of the archive") == 5
    assert reasons.count("it is a link") == 1
    assert reasons.count("its name is another file's too") == 1
    assert [t.id for t in engine.threads.list()] == [data.thread_id(1)]


def test_a_damaged_archive_gives_what_is_whole(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    path = tmp_path / "saved.zip"
    threads = [json.dumps(data.thread(number)) for number in range(2)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.json", threads[0])
        archive.writestr("b.json", threads[1])
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"user-1", b"user-X", 1))
    report = import_saved(engine, path)
    [(place, why)] = told(report)
    assert place == "b.json"
    assert why.startswith("it cannot be read: Bad CRC-32")
    assert data.thread_id(0) in [t.id for t in engine.threads.list()]
    path.write_bytes(raw[:50])
    with pytest.raises(ConfigurationError, match="cannot be read as a zip archive"):
        import_saved(engine, path)


def test_an_issue_holds_nothing_of_what_people_wrote(
    engine: AssistantsEngine, tmp_path: Path
) -> None:
    secret = "my password"
    path = lines(
        tmp_path / "all.jsonl",
        {"object": secret, "id": secret},
        asked(1, {"type": secret, "text": secret}),
        asked(2) | {"role": secret},
        data.thread(0) | {"metadata": {secret: secret}, "id": secret},
    )
    report = import_saved(engine, path)
    assert len(told(report)) == 4
    assert not any(secret in str(issue) for issue in report.issues)
