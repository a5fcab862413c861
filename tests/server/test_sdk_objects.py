"""OpenAI's own client makes, reads, changes, lists and deletes objects."""

from __future__ import annotations

import pytest
from openai import NotFoundError
from tests.conftest import EngineFactory
from tests.conversations import function
from tests.server.conftest import Connect


def test_an_assistant_lives_through_create_retrieve_update_and_delete(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    assistants = connect(engine_factory()).beta.assistants
    made = assistants.create(
        model="m",
        name="Tutor",
        instructions="Be kind.",
        tools=[function("look_up")],
        metadata={"a": "b"},
        temperature=0.5,
    )
    assert made.id.startswith("asst_")
    assert made.object == "assistant"
    assert assistants.retrieve(made.id) == made
    changed = assistants.update(made.id, name="Coach", instructions=None)
    assert (changed.name, changed.instructions, changed.temperature) == (
        "Coach",
        None,
        0.5,
    )
    assert changed.tools[0].function.name == "look_up"
    gone = assistants.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "assistant.deleted", True)
    with pytest.raises(NotFoundError, match=f"No assistant found with id '{made.id}'"):
        assistants.retrieve(made.id)


def test_a_thread_lives_through_create_retrieve_update_and_delete(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    threads = connect(engine_factory()).beta.threads
    made = threads.create(
        messages=[{"role": "user", "content": "Hi", "attachments": None}],
        metadata=None,
    )
    assert threads.retrieve(made.id) == made
    assert threads.update(made.id, metadata={"k": "v"}).metadata == {"k": "v"}
    assert threads.delete(made.id).object == "thread.deleted"
    with pytest.raises(NotFoundError, match=f"No thread found with id '{made.id}'"):
        threads.retrieve(made.id)


def test_an_empty_thread_needs_no_body(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    threads = connect(engine_factory()).beta.threads
    assert threads.messages.list(threads.create().id).data == []


def test_a_message_lives_through_create_retrieve_update_and_delete(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    threads = connect(engine_factory()).beta.threads
    thread = threads.create()
    image = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    made = threads.messages.create(
        thread.id,
        role="user",
        content=[{"type": "text", "text": "What is it?"}, image],
    )
    assert made.content[0].text.value == "What is it?"
    assert made.attachments == []
    assert threads.messages.retrieve(made.id, thread_id=thread.id) == made
    changed = threads.messages.update(
        made.id, thread_id=thread.id, metadata={"seen": "yes"}
    )
    assert changed.metadata == {"seen": "yes"}
    gone = threads.messages.delete(made.id, thread_id=thread.id)
    assert gone.object == "thread.message.deleted"
    with pytest.raises(NotFoundError, match="No message found"):
        threads.messages.retrieve(made.id, thread_id=thread.id)


def test_iterating_a_list_goes_over_all_pages_without_repeating_or_skipping(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    threads = connect(engine_factory()).beta.threads
    said = [f"message {number}" for number in range(45)]
    thread = threads.create(messages=[{"role": "user", "content": t} for t in said])
    page = threads.messages.list(thread.id, order="asc")
    assert len(page.data) == 20
    assert page.has_next_page()
    assert [message.content[0].text.value for message in page] == said
    newest = threads.messages.list(thread.id, limit=2)
    assert [m.content[0].text.value for m in newest.data] == said[:-3:-1]
    before = threads.messages.list(
        thread.id, order="asc", limit=2, before=page.data[10].id
    )
    assert [m.content[0].text.value for m in before.data] == said[8:10]


def test_an_object_is_only_found_under_its_own_thread(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    threads = connect(engine_factory()).beta.threads
    thread = threads.create(messages=[{"role": "user", "content": "Hi"}])
    other = threads.create()
    [message] = threads.messages.list(thread.id).data
    with pytest.raises(NotFoundError, match=f"No message found with id '{message.id}'"):
        threads.messages.retrieve(message.id, thread_id=other.id)
    with pytest.raises(NotFoundError, match="No message found"):
        threads.messages.delete(message.id, thread_id=other.id)
    with pytest.raises(NotFoundError, match="No thread found with id 'thread_x'"):
        threads.messages.retrieve(message.id, thread_id="thread_x")


def test_the_raw_answer_carries_the_original_headers(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory())
    answered = client.beta.assistants.with_raw_response.create(model="m")
    assert answered.status_code == 200
    assert answered.headers["openai-version"] == "2020-10-01"
    assert answered.headers["openai-processing-ms"].isdigit()
    assert answered.request_id is not None
    assert answered.request_id.startswith("req_")
    assert answered.parse()._request_id == answered.request_id
