"""The command `chat`: talk to an assistant in the terminal, or through a pipe."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from langchain_assistants import AssistantRunnable, AssistantsEngine, Settings
from langchain_assistants.engine.location import database_url
from langchain_assistants.errors import AssistantsError, ConfigurationError, run_error
from langchain_assistants.terminal.model_choice import check_model, default_model
from langchain_assistants.terminal.transcript import Transcript, printable
from langchain_assistants.terminal.typed import QUOTES, Keyboard

NAME = "chat"
HISTORY_LENGTH = 20
HELP = f"""\
/new       begin a new thread; this one stays where it is
/history   show the last {HISTORY_LENGTH} messages of this thread
/help      show this
/quit      leave, as Ctrl-D does
{QUOTES}        begin a message of several lines, and end it with the same
Ctrl-C     stop the answer that is being written"""


def chat(
    *,
    model: str | None = None,
    thread: str = NAME,
    tools: str | None = None,
    instructions: str | None = None,
    database: str | None = None,
) -> int:
    """Talk until the person leaves or the pipe ends.

    Args:
        model: A name for `init_chat_model`; None: the default, if there is a key.
        thread: The key of the thread to begin or to go on with.
        tools: `module:name` of the tools to import.
        instructions: What the assistant is to do.
        database: A SQLite file or a URL; None: the default engine's.

    Returns:
        The exit code.

    Raises:
        AssistantsError: The model, the tools or the database cannot be used, or a
            message from a pipe was not answered.
    """
    functions = imported_tools(tools) if tools else []
    model = model or default_model()
    check_model(model)
    with _engine(database) as engine:
        assistant = AssistantRunnable.get_or_create_assistant(
            NAME,
            instructions or "",
            functions,
            model,
            engine=engine,
            run_tools=bool(functions),
        )
        conversation = Chat(engine, assistant, thread)
        if not sys.stdin.isatty():
            conversation.answer(sys.stdin)
            return 0
        conversation.introduce(model)
        conversation.talk()
    return 0


def imported_tools(place: str) -> list[Any]:
    """Import a tool or a list of tools from `module:name`.

    The working directory is looked at first, as `python -m` does.

    Raises:
        ConfigurationError: There is no such module or name, or it holds no tools.
    """
    module_name, _, name = place.partition(":")
    if not module_name or not name:
        raise ConfigurationError(
            f"--tools {place} names no tools: write MODULE:NAME, where NAME is a "
            "function, a LangChain tool or a list of them."
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    # Anything may go wrong in a module of somebody else's.
    except Exception as error:
        raise ConfigurationError(
            f"--tools {place}: importing {module_name} raised "
            f"{type(error).__name__}: {error}"
        ) from error
    found = getattr(module, name, None)
    if isinstance(found, list | tuple):
        return list(found)
    if callable(found) or hasattr(found, "invoke"):
        return [found]
    raise ConfigurationError(
        f"--tools {place}: {module_name} has no function, tool or list named {name}."
    )


def _engine(database: str | None) -> AssistantsEngine:
    settings = Settings()
    # Runs of other processes are not taken over: their tools may be missing here.
    return AssistantsEngine(
        database_url(database, settings), settings=settings, recover=False
    )


class Chat:
    """A conversation on a thread, and the commands that concern it."""

    def __init__(
        self, engine: AssistantsEngine, assistant: AssistantRunnable, key: str
    ) -> None:
        """Find the thread with the key, or begin it."""
        self._engine = engine
        self._assistant = assistant
        self._key = key
        self._thread = engine.threads.get_or_create(key=key)
        self._console = Console(highlight=False)
        self._transcript = Transcript(self._console)
        self._commands: dict[str, Callable[[], None]] = {
            "/new": self._begin_new_thread,
            "/history": self._show_history,
            "/help": lambda: self._note(HELP),
        }

    def introduce(self, model: str) -> None:
        """Say who answers, where it is kept and how to leave."""
        self._console.print(Text(f"langchain-assistants chat  {model}", "bold"))
        scheme, _, rest = self._engine.url.partition("://")
        # Of a server's address the password stays out.
        place = rest[1:] if scheme == "sqlite" else rest.rpartition("@")[2]
        self._note(f"Thread {self._key!r} in {place}")
        if self._engine.messages.list(self._thread.id, limit=1).data:
            self._note("The conversation goes on; /history shows what was said.")
        self._note("/help lists the commands, Ctrl-D leaves.")

    def talk(self) -> None:
        """Answer what is typed until Ctrl-D or /quit."""
        keyboard = Keyboard("you> ", bold=self._console.color_system is not None)
        while True:
            self._console.print()
            try:
                text = keyboard.message()
            except KeyboardInterrupt:
                self._console.print()
                self._note("Ctrl-D leaves.")
                continue
            except EOFError:
                self._console.print()
                return
            if text.strip() in ("/quit", "/exit"):
                return
            try:
                self._react(text)
            except KeyboardInterrupt:
                self._note("Stopped; the thread is free.")
            except AssistantsError as error:
                self._console.print(Text(f"error: {printable(str(error))}", "red"))

    def answer(self, lines: Iterable[str]) -> None:
        """Answer each line, until one fails; blank ones are left out.

        Raises:
            AssistantsError: A line was not answered; the ones after it were not read.
        """
        for line in lines:
            if text := line.strip():
                self._ask(text)

    def _react(self, text: str) -> None:
        word = text.strip()
        if command := self._commands.get(word):
            command()
        elif word.startswith("/") and word[1:].isalpha():
            self._note(f"There is no {word}.\n{HELP}")
        elif word:
            self._console.print()
            self._ask(text)

    def _ask(self, text: str) -> None:
        asked = {"content": text, "thread_id": self._thread.id}
        run = self._transcript.show(self._assistant.stream_run(asked)).run
        if run is not None and run.status != "completed":
            raise run_error(run)

    def _begin_new_thread(self) -> None:
        self._key = f"{NAME}-{time.strftime('%Y-%m-%d-%H%M%S')}"
        self._thread = self._engine.threads.get_or_create(key=self._key)
        self._note(f"New thread: --thread {self._key} comes back to it.")

    def _show_history(self) -> None:
        newest = self._engine.messages.list(self._thread.id, limit=HISTORY_LENGTH)
        for message in reversed(newest.data):
            speaker = "you" if message.role == "user" else "assistant"
            self._console.print(Text(f"{speaker}> ", "bold"), end="")
            self._console.print(Text(printable(message.text)))

    def _note(self, text: str) -> None:
        self._console.print(Text(text, "dim"), soft_wrap=True)
