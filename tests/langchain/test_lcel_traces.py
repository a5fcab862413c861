"""An assistant that is streamed is a run of a chain, as one that is invoked."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Self
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig, RunnableLambda
from tests.conversations import TIMEOUT
from tests.langchain.arithmetic import add, calls
from tests.langchain.conftest import MakeAssistant

from langchain_assistants.errors import ActiveRunError, AssistantsError, RunFailed
from langchain_assistants.testing import Reply, ScriptedChatModel
from langchain_assistants.types.events import RunEvent

both_ways = pytest.mark.parametrize("mode", ["sync", "async"])


class Traces(BaseCallbackHandler):
    """Notes the runs of chains, models and tools, with their parents."""

    run_inline = True

    def __init__(self) -> None:
        self.names: dict[UUID, str] = {}
        self.parents: dict[UUID, UUID | None] = {}
        self.told: dict[str, dict[str, Any]] = {}

    def _start(self, name: str, run_id: UUID, told: dict[str, Any]) -> None:
        self.names[run_id] = name
        self.parents[run_id] = told.get("parent_run_id")
        self.told.setdefault(name, {}).update(tags=told["tags"], **told["metadata"])

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, **told: Any
    ) -> None:
        self._start(told["name"], run_id, told)
        self.told[told["name"]]["inputs"] = inputs

    def on_chat_model_start(self, *_: Any, run_id: UUID, **told: Any) -> None:
        self._start("model", run_id, told)

    def on_tool_start(self, *_: Any, run_id: UUID, **told: Any) -> None:
        self._start("tool", run_id, told)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        self.told[self.names[run_id]]["outputs"] = outputs

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self.told[self.names[run_id]]["error"] = error

    def above(self, name: str) -> list[str]:
        """The names of the runs above the first one of a name, nearest first."""
        run_id: UUID | None = next(i for i, n in self.names.items() if n == name)
        found = []
        while run_id is not None and (run_id := self.parents[run_id]) is not None:
            found.append(self.names[run_id])
        return found

    @classmethod
    def of(cls, **config: Any) -> tuple[Self, RunnableConfig]:
        """A handler, and a configuration that has it."""
        traces = cls()
        return traces, RunnableConfig(callbacks=[traces], **config)


async def stream(runnable: Any, mode: str, *args: Any) -> list[RunEvent]:
    if mode == "sync":
        return await asyncio.to_thread(lambda: list(runnable.stream_run(*args)))
    return [event async for event in runnable.astream_run(*args)]


@both_ways
async def test_a_stream_is_the_parent_of_its_model_and_tools(
    make_assistant: MakeAssistant, mode: str
) -> None:
    steps = [calls((add, 1, 2)), "3."]
    assistant = make_assistant(steps, [add], run_tools=True)
    traces, config = Traces.of(
        run_name="tutor", tags=["homework"], metadata={"customer": "42"}
    )
    await stream(assistant, mode, "1 + 2?", config)
    graph = [] if assistant.client else ["assistant_run"]
    for name in ("model", "tool"):
        assert traces.above(name)[-2:] == [*graph, "tutor"]
        assert "homework" in traces.told[name]["tags"]
        assert traces.told[name]["customer"] == "42"
    assert traces.above("tutor") == []
    assert traces.told["tutor"]["inputs"] == "1 + 2?"
    assert [m.text for m in traces.told["tutor"]["outputs"]] == ["3."]


@both_ways
async def test_a_stream_is_traced_as_an_invocation_is(
    make_assistant: MakeAssistant, mode: str
) -> None:
    steps = [calls((add, 1, 2)), "3."]
    assistant = make_assistant(steps * 2, [add], run_tools=True, as_agent=True)
    streamed, config = Traces.of()
    await stream(assistant, mode, "1 + 2?", config)
    invoked, config = Traces.of()
    await assistant.ainvoke("1 + 2?", config)
    assert list(streamed.names.values()) == list(invoked.names.values())
    finishes = [
        traces.told["AssistantRunnable"]["outputs"] for traces in (streamed, invoked)
    ]
    assert finishes[0].return_values["output"] == "3."
    assert type(finishes[0]) is type(finishes[1])


@both_ways
async def test_a_stream_within_a_chain_is_its_child(
    make_assistant: MakeAssistant, mode: str
) -> None:
    assistant = make_assistant(["3."])

    def last(given: str) -> str:
        *_, event = assistant.stream_run(given)
        return event.event

    async def alast(given: str) -> str:
        events = [event async for event in assistant.astream_run(given)]
        return events[-1].event

    chain = RunnableLambda(last, alast).with_config(run_name="outer")
    traces, config = Traces.of()
    told = (
        await asyncio.to_thread(chain.invoke, "1 + 2?", config)
        if mode == "sync"
        else await chain.ainvoke("1 + 2?", config)
    )
    assert told == "thread.run.completed"
    assert traces.above("model")[-2:] == ["AssistantRunnable", "outer"]


@both_ways
async def test_a_failed_run_is_an_error_of_its_trace_only(
    make_assistant: MakeAssistant, mode: str
) -> None:
    assistant = make_assistant([ValueError("no")])
    traces, config = Traces.of()
    events = await stream(assistant, mode, "Hi", config)
    assert events[-1].event == "thread.run.failed"
    assert isinstance(traces.told["AssistantRunnable"]["error"], RunFailed)


@both_ways
async def test_what_keeps_a_run_from_starting_is_an_error_of_the_trace_too(
    make_assistant: MakeAssistant, mode: str
) -> None:
    assistant = make_assistant([calls((add, 1, 2))], [add])
    given = {"content": "1 + 2?", "thread_key": "ada"}
    begun, config = Traces.of()
    await stream(assistant, mode, given, config)
    (required,) = begun.told["AssistantRunnable"]["outputs"]
    assert required.function.name == "add"
    traces, config = Traces.of()
    with pytest.raises(ActiveRunError):
        await stream(assistant, mode, given, config)
    assert isinstance(traces.told["AssistantRunnable"]["error"], ActiveRunError)


@both_ways
async def test_a_streamed_answer_that_breaks_its_schema_is_told_and_raised(
    make_assistant: MakeAssistant, mode: str
) -> None:
    native = {"structured_output": True}
    schema = {"title": "Sum", "type": "object", "properties": {}}
    model = ScriptedChatModel(["Three."], profile=native)
    assistant = make_assistant(model, response_format=schema)
    heard: list[str] = []

    def listen() -> None:
        for event in assistant.stream_run("1 + 2?"):
            heard.append(event.event)

    async def alisten() -> None:
        async for event in assistant.astream_run("1 + 2?"):
            heard.append(event.event)

    with pytest.raises(AssistantsError, match="does not follow"):
        await (asyncio.to_thread(listen) if mode == "sync" else alisten())
    assert heard[-1] == "thread.run.completed"


async def test_closing_a_stream_ends_its_trace(make_assistant: MakeAssistant) -> None:
    asked = threading.Event()

    def begin(*_: Any) -> Reply:
        asked.set()
        return Reply("Never heard.", wait_for=asyncio.Event())

    assistant = make_assistant([begin])
    traces, config = Traces.of()
    events = assistant.astream_run("Hi", config)
    assert (await anext(events)).event == "thread.created"
    assert await asyncio.to_thread(asked.wait, TIMEOUT)
    await events.aclose()
    error = traces.told["AssistantRunnable"]["error"]
    assert isinstance(error, asyncio.CancelledError)
