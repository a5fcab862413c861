"""Who calls an assistant, and how: from threads, loops and processes; and goes away."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langchain_core.tools import tool
from tests import warm
from tests.conftest import EngineFactory
from tests.langchain.conftest import MakeAssistant
from tests.langchain.places import engine_of
from tests.openai_server import OpenAIServer, openai_server

from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.engine.default import default_engine
from langchain_assistants.errors import ConfigurationError
from langchain_assistants.testing import Reply, ScriptedChatModel, call
from langchain_assistants.testing.script import ModelCall

__all__ = ["openai_server"]

PATIENCE = 60.0


class Blocked:
    """A model that answers never, and tells when it has been asked."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.model = ScriptedChatModel([self._begin, "Here again."])

    def _begin(self, *_: Any) -> Reply:
        self.asked.set()
        return Reply("Never heard.", wait_for=threading.Event())


@pytest.fixture
def blocked() -> Blocked:
    return Blocked()


@pytest.fixture
def assistant(make_assistant: MakeAssistant, blocked: Blocked) -> Any:
    return make_assistant(blocked.model)


async def assert_free(assistant: Any, thread_id: str) -> None:
    """The run that was left is cancelled, and the thread goes on."""
    (run,) = engine_of(assistant).runs.list(thread_id)
    assert run.status == "cancelled"
    given = {"content": "Are you there?", "thread_id": thread_id}
    (message,) = await assistant.ainvoke(given)
    assert message.text == "Here again."


# The caller goes away.


async def test_a_caller_that_goes_away_frees_its_thread(
    assistant: Any, blocked: Blocked
) -> None:
    thread = engine_of(assistant).threads.create()
    given = {"content": "Hi", "thread_id": thread.id}
    task = asyncio.create_task(assistant.ainvoke(given))
    await asyncio.to_thread(blocked.asked.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_free(assistant, thread.id)


async def test_a_timeout_of_the_caller_frees_its_thread(
    assistant: Any, blocked: Blocked
) -> None:
    thread = engine_of(assistant).threads.create()

    async def ask_until_the_model_is_asked() -> None:
        async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as tasks:

            async def expire() -> None:
                await asyncio.to_thread(blocked.asked.wait, PATIENCE)
                deadline.reschedule(asyncio.get_running_loop().time())

            tasks.create_task(expire())
            await assistant.ainvoke({"content": "Hi", "thread_id": thread.id})

    with pytest.raises(TimeoutError):
        await ask_until_the_model_is_asked()
    await assert_free(assistant, thread.id)


async def test_closing_an_async_stream_frees_its_thread(
    assistant: Any, blocked: Blocked
) -> None:
    thread = engine_of(assistant).threads.create()
    events = assistant.astream_run({"content": "Hi", "thread_id": thread.id})
    async for event in events:
        if event.event == "thread.run.in_progress":
            break
    await asyncio.to_thread(blocked.asked.wait, PATIENCE)
    await events.aclose()
    await assert_free(assistant, thread.id)


async def test_closing_a_stream_frees_its_thread(
    assistant: Any, blocked: Blocked
) -> None:
    thread = engine_of(assistant).threads.create()
    events = assistant.stream_run({"content": "Hi", "thread_id": thread.id})
    for event in events:
        if event.event == "thread.run.in_progress":
            break
    blocked.asked.wait(PATIENCE)
    events.close()
    await assert_free(assistant, thread.id)


async def test_a_caller_that_leaves_a_queue_leaves_nothing_behind(
    assistant: Any, blocked: Blocked
) -> None:
    thread = engine_of(assistant).threads.create()
    given = {"content": "Hi", "thread_id": thread.id, "on_active_run": "queue"}
    first = asyncio.create_task(assistant.ainvoke(given))
    await asyncio.to_thread(blocked.asked.wait, PATIENCE)
    events = assistant.astream_run(given)
    assert (await anext(events)).event == "thread.run.created"
    await events.aclose()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    runs = engine_of(assistant).runs.list(thread.id)
    assert [run.status for run in runs] == ["cancelled", "cancelled"]
    assert (await assistant.ainvoke(given))[0].text == "Here again."


ENVIRONMENT_KEPT = ("PATH", "PYTHONPATH", "COVERAGE_PROCESS_START", "VIRTUAL_ENV")


def start(program: str, folder: Path, **env: str) -> subprocess.Popen[str]:
    """Start a Python program as a user would: its own process, its own home."""
    kept = {name: os.environ[name] for name in os.environ if name in ENVIRONMENT_KEPT}
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}
    return warm.Popen(
        [sys.executable, "-c", program],
        env={**kept, **home, **env},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def output_of(process: subprocess.Popen[str]) -> str:
    with process:
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out


INTERRUPTED = """
import threading
from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.testing import Reply, ScriptedChatModel

def blocked(*_):
    print("asked", flush=True)
    return Reply("Never.", wait_for=threading.Event())

model = ScriptedChatModel([blocked, "Here again."])
engine = AssistantsEngine("sqlite:///app.db", chat_model=model)
assistant = AssistantRunnable.create_assistant("A", "B", [], "m", engine=engine)
thread = engine.threads.create()
try:
    assistant.invoke({"content": "Hi", "thread_id": thread.id})
except KeyboardInterrupt:
    print([run.status for run in engine.runs.list(thread.id)])
    print(assistant.invoke({"content": "Hi", "thread_id": thread.id})[0].text)
"""


def test_ctrl_c_frees_the_thread(tmp_path: Path) -> None:
    process = start(INTERRUPTED, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    process.send_signal(signal.SIGINT)
    assert output_of(process).splitlines() == ["['cancelled']", "Here again."]


# Threads and event loops.


def echo(messages: list[BaseMessage], asked: ModelCall) -> str:
    return f"You said {messages[-1].text}"


def test_one_runnable_serves_several_threads(make_assistant: MakeAssistant) -> None:
    assistant = make_assistant(ScriptedChatModel(respond=echo))
    together = threading.Barrier(8)

    def ask(number: int) -> list[str]:
        together.wait(PATIENCE)
        given = {"content": f"{number}", "thread_key": f"caller {number}"}
        return [assistant.invoke(given)[0].text for _ in range(3)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert answers == [[f"You said {number}"] * 3 for number in range(8)]
    assert len(list(engine_of(assistant).threads.list())) == 8


def test_one_runnable_serves_several_event_loops(
    make_assistant: MakeAssistant,
) -> None:
    assistant = make_assistant(["One.", "Two.", "Three.", "Four."])
    first = asyncio.run(assistant.ainvoke("Hi"))
    given = {"content": "Hi", "thread_id": first[0].thread_id}
    second = asyncio.run(assistant.ainvoke(given))
    third = assistant.invoke(given)

    async def cell_of_a_notebook() -> Any:
        return assistant.invoke(given)

    fourth = asyncio.run(cell_of_a_notebook())
    answers = [answer[0].text for answer in (first, second, third, fourth)]
    assert answers == ["One.", "Two.", "Three.", "Four."]
    assert len(list(engine_of(assistant).messages.list(first[0].thread_id))) == 8


def test_event_loops_of_several_threads_share_a_queue(
    make_assistant: MakeAssistant,
) -> None:
    assistant = make_assistant(ScriptedChatModel(respond=echo))
    thread = engine_of(assistant).threads.create()
    given = {"thread_id": thread.id, "on_active_run": "queue"}

    def ask(number: int) -> str:
        answer = asyncio.run(assistant.ainvoke({**given, "content": f"{number}"}))
        text: str = answer[0].text
        return text

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert answers == [f"You said {number}" for number in range(4)]


@pytest.mark.embedded_only("a tool of the wire's caller is not on the engine's loop")
def test_a_synchronous_call_on_the_engines_own_loop_says_what_to_do(
    make_assistant: MakeAssistant,
) -> None:
    @tool
    async def lookup() -> str:
        """Call the engine synchronously where nothing may block."""
        return str(engine_of(assistant).threads.list())

    reply = Reply(tool_calls=[call("lookup")])
    model = ScriptedChatModel([reply, "I see."])
    assistant = make_assistant(model, [lookup], run_tools=True)
    assert assistant.invoke("Hi")[0].text == "I see."
    assert "await its async twin" in model.calls[-1].messages[-1].text


# The engine's own life.


NEVER_CLOSED = """
import asyncio
from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.testing import Reply, ScriptedChatModel, call

def ping() -> str:
    "Ping."
    return "pong"

steps = [Reply(tool_calls=[call("ping")]), "One.", "Two."]
engine = AssistantsEngine("sqlite:///app.db", chat_model=ScriptedChatModel(steps))
assistant = AssistantRunnable.create_assistant(
    "A", "B", [ping], "m", engine=engine, run_tools=True
)
print(assistant.invoke("Hi")[0].text)
print(asyncio.run(assistant.ainvoke("Hi"))[0].text)
"""


def test_an_engine_that_was_never_closed_does_not_keep_the_process_alive(
    tmp_path: Path,
) -> None:
    assert output_of(start(NEVER_CLOSED, tmp_path)) == "One.\nTwo.\n"


def test_close_ends_background_runs_and_frees_their_threads(
    engine_factory: EngineFactory, blocked: Blocked
) -> None:
    engine = engine_factory(blocked.model)
    assistant = engine.assistants.create(model="m")
    thread = engine.threads.create(messages=[{"role": "user", "content": "Hi"}])
    run = engine.runs.create(thread.id, assistant_id=assistant.id)
    blocked.asked.wait(PATIENCE)
    engine.close()
    again = engine_factory.reopen(blocked.model)
    assert again.runs.retrieve(run.id).status == "cancelled"
    later = again.runs.create(thread.id, assistant_id=assistant.id)
    assert again.runs.wait(later.id, timeout=PATIENCE).status == "completed"


def test_a_closed_engine_says_so(make_assistant: MakeAssistant) -> None:
    assistant = make_assistant([])
    engine_of(assistant).close()
    with pytest.raises(ConfigurationError, match="closed"):
        assistant.invoke("Hi")


def test_close_interrupts_a_synchronous_caller(
    assistant: Any, blocked: Blocked, engine_factory: EngineFactory
) -> None:
    thread = engine_of(assistant).threads.create()
    with ThreadPoolExecutor(1) as pool:
        given = {"content": "Hi", "thread_id": thread.id}
        answer = pool.submit(assistant.invoke, given)
        blocked.asked.wait(PATIENCE)
        engine_of(assistant).close()
        assert isinstance(answer.exception(PATIENCE), BaseException)
    again = engine_factory.reopen(blocked.model)
    (run,) = again.runs.list(thread.id)
    assert run.status == "cancelled"
    (message,) = AssistantRunnable(
        assistant_id=assistant.assistant_id, engine=again
    ).invoke(given)
    assert message.text == "Here again."


# The default engine.


@pytest.fixture
def fresh_default(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No default engine yet; the test's own is closed after it."""
    monkeypatch.setattr("langchain_assistants.engine.default._engine", None)
    yield
    from langchain_assistants.engine import default

    if default._engine is not None:
        default._engine.close()


@pytest.mark.usefixtures("fresh_default")
def test_the_default_engine_lives_in_the_users_data_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        first = default_engine()
        made = AssistantRunnable.create_assistant("A", "B", [], "m")
        assert engine_of(made) is first is default_engine()
    file = tmp_path / "data" / "langchain-assistants" / "assistants.db"
    assert first.url == f"sqlite:///{file}"
    assert file.exists()
    opened = [r for r in caplog.records if r.message == "default_engine_opened"]
    assert [record.__dict__["url"] for record in opened] == [first.url]
    assert not first.recover
    first.close()
    assert default_engine() is not first


@pytest.mark.usefixtures("fresh_default")
def test_the_environment_says_where_the_default_engine_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'mine.db'}"
    monkeypatch.setenv("LANGCHAIN_ASSISTANTS_DATABASE_URL", url)
    assert default_engine().url == url
    assert (tmp_path / "mine.db").exists()
    assert not (tmp_path / "data").exists()


FIRST_PROCESS = """
from langchain_assistants import AssistantRunnable
assistant = AssistantRunnable.create_assistant("Tutor", "Teach.", [], "openai:gpt-4o")
(message,) = assistant.invoke({"content": "I am Ada.", "thread_key": "ada"})
print(assistant.assistant_id)
"""
SECOND_PROCESS = """
import os
from langchain_assistants import AssistantRunnable
assistant = AssistantRunnable(assistant_id=os.environ["ASSISTANT"])
(message,) = assistant.invoke({"content": "Who am I?", "thread_key": "ada"})
print(message.text)
"""


def test_a_second_process_continues_a_thread_of_the_default_engine(
    tmp_path: Path, openai_server: OpenAIServer
) -> None:
    openai_server.answer("Hello, Ada.", "You are Ada.")
    out = output_of(start(FIRST_PROCESS, tmp_path, **openai_server.env))
    env = {**openai_server.env, "ASSISTANT": out.strip()}
    assert output_of(start(SECOND_PROCESS, tmp_path, **env)) == "You are Ada.\n"
    shown = [
        message["content"] for message in openai_server.requests[-1].json["messages"]
    ]
    assert shown == ["Teach.", "I am Ada.", "Hello, Ada.", "Who am I?"]
    file = tmp_path / "data" / "langchain-assistants" / "assistants.db"
    with AssistantsEngine(f"sqlite:///{file}") as engine:
        assert [thread.key for thread in engine.threads.list()] == ["ada"]
