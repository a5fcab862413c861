"""Shows a run in the terminal while it goes on: its words, its tool calls.

It starts no run and judges none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.status import Status
from rich.text import Text

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

_WORDS = re.compile(r"\s+|\S+")
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
        margin: Width of the column of speakers. Beside one, text is wrapped; without
            one it is left as it is, so that code can be copied.
    """

    def __init__(self, console: Console, *, margin: int = 0) -> None:
        """Begin on a fresh line."""
        self.console = console
        self._margin = margin
        self._column = 0
        self._gap = ""

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

    def _show(
        self, event: RunEvent, exchange: Exchange, speaker: str, status: Status
    ) -> None:
        match event.data:
            case MessageDelta() as delta:
                status.stop()
                if delta.text and not self._column:
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
                            self._show_call(call.function)
            case Run() as run:
                exchange.run = run
            case _:
                pass

    def _show_call(self, call: FunctionExecution) -> None:
        line = Text(" " * self._indent)
        if self._margin:
            line = Text(f"{'tool':>{self._margin}}  ", "cyan")
        line.append(printable(call.name), "bold cyan")
        line.append(f"({_arguments(call.arguments)})", "cyan")
        line.append(" → ", "dim")
        line.append(shortened(call.output or "", _LONGEST_OUTPUT))
        self.console.print(line, soft_wrap=not self._margin)

    @property
    def _indent(self) -> int:
        return self._margin + 2 if self._margin else 0

    def _begin(self, speaker: str, style: str) -> None:
        if self._margin:
            self.console.print(
                Text(f"{speaker:>{self._margin}}  ", style), end="", soft_wrap=True
            )
        self._column = self._indent

    def _write(self, piece: str) -> None:
        """Write a piece of text; words go to the next line where they do not fit."""
        text = printable(piece)
        if self._margin:
            text = "".join(self._wrapped(text))
        elif text:
            self._column += len(text)
        self.console.print(Text(text), end="", soft_wrap=True)

    def _wrapped(self, text: str) -> Iterator[str]:
        for part in _WORDS.findall(text):
            if part.isspace():
                self._gap = part
                continue
            breaks = "\n" in self._gap
            if breaks or self._column + len(self._gap) + len(part) > self._width:
                # A word that goes on from the last piece stays on its line.
                self._gap = "\n" + " " * self._indent if self._gap else ""
                self._column = self._indent if self._gap else self._column
            else:
                self._column += len(self._gap)
            self._column += len(part)
            yield self._gap + part
            self._gap = ""

    @property
    def _width(self) -> int:
        return max(self.console.width - 2, self._indent + 20)

    def _end_line(self) -> None:
        if self._column:
            self.console.print()
        self._column, self._gap = 0, ""


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
