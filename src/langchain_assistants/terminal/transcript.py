"""Shows a run in the terminal while it goes on: its words, its tool calls.

It starts no run and judges none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.status import Status
from rich.text import Text

from langchain_assistants.terminal.wrapping import WordWrap
from langchain_assistants.types import (
    FunctionCall,
    FunctionExecution,
    Message,
    MessageDelta,
    RefusalContent,
    Run,
    RunEvent,
    RunStep,
    RunStepDelta,
    ToolCallsDetails,
)

_CONTROLS = {
    code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"
}
_LONGEST_OUTPUT = 400


def printable(text: str) -> str:
    """Drop the control characters but line breaks and tabs.

    A model or a tool may have read a page that wants to command the terminal.
    """
    return text.translate(_CONTROLS)


def shortened(text: str, width: int) -> str:
    """Return the text on one line of at most this width."""
    line = " ".join(printable(text).split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


@dataclass
class Exchange:
    """What one run did, as its events told.

    Attributes:
        run: The run as it was told last.
        answer: The text of its messages.
        calls: Its finished function calls, with their outputs.
        events: The names of its events, in order.
    """

    run: Run | None = None
    answer: str = ""
    calls: list[FunctionExecution] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    @property
    def completed(self) -> bool:
        """Whether the run reached its regular end."""
        return self.run is not None and self.run.status == "completed"

    @property
    def pieces(self) -> int:
        """In how many pieces the text came."""
        return self.events.count("thread.message.delta")


class Transcript:
    """Writes conversations to a console.

    Args:
        console: Where to; a spinner shows only on a real terminal.
        margin: Width of the column of speakers; 0: there is none. Text is wrapped
            beside one and on a terminal, and goes into a pipe as it is.
    """

    def __init__(self, console: Console, *, margin: int = 0) -> None:
        """Begin on a fresh line."""
        self.console = console
        self._margin = margin
        self._wrap: WordWrap | None = None

    def said(self, speaker: str, text: str, style: str = "bold") -> None:
        """Write what somebody said."""
        self._begin(speaker, style)
        self._write(text)
        self._end_line()

    def show(self, events: Iterator[RunEvent], speaker: str = "") -> Exchange:
        """Write a run's events as they come, until they end.

        When writing is interrupted the events are closed, which cancels the run.
        """
        exchange = Exchange()
        with self.console.status("", spinner="dots") as status:
            try:
                for event in events:
                    exchange.events.append(event.event)
                    self._show(event, exchange, speaker, status)
            finally:
                self._end_line()
                if isinstance(events, Generator):
                    events.close()
        return exchange

    def show_call(self, call: FunctionExecution) -> None:
        """Write a function call with its output, on a line of its own."""
        self._begin("tool", "cyan")
        line = Text(printable(call.name), "bold cyan")
        line.append(f"({_arguments(call.arguments)})", "not bold cyan")
        line.append(" → ", "dim")
        line.append(shortened(call.output or "", _LONGEST_OUTPUT), "none")
        self.console.print(line, soft_wrap=True)
        self._wrap = None

    def _show(
        self, event: RunEvent, exchange: Exchange, speaker: str, status: Status
    ) -> None:
        match event.data:
            case MessageDelta() as delta:
                status.stop()
                self._begin(speaker, "bold green")
                self._write(delta.text)
                exchange.answer += delta.text
            case Message() as message if event.event == "thread.message.completed":
                self._end_line()
                for refusal in _refusals(message):
                    self.said(speaker, refusal, "bold red")
                status.start()
            case RunStepDelta() as delta:
                for name in _begun_calls(delta):
                    status.update(Text(f"calling {name} …", "dim"))
            case RunStep(step_details=ToolCallsDetails(tool_calls=calls)):
                if event.event == "thread.run.step.completed":
                    status.update("")
                    for call in calls:
                        if isinstance(call, FunctionCall):
                            exchange.calls.append(call.function)
                            self.show_call(call.function)
            case Run() as run:
                exchange.run = run
            case _:
                pass

    def _begin(self, speaker: str, style: str) -> None:
        """Begin a line, if none is open."""
        if self._wrap is not None:
            return
        indent = 0
        if self._margin:
            label = Text(f"{speaker:>{self._margin}}  ", style)
            self.console.print(label, end="", soft_wrap=True)
            indent = self._margin + 2
        wraps = self._margin or self.console.is_terminal
        self._wrap = WordWrap(self.console.width - 1 if wraps else sys.maxsize, indent)

    def _write(self, piece: str) -> None:
        if self._wrap is not None:
            self._print(self._wrap.add(printable(piece)))

    def _end_line(self) -> None:
        if self._wrap is not None:
            self._print(self._wrap.rest() + "\n")
        self._wrap = None

    def _print(self, text: str) -> None:
        self.console.print(Text(text), end="", soft_wrap=True)


def _begun_calls(delta: RunStepDelta) -> Iterator[str]:
    details = delta.delta.step_details
    for call in (details and details.tool_calls) or ():
        if call.function is not None and call.function.name:
            yield printable(call.function.name)


def _refusals(message: Message) -> Iterator[str]:
    for part in message.content:
        if isinstance(part, RefusalContent):
            yield part.refusal


def _arguments(raw: str) -> str:
    """Write JSON arguments as Python would; what is no JSON object stays as it is."""
    try:
        given = json.loads(raw)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        return shortened(raw, _LONGEST_OUTPUT)
    pairs = (
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in given.items()
    )
    return shortened(", ".join(pairs), _LONGEST_OUTPUT)
