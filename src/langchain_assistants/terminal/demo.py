"""The command `demo`: an assistant at work in five scenes, each with its checks."""

from __future__ import annotations

import itertools
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from rich.box import ROUNDED
from rich.console import JustifyMethod
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from langchain_assistants.errors import AssistantsError, ConfigurationError
from langchain_assistants.terminal import stored, take_over, tutor
from langchain_assistants.terminal.model_choice import check_model
from langchain_assistants.terminal.stage import Stage
from langchain_assistants.terminal.transcript import Exchange, shortened

THREAD_KEY = "demo"

# A test executes these lines as they stand.
EIGHT_LINES = '''\
from langchain_assistants import AssistantRunnable, AssistantsEngine
def light_minutes(distance_au: float) -> float:
    """Return the minutes that light needs for a distance."""
    return distance_au * 8.3167
tutor = AssistantRunnable.get_or_create_assistant(
    "Tutor", "Be brief.", [light_minutes], "openai:gpt-4o", run_tools=True,
    engine=AssistantsEngine("sqlite:///tutor.db"))
print(tutor.invoke({"content": "How far is Mars?", "thread_key": "ada"})[-1].text)
'''

_SECOND_PROCESS_SECONDS = 300.0


def demo(*, model: str | None = None, database: str | None = None) -> int:
    """Play the demo.

    Args:
        model: A name for `init_chat_model`; None: a scripted model, no LLM.
        database: The SQLite file to write; None: a new one in the temporary folder.

    Returns:
        The exit code: 0 only if every check of every scene held.

    Raises:
        ConfigurationError: The model cannot be made, or the database is no file.
    """
    began = time.monotonic()
    if model is not None:
        check_model(model)
    stage = Stage(_file(database), model or tutor.SCRIPTED)
    _show_title(stage)
    try:
        thread_id = _play_first_process(stage)
        _play_second_process(stage, thread_id)
        stage.begin_scene(4, "A process is killed while its tools run: another goes on")
        take_over.play(stage, thread_id)
        _show_file(stage, thread_id)
    except AssistantsError as error:
        stage.expect(False, str(error))
    else:
        _show_what_next(stage, thread_id, temporary=database is None)
    return _verdict(stage, time.monotonic() - began)


def _file(database: str | None) -> Path:
    if database is None:
        folder = tempfile.mkdtemp(prefix="langchain-assistants-demo-")
        return Path(folder, "tutor.db")
    if "://" in database:
        raise ConfigurationError(
            "The demo reads its SQLite file past the engine: give --database a path."
        )
    return Path(database).absolute()


def _show_title(stage: Stage) -> None:
    label = (
        Text(" scripted model: no LLM is called ", "black on yellow")
        if stage.scripted
        else Text(f" {stage.model} ", "black on green")
    )
    stage.console.print()
    stage.console.print(Text("langchain-assistants demo  ", "bold"), label, sep="")


def _play_first_process(stage: Stage) -> str:
    """Play the first two scenes and return the thread's id."""
    with stage.engine() as engine:
        stage.begin_scene(1, "An assistant answers on a thread, token by token")
        assistant = stage.assistant(engine)
        thread = engine.threads.get_or_create(key=THREAD_KEY)
        stage.note("assistant", f"{assistant.assistant_id}  {tutor.NAME!r}")
        stage.note("thread", f"{thread.id}  key {THREAD_KEY!r}")
        greeting = stage.ask(assistant, thread.id, tutor.GREETING)
        stage.expect(greeting.pieces > 0, f"streamed in {greeting.pieces} pieces")
        stage.note("events", _told(greeting.events))

        stage.begin_scene(2, "Two Python functions called in parallel")
        _check_calls(stage, stage.ask(assistant, thread.id, tutor.TWO_QUESTIONS))
    return thread.id


def _told(events: Iterable[str]) -> str:
    """Write the names of events in order, repeated ones once with their number."""
    runs = ((name, len(list(same))) for name, same in itertools.groupby(events))
    return " · ".join(
        name.removeprefix("thread.") + (f" x {times}" if times > 1 else "")
        for name, times in runs
    )


def _check_calls(stage: Stage, exchange: Exchange) -> None:
    calls, functions = exchange.calls, stage.functions
    if not stage.scripted and not calls:
        stage.note("tool", f"{stage.model} chose to call no function this time")
        return
    answered = all(call.output is not None for call in calls)
    stage.expect(answered, f"{len(calls)} calls, each with its output")
    ran = len(functions.executions)
    stage.expect(
        ran == len(calls) == 2 or not stage.scripted,
        f"{ran} Python functions of {tutor.SERVICE_SECONDS} s each ran, in "
        f"{functions.seconds:.2f} s together",
    )


def _play_second_process(stage: Stage, thread_id: str) -> None:
    stage.begin_scene(3, "A second process goes on in the same thread")
    module = "langchain_assistants.terminal.follow_up"
    command = [sys.executable, "-m", module, str(stage.file), thread_id, stage.model]
    # It writes to the same terminal, after this process; Ctrl-C reaches this one only,
    # which then ends it.
    sys.stdout.flush()
    try:
        code = subprocess.run(
            command, start_new_session=True, timeout=_SECOND_PROCESS_SECONDS
        ).returncode
    except subprocess.TimeoutExpired as error:
        stage.expect(False, f"the second process ended within {error.timeout:.0f} s")
    else:
        stage.expect(code == 0, f"the second process ended with exit code {code}")


def _show_file(stage: Stage, thread_id: str) -> None:
    stage.begin_scene(5, "Where the conversation lies")
    counts = stored.row_counts(stage.file)
    tables = _table("table", "rows", "what it holds")
    for name, purpose in stored.CONTENTS.items():
        tables.add_row(name, str(counts[name]), Text(purpose, "dim"))
    stage.console.print(tables)

    messages = _table("role", "newest messages")
    width = stage.console.width - 18
    for role, text in stored.newest_messages(stage.file, thread_id, limit=4):
        messages.add_row(role, shortened(text, width))
    stage.console.print(messages)

    stage.expect(counts["messages"] >= 8, "every question and every answer is a row")
    left = counts["run_checkpoints"] + counts["tool_outputs"]
    stage.expect(left == 0, "runs that ended left only their messages and steps")


def _table(*headings: str) -> Table:
    table = Table(box=ROUNDED, border_style="dim", header_style="bold")
    for heading in headings:
        justify: JustifyMethod = "right" if heading == "rows" else "left"
        table.add_column(heading, justify=justify)
    table.columns[0].style = "cyan"
    return table


def _show_what_next(stage: Stage, thread_id: str, *, temporary: bool) -> None:
    file = shlex.quote(str(stage.file))
    rubbish = f"-r {shlex.quote(str(stage.file.parent))}" if temporary else file
    size = f"({stage.file.stat().st_size // 1024} kB)"
    model = "" if stage.scripted else f" --model {stage.model}"
    stage.console.print()
    for label, text in {
        "the file": f"{file} {size}",
        "delete it": f"rm {rubbish}",
        "or the thread": f"engine.threads.delete({thread_id!r})",
        "go on talking": f"langchain-assistants chat --database {file} "
        f"--thread {THREAD_KEY}{model}",
    }.items():
        line = Text(f"{label:<15}", "dim").append(text, "not dim")
        stage.console.print(line, soft_wrap=True)
    stage.console.print()
    stage.console.print(Text("The same with your model and your function:", "bold"))
    stage.console.print()
    code = Syntax("", "python", theme="ansi_dark").highlight(EIGHT_LINES)
    stage.console.print(code, soft_wrap=True)


def _verdict(stage: Stage, seconds: float) -> int:
    if not stage.broken:
        said = Text(f"Every check held, in {seconds:.1f} s.", "green")
        stage.console.print(said)
        return 0
    said = Text("\nWhat did not hold:", "bold red")
    stage.console.print(said)
    for claim in stage.broken:
        stage.console.print(Text(f"  {claim}", "red"))
    return 1
