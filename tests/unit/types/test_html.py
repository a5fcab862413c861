"""Objects in notebooks: what is shown of them, and that nothing in them is executed."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.displayed import ATTACKS, PIXEL, shown

from langchain_assistants.types import (
    Assistant,
    AsyncPage,
    Deleted,
    Message,
    Page,
    Run,
    RunStep,
    StreamError,
    Thread,
    WireObject,
)
from langchain_assistants.types.html import to_html
from langchain_assistants.types.html.elements import printable
from langchain_assistants.types.records import (
    Conversation,
    Origin,
    RunRecord,
    StoredFile,
    bind,
    origin_of,
)

NOW = 1_800_000_000
TEXT = {"value": "Hello 【1】.\nBye.", "annotations": []}

RUN: dict[str, Any] = {
    "id": "run_1",
    "created_at": NOW,
    "started_at": NOW,
    "completed_at": NOW + 75,
    "thread_id": "thread_1",
    "assistant_id": "asst_1",
    "status": "completed",
    "model": "gpt-4o",
    "usage": {"prompt_tokens": 4000, "completion_tokens": 560, "total_tokens": 4560},
    "last_error": {"code": "server_error", "message": "It broke."},
    "incomplete_details": {"reason": "max_prompt_tokens"},
    "required_action": {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [
                {
                    "id": "call_9",
                    "type": "function",
                    "function": {"name": "refund", "arguments": '{"amount": 12}'},
                }
            ]
        },
        "approval": {"requests": [{"id": "int_1", "value": {"sure?": ["yes"]}}]},
    },
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "created_at": NOW,
    "thread_id": "thread_1",
    "role": "assistant",
    "status": "incomplete",
    "incomplete_details": {"reason": "run_cancelled"},
    "attachments": [{"file_id": "file-3", "tools": [{"type": "file_search"}]}],
    "content": [
        {
            "type": "text",
            "text": {
                "value": "Hello 【1】.\n```python\nprint(1)\n```",
                "annotations": [
                    {
                        "type": "file_citation",
                        "text": "【1】",
                        "start_index": 6,
                        "end_index": 9,
                        "file_citation": {"file_id": "file-1", "quote": "a quote"},
                    },
                    {
                        "type": "file_path",
                        "text": "sandbox:/mnt/data/a.csv",
                        "start_index": 0,
                        "end_index": 1,
                        "file_path": {"file_id": "file-2"},
                    },
                ],
            },
        },
        {"type": "refusal", "refusal": "I cannot."},
        {"type": "image_file", "image_file": {"file_id": "file-4"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ],
}
CALLS: list[dict[str, Any]] = [
    {
        "id": "call_1",
        "type": "function",
        "function": {"name": "add", "arguments": '{"a": 1, "b": 2}', "output": "3"},
    },
    {
        "id": "call_2",
        "type": "code_interpreter",
        "code_interpreter": {
            "input": "print(1)",
            "outputs": [
                {"type": "logs", "logs": "1"},
                {"type": "image", "image": {"file_id": "file-5"}},
            ],
        },
    },
    {
        "id": "call_3",
        "type": "file_search",
        "file_search": {
            "results": [
                {
                    "file_id": "file-6",
                    "file_name": "terms.pdf",
                    "score": 0.87,
                    "content": [{"type": "text", "text": "Five days."}],
                }
            ]
        },
    },
]
STEP: dict[str, Any] = {
    "id": "step_1",
    "created_at": NOW,
    "completed_at": NOW + 2,
    "assistant_id": "asst_1",
    "thread_id": "thread_1",
    "run_id": "run_1",
    "type": "tool_calls",
    "status": "completed",
    "step_details": {"type": "tool_calls", "tool_calls": CALLS},
    "last_error": {"code": "server_error", "message": "The tool broke."},
}
WRITING: dict[str, Any] = STEP | {
    "id": "step_2",
    "type": "message_creation",
    "step_details": {
        "type": "message_creation",
        "message_creation": {"message_id": "msg_1"},
    },
}
THREAD: dict[str, Any] = {
    "id": "thread_1",
    "created_at": NOW,
    "key": "customer:42",
    "metadata": {"tier": "gold"},
    "context": {"name": "Ada"},
}
ASSISTANT: dict[str, Any] = {
    "id": "asst_1",
    "created_at": NOW,
    "name": "Order desk",
    "description": "Answers.",
    "model": "gpt-4o",
    "instructions": "Be short.",
    "version": 3,
    "temperature": 0.2,
    "metadata": {"team": "shop"},
    "tools": [
        {"type": "code_interpreter"},
        {
            "type": "function",
            "function": {
                "name": "look_up",
                "description": "Looks up.",
                "parameters": {"type": "object", "properties": {"order": {}}},
            },
        },
    ],
}
OBJECTS: list[tuple[type[WireObject], dict[str, Any]]] = [
    (Run, RUN),
    (Message, MESSAGE),
    (RunStep, STEP),
    (RunStep, WRITING),
    (Thread, THREAD),
    (Assistant, ASSISTANT),
]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all texts in JSON data."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    elif isinstance(value, str):
        yield path


def replaced(value: Any, path: tuple[Any, ...], text: str) -> Any:
    if not path:
        return text
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], text)
    return changed


class Fixed(Origin):
    """An origin with one run and one thread."""

    def record(self, run_id: str) -> RunRecord:
        return RunRecord(
            Run(**RUN), [RunStep(**STEP), RunStep(**WRITING)], [Message(**MESSAGE)]
        )

    def conversation(self, thread_id: str) -> Conversation:
        return Conversation([Message(**MESSAGE)], earlier=240)

    def files(self, ids: Any, **asked: Any) -> dict[str, StoredFile]:
        return {}


class Broken(Origin):
    """An origin that cannot be read."""

    def record(self, run_id: str) -> RunRecord:
        raise RuntimeError("no")

    def conversation(self, thread_id: str) -> Conversation:
        raise RuntimeError("no")

    def files(self, ids: Any, **asked: Any) -> dict[str, StoredFile]:
        raise RuntimeError("no")


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    ("kind", "fields"),
    OBJECTS,
    ids=["run", "message", "calls", "writing", "thread", "a"],
)
def test_no_text_of_an_object_becomes_markup(
    kind: type[WireObject], fields: dict[str, Any], attack: str
) -> None:
    attacked = 0
    for path in leaves(fields):
        try:
            item = kind.model_validate(replaced(fields, path, attack))
        except ValidationError:  # a status cannot be any text
            continue
        shown(item)
        attacked += 1
    assert attacked >= 3


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_name_in_an_object_becomes_markup(attack: str) -> None:
    shown(Thread(**THREAD | {"metadata": {attack: attack}, "context": {attack: 1}}))
    tool = {"type": "function", "function": {"name": "f"}}
    tool["function"] |= {"parameters": {"properties": {attack: {}}}}  # type: ignore[operator]
    shown(Assistant(**ASSISTANT | {"tools": [tool, {"type": f"web_search{attack}"}]}))


def squeezed(text: str) -> str:
    return "".join(text.replace("```", "").split())


@given(st.text() | st.lists(st.sampled_from(ATTACKS)).map("".join))
def test_what_is_written_is_what_is_read(text: str) -> None:
    content = [{"type": "refusal", "refusal": text}]
    page = shown(Message(**MESSAGE | {"content": content, "attachments": []}))
    assert squeezed(printable(text)) in squeezed(page.text)


def test_a_run_shows_its_status_time_cost_and_what_it_waits_for() -> None:
    text = shown(Run(**RUN)).text
    for part in ("completed", "gpt-4o", "1 min 15 s", "4,560 tokens", "run_1"):
        assert part in text
    assert "server_errorIt broke." in text
    assert "refund(amount=12) call_9" in text
    assert '"sure?"' in text


def test_a_run_that_used_up_its_budget_says_so() -> None:
    assert (
        "Stopped at max_prompt_tokens."
        in shown(Run(**RUN | {"status": "incomplete"})).text
    )


def test_a_run_of_unknown_origin_tells_where_its_steps_are() -> None:
    assert 'engine.steps.list("run_1")' in shown(Run(**RUN)).text


def test_a_run_shows_the_steps_that_its_origin_reads() -> None:
    run = Run(**RUN)
    bind(run, Fixed())
    text = shown(run).text
    assert "add(a=1, b=2)3" in text
    assert "0.87  terms.pdf" in text
    assert "Hello 【1】." in text
    assert "engine.steps.list" not in text


def test_a_run_that_has_gone_on_since_says_so() -> None:
    run = Run(**RUN | {"status": "queued"})
    bind(run, Fixed())
    assert "This object says queued; now the run is completed" in shown(run).text
    assert run.status == "queued"


def test_a_thread_shows_its_newest_messages_as_a_chat() -> None:
    thread = Thread(**THREAD)
    bind(thread, Fixed())
    text = shown(thread).text
    for part in ("customer:42", "tier: gold", "… 240 earlier messages", "Hello 【1】."):
        assert part in text


def test_a_fork_names_the_thread_that_it_comes_from() -> None:
    fork = Thread(**THREAD | {"id": "thread_2", "parent_id": "thread_1"})
    assert "fork of thread_1" in shown(fork).text
    assert "fork" not in shown(Thread(**THREAD)).text


def test_a_line_can_be_read_without_the_stylesheet() -> None:
    assert shown(Message(**MESSAGE)).text.startswith("assistant 15 Jan 2027, 08:00 UTC")
    assert shown(Run(**RUN)).text.startswith("Run completed gpt-4o 1 min 15 s 4,560")


@pytest.mark.parametrize("item", [Run(**RUN), Thread(**THREAD)], ids=["run", "thread"])
def test_an_origin_that_cannot_be_read_leaves_the_objects_own_fields(
    item: WireObject,
) -> None:
    alone = to_html(item)
    bind(item, Broken())
    assert to_html(item) == alone


def test_a_message_shows_everything_it_holds() -> None:
    page = shown(Message(**MESSAGE))
    for part in (
        "assistant",
        "15 Jan 2027, 08:00 UTC",
        "incomplete: run cancelled",
        "refusal",
        "I cannot.",
        "file-4",
        "[1] 【1】 → file-1 “a quote”",
        "[2] sandbox:/mnt/data/a.csv → file-2",
        "Attached: file-3 for file_search",
    ):
        assert part in page.text
    assert ("pre", {"class": "lca-code"}) in page.tags
    assert "```" not in page.text


def test_a_remote_picture_is_linked_never_loaded() -> None:
    tags = shown(Message(**MESSAGE)).tags
    assert [a["src"] for tag, a in tags if tag == "img"] == [PIXEL]
    [link] = [attributes for tag, attributes in tags if tag == "a"]
    assert link["href"] == "https://example.org/a.png"
    assert link["rel"] == "noopener noreferrer nofollow"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " https://example.org",
        "file:///etc/passwd",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html;base64,PHNjcmlwdD4=",
        'data:image/png;base64,iVBO" onerror="alert(1)',
    ],
)
def test_any_other_address_stays_text(url: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    tags = [tag for tag, _ in shown(Message(**MESSAGE | {"content": content})).tags]
    assert "a" not in tags
    assert "img" not in tags


def test_a_long_text_is_cut_and_a_note_says_by_how_much() -> None:
    content = [{"type": "text", "text": {"value": "x" * 12_345, "annotations": []}}]
    page = shown(Message(**MESSAGE | {"content": content}))
    assert "… 2,345 more characters" in page.text
    assert page.text.count("x") < 10_100


def test_a_long_output_is_folded_away() -> None:
    call = copy.deepcopy(CALLS[0])
    call["function"]["output"] = "line\n" * 3000
    details = {"type": "tool_calls", "tool_calls": [call]}
    page = shown(RunStep(**STEP | {"step_details": details}))
    assert "details" in dict(page.tags)
    assert "Output, 15,000 characters" in page.text
    assert "… 5,000 more characters" in page.text


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        ('{"city": "上海", "n": null}', 'add(city="上海", n=null)'),
        ("", "add()"),
        ("{broken", "add({broken)"),
        ("[" * 5000, "add(…)"),
        ("[1, 2]", "add([1, 2])"),
    ],
)
def test_arguments_are_shown_whatever_the_model_wrote(
    arguments: str, seen: str
) -> None:
    call = copy.deepcopy(CALLS[0])
    call["function"] |= {"arguments": arguments, "output": None}
    details = {"type": "tool_calls", "tool_calls": [call]}
    item = RunStep(**STEP | {"step_details": details, "status": "in_progress"})
    text = shown(item).text
    assert seen in text
    assert "no output yet" in text


def test_a_run_of_many_steps_shows_the_newest() -> None:
    steps = [RunStep(**WRITING | {"id": f"step_{n}"}) for n in range(103)]
    page = shown(RunRecord(Run(**RUN), steps))
    assert "… 3 earlier steps" in page.text
    assert page.text.count("msg_1") == 100


def test_a_stream_that_broke_says_so() -> None:
    record = RunRecord(Run(**RUN), error=StreamError(message="The disk is full."))
    assert "The stream broke: The disk is full." in shown(record).text


@pytest.mark.parametrize(
    ("status", "seen"),
    [("completed", "(empty)"), ("in_progress", "in progress …"), ("incomplete", "(em")],
)
def test_a_message_without_content_says_so(status: str, seen: str) -> None:
    fields = {"content": [], "attachments": None, "incomplete_details": None}
    assert seen in shown(Message(**MESSAGE | fields | {"status": status})).text


def test_of_many_citations_the_first_are_shown() -> None:
    note = MESSAGE["content"][0]["text"]["annotations"][0]
    text = {"value": "Hello 【1】.", "annotations": [note] * 53}
    page = shown(Message(**MESSAGE | {"content": [{"type": "text", "text": text}]}))
    assert "[50] 【1】" in page.text
    assert "… 3 more notes" in page.text


def test_an_assistant_needs_no_more_than_a_model() -> None:
    bare = Assistant(id="asst_1", created_at=NOW, model="gpt-4o")
    assert "Assistant without a name" in shown(bare).text


def test_an_assistant_shows_what_it_is_told_and_what_it_can_use() -> None:
    text = shown(Assistant(**ASSISTANT)).text
    for part in ("Order desk", "gpt-4o", "Be short.", "look_up(order)", "version 3"):
        assert part in text


def messages(*texts: str) -> list[Message]:
    return [
        Message(
            **MESSAGE
            | {
                "id": f"msg_{text}",
                "content": [{"type": "text", "text": TEXT | {"value": text}}],
            }
        )
        for text in texts
    ]


@pytest.mark.parametrize("kind", [Page, AsyncPage])
def test_a_page_of_messages_is_a_chat_oldest_first(kind: type[Page[Any]]) -> None:
    newest_first = kind(messages("second", "first"), has_more=True)
    text = shown(newest_first).text
    assert text.index("next page") < text.index("first") < text.index("second")
    oldest_first = kind(messages("first", "second"), has_more=True, order="asc")
    text = shown(oldest_first).text
    assert text.index("first") < text.index("second") < text.index("next page")


def test_a_page_of_steps_is_their_timeline() -> None:
    page = Page([RunStep(**WRITING), RunStep(**STEP)])
    text = shown(page).text
    assert text.index("add(a=1, b=2)") < text.index("msg_1")


def test_pages_of_other_objects_are_lists() -> None:
    assert shown(Page([Run(**RUN), Run(**RUN)])).text.count("run_1") == 2
    assert "customer:42" in shown(Page([Thread(**THREAD)])).text
    assert "Order desk" in shown(Page([Assistant(**ASSISTANT)], has_more=True)).text
    assert "An empty page." in shown(Page([])).text


def test_what_has_no_form_of_its_own_is_shown_as_text() -> None:
    deleted = Deleted(id="a", object="x.deleted")
    for item in (deleted, Page([deleted]), RunRecord(), [1], [*messages("a"), 1], []):
        assert to_html(item) is None


def test_a_list_of_messages_is_a_chat() -> None:
    assert "second" in shown(messages("first", "second")).text


def test_an_object_that_is_broken_is_shown_as_text() -> None:
    broken = Message.model_construct(id="msg_1", content=None)
    assert broken._repr_html_() is None


def test_times_that_no_calendar_has_do_not_matter() -> None:
    assert str(10**18) in shown(Thread(**THREAD | {"created_at": 10**18})).text


def test_notebooks_find_the_form_of_objects_and_pages() -> None:
    for item in (*(kind(**fields) for kind, fields in OBJECTS), Page([])):
        assert item._repr_html_() == to_html(item)  # type: ignore[attr-defined]


def test_an_origin_is_no_part_of_an_object() -> None:
    run, other = Run(**RUN), Run(**RUN)
    bind(run, Fixed())
    assert run == other
    assert run.to_dict() == other.to_dict()
    assert repr(run) == repr(other)
    for copied in (
        pickle.loads(pickle.dumps(run)),
        copy.deepcopy(run),
        run.model_copy(),
        Run.model_validate(run.to_dict()),
    ):
        assert copied == run
        assert origin_of(copied) is None


def test_a_field_of_the_wire_is_never_taken_for_an_origin() -> None:
    assert origin_of(Run(**RUN | {"_origin": "x"})) is None


def test_the_html_needs_nothing_from_elsewhere() -> None:
    source = to_html(Run(**RUN)) or ""
    assert "url(" not in source
    assert "@import" not in source
    assert "<link" not in source
