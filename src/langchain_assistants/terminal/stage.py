"""Where the demo plays: a console, a database file, a tutor, and what must hold.

Each of the demo's processes sets one up; what is played there is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from langchain_assistants import AssistantRunnable, AssistantsEngine, Settings
from langchain_assistants.terminal import tutor
from langchain_assistants.terminal.transcript import Exchange, Transcript
from langchain_assistants.testing import ScriptedChatModel
from langchain_assistants.types import FunctionExecution

MARGIN = 11


class Stage:
    """Plays scenes and remembers which promises did not hold.

    Args:
        file: The SQLite file, made when there is none.
        model: A name for `init_chat_model`, or `tutor.SCRIPTED`.
    """

    def __init__(self, file: Path, model: str) -> None:
        """Set up the console; the file is opened later."""
        self.console = Console(highlight=False)
        self.file = file
        self.model = model
        self.scripted = model == tutor.SCRIPTED
        self.functions = tutor.Functions()
        self.broken: list[str] = []
        self._transcript = Transcript(self.console, margin=MARGIN)

    @contextmanager
    def engine(
        self,
        script: Callable[[], ScriptedChatModel] = tutor.scripted_model,
        *,
        tools: Sequence[Callable[..., Any]] = (),
        settings: Settings | None = None,
    ) -> Iterator[AssistantsEngine]:
        """Open the file, with a scripted model or LangChain's of the given name.

        Args:
            script: The scripted one.
            tools: What the engine can execute for the runs of other processes.
            settings: None: from the environment.
        """
        with AssistantsEngine(
            f"sqlite:///{self.file}",
            chat_model=script() if self.scripted else None,
            tools=tools,
            settings=settings,
        ) as engine:
            yield engine

    def assistant(self, engine: AssistantsEngine) -> AssistantRunnable:
        """Find the tutor in the file, or store him, and bind his functions."""
        return AssistantRunnable.get_or_create_assistant(
            tutor.NAME,
            tutor.INSTRUCTIONS,
            self.functions.all(),
            self.model,
            engine=engine,
            run_tools=True,
        )

    def said(self, speaker: str, text: str, style: str = "bold") -> None:
        """Write what somebody said."""
        self._transcript.said(speaker, text, style)

    def show_call(self, function: FunctionExecution) -> None:
        """Write what a function was called with, and what it returned."""
        self._transcript.show_call(function)

    def ask(
        self, assistant: AssistantRunnable, thread_id: str, question: str
    ) -> Exchange:
        """Ask on the thread, show the answer as it comes, check that the run ended."""
        self.functions.executions.clear()
        self.said("you", question)
        asked = {"content": question, "thread_id": thread_id}
        exchange = self._transcript.show(assistant.stream_run(asked), "tutor")
        run = exchange.run
        ended = f"{run.id} {run.status}" if run else "a run began"
        if run is not None and run.last_error is not None:
            ended += f": {run.last_error.message}"
        self.expect(exchange.completed, ended)
        return exchange

    def begin_scene(self, number: int, title: str) -> None:
        """Write a scene's heading."""
        self.console.print()
        self.console.print(Text(f"{number}  {title}", "bold"))
        self.console.print()

    def note(self, label: str, text: str) -> None:
        """Write a remark."""
        self._write(Text(label), Text(text), "dim")

    def expect(self, holds: bool, claim: str) -> None:
        """Check a promise: show it, and remember it if it does not hold."""
        if holds:
            self._write(Text("✓"), Text(claim), "green")
        else:
            self.broken.append(claim)
            self._write(Text("✗"), Text(claim), "bold red")

    def _write(self, label: Text, text: Text, style: str) -> None:
        label.align("right", MARGIN)
        for line in text.wrap(self.console, self.console.width - MARGIN - 4):
            line.rstrip()
            self.console.print(label, line, sep="  ", style=style, soft_wrap=True)
            label = Text(" " * MARGIN)
