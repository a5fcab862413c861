"""`engine.openai()`: OpenAI's client without a socket, on any thread and loop."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, NoReturn

import pytest
from openai import AsyncOpenAI, OpenAI
from tests.conftest import EngineFactory
from tests.conversations import Gate, assistant_with, calls, function, outputs

from langchain_assistants.errors import ConfigurationError
from langchain_assistants.testing import Reply

# Whether the answer had begun by then is a matter of how busy the machine is.
TOO_LATE = "The engine did not answer in time.|Request timed out."


def test_no_socket_is_opened(
    engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_factory(["Hello."])
    assistant = assistant_with(engine)

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("a socket was to be connected")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with engine.openai() as client:
        assert isinstance(client, OpenAI)
        run = client.beta.threads.create_and_run_poll(assistant_id=assistant.id)
    assert run.status == "completed"


def test_the_client_of_an_engine_that_nobody_else_holds_works(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory()
    client = engine.openai()
    engine_factory.opened.clear()
    portal = engine.portal
    del engine
    assert client.beta.threads.create().object == "thread"
    client.close()
    portal.stop()


async def test_the_async_client_polls_streams_and_pages(
    engine_factory: EngineFactory,
) -> None:
    engine = engine_factory([calls("call_a"), "Hello, Ada."])
    async with engine.async_openai() as client:
        assert isinstance(client, AsyncOpenAI)
        beta = client.beta
        assistant = await beta.assistants.create(model="m", tools=[function("look_up")])
        thread = await beta.threads.create(
            messages=[{"role": "user", "content": str(n)} for n in range(25)]
        )
        run = await beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id
        )
        assert run.status == "requires_action"
        async with beta.threads.runs.submit_tool_outputs_stream(
            run_id=run.id, thread_id=thread.id, tool_outputs=outputs("call_a")
        ) as stream:
            said = [piece async for piece in stream.text_deltas]
        assert said == ["Hello, ", "Ada."]
        messages = [m async for m in beta.threads.messages.list(thread.id)]
    assert len(messages) == 26


def test_one_async_client_serves_several_loops(engine_factory: EngineFactory) -> None:
    client = engine_factory().async_openai()

    async def create() -> str:
        return (await client.beta.threads.create()).id

    assert asyncio.run(create()) != asyncio.run(create())
    asyncio.run(client.close())


def test_tokens_reach_the_reader_before_the_run_ends(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Hello.", wait_for=gate)])
    assistant = assistant_with(engine)
    with (
        engine.openai() as client,
        client.beta.threads.create_and_run_stream(assistant_id=assistant.id) as stream,
    ):
        for event in stream:
            if event.event == "thread.run.in_progress":
                gate.wait_until_reached()
                gate.open()
    assert event.event == "thread.run.completed"


def test_a_stream_that_is_left_does_not_cancel_the_run(
    engine_factory: EngineFactory,
) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Hello.", wait_for=gate)])
    assistant = assistant_with(engine)
    with engine.openai() as client:
        with client.beta.threads.create_and_run_stream(
            assistant_id=assistant.id
        ) as stream:
            run_id = next(e.data.id for e in stream if e.event == "thread.run.created")
        gate.open()
        assert engine.runs.wait(run_id, timeout=20).status == "completed"


def test_a_read_timeout_is_kept(engine_factory: EngineFactory) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Hello.", wait_for=gate)])
    assistant = assistant_with(engine)
    with engine.openai().with_options(timeout=0.05, max_retries=0) as client:
        quick = client.beta.threads.create_and_run_stream(assistant_id=assistant.id)
        with pytest.raises(Exception, match=TOO_LATE), quick as stream:
            stream.until_done()
    gate.open()


async def test_an_async_read_timeout_is_kept(engine_factory: EngineFactory) -> None:
    gate = Gate()
    engine = engine_factory([Reply("Hello.", wait_for=gate)])
    assistant = await engine.assistants.acreate(model="m")
    client = engine.async_openai().with_options(timeout=0.05, max_retries=0)
    quick = client.beta.threads.create_and_run_stream(assistant_id=assistant.id)
    with pytest.raises(Exception, match=TOO_LATE):
        async with quick as stream:
            await stream.until_done()
    gate.open()
    await client.close()


def test_a_closed_engine_says_so(engine_factory: EngineFactory) -> None:
    engine = engine_factory()
    client = engine.openai().with_options(max_retries=0)
    engine.close()
    with pytest.raises(ConfigurationError, match="The engine is closed"):
        client.beta.threads.create()
    client.close()
