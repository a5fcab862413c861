"""An engine in a process of its own: obeys lines, tells lines, and can be killed.

Its tools write to a journal when they begin and when they end, and wait for gates that
a test opens by making a file.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool
from langgraph.graph import END, START, StateGraph
from tests import warm
from tests.stored import rows
from typing_extensions import TypedDict

from langchain_assistants import AssistantRunnable, AssistantsEngine, Settings
from langchain_assistants.testing import Reply, ScriptedChatModel, call

PATIENCE = 20.0
LEASE = 1.0
ROOT = Path(__file__).parents[2]


class Journal:
    """What tools did, in a file that outlives every process."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal"

    def write(self, *words: object) -> None:
        line = " ".join(map(str, words)) + "\n"
        file = os.open(self._path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(file, line.encode())
        os.close(file)

    def lines(self) -> list[list[str]]:
        if not self._path.exists():
            return []
        return [line.split() for line in self._path.read_text().splitlines()]

    def count(self, event: str, tool: str) -> int:
        return sum(line[:2] == [event, tool] for line in self.lines())

    def calls(self, tool: str) -> list[str]:
        """The ids under which a tool was executed, in order."""
        return [line[2] for line in self.lines() if line[:2] == ["begin", tool]]

    def await_(self, event: str, tool: str, count: int = 1) -> None:
        eventually(lambda: self.count(event, tool) >= count)


def look_again() -> None:
    """Leave the processor to others for a moment: other processes ring no bell."""
    threading.Event().wait(0.01)


def eventually(condition: Any) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: It was not, within a patience that is no measure of anything.
    """
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("it never happened")
        look_again()


class Program:
    """A process with an engine, as a test sees it."""

    def __init__(self, folder: Path, *flags: str, ready: bool = True) -> None:
        self.process = warm.Popen(
            [sys.executable, "-m", "tests.acceptance.engine_program", folder, *flags],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=1,
        )
        assert not ready or self.hear() == "ready"

    def say(self, *words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            assert self.process.stderr is not None
            raise AssertionError(f"the program ended: {self.process.stderr.read()}")
        return line

    def tell(self, *words: str) -> str:
        """Say something and hear the answer."""
        self.say(*words)
        return self.hear()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.communicate(timeout=PATIENCE)

    def end(self) -> str:
        """Let it close its engine; return what it logged."""
        _, said = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, said
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.signal(signal.SIGCONT)
        self.kill()


def answer(messages: Sequence[BaseMessage], _: Any) -> Any:
    """Call the tools that the newest message names, once each; else say something."""
    place = max(i for i, m in enumerate(messages) if isinstance(m, HumanMessage))
    results = [m for m in messages[place:] if isinstance(m, ToolMessage)]
    text = str(messages[place].content)
    verb, _, names = text.partition(":")
    if verb == "talk":
        return Reply("word " * 2000)
    if verb == "ponder":
        return Reply("Never.", wait_for=threading.Event())
    if verb == "say" or results:
        outputs = ", ".join(str(m.content) for m in results)
        return Reply(f"Done {text} with {outputs or 'nothing'}.")
    return Reply(tool_calls=[call(name) for name in names.split(",")])


def tools_in(folder: Path) -> list[StructuredTool]:
    """The tools, with a journal and gates in a folder."""
    journal = Journal(folder)

    def executed(tool: str, call_id: str) -> str:
        journal.write("begin", tool, call_id, os.getpid())
        if tool == "gate":
            while not (folder / "open").exists():
                look_again()
        elif tool == "mine":
            os.kill(os.getpid(), signal.SIGKILL)
        elif tool == "hang":
            threading.Event().wait()
        journal.write("end", tool, call_id, os.getpid())
        return f"{tool} done"

    def tool_named(tool: str) -> StructuredTool:
        def function(tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
            return executed(tool, tool_call_id)

        return StructuredTool.from_function(function, name=tool, description=tool)

    class Stage(TypedDict, total=False):
        call_id: str
        said: str

    def first(state: Stage) -> Stage:
        executed("first", state["call_id"])
        return {}

    def second(state: Stage) -> Stage:
        return {"said": executed("gate", state["call_id"])}

    builder = StateGraph(Stage)
    builder.add_node("first", first)
    builder.add_node("second", second)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_edge("second", END)
    # `True`: it keeps its checkpoints where the graph that calls it keeps its own.
    nested = builder.compile(checkpointer=True)

    async def steps(tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
        state = await nested.ainvoke({"call_id": tool_call_id})
        return str(state["said"])

    graph_tool = StructuredTool.from_function(
        coroutine=steps, name="steps", description="A graph."
    )
    return [*map(tool_named, ("quick", "gate", "mine", "hang", "rare")), graph_tool]


def engine_tools(folder: Path, *flags: str) -> list[StructuredTool]:
    """The tools of an engine: one of them is rare."""
    return [t for t in tools_in(folder) if t.name != "rare" or "rare" in flags]


def open_engine(folder: Path, *flags: str) -> AssistantsEngine:
    """An engine on the folder's database."""
    timeout = 0.5 if "impatient" in flags else None
    return AssistantsEngine(
        f"sqlite:///{folder}/app.db",
        chat_model=ScriptedChatModel(respond=answer, record=False, token_delay=0.02),
        tools=engine_tools(folder, *flags),
        recover="bystander" not in flags,
        settings=Settings(lease=LEASE, tool_timeout=timeout, cancel_grace=0.2),
    )


def assistant_of(engine: AssistantsEngine, folder: Path, *flags: str) -> str:
    """The assistant that may call an engine's tools; any process may make it."""
    entries = [
        {
            "type": "function",
            "run_on": "engine",
            "function": {"name": tool.name, "parameters": {"type": "object"}},
        }
        for tool in engine_tools(folder, *flags)
    ]
    found = engine.assistants.get_or_create(
        name="everything", model="scripted", tools=entries
    )
    return found.id


def main(folder: Path, *flags: str) -> None:
    """Obey lines until there are no more, then close the engine."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    engine = open_engine(folder, *flags)
    assistant_id = assistant_of(engine, folder, *flags)
    own = AssistantRunnable(assistant_id=assistant_id, engine=engine)

    def tell(*words: object) -> None:
        print(*words, flush=True)

    def wait(run_id: str) -> None:
        tell(engine.runs.wait(run_id, timeout=PATIENCE).status)

    def ask(key: str, text: str) -> None:
        thread = engine.threads.get_or_create(key=key)
        engine.messages.create(thread.id, role="user", content=text)
        if text != "talk":
            tell(engine.runs.create(thread.id, assistant_id=assistant_id).id)
            return
        # Models stream for those who listen.
        events = engine.runs.stream(thread.id, assistant_id=assistant_id)
        tell(next(events).data.id)

        def listen() -> None:
            next(e for e in events if e.event == "thread.message.delta")
            Journal(folder).write("hear", key)
            list(events)

        threading.Thread(target=listen, daemon=True).start()

    def invoke(key: str, text: str) -> None:
        try:
            tell(own.invoke({"content": text, "thread_key": key})[-1].text)
        except Exception as error:
            tell(type(error).__name__)

    def cancel(run_id: str) -> None:
        tell(engine.runs.cancel(run_id).status)

    obey = {f.__name__: f for f in (ask, invoke, wait, cancel)}
    tell("ready")
    for line in sys.stdin:
        verb, *words = line.split()
        if verb == "invoke":
            threading.Thread(target=invoke, args=words, daemon=True).start()
        else:
            obey[verb](*words)
    engine.close()


def status_of(engine: AssistantsEngine, run_id: str) -> str:
    """A run's status in the file."""
    [row] = rows(engine, "SELECT status FROM runs WHERE id = ?", run_id)
    return str(row["status"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
