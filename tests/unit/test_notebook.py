"""The live view of a run, in a real IPython shell whose outputs are captured."""

from __future__ import annotations

import contextvars
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from tests.conftest import EngineFactory
from tests.sandbox import Sandboxes
from traitlets.config import Config

from langchain_assistants import AssistantRunnable, notebook
from langchain_assistants.errors import ActiveRunError, ConfigurationError
from langchain_assistants.notebook import awatch, watch
from langchain_assistants.testing import Reply, call
from langchain_assistants.types import Run, RunEvent

CELL = contextvars.ContextVar("CELL", default="none")


class Publisher(CapturingDisplayPublisher):
    """Keeps what is displayed, and the cell it is displayed for."""

    def publish(self, *args: Any, **options: Any) -> None:
        super().publish(*args, **options)
        self.outputs[-1]["cell"] = CELL.get()
        self.published(self.outputs[-1]["data"]["text/html"])

    def published(self, html: str) -> None:
        """Be told of an output; tests replace it."""


class Notebook:
    """A shell and what its cells show."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell

    @property
    def outputs(self) -> list[dict[str, Any]]:
        outputs: list[dict[str, Any]] = self.shell.display_pub.outputs
        return outputs

    @property
    def shown(self) -> str:
        html: str = self.outputs[-1]["data"]["text/html"]
        return html

    def when(self, text: str, act: Callable[[], object]) -> None:
        """Act once, when the text is seen."""
        waiting = [act]

        def published(html: str) -> None:
            if text in html and waiting:
                waiting.pop()()

        self.shell.display_pub.published = published


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A notebook without history and without a file of its own."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    main = sys.modules["__main__"]
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config, display_pub_class=Publisher)
    yield Notebook(shell)
    InteractiveShell.clear_instance()
    sys.modules["__main__"] = main


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def tutor(
    factory: EngineFactory, steps: Any, tool: Callable[..., Any] = add
) -> AssistantRunnable:
    return AssistantRunnable.create_assistant(
        "Tutor",
        "You teach arithmetic.",
        [tool],
        "scripted",
        engine=factory(steps),
        run_tools=True,
    )


CALL = Reply(tool_calls=[call("add", {"a": 17, "b": 25})])
ANSWER = "It is forty-two, as everybody knows."


def test_a_run_is_shown_in_one_output_that_ends_as_the_run_did(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    record = watch(tutor(engine_factory, [CALL, ANSWER]).stream_run("What is 17 + 25?"))
    assert record.run is not None
    assert record.run.status == "completed"
    assert record.text == ANSWER
    assert [step.type for step in record.steps] == ["tool_calls", "message_creation"]
    assert len({output["transient"]["display_id"] for output in cells.outputs}) == 1
    updates = [bool(output["update"]) for output in cells.outputs]
    assert updates == [False] + [True] * (len(updates) - 1)
    assert cells.outputs[-1]["data"]["text/plain"] == repr(record)
    for part in (">completed<", "add</span>(a=17, b=25)", ">42<", ANSWER):
        assert part in cells.shown
    assert "Not watched" not in cells.shown


async def test_the_async_twin_shows_the_same(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    runnable = tutor(engine_factory, [CALL, ANSWER])
    record = await awatch(runnable.astream_run("What is 17 + 25?"))
    assert record.text == ANSWER
    assert ANSWER in cells.shown


def test_it_works_in_a_cell_and_leaves_one_line_as_its_value(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    cells.shell.user_ns["tutor"] = tutor(engine_factory, [ANSWER])
    result = cells.shell.run_cell(
        "from langchain_assistants.notebook import watch\n"
        "watch(tutor.stream_run('What is 17 + 25?'))"
    )
    result.raise_error()
    assert ANSWER in cells.shown
    data, _ = cells.shell.display_formatter.format(result.result)
    assert list(data) == ["text/plain"]
    assert data["text/plain"].endswith("completed, steps=1, messages=1)")


def test_a_call_is_seen_while_its_tool_executes(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    seen = threading.Event()
    cells.when("add</span>(a=17, b=25)", seen.set)

    def waiting_add(a: int, b: int) -> int:
        """Add two numbers, but only when somebody has seen that they are added."""
        assert seen.wait(60)
        return a + b

    waiting_add.__name__ = "add"
    runnable = tutor(engine_factory, [CALL, ANSWER], waiting_add)
    assert watch(runnable.stream_run("What is 17 + 25?")).text == ANSWER
    assert ">42<" in cells.shown


def test_a_picture_is_seen_while_the_run_goes_on(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    seen = threading.Event()
    cells.when("<img", seen.set)

    def waiting_add(a: int, b: int) -> int:
        """Add two numbers, but only when somebody has seen the picture."""
        assert seen.wait(60)
        return a + b

    waiting_add.__name__ = "add"
    plots = Reply(tool_calls=[call("code_interpreter", {"code": "show()"})])
    runnable = AssistantRunnable.create_assistant(
        "Painter",
        "You draw.",
        [{"type": "code_interpreter"}, waiting_add],
        "scripted",
        engine=engine_factory([plots, CALL, ANSWER], interpreter=Sandboxes()),
        run_tools=[waiting_add],
    )
    record = watch(runnable.stream_run("Draw."))
    assert record.text == ANSWER
    # In the step that drew it, until the message had it.
    assert cells.shown.count('src="data:image/png;base64,') == 1


def test_a_burst_of_pieces_is_drawn_seldom_but_to_its_end(
    cells: Notebook, engine_factory: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "_SECONDS_BETWEEN_UPDATES", 3600.0)
    text = "word " * 500 + "end."
    record = watch(tutor(engine_factory, [text]).stream_run("Talk."))
    assert record.text == text
    assert len(cells.outputs) <= 2
    assert "end." in cells.shown


def test_outputs_belong_to_the_cell_that_watches(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    token = CELL.set("cell 1")
    watch(tutor(engine_factory, [ANSWER]).stream_run("What is 17 + 25?"))
    CELL.reset(token)
    assert {output["cell"] for output in cells.outputs} == {"cell 1"}


def test_interrupting_the_cell_cancels_the_run(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    never = threading.Event()
    runnable = tutor(engine_factory, [Reply(ANSWER, wait_for=never)])
    watcher = threading.get_ident()
    cells.when(">in progress<", lambda: signal.pthread_kill(watcher, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        watch(runnable.stream_run({"content": "Talk.", "thread_key": "talk"}))
    thread = runnable.engine.threads.get_or_create(key="talk")
    [run] = runnable.engine.runs.list(thread.id)
    assert run.status == "cancelled"
    assert f'Not watched to its end: engine.runs.retrieve("{run.id}")' in cells.shown


async def test_closing_the_async_view_cancels_the_run_too(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    engine = engine_factory([Reply(ANSWER, wait_for=threading.Event())])
    runnable = await AssistantRunnable.acreate_assistant(
        "Tutor", "You teach.", [], "scripted", engine=engine
    )
    told: list[Run] = []

    async def broken() -> AsyncGenerator[RunEvent, None]:
        events = runnable.astream_run("Talk.")
        try:
            async for event in events:
                yield event
                if event.event == "thread.run.in_progress":
                    assert isinstance(event.data, Run)
                    told.append(event.data)
                    raise ConnectionError("gone")
        finally:
            await events.aclose()

    with pytest.raises(ConnectionError):
        await awatch(broken())
    assert (await engine.runs.aretrieve(told[0].id)).status == "cancelled"
    assert "Not watched to its end" in cells.shown


def test_leaving_early_closes_the_events(cells: Notebook) -> None:
    closed: list[bool] = []

    def events() -> Generator[RunEvent, None, None]:
        try:
            yield RunEvent("thread.run.queued", "no object", "1.1")  # type: ignore[arg-type]
            raise ConnectionError("gone")
        finally:
            closed.append(True)

    with pytest.raises(ConnectionError):
        watch(events())
    assert closed == [True]
    assert cells.outputs == []


def test_a_run_that_never_began_shows_nothing(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    tool = tutor(engine_factory, [CALL])
    tool.run_tools = []
    [open_call] = tool.invoke({"content": "What is 17 + 25?", "thread_key": "sum"})
    with pytest.raises(ActiveRunError):
        watch(tool.stream_run({"content": "And now?", "thread_key": "sum"}))
    assert open_call.function.name == "add"
    assert cells.outputs == []


async def test_events_may_come_from_anywhere(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    runnable = tutor(engine_factory, [ANSWER])
    events = [event async for event in runnable.astream_run("What is 17 + 25?")]

    class Replayed:
        def __init__(self) -> None:
            self.left = iter(events)

        def __aiter__(self) -> Replayed:
            return self

        async def __anext__(self) -> RunEvent:
            for event in self.left:
                return event
            raise StopAsyncIteration

    assert (await awatch(Replayed())).text == ANSWER
    assert watch(iter(events)).text == ANSWER


def test_a_failed_run_is_shown_and_returned(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    record = watch(tutor(engine_factory, [ValueError("no")]).stream_run("Talk."))
    assert record.run is not None
    assert record.run.status == "failed"
    assert "server_error" in cells.shown
    assert "Not watched" not in cells.shown


def test_a_run_of_the_engine_is_watched_to_its_question_and_on(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    engine = engine_factory([CALL, ANSWER])
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    assistant = engine.assistants.create(model="scripted", tools=[tool])
    thread = engine.threads.create()
    record = watch(engine.runs.stream(thread.id, assistant_id=assistant.id))
    assert record.run is not None
    assert "Waits for outputs of" in cells.shown
    assert record.run.required_action is not None
    assert record.run.required_action.submit_tool_outputs is not None
    [open_call] = record.run.required_action.submit_tool_outputs.tool_calls
    output = {"tool_call_id": open_call.id, "output": "42"}
    rest = engine.runs.submit_tool_outputs_stream(record.run.id, tool_outputs=[output])
    assert watch(rest).text == ANSWER
    assert ">42<" in cells.shown


def test_the_extension_shows_lists_of_messages_as_chats(
    cells: Notebook, engine_factory: EngineFactory
) -> None:
    cells.shell.run_line_magic("load_ext", "langchain_assistants.notebook")
    messages = tutor(engine_factory, [ANSWER]).invoke("What is 17 + 25?")
    data, _ = cells.shell.display_formatter.format(messages)
    assert ANSWER in data["text/html"]
    for plain in ([], [1], [*messages, 1]):
        assert "text/html" not in cells.shell.display_formatter.format(plain)[0]


def no_events() -> Iterator[RunEvent]:
    pytest.fail("the run was started")
    yield


def test_without_a_notebook_no_run_is_started() -> None:
    with pytest.raises(ConfigurationError, match="iterate over the events"):
        watch(no_events())


def test_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = TerminalInteractiveShell.__new__(TerminalInteractiveShell)
    monkeypatch.setattr("IPython.get_ipython", lambda: terminal)
    with pytest.raises(ConfigurationError, match="iterate over the events"):
        watch(no_events())


def test_without_ipython_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(ConfigurationError, match="pip install jupyterlab"):
        watch(no_events())


def test_the_module_itself_needs_no_ipython() -> None:
    program = (
        "import sys, langchain_assistants.notebook; print('IPython' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
