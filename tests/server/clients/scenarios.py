"""What programs do with OpenAI's client: run by the versions 1, 2 and 3 of it.

It needs that client and nothing else of ours: `python scenarios.py ADDRESS`. It prints
the name of each scenario that went as it should, and ends at the first that did not.
What the model says to what is in `model.py`.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Callable
from typing import Any

import openai
from openai import AssistantEventHandler, AsyncOpenAI, OpenAI

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    for name in ("get_weather", "get_nickname")
]
OUTPUTS = {"get_weather": "22 degrees", "get_nickname": "the Big Apple"}
ANSWER = "In the Big Apple it is 22 degrees."


def outputs_for(run: Any) -> list[Any]:
    """Answer the calls of a paused run, the last one first."""
    calls = run.required_action.submit_tool_outputs.tool_calls
    assert [call.function.name for call in calls] == list(OUTPUTS)
    assert [call.function.arguments for call in calls] == ['{"city": "New York"}'] * 2
    return [
        {"tool_call_id": call.id, "output": OUTPUTS[call.function.name]}
        for call in reversed(calls)
    ]


def thread_with(client: OpenAI, text: str) -> str:
    """Make a thread of one message."""
    return client.beta.threads.create(messages=[{"role": "user", "content": text}]).id


def refused(
    method: Callable[..., Any], *arguments: Any, **fields: Any
) -> openai.APIStatusError:
    """Call a method and return the error that it raises."""
    try:
        method(*arguments, **fields)
    except openai.APIStatusError as error:
        return error
    raise AssertionError("the request was taken")


def answer_of(client: OpenAI, thread_id: str, run_id: str) -> str:
    """Return the text with which a run ended."""
    messages = client.beta.threads.messages.list(thread_id, run_id=run_id)
    return "".join(message.content[0].text.value for message in messages)


def objects(client: OpenAI) -> None:
    """Create, retrieve, change, list and delete."""
    assistants, threads = client.beta.assistants, client.beta.threads
    assistant = assistants.create(
        model="m", name="Ada", tools=TOOLS, metadata={"team": "north"}, temperature=0.5
    )
    assert assistants.retrieve(assistant.id) == assistant
    changed = assistants.update(assistant.id, name="Grace", tools=[])
    assert (changed.name, changed.tools) == ("Grace", [])
    assert changed.metadata == {"team": "north"}
    assert assistant.id in [one.id for one in assistants.list(limit=1)]

    thread = threads.create(metadata={"user": "7"})
    message = threads.messages.create(thread.id, role="user", content="Hi")
    assert message.content[0].text.value == "Hi"
    noted = threads.messages.update(
        message.id, thread_id=thread.id, metadata={"a": "b"}
    )
    assert threads.messages.retrieve(message.id, thread_id=thread.id) == noted
    assert threads.messages.delete(message.id, thread_id=thread.id).deleted
    assert threads.messages.list(thread.id).data == []
    assert threads.update(thread.id, metadata={"user": "8"}).metadata == {"user": "8"}
    assert threads.retrieve(thread.id).metadata == {"user": "8"}
    assert threads.delete(thread.id).deleted
    assert assistants.delete(assistant.id).deleted


def polling(client: OpenAI) -> None:
    """Start a run and poll it; look at its messages and steps."""
    assistant = client.beta.assistants.create(model="m")
    thread_id = thread_with(client, "Hello!")
    runs = client.beta.threads.runs
    run = runs.create_and_poll(thread_id=thread_id, assistant_id=assistant.id)
    assert run.status == "completed"
    assert run.usage is not None
    assert answer_of(client, thread_id, run.id) == "Hello, you."
    (step,) = runs.steps.list(run.id, thread_id=thread_id)
    assert step.type == "message_creation"
    assert runs.list(thread_id).data[0].id == run.id
    assert runs.steps.retrieve(step.id, thread_id=thread_id, run_id=run.id) == step
    begun = client.beta.threads.create_and_run(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "Hello!"}]},
    )
    assert begun.status == "queued"
    assert runs.poll(begun.id, thread_id=begun.thread_id).status == "completed"


def streaming(client: OpenAI) -> None:
    """Follow a run's events, as they come and with what they add up to."""
    assistant = client.beta.assistants.create(model="m")
    thread_id = thread_with(client, "Hello!")
    runs = client.beta.threads.runs
    with runs.stream(thread_id=thread_id, assistant_id=assistant.id) as stream:
        assert "".join(stream.text_deltas) == "Hello, you."
        (message,) = stream.get_final_messages()
        (step,) = stream.get_final_run_steps()
        assert message.content[0].text.value == "Hello, you."
        assert step.step_details.message_creation.message_id == message.id
        assert stream.get_final_run().status == "completed"
    events = runs.create(thread_id, assistant_id=assistant.id, stream=True)
    names = [event.event for event in events]
    assert names[:3] == [
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
    ]
    assert names[-1] == "thread.run.completed"
    assert names.count("thread.message.delta") > 1
    with client.beta.threads.create_and_run_stream(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "Hello!"}]},
    ) as stream:
        assert next(event.event for event in stream) == "thread.created"


def parallel_tools(client: OpenAI) -> None:
    """Answer two calls of one turn together, and poll on."""
    assistant = client.beta.assistants.create(model="m", tools=TOOLS)
    thread_id = thread_with(client, "How is New York?")
    runs = client.beta.threads.runs
    run = runs.create_and_poll(thread_id=thread_id, assistant_id=assistant.id)
    assert run.status == "requires_action"
    ended = runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=thread_id, tool_outputs=outputs_for(run)
    )
    assert ended.status == "completed"
    assert answer_of(client, thread_id, run.id) == ANSWER
    called, said = runs.steps.list(run.id, thread_id=thread_id, order="asc")
    assert [call.function.output for call in called.step_details.tool_calls] == list(
        OUTPUTS.values()
    )
    assert said.type == "message_creation"


class Handler(AssistantEventHandler):
    """Collects what is said, and answers calls in a new stream."""

    def __init__(self, client: OpenAI, told: list[str]) -> None:
        """Tell what happens to `told`."""
        super().__init__()
        self.client = client
        self.told = told

    def on_tool_call_done(self, tool_call: Any) -> None:
        """Tell of a call when it is whole."""
        self.told.append(f"{tool_call.function.name}({tool_call.function.arguments})")

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        """Tell of each piece of text."""
        self.told.append(delta.value)

    def on_event(self, event: Any) -> None:
        """Answer calls when the run waits for that."""
        if event.event == "thread.run.requires_action":
            run = event.data
            with self.client.beta.threads.runs.submit_tool_outputs_stream(
                run_id=run.id,
                thread_id=run.thread_id,
                tool_outputs=outputs_for(run),
                event_handler=Handler(self.client, self.told),
            ) as stream:
                stream.until_done()


def streamed_tools(client: OpenAI) -> None:
    """Answer two calls in a second stream, as the event handler of tutorials does."""
    assistant = client.beta.assistants.create(model="m", tools=TOOLS)
    told: list[str] = []
    with client.beta.threads.runs.stream(
        thread_id=thread_with(client, "How is New York?"),
        assistant_id=assistant.id,
        event_handler=Handler(client, told),
    ) as stream:
        stream.until_done()
    calls = [f'{name}({{"city": "New York"}})' for name in OUTPUTS]
    texts = [one for one in told if one not in calls]
    assert [one for one in told if one in calls] == calls
    assert "".join(texts) == ANSWER
    assert len(texts) > 1


def cancelling(client: OpenAI) -> None:
    """Cancel a run while its model works; its thread takes the next one."""
    assistant = client.beta.assistants.create(model="m")
    thread_id = thread_with(client, "Think long.")
    runs = client.beta.threads.runs
    run = runs.create(thread_id, assistant_id=assistant.id)
    error = refused(runs.create, thread_id, assistant_id=assistant.id)
    assert isinstance(error, openai.BadRequestError)
    assert "already has an active run" in error.message
    assert runs.cancel(run.id, thread_id=thread_id).status in (
        "cancelling",
        "cancelled",
    )
    assert runs.poll(run.id, thread_id=thread_id).status == "cancelled"
    client.beta.threads.messages.create(thread_id, role="user", content="Hello!")
    ended = runs.create_and_poll(thread_id=thread_id, assistant_id=assistant.id)
    assert ended.status == "completed"


def paging(client: OpenAI) -> None:
    """Walk over pages both ways, by themselves and one by one."""
    messages = client.beta.threads.messages
    texts = [str(number) for number in range(7)]
    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": text} for text in texts]
    )

    def said(found: Any) -> list[str]:
        return [message.content[0].text.value for message in found]

    assert said(messages.list(thread.id, limit=3, order="asc")) == texts
    assert said(messages.list(thread.id, limit=3)) == texts[::-1]
    first = messages.list(thread.id, limit=3, order="asc")
    assert (said(first.data), first.has_next_page()) == (texts[:3], True)
    assert said(first.get_next_page().data) == texts[3:6]
    before = messages.list(thread.id, before=first.data[2].id, order="asc")
    assert said(before.data) == texts[:2]


def files(client: OpenAI) -> None:
    """Upload, read and delete files, whole and in parts; put one in a vector store."""
    content = b"year,profit\n2026,7\n"
    stored = client.files.create(file=("profit.csv", content), purpose="user_data")
    assert (stored.filename, stored.bytes) == ("profit.csv", len(content))
    assert client.files.retrieve(stored.id).purpose == "user_data"
    assert client.files.content(stored.id).read() == content
    assert stored.id in [one.id for one in client.files.list(purpose="user_data")]

    upload = client.uploads.create(
        filename="big.csv", purpose="assistants", bytes=4, mime_type="text/csv"
    )
    parts = [
        client.uploads.parts.create(upload.id, data=piece).id
        for piece in (b"a,", b"b\n")
    ]
    whole = client.uploads.complete(upload.id, part_ids=parts)
    assert whole.file is not None
    assert (whole.file.filename, whole.file.bytes) == ("big.csv", 4)

    store = client.vector_stores.create(name="Profits")
    found = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("profit.csv", content)
    )
    assert found.status in ("completed", "failed")  # it ends, whatever is understood
    batch = client.vector_stores.file_batches.create_and_poll(
        vector_store_id=store.id, file_ids=[stored.id, whole.file.id]
    )
    assert (batch.file_counts.in_progress, batch.file_counts.total) == (0, 2)
    assert client.vector_stores.retrieve(store.id).file_counts.total == 3
    assert client.vector_stores.delete(store.id).deleted
    assert client.files.delete(stored.id).deleted


def refusals(client: OpenAI) -> None:
    """Meet the errors that programs look for."""
    error = refused(client.beta.assistants.retrieve, "asst_gone")
    assert isinstance(error, openai.NotFoundError)
    assert "No assistant found with id 'asst_gone'." in error.message
    assert (error.request_id or "").startswith("req_")
    create = client.beta.threads.messages.create
    thread_id = client.beta.threads.create().id
    error = refused(create, thread_id, role="user", content="")
    assert isinstance(error, openai.BadRequestError)
    assert (error.type, error.param) == ("invalid_request_error", "content")
    raw = client.beta.assistants.with_raw_response.create(model="m")
    assert raw.parse().object == "assistant"
    assert "openai-processing-ms" in raw.headers


def asynchronous(client: OpenAI) -> None:
    """Poll, stream and page with the asynchronous client."""

    async def main() -> None:
        async with AsyncOpenAI(
            api_key=client.api_key, base_url=client.base_url, max_retries=0
        ) as other:
            assistant = await other.beta.assistants.create(model="m")
            thread = await other.beta.threads.create(
                messages=[{"role": "user", "content": "Hello!"}]
            )
            run = await other.beta.threads.runs.create_and_poll(
                thread_id=thread.id, assistant_id=assistant.id
            )
            assert run.status == "completed"
            async with other.beta.threads.runs.stream(
                thread_id=thread.id, assistant_id=assistant.id
            ) as stream:
                texts = [text async for text in stream.text_deltas]
            assert "".join(texts) == "Hello, you."
            pages = other.beta.threads.messages.list(thread.id, limit=1)
            assert len([message async for message in pages]) == 3

    asyncio.run(main())


SCENARIOS: list[Callable[[OpenAI], None]] = [
    objects,
    polling,
    streaming,
    parallel_tools,
    streamed_tools,
    cancelling,
    paging,
    files,
    refusals,
    asynchronous,
]


def main() -> None:
    """Play every scenario against the address that is given."""
    warnings.simplefilter("ignore", DeprecationWarning)
    (address,) = sys.argv[1:]
    print(openai.__version__)
    with OpenAI(api_key="any", base_url=address, max_retries=0, timeout=30) as client:
        for scenario in SCENARIOS:
            scenario(client)
            print(scenario.__name__, flush=True)


if __name__ == "__main__":
    main()
