"""What programs did with the first Assistants API, by the last client that knows it.

It needs openai 1.20 and nothing else of ours: `python scenarios_v1.py ADDRESS`. It
prints the name of each scenario that went as it should, and ends at the first that did
not. What the model says to what is in `model.py`.
"""

from __future__ import annotations

import sys
from typing import Any

import openai
from openai import OpenAI

FUNCTION: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
RETRIEVAL: Any = {"type": "retrieval"}
CODE: Any = {"type": "code_interpreter"}


def uploaded(client: OpenAI, name: str) -> str:
    """Upload a file."""
    return client.files.create(
        file=(name, b"Something to read."), purpose="assistants"
    ).id


def assistant_files(client: OpenAI) -> None:
    """Give files to an assistant, one after the other, and take one away."""
    assistants = client.beta.assistants
    first, second, third = (uploaded(client, f"{n}.txt") for n in range(3))
    assistant = assistants.create(
        model="m", tools=[RETRIEVAL, CODE], file_ids=[first, second]
    )
    assert assistant.file_ids == [first, second]
    assert [tool.type for tool in assistant.tools] == ["retrieval", "code_interpreter"]
    added = assistants.files.create(assistant.id, file_id=third)
    assert (added.id, added.object) == (third, "assistant.file")
    assert added.assistant_id == assistant.id
    listed = assistants.files.list(assistant.id, order="asc")
    assert [file.id for file in listed] == [first, second, third]
    page = assistants.files.list(assistant.id, order="asc", limit=2)
    assert [file.id for file in page] == [first, second, third]  # over both pages
    assert assistants.files.retrieve(first, assistant_id=assistant.id).id == first
    deleted = assistants.files.delete(second, assistant_id=assistant.id)
    assert (deleted.object, deleted.deleted) == ("assistant.file.deleted", True)
    assert assistants.retrieve(assistant.id).file_ids == [first, third]
    changed = assistants.update(assistant.id, file_ids=[third])
    assert changed.file_ids == [third]
    try:
        assistants.files.retrieve(first, assistant_id=assistant.id)
    except openai.NotFoundError:
        pass
    else:
        raise AssertionError("the file is still there")
    assert client.files.retrieve(first).filename == "0.txt"


def files_before_tools(client: OpenAI) -> None:
    """Give files to an assistant that has no tool for them yet."""
    file_id = uploaded(client, "early.txt")
    assistant = client.beta.assistants.create(model="m", file_ids=[file_id])
    assert assistant.file_ids == [file_id]
    changed = client.beta.assistants.update(assistant.id, tools=[CODE])
    assert changed.file_ids == [file_id]
    listed = client.beta.assistants.list(limit=1).data
    assert [one.file_ids for one in listed] == [[file_id]]


def message_files(client: OpenAI) -> None:
    """Give files to messages."""
    threads = client.beta.threads
    file_id = uploaded(client, "read.txt")
    thread = threads.create(
        messages=[{"role": "user", "content": "Read it.", "file_ids": [file_id]}]
    )
    message = threads.messages.create(
        thread.id, role="user", content="And this.", file_ids=[file_id]
    )
    assert message.file_ids == [file_id]
    assert [m.file_ids for m in threads.messages.list(thread.id)] == [[file_id]] * 2
    [file] = threads.messages.files.list(message.id, thread_id=thread.id)
    assert (file.id, file.object) == (file_id, "thread.message.file")
    assert file.message_id == message.id
    again = threads.messages.files.retrieve(
        file_id, thread_id=thread.id, message_id=message.id
    )
    assert again == file


def a_run(client: OpenAI) -> None:
    """Run, answer a call, and read what it did: by polling, as all did then."""
    threads = client.beta.threads
    assistant = client.beta.assistants.create(
        model="m", tools=[FUNCTION], instructions="Answer."
    )
    run = threads.create_and_run(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "How is the weather?"}]},
    )
    assert run.file_ids == []
    run = polled(client, run)
    assert run.status == "requires_action"
    calls = run.required_action.submit_tool_outputs.tool_calls
    run = threads.runs.submit_tool_outputs(
        run.id,
        thread_id=run.thread_id,
        tool_outputs=[{"tool_call_id": call.id, "output": "Fine."} for call in calls],
    )
    run = polled(client, run)
    assert run.status == "completed"
    newest = threads.messages.list(run.thread_id).data[0]
    assert newest.content[0].text.value == "In the Big Apple it is 22 degrees."
    assert newest.file_ids == []
    steps = threads.runs.steps.list(run.id, thread_id=run.thread_id)
    assert [step.type for step in steps] == ["message_creation", "tool_calls"]


def polled(client: OpenAI, run: Any) -> Any:
    """Ask until it stops, as guides did then; the server takes its time to answer."""
    while run.status in ("queued", "in_progress"):
        run = client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
    return run


def a_stream(client: OpenAI) -> None:
    """Stream a run, as that client could already."""
    assistant = client.beta.assistants.create(model="m")
    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": "Say hello."}]
    )
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id
    ) as stream:
        assert "".join(stream.text_deltas) == "Hello, you."
        [message] = stream.get_final_messages()
        assert message.file_ids == []


SCENARIOS = (assistant_files, files_before_tools, message_files, a_run, a_stream)


def main() -> None:
    """Play every scenario."""
    print(openai.__version__)
    client = OpenAI(api_key="any", base_url=sys.argv[1], timeout=60, max_retries=0)
    for scenario in SCENARIOS:
        scenario(client)
        print(scenario.__name__)


if __name__ == "__main__":
    main()
