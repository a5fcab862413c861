"""Where the demo plays: a console, a database file, a tutor, and what must hold.

Both of the demo's processes set one up; what is played is in `demo` and `follow_up`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.terminal import tutor
from langchain_assistants.terminal.transcript import Exchange, Transcript

MARGIN = 9


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
        self.held = 0
        self.broken: list[str] = []
        self._transcript = Transcript(self.console, margin=MARGIN)

    @contextmanager
    def engine(self) -> Iterator[AssistantsEngine]:
        """Open the file with the script's model, or with LangChain's by its name."""
        chat_model = tutor.scripted_model() if self.scripted else None
        with AssistantsEngine(
            f"sqlite:///{self.file}", chat_model=chat_model
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

    def ask(
        self, assistant: AssistantRunnable, thread_id: str, question: str
    ) -> Exchange:
        """Ask on the thread, show the answer as it comes, check that the run ended."""
        self.functions.executions.clear()
        self._transcript.said("you", question)
        asked = {"content": question, "thread_id": thread_id}
        with closing(assistant.stream_run(asked)) as events:
            exchange = self._transcript.show(events, "tutor")
        run = exchange.run
        ended = f"{run.id} {run.status}" if run else "no run was told of"
        if run is not None and run.last_error is not None:
            ended += f": {run.last_error.message}"
        self.expect(exchange.completed, ended)
        return exchange

    def begin_scene(self, number: int, title: str) -> None:
        """Begin a scene."""
        self.console.print()
        self.console.print(Text(f"{number}  {title}", "bold"))

    def expect(self, holds: bool, claim: str) -> None:
        """Check a promise: show it, and remember it if it does not hold."""
        mark, style = ("✓", "green") if holds else ("✗", "bold red")
        self._line(Text(f"{mark:>{MARGIN}}  ", style), Text(claim, style))
        if holds:
            self.held += 1
        else:
            self.broken.append(claim)

    def note(self, text: str) -> None:
        """Write a remark."""
        self._line(Text(" " * (MARGIN + 2)), Text(text, "dim"))

    def _line(self, label: Text, text: Text) -> None:
        for line in text.wrap(self.console, self.console.width - MARGIN - 4):
            self.console.print(label, line, sep="", soft_wrap=True)
            label = Text(" " * (MARGIN + 2))
