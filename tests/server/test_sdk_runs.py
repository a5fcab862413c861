"""OpenAI's own client drives runs: its polling, its streams, its event handlers."""

from __future__ import annotations

from typing import Any

import pytest
from openai import AssistantEventHandler, BadRequestError
from openai.types.beta.threads import Text, TextDelta
from openai.types.beta.threads.runs import ToolCall, ToolCallDelta
from tests.conftest import EngineFactory
from tests.conversations import Gate, calls, function, outputs
from tests.server.conftest import Connect
from typing_extensions import override

from langchain_assistants.testing import Reply, call

TEXT_EVENTS = [
    "thread.run.created",
    "thread.run.queued",
    "thread.run.in_progress",
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.delta",
    "thread.message.completed",
    "thread.run.step.completed",
    "thread.run.completed",
]


def test_create_and_poll_returns_the_completed_run(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory(["Hello, Ada."]))
    assistant = client.beta.assistants.create(model="m")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant.id
    )
    assert run.status == "completed"
    assert run.usage is not None
    messages = client.beta.threads.messages.list(thread.id, run_id=run.id)
    assert [m.content[0].text.value for m in messages] == ["Hello, Ada."]
    steps = client.beta.threads.runs.steps.list(run.id, thread_id=thread.id).data
    assert [step.type for step in steps] == ["message_creation"]
    step = client.beta.threads.runs.steps.retrieve(
        steps[0].id, thread_id=thread.id, run_id=run.id
    )
    assert step == steps[0]
    assert client.beta.threads.runs.list(thread.id).data[0].id == run.id


def test_a_new_run_is_answered_as_queued(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory(["Hello."]))
    assistant = client.beta.assistants.create(model="m")
    run = client.beta.threads.create_and_run(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "Hi"}]},
    )
    assert run.status == "queued"
    ended = client.beta.threads.runs.poll(run.id, thread_id=run.thread_id)
    assert ended.status == "completed"
    changed = client.beta.threads.runs.update(
        run.id, thread_id=run.thread_id, metadata={"k": "v"}
    )
    assert changed.metadata == {"k": "v"}


def test_a_stream_tells_every_event_in_the_wires_order(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory(["Hello, Ada."]))
    assistant = client.beta.assistants.create(model="m")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id
    ) as stream:
        assert [event.event for event in stream] == TEXT_EVENTS
        final = stream.get_final_messages()
    assert [message.content[0].text.value for message in final] == ["Hello, Ada."]


def test_a_stream_of_a_new_thread_begins_with_the_thread(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory(["Hello, Ada."]))
    assistant = client.beta.assistants.create(model="m")
    with client.beta.threads.create_and_run_stream(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "Hi"}]},
    ) as stream:
        events = [event.event for event in stream]
    assert events == ["thread.created", *TEXT_EVENTS]


class Handler(AssistantEventHandler):
    """The handler of OpenAI's tutorials: prints, and answers calls in a new stream."""

    def __init__(self, client: Any, told: list[str]) -> None:
        super().__init__()
        self.client = client
        self.told = told

    @override
    def on_text_created(self, text: Text) -> None:
        self.told.append("assistant >")

    @override
    def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        self.told.append(delta.value or "")

    @override
    def on_tool_call_created(self, tool_call: ToolCall) -> None:
        self.told.append(f"call of {tool_call.function.name}")

    @override
    def on_tool_call_delta(self, delta: ToolCallDelta, snapshot: ToolCall) -> None:
        self.snapshot = snapshot

    @override
    def on_event(self, event: Any) -> None:
        if event.event != "thread.run.requires_action":
            return
        run = event.data
        required = run.required_action.submit_tool_outputs.tool_calls
        with self.client.beta.threads.runs.submit_tool_outputs_stream(
            thread_id=run.thread_id,
            run_id=run.id,
            tool_outputs=outputs(*[call.id for call in required]),
            event_handler=Handler(self.client, self.told),
        ) as stream:
            stream.until_done()


def test_the_event_handler_of_the_tutorials_answers_parallel_calls_in_a_new_stream(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory([calls("call_a", "call_b"), "Both are here."]))
    assistant = client.beta.assistants.create(model="m", tools=[function("look_up")])
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Find!"}])
    told: list[str] = []
    handler = Handler(client, told)
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=handler
    ) as stream:
        stream.until_done()
    assert told[:2] == ["call of look_up", "call of look_up"]
    assert told[2] == "assistant >"
    assert "".join(told[3:]) == "Both are here."
    assert handler.snapshot.id == "call_b"
    assert handler.snapshot.function.arguments == '{"q": "call_b"}'


def test_submit_and_poll_goes_on_to_the_answer(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory([calls("call_a", "call_b"), "Done."]))
    runs = client.beta.threads.runs
    assistant = client.beta.assistants.create(model="m", tools=[function("look_up")])
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Find!"}])
    run = runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    assert run.status == "requires_action"
    assert run.required_action is not None
    required = run.required_action.submit_tool_outputs.tool_calls
    assert [call.id for call in required] == ["call_a", "call_b"]
    with pytest.raises(BadRequestError, match="Expected tool outputs for call_ids"):
        runs.submit_tool_outputs(
            run.id, thread_id=thread.id, tool_outputs=outputs("call_a")
        )
    ended = runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=thread.id, tool_outputs=outputs("call_b", "call_a")
    )
    assert ended.status == "completed"
    steps = runs.steps.list(run.id, thread_id=thread.id, order="asc").data
    assert [step.type for step in steps] == ["tool_calls", "message_creation"]
    found = [call.function.output for call in steps[0].step_details.tool_calls]
    assert found == ["output of call_a", "output of call_b"]
    with pytest.raises(BadRequestError, match='Runs in status "completed" do not'):
        runs.submit_tool_outputs(
            run.id, thread_id=thread.id, tool_outputs=outputs("call_a", "call_b")
        )


def test_a_run_can_be_cancelled_while_it_is_at_work(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    gate = Gate()
    client = connect(engine_factory([Reply(wait_for=gate)]))
    runs = client.beta.threads.runs
    assistant = client.beta.assistants.create(model="m")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
    run = runs.create(thread.id, assistant_id=assistant.id)
    gate.wait_until_reached()
    with pytest.raises(BadRequestError, match="already has an active run") as refused:
        runs.create(thread.id, assistant_id=assistant.id)
    assert refused.value.code is None
    with pytest.raises(BadRequestError, match="Can't add messages to"):
        client.beta.threads.messages.create(thread.id, role="user", content="More")
    assert runs.cancel(run.id, thread_id=thread.id).status == "cancelling"
    gate.open()
    assert runs.poll(run.id, thread_id=thread.id).status == "cancelled"
    with pytest.raises(BadRequestError, match="Cannot cancel run with status 'canc"):
        runs.cancel(run.id, thread_id=thread.id)


def test_a_run_that_fails_is_told_by_its_own_event(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory([ValueError("no such model")]))
    assistant = client.beta.assistants.create(model="m")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id
    ) as stream:
        last = [event.event for event in stream][-1]
        final = stream.get_final_run()
    assert last == "thread.run.failed"
    assert final.last_error is not None
    assert final.last_error.code == "server_error"


def test_include_is_accepted_and_other_values_of_it_are_refused(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    client = connect(engine_factory(["Hello."]))
    assistant = client.beta.assistants.create(model="m")
    run = client.beta.threads.create_and_run_poll(assistant_id=assistant.id)
    steps = client.beta.threads.runs.steps
    contents: Any = "step_details.tool_calls[*].file_search.results[*].content"
    listed = steps.list(run.id, thread_id=run.thread_id, include=[contents])
    assert len(listed.data) == 1
    unknown: Any = "everything"
    with pytest.raises(BadRequestError, match="Invalid value: 'everything'"):
        steps.list(run.id, thread_id=run.thread_id, include=[unknown])


def test_a_tool_of_the_server_and_one_of_the_client_serve_the_same_turn(
    engine_factory: EngineFactory, connect: Connect
) -> None:
    def clock() -> str:
        """Tell the time."""
        return "noon"

    both = Reply(
        tool_calls=[call("clock", {}, "call_a"), call("look_up", {}, "call_b")]
    )
    client = connect(engine_factory([both, "It is noon."], tools=[clock]))
    runs = client.beta.threads.runs
    own: Any = function("clock", run_on="engine")
    assistant = client.beta.assistants.create(
        model="m", tools=[own, function("look_up")]
    )
    run = client.beta.threads.create_and_run_poll(assistant_id=assistant.id)
    assert run.required_action is not None
    [required] = run.required_action.submit_tool_outputs.tool_calls
    assert required.id == "call_b"
    ended = runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs("call_b")
    )
    assert ended.status == "completed"
    steps = runs.steps.list(run.id, thread_id=run.thread_id, order="asc").data
    found = {c.id: c.function.output for c in steps[0].step_details.tool_calls}
    assert found == {"call_a": "noon", "call_b": "output of call_b"}
