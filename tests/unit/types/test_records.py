"""Records: what a run did, put together from its events."""

from __future__ import annotations

from typing import Any

from langchain_assistants.types import (
    EventName,
    Message,
    MessageDelta,
    Run,
    RunEvent,
    RunStep,
    RunStepDelta,
    StreamError,
    Thread,
    ToolCallsDetails,
    WireObject,
)
from langchain_assistants.types.records import RunRecord

RUN = {
    "id": "run_1",
    "created_at": 0,
    "thread_id": "thread_1",
    "assistant_id": "asst_1",
    "model": "scripted",
}
STEP = {
    "id": "step_1",
    "created_at": 0,
    "thread_id": "thread_1",
    "assistant_id": "asst_1",
    "run_id": "run_1",
    "type": "tool_calls",
    "status": "in_progress",
    "step_details": {"type": "tool_calls", "tool_calls": []},
}
MESSAGE = {
    "id": "msg_1",
    "created_at": 0,
    "thread_id": "thread_1",
    "role": "assistant",
    "status": "in_progress",
}


def record_of(*events: tuple[EventName, WireObject | None]) -> RunRecord:
    record = RunRecord()
    for number, (name, data) in enumerate(events, 1):
        record.add(RunEvent(name, data, f"1.{number}"))
    return record


def step_delta(**call: Any) -> tuple[EventName, WireObject]:
    details = {"type": "tool_calls", "tool_calls": [{"index": 0, **call}]}
    return "thread.run.step.delta", RunStepDelta(
        id="step_1",
        delta={"step_details": details},  # type: ignore[arg-type]
    )


def message_delta(**part: Any) -> tuple[EventName, WireObject]:
    return "thread.message.delta", MessageDelta(
        id="msg_1",
        delta={"content": [{"index": 0, **part}]},  # type: ignore[arg-type]
    )


def calls_of(*deltas: tuple[EventName, WireObject]) -> list[dict[str, Any]]:
    record = record_of(("thread.run.step.created", RunStep(**STEP)), *deltas)
    details = record.steps[0].step_details
    assert isinstance(details, ToolCallsDetails)
    return [call.to_dict() for call in details.tool_calls]


def test_the_run_is_the_one_told_last() -> None:
    record = record_of(
        ("thread.run.queued", Run(**RUN, status="queued")),
        ("thread.run.completed", Run(**RUN, status="completed")),
        ("done", None),
    )
    assert record.run is not None
    assert record.run.status == "completed"
    assert repr(record) == "RunRecord(run_1, completed, steps=0, messages=0)"
    assert repr(RunRecord()) == "RunRecord(no run, steps=0, messages=0)"


def test_pieces_of_a_message_become_its_text() -> None:
    record = record_of(
        ("thread.message.created", Message(**MESSAGE)),
        message_delta(type="text", text={"value": "Hel", "annotations": []}),
        message_delta(type="text", text={"value": "lo."}),
        message_delta(type="text"),
    )
    assert record.text == "Hello."


def test_pieces_of_other_parts_are_kept_too() -> None:
    record = record_of(
        ("thread.message.created", Message(**MESSAGE)),
        message_delta(type="refusal", refusal="I can"),
        message_delta(type="refusal", refusal="not."),
        message_delta(index=1, type="image_file", image_file={"file_id": "file-1"}),
        message_delta(index=2, type="image_url", image_url={"url": "https://a"}),
    )
    assert [part.to_dict() for part in record.messages[0].content] == [
        {"type": "refusal", "refusal": "I cannot."},
        {"type": "image_file", "image_file": {"file_id": "file-1"}},
        {"type": "image_url", "image_url": {"url": "https://a"}},
    ]


def test_pieces_of_a_call_become_its_name_arguments_and_output() -> None:
    assert calls_of(
        step_delta(id="call_1", type="function", function={"name": "add"}),
        step_delta(type="function", function={"arguments": '{"a"'}),
        step_delta(type="function", function={"arguments": ": 1}"}),
        step_delta(type="function", function={"output": "1"}),
    ) == [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "add", "arguments": '{"a": 1}', "output": "1"},
        }
    ]


def test_hosted_tools_begin_to_be_seen_as_they_are_called() -> None:
    code, search = calls_of(
        step_delta(id="c", type="code_interpreter", code_interpreter={"input": "1+"}),
        step_delta(type="code_interpreter", code_interpreter={"input": "1"}),
        step_delta(index=1, id="s", type="file_search"),
    )
    assert code["code_interpreter"]["input"] == "1+1"
    assert search == {"id": "s", "type": "file_search", "file_search": {}}


def test_the_end_of_an_object_replaces_what_its_pieces_made() -> None:
    ended = Message(**MESSAGE | {"status": "completed"})
    record = record_of(
        ("thread.message.created", Message(**MESSAGE)),
        message_delta(type="text", text={"value": "Hello."}),
        ("thread.message.completed", ended),
    )
    assert record.messages == [ended]


def test_the_objects_of_events_stay_as_they_are() -> None:
    begun = Message(**MESSAGE)
    record_of(
        ("thread.message.created", begun),
        message_delta(type="text", text={"value": "Hello."}),
    )
    assert begun.content == []


def test_what_belongs_to_nothing_known_changes_nothing() -> None:
    record = record_of(
        ("thread.created", Thread(id="thread_1", created_at=0)),
        message_delta(type="text", text={"value": "Hello."}),
        step_delta(type="function", function={"name": "add"}),
    )
    assert record == RunRecord()
    assert record.message("msg_1") is None


def test_a_stream_that_broke_is_noted() -> None:
    error = StreamError(message="The database is gone.")
    assert record_of(("error", error)).error is error
