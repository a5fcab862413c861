from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Clock, EngineFactory
from tests.conversations import (
    assistant_with,
    calls,
    outputs,
    texts,
    thread_with,
    user,
    wait,
)
from tests.stored import everything, rows
from tests.unit.engine.conftest import Do

from langchain_assistants import Settings
from langchain_assistants.errors import (
    ActiveRunError,
    InvalidRequestError,
    NotFoundError,
)

PARTS: list[dict[str, Any]] = [
    {"type": "text", "text": "Look:"},
    {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
    {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "low"}},
]


def test_a_new_message_shows_every_field(
    do: Do, engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory(clock=clock)
    thread = thread_with(engine)
    file_id = engine.files.create(file=b"text", purpose="assistants").id
    made = do(
        engine.messages.create,
        thread.id,
        role="user",
        content="Hi",
        metadata={"a": "b"},
        attachments=[{"file_id": file_id, "tools": [{"type": "file_search"}]}],
    )
    shown = made.to_dict()
    tools = shown["attachments"][0].pop("tools")
    assert [tool["type"] for tool in tools] == ["file_search"]
    assert shown == {
        "id": made.id,
        "object": "thread.message",
        "created_at": int(clock.now),
        "thread_id": thread.id,
        "status": "completed",
        "incomplete_details": None,
        "completed_at": None,
        "incomplete_at": None,
        "role": "user",
        "content": [{"type": "text", "text": {"value": "Hi", "annotations": []}}],
        "assistant_id": None,
        "run_id": None,
        "attachments": [{"file_id": file_id}],
        "metadata": {"a": "b"},
    }
    assert made.id.startswith("msg_")
    assert do(engine.messages.retrieve, made.id) == made


def test_an_assistants_message_may_be_stored_and_lists_are_never_null(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    thread = thread_with(engine)
    made = do(engine.messages.create, thread.id, role="assistant", content="Hello")
    assert (made.role, made.attachments, made.metadata) == ("assistant", [], {})


def test_content_parts_keep_their_order_and_shape(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    thread = thread_with(engine)
    made = do(engine.messages.create, thread.id, role="user", content=PARTS)
    assert made.to_dict()["content"] == [
        {"type": "text", "text": {"value": "Look:", "annotations": []}},
        *PARTS[1:],
    ]


@pytest.mark.parametrize(
    ("body", "message", "code", "param"),
    [
        (
            {"content": "x"},
            "Missing required parameter: 'role'.",
            "missing_required_parameter",
            "role",
        ),
        (
            {"role": "user"},
            "Missing required parameter: 'content'.",
            "missing_required_parameter",
            "content",
        ),
        (
            {"role": "system", "content": "x"},
            "Invalid value: 'system'. Supported values are: 'user' and 'assistant'.",
            "invalid_value",
            "role",
        ),
        (
            {"role": "user", "content": ""},
            "Invalid 'content': string too short. Expected a string with minimum "
            "length 1, but got an empty string instead.",
            "string_below_min_length",
            "content",
        ),
        (
            {"role": "user", "content": []},
            "Invalid 'content': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
            "empty_array",
            "content",
        ),
        (
            {"role": "user", "content": "x" * 256_001},
            "Invalid 'content': string too long. Expected a string with maximum length "
            "256000, but got a string with length 256001 instead.",
            "string_above_max_length",
            "content",
        ),
        (
            {"role": "user", "content": [{"type": "smell"}]},
            "Invalid value: 'smell'. Supported values are: 'text', 'image_file', and "
            "'image_url'.",
            "invalid_value",
            "content[0].type",
        ),
        (
            {"role": "user", "content": "x", "metadata": {"k" * 65: ""}},
            "Invalid 'metadata': key too long. Expected keys with maximum length 64, "
            "but got a key with length 65 instead.",
            "string_above_max_length",
            "metadata",
        ),
    ],
)
def test_a_message_that_breaks_a_rule_is_refused_and_not_stored(
    do: Do,
    engine_factory: EngineFactory,
    body: dict[str, Any],
    message: str,
    code: str,
    param: str,
) -> None:
    engine = engine_factory()
    thread = thread_with(engine, "Hi")
    before = everything(engine)
    with pytest.raises(InvalidRequestError) as error:
        do(engine.messages.create, thread.id, **body)
    assert str(error.value) == message
    assert (error.value.code, error.value.param) == (code, param)
    assert everything(engine) == before


def test_the_longest_message_is_accepted(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    made = engine.messages.create(thread_with(engine).id, **user("x" * 256_000))
    assert len(made.text) == 256_000


def test_an_update_replaces_the_metadata_only_where_it_is_given(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    body = {**user("Hi"), "metadata": {"a": "b"}}
    made = engine.messages.create(thread_with(engine).id, **body)
    assert do(engine.messages.update, made.id) == made
    changed = do(engine.messages.update, made.id, metadata={"c": "d"})
    assert changed.to_dict() == made.to_dict() | {"metadata": {"c": "d"}}
    assert do(engine.messages.update, made.id, metadata=None).metadata == {}
    with pytest.raises(TypeError, match="content"):
        do(engine.messages.update, made.id, content="other")
    assert engine.messages.retrieve(made.id).text == "Hi"


def test_a_deleted_message_is_gone_and_its_neighbours_stay(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory()
    thread = thread_with(engine, "1", "2", "3")
    [_, second, _] = engine.messages.list(thread.id, order="asc")
    assert do(engine.messages.delete, second.id).to_dict() == {
        "id": second.id,
        "object": "thread.message.deleted",
        "deleted": True,
    }
    assert texts(engine, thread.id) == ["1", "3"]
    for method in ("retrieve", "update", "delete"):
        with pytest.raises(NotFoundError) as error:
            do(getattr(engine.messages, method), second.id)
        assert str(error.value) == f"No message found with id '{second.id}'."
    engine.messages.create(thread.id, **user("4"))
    assert texts(engine, thread.id) == ["1", "3", "4"]


def test_a_deleted_message_is_not_shown_to_the_model(
    engine_factory: EngineFactory,
) -> None:
    seen: list[list[str]] = []

    def answer(messages: Any, _: Any) -> str:
        seen.append([str(message.content) for message in messages])
        return "ok"

    engine = engine_factory([answer])
    thread = thread_with(engine, "1", "2")
    newest = engine.messages.list(thread.id).data[0]
    engine.messages.delete(newest.id)
    run = engine.runs.create(thread.id, assistant_id=assistant_with(engine).id)
    wait(engine, run)
    assert seen == [["1"]]


def test_messages_of_a_busy_thread_are_read_and_updated_but_not_changed(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory([calls("call_a")])
    thread = thread_with(engine, "Hi")
    [message] = engine.messages.list(thread.id)
    assistant = assistant_with(engine, "look_up")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    before = everything(engine)
    text = f"Can't add messages to {thread.id} while a run {run.id} is active."
    for refused in (
        lambda: do(engine.messages.create, thread.id, **user("x")),
        lambda: do(engine.messages.delete, message.id),
    ):
        with pytest.raises(ActiveRunError) as error:
            refused()
        assert str(error.value) == text
        assert (error.value.code, error.value.param) == (None, None)
        assert error.value.http_status == 400
    assert everything(engine) == before
    do(engine.messages.update, message.id, metadata={"a": "b"})
    assert do(engine.messages.retrieve, message.id).metadata == {"a": "b"}


def test_a_message_may_join_once_the_active_run_has_expired(
    engine_factory: EngineFactory, clock: Clock
) -> None:
    engine = engine_factory([calls("call_a")], clock=clock)
    thread = thread_with(engine, "Hi")
    assistant = assistant_with(engine, "look_up")
    run = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    clock.advance(600)
    engine.messages.create(thread.id, **user("Still there?"))
    assert texts(engine, thread.id) == ["Hi", "Still there?"]
    assert engine.runs.retrieve(run.id).status == "expired"


def test_the_messages_of_a_run_are_those_it_wrote(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory(["One.", calls("call_a"), "Two.", "Three."])
    thread = thread_with(engine, "Hi")
    assistant = assistant_with(engine, "look_up")
    first = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    second = wait(
        engine,
        engine.runs.create(
            thread.id, assistant_id=assistant.id, additional_messages=[user("And?")]
        ),
    )
    engine.runs.submit_tool_outputs(second.id, tool_outputs=outputs("call_a"))
    wait(engine, second)
    third = wait(engine, engine.runs.create(thread.id, assistant_id=assistant.id))
    for run, said in ((first, "One."), (second, "Two."), (third, "Three.")):
        page = do(engine.messages.list, thread.id, run_id=run.id)
        assert [message.text for message in page.data] == [said]
        assert page.data[0].run_id == run.id
    for nobody in ("run_x", "x"):
        assert do(engine.messages.list, thread.id, run_id=nobody).data == []
    other = thread_with(engine, "Elsewhere")
    assert do(engine.messages.list, other.id, run_id=first.id).data == []
    assert texts(engine, thread.id) == ["Hi", "One.", "And?", "Two.", "Three."]


def test_the_messages_of_a_run_are_searched_not_scanned(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory(["One."])
    thread = thread_with(engine, "Hi")
    run = engine.runs.create(thread.id, assistant_id=assistant_with(engine).id)
    wait(engine, run)
    statements: list[str] = []
    engine.database.trace(statements.append)
    engine.messages.list(thread.id, run_id=run.id)
    engine.database.trace(None)
    [query] = [s for s in statements if "run_id" in s and "messages" in s]
    plan = rows(engine, f"EXPLAIN QUERY PLAN {query}")
    assert [row["detail"] for row in plan] == [
        "SEARCH messages USING PRIMARY KEY (thread_id=? AND seq>? AND seq<?)"
    ]


def test_a_thread_takes_no_more_messages_than_the_limit(
    do: Do, engine_factory: EngineFactory
) -> None:
    engine = engine_factory(
        [calls("call_a")], settings=Settings(max_messages_per_thread=2)
    )
    thread = thread_with(engine, "1")
    do(engine.messages.create, thread.id, **user("2"))
    before = everything(engine)
    assistant = assistant_with(engine, "look_up")
    for refused in (
        lambda: do(engine.messages.create, thread.id, **user("3")),
        lambda: do(
            engine.runs.create,
            thread.id,
            assistant_id=assistant.id,
            additional_messages=[user("3")],
        ),
    ):
        with pytest.raises(InvalidRequestError) as error:
            refused()
        assert str(error.value) == (
            f"Thread {thread.id} is full: it holds 2 messages and the limit is 2 "
            "(Settings.max_messages_per_thread)."
        )
    after = everything(engine)
    after["assistants"] = before["assistants"]
    assert after == before


def test_text_of_every_language_survives(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    text = 'naïve 日本語 🦉 \u200f‏ "quotes" \\ line\nbreak'
    made = engine.messages.create(thread_with(engine).id, **user(text))
    assert engine.messages.retrieve(made.id).text == text
