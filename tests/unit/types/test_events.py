from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from langchain_assistants.types import (
    EVENT_NAMES,
    MessageDelta,
    RunEvent,
    RunStepDelta,
    StreamError,
)


def message_delta(*content: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_a",
        "object": "thread.message.delta",
        "delta": {"content": list(content)},
    }


def step_delta(call: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "step_a",
        "object": "thread.run.step.delta",
        "delta": {"step_details": {"type": "tool_calls", "tool_calls": [call]}},
    }


@pytest.mark.parametrize(
    "part",
    [
        {"index": 0, "type": "text", "text": {"value": "Hi", "annotations": []}},
        {"index": 0, "type": "text", "text": {"value": "Hi"}},
        {"index": 0, "type": "image_file", "image_file": {"file_id": "file-a"}},
        {"index": 0, "type": "image_url", "image_url": {"url": "https://x.test/a"}},
        {"index": 1, "type": "refusal", "refusal": "No"},
    ],
)
def test_a_message_delta_goes_out_as_it_came(part: dict[str, Any]) -> None:
    data = message_delta(part)
    assert MessageDelta.model_validate(data).to_dict() == data


@pytest.mark.parametrize(
    "call",
    [
        {
            "index": 0,
            "id": "call_a",
            "type": "function",
            "function": {"name": "f", "arguments": ""},
        },
        {"index": 0, "type": "function", "function": {"arguments": "{"}},
        {
            "index": 1,
            "id": "call_b",
            "type": "code_interpreter",
            "code_interpreter": {"input": "", "outputs": []},
        },
        {
            "index": 1,
            "type": "code_interpreter",
            "code_interpreter": {
                "outputs": [{"index": 0, "type": "logs", "logs": "1"}]
            },
        },
        {"index": 0, "id": "call_c", "type": "file_search", "file_search": {}},
    ],
)
def test_a_step_delta_repeats_nothing_that_it_was_not_given(
    call: dict[str, Any],
) -> None:
    data = step_delta(call)
    assert RunStepDelta.model_validate(data).to_dict() == data


def test_the_text_of_a_delta_is_what_is_new() -> None:
    delta = MessageDelta.model_validate(
        message_delta(
            {"index": 0, "type": "text", "text": {"value": "Hel"}},
            {"index": 0, "type": "text", "text": {"annotations": []}},
            {"index": 0, "type": "text", "text": {"value": "lo"}},
        )
    )
    assert delta.text == "Hello"


def test_an_event_cannot_be_changed() -> None:
    event = RunEvent("done", None, "1.7")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.id = "1.8"  # type: ignore[misc]


def test_event_names_are_those_of_the_wire() -> None:
    assert len(EVENT_NAMES) == len(set(EVENT_NAMES)) == 25
    assert {"thread.run.requires_action", "thread.message.delta"} <= {*EVENT_NAMES}


def test_a_stream_error_has_the_wires_fields() -> None:
    assert StreamError(message="Lost.").to_dict() == {
        "message": "Lost.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
