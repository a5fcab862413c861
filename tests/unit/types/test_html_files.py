"""Files in notebooks: pictures are shown, others named; no content is executed."""

from __future__ import annotations

import base64
from collections.abc import Collection
from typing import Any

import pytest
from tests.displayed import ATTACKS, shown

from langchain_assistants.types import Message, Page, Run, RunEvent, RunStep, Thread
from langchain_assistants.types.records import (
    Conversation,
    Origin,
    RunRecord,
    StoredFile,
    bind,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
BASE = {"created_at": 1_800_000_000, "thread_id": "thread_1"}
RUN = Run(id="run_1", **BASE, assistant_id="asst_1", status="completed", model="m")


def message(*pictures: str, **fields: Any) -> Message:
    parts = [{"type": "image_file", "image_file": {"file_id": id}} for id in pictures]
    return Message(id="msg_1", **BASE, role="assistant", **{"content": parts, **fields})


def step(*pictures: str) -> RunStep:
    images = [{"type": "image", "image": {"file_id": id}} for id in pictures]
    details = {"input": "plot()", "outputs": [{"type": "logs", "logs": ""}, *images]}
    call = {"id": "call_1", "type": "code_interpreter", "code_interpreter": details}
    return RunStep(
        id="step_1",
        **BASE,
        assistant_id="asst_1",
        run_id="run_1",
        type="tool_calls",
        status="completed",
        step_details={"type": "tool_calls", "tool_calls": [call]},
    )


def written() -> RunStep:
    """A step that wrote the message."""
    details = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}
    fields = {"id": "step_2", "type": "message_creation", "step_details": details}
    return RunStep(**step().to_dict() | fields)


class Folder(Origin):
    """Files by their ids, and what was asked for of them."""

    def __init__(self, **files: bytes) -> None:
        self.stored = {
            id.replace("_", "-"): StoredFile(f"{id}.png", content)
            for id, content in files.items()
        }
        self.asked: set[str] = set()
        self.opened: set[str] = set()
        self.most_bytes = 0
        self.items: tuple[list[RunStep], list[Message]] = [], []

    def record(self, run_id: str) -> RunRecord:
        return RunRecord(RUN, *self.items)

    def conversation(self, thread_id: str) -> Conversation:
        return Conversation(self.items[1])

    def files(
        self, ids: Collection[str], *, contents_of: Collection[str], most_bytes: int
    ) -> dict[str, StoredFile]:
        self.asked, self.opened = {*ids}, {*contents_of}
        self.most_bytes = most_bytes
        return {
            id: file if id in contents_of else StoredFile(file.name)
            for id, file in self.stored.items()
            if id in ids
        }


def of(folder: Origin, item: Any) -> Any:
    bind(item, folder)
    return item


def pictures(item: object) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in shown(item).tags if tag == "img"]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("png", PNG),
        ("jpeg", b"\xff\xd8\xff\xe0" + bytes(9)),
        ("gif", b"GIF89a" + bytes(7)),
        ("webp", b"RIFF\x10\0\0\0WEBPVP8 " + bytes(8)),
    ],
)
def test_a_picture_is_shown_as_what_its_bytes_are(kind: str, content: bytes) -> None:
    [image] = pictures(of(Folder(file_1=content), message("file-1")))
    data = base64.b64encode(content).decode()
    assert image["src"] == f"data:image/{kind};base64,{data}"
    assert image["alt"] == "file_1.png"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<html><script>alert(1)</script>",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"\x89PNG",
        " \u202e".encode(),
    ],
)
def test_what_is_no_picture_is_named_whatever_it_is_called(content: bytes) -> None:
    page = shown(of(Folder(file_1=content), message("file-1")))
    assert "Picture: file_1.png file-1" in page.text
    assert "img" not in dict(page.tags)


def test_a_picture_that_is_gone_or_too_large_is_named() -> None:
    folder = Folder(file_1=PNG)
    folder.stored["file-1"] = StoredFile("large.png", None)
    text = shown(of(folder, message("file-1", "file-2"))).text
    assert "Picture: large.png file-1" in text
    assert "Picture: file-2" in text
    assert folder.most_bytes == 2_000_000


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_name_of_a_file_becomes_markup(attack: str) -> None:
    folder = Folder()
    folder.stored = {
        "file-1": StoredFile(attack, PNG),
        "file-2": StoredFile(attack, attack.encode(errors="replace")),
    }
    attachments = [{"file_id": "file-2", "tools": []}]
    item = of(folder, message("file-1", "file-2", attachments=attachments))
    assert len(pictures(item)) == 1


def test_a_step_shows_what_its_code_has_drawn() -> None:
    assert len(pictures(of(Folder(file_1=PNG), step("file-1")))) == 1
    assert len(pictures(Page([of(Folder(file_1=PNG), step("file-1"))]))) == 1


def test_a_run_shows_the_pictures_of_its_steps_and_messages() -> None:
    folder = Folder(file_1=PNG, file_2=PNG)
    folder.items = [step("file-1"), written()], [message("file-2")]
    assert len(pictures(of(folder, RUN.model_copy()))) == 2


def test_a_picture_in_an_answer_is_only_named_where_it_was_drawn() -> None:
    folder = Folder(file_1=PNG, file_2=PNG)
    folder.items = [step("file-1", "file-2"), written()], [message("file-1")]
    run = of(folder, RUN.model_copy())
    assert [image["alt"] for image in pictures(run)] == ["file_2.png", "file_1.png"]
    assert shown(run).text.count("Picture: file_1.png file-1") == 1


def test_a_picture_stays_where_it_was_drawn_until_its_answer_is_known() -> None:
    folder = Folder(file_1=PNG)
    folder.items = [step("file-1"), written()], []
    assert len(pictures(of(folder, RUN.model_copy()))) == 1


def test_a_run_that_is_watched_shows_pictures_too() -> None:
    record = RunRecord()
    run = of(Folder(file_1=PNG), RUN.model_copy())
    record.add(RunEvent("thread.run.completed", run, "1.1"))
    record.add(RunEvent("thread.run.step.completed", step("file-1"), "1.2"))
    assert len(pictures(record)) == 1


def test_a_thread_a_page_and_a_list_show_pictures() -> None:
    folder = Folder(file_1=PNG)
    folder.items = [], [message("file-1")]
    thread = of(folder, Thread(id="thread_1", created_at=0))
    said = of(folder, message("file-1"))
    for item in (thread, Page([said]), [said]):
        assert len(pictures(item)) == 1


def test_of_many_pictures_the_newest_are_shown_and_the_others_named() -> None:
    ids = [f"file_{number}" for number in range(13)]
    folder = Folder(**dict.fromkeys(ids, PNG))
    page = of(folder, message(*(id.replace("_", "-") for id in ids)))
    assert [a["alt"] for a in pictures(page)] == [f"{id}.png" for id in ids[3:]]
    assert "Picture: file_2.png" in shown(page).text
    assert len(folder.opened) == 10


def test_citations_links_and_attachments_name_their_files() -> None:
    place = {"text": "【0:1†source】", "start_index": 0, "end_index": 12}
    cited = {"file_id": "file-1", "quote": "30 days", "page": 2}
    notes = [
        {"type": "file_citation", **place, "file_citation": cited},
        {"type": "file_path", **place, "file_path": {"file_id": "file-2"}},
    ]
    text = {"value": "【0:1†source】", "annotations": notes}
    content = [{"type": "text", "text": text}]
    attachments = [{"file_id": "file-3", "tools": [{"type": "code_interpreter"}]}]
    folder = Folder(file_1=b"", file_2=b"", file_3=b"")
    said = of(folder, message(content=content, attachments=attachments))
    shown_text = shown(said).text
    assert "[1] 【0:1†source】 → file_1.png file-1 p. 2 “30 days”" in shown_text
    assert "[2] 【0:1†source】 → file_2.png file-2" in shown_text
    assert "Attached: file_3.png file-3 for code_interpreter" in shown_text
    assert folder.opened == set()


def test_a_search_shows_its_query_and_the_pages() -> None:
    found = {"file_id": "file-1", "file_name": "a.pdf", "score": 0.5, "page": 3}
    search = {"query": "<b>returns", "results": [found]}
    call = {"id": "call_1", "type": "file_search", "file_search": search}
    details = {"type": "tool_calls", "tool_calls": [call]}
    text = shown(RunStep(**step().to_dict() | {"step_details": details})).text
    assert 'file_search(query="<b>returns")' in text
    assert "0.50  a.pdf p. 3 file-1" in text


def test_a_long_passage_is_cut() -> None:
    place = {"text": "【0:1†source】", "start_index": 0, "end_index": 12}
    cited = {"file_id": "file-1", "quote": "x" * 400}
    notes = [{"type": "file_citation", **place, "file_citation": cited}]
    text = {"value": "【0:1†source】", "annotations": notes}
    page = shown(message(content=[{"type": "text", "text": text}]))
    assert f"“{'x' * 300}…”" in page.text


def test_a_message_without_files_reads_none() -> None:
    folder = Folder()
    folder.asked = {"nothing"}
    text = {"value": "Hello", "annotations": []}
    shown(of(folder, message(content=[{"type": "text", "text": text}])))
    assert folder.asked == {"nothing"}
