"""The shapes of objects as they go over the wire."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.types import (
    Assistant,
    FileCitation,
    Message,
    MessageCreate,
    RequiredAction,
    Run,
    RunCreate,
    RunStep,
    TextContent,
    Thread,
    ThreadCreate,
    ToolOutputs,
    WireObject,
    stored_content,
    validate,
)

ASSISTANT = Assistant(id="asst_a", created_at=1, model="m")
THREAD = Thread(id="thread_a", created_at=1)
MESSAGE = Message(id="msg_a", created_at=1, thread_id="thread_a", role="user")
RUN = Run(
    id="run_a",
    created_at=1,
    thread_id="thread_a",
    assistant_id="asst_a",
    status="queued",
    model="m",
)
STEP = RunStep.model_validate(
    {
        "id": "step_a",
        "created_at": 1,
        "assistant_id": "asst_a",
        "thread_id": "thread_a",
        "run_id": "run_a",
        "type": "tool_calls",
        "status": "in_progress",
        "step_details": {"type": "tool_calls"},
    }
)


@pytest.mark.parametrize(
    ("item", "fields"),
    [
        (
            ASSISTANT,
            "id object created_at name description model instructions tools "
            "tool_resources metadata temperature top_p response_format",
        ),
        (THREAD, "id object created_at metadata tool_resources"),
        (
            MESSAGE,
            "id object created_at thread_id status incomplete_details completed_at "
            "incomplete_at role content assistant_id run_id attachments metadata",
        ),
        (
            RUN,
            "id object created_at thread_id assistant_id status required_action "
            "last_error expires_at started_at cancelled_at failed_at completed_at "
            "incomplete_details model instructions tools metadata usage temperature "
            "top_p max_prompt_tokens max_completion_tokens truncation_strategy "
            "tool_choice parallel_tool_calls response_format",
        ),
        (
            STEP,
            "id object created_at assistant_id thread_id run_id type status "
            "step_details last_error expired_at cancelled_at failed_at completed_at "
            "metadata usage",
        ),
    ],
    ids=["assistant", "thread", "message", "run", "run step"],
)
def test_an_object_shows_every_field_of_the_wire_and_no_other(
    item: WireObject, fields: str
) -> None:
    assert list(item.to_dict()) == fields.split()
    assert type(item).model_validate(item.to_dict()) == item
    assert type(item).model_validate_json(item.model_dump_json()) == item


def test_extensions_show_only_where_they_are_set() -> None:
    thread = Thread(id="thread_a", created_at=1, key="k", context={"a": 1})
    assert thread.to_dict().keys() - THREAD.to_dict().keys() == {"key", "context"}
    assistant = Assistant(id="asst_a", created_at=1, model="m", version=3)
    assert assistant.to_dict()["version"] == 3


def test_a_message_without_attachments_sends_an_empty_list() -> None:
    assert MESSAGE.to_dict()["attachments"] == []


def test_a_run_without_instructions_sends_an_empty_text() -> None:
    assert RUN.to_dict()["instructions"] == ""


def test_the_text_of_a_message_joins_its_text_parts() -> None:
    message = MESSAGE.model_copy(
        update={
            "content": [
                TextContent.model_validate(part)
                for text in ("one", "two")
                for part in stored_content(text)
            ]
        }
    )
    assert message.text == "one\ntwo"
    assert MESSAGE.text == ""


def test_what_a_message_was_parsed_to_is_never_sent() -> None:
    message = MESSAGE.model_copy()
    message.parsed = {"answer": 42}
    assert "parsed" not in message.to_dict()
    assert "parsed" not in message.model_dump_json()


def test_a_citation_keeps_its_offsets() -> None:
    citation = {
        "type": "file_citation",
        "text": "【4:0†source】",
        "start_index": 3,
        "end_index": 15,
        "file_citation": {"file_id": "file-a"},
    }
    text = {"value": "Hi 【4:0†source】", "annotations": [citation]}
    part = TextContent.model_validate({"type": "text", "text": text})
    [found] = part.text.annotations
    assert isinstance(found, FileCitation)
    assert part.text.value[found.start_index : found.end_index] == found.text
    assert part.to_dict()["text"]["annotations"] == [citation]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Hi", [{"type": "text", "text": {"value": "Hi", "annotations": []}}]),
        (
            [{"type": "text", "text": "Hi"}],
            [{"type": "text", "text": {"value": "Hi", "annotations": []}}],
        ),
        (
            [
                {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                {
                    "type": "image_file",
                    "image_file": {"file_id": "file-a", "detail": "low"},
                },
                {
                    "type": "image_file",
                    "image_file": {"file_id": "file-b", "detail": None},
                },
            ],
            [
                {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                {
                    "type": "image_file",
                    "image_file": {"file_id": "file-a", "detail": "low"},
                },
                {"type": "image_file", "image_file": {"file_id": "file-b"}},
            ],
        ),
    ],
)
def test_content_is_stored_as_responses_show_it(
    given: Any, stored: list[dict[str, Any]]
) -> None:
    fields = validate(MessageCreate, {"role": "user", "content": given})
    assert stored_content(fields["content"]) == stored
    message = Message.model_validate({**MESSAGE.to_dict(), "content": stored})
    assert message.to_dict()["content"] == stored


@pytest.mark.parametrize("length", [256_000, 256_001])
def test_a_text_has_at_most_256_000_characters(length: int) -> None:
    fields = {"role": "user", "content": "x" * length}
    if length == 256_000:
        assert validate(MessageCreate, fields) == fields
    else:
        with pytest.raises(InvalidRequestError, match="256000"):
            validate(MessageCreate, fields)


def test_a_required_action_shows_its_own_kind_only() -> None:
    call = {
        "id": "call_a",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
    }
    submit = {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {"tool_calls": [call]},
    }
    approval = {
        "type": "approval",
        "approval": {"requests": [{"id": "i", "value": {"ask": 1}}]},
    }
    for action in (submit, approval):
        assert RequiredAction.model_validate(action).to_dict() == action


@pytest.mark.parametrize(
    "call",
    [
        {
            "id": "call_a",
            "type": "code_interpreter",
            "code_interpreter": {
                "input": "1",
                "outputs": [
                    {"type": "logs", "logs": "1"},
                    {"type": "image", "image": {"file_id": "file-a"}},
                ],
            },
        },
        {"id": "call_a", "type": "file_search", "file_search": {}},
        {
            "id": "call_a",
            "type": "file_search",
            "file_search": {
                "ranking_options": {"score_threshold": 0.0, "ranker": "auto"},
                "results": [{"file_id": "file-a", "file_name": "a", "score": 0.5}],
            },
        },
        {
            "id": "call_a",
            "type": "function",
            "function": {"name": "f", "arguments": "{}", "output": None},
        },
    ],
)
def test_a_tool_call_of_a_step_goes_out_as_it_came(call: dict[str, Any]) -> None:
    details = {"type": "tool_calls", "tool_calls": [call]}
    step = RunStep.model_validate({**STEP.to_dict(), "step_details": details})
    assert step.to_dict()["step_details"] == details


def test_a_run_takes_every_field_and_the_extensions() -> None:
    fields = {
        "assistant_id": "asst_a",
        "model": "m",
        "instructions": "",
        "additional_instructions": "x",
        "additional_messages": [{"role": "user", "content": "Hi", "attachments": []}],
        "tools": [],
        "metadata": {},
        "temperature": 0,
        "top_p": 1.0,
        "stream": False,
        "max_prompt_tokens": 256,
        "max_completion_tokens": 256,
        "truncation_strategy": {"type": "last_messages", "last_messages": 1},
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "response_format": "auto",
        "reasoning_effort": "low",
        "on_active_run": "queue",
        "history": "messages",
        "tool_errors": "fail",
        "expires_after": 2_592_000,
    }
    assert validate(RunCreate, fields) == fields
    assert fields.keys() == RunCreate.__annotations__.keys()


@pytest.mark.parametrize("key", ["k", "k" * 512])
def test_a_thread_takes_a_key_and_a_context(key: str) -> None:
    fields = {"messages": [], "key": key, "context": {"user": {"ids": [1, None]}}}
    assert validate(ThreadCreate, fields) == fields


@pytest.mark.parametrize("output", ["", "text", {"decisions": [{"type": "approve"}]}])
def test_an_output_is_text_or_the_answer_to_an_approval(output: Any) -> None:
    fields = {"tool_outputs": [{"tool_call_id": "call_a", "output": output}]}
    assert validate(ToolOutputs, fields) == fields
