"""How a run's events become lines of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from langchain_assistants.terminal.transcript import (
    Exchange,
    Transcript,
    printable,
    shortened,
)
from langchain_assistants.types import (
    EventName,
    Message,
    MessageDelta,
    Run,
    RunEvent,
    RunStep,
    WireObject,
)

RUN = Run(
    id="run_1",
    created_at=1,
    thread_id="thread_1",
    assistant_id="asst_1",
    status="completed",
    model="scripted",
)


def event(name: EventName, data: WireObject | None) -> RunEvent:
    return RunEvent(name, data, "1.1")


def piece(text: str) -> RunEvent:
    part = {"index": 0, "type": "text", "text": {"value": text}}
    delta = {"content": [part]}
    return event("thread.message.delta", MessageDelta(id="msg_1", delta=delta))


def message(*content: dict[str, Any]) -> RunEvent:
    ended = Message(
        id="msg_1",
        created_at=1,
        thread_id="thread_1",
        role="assistant",
        content=list(content),
    )
    return event("thread.message.completed", ended)


def called(name: str, arguments: str, output: str) -> RunEvent:
    function = {"name": name, "arguments": arguments, "output": output}
    step = RunStep(
        id="step_1",
        created_at=1,
        assistant_id="asst_1",
        thread_id="thread_1",
        run_id="run_1",
        type="tool_calls",
        status="completed",
        step_details={
            "type": "tool_calls",
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
    )
    return event("thread.run.step.completed", step)


def shown(
    events: Sequence[RunEvent], *, margin: int = 0, width: int = 40
) -> tuple[list[str], Exchange]:
    file = StringIO()
    console = Console(file=file, width=width, highlight=False)
    exchange = Transcript(console, margin=margin).show(events, "tutor")
    return file.getvalue().splitlines(), exchange


def test_text_goes_into_a_pipe_as_it_is() -> None:
    text = "def f():\n\n    return 'a line that is longer than the terminal is wide'"

    lines, exchange = shown([*map(piece, text.partition(" ")), message()])

    assert lines == text.splitlines()
    assert exchange.answer == text
    assert exchange.pieces == 3


def test_beside_the_speakers_words_are_wrapped_under_each_other() -> None:
    pieces = ["A word", " goes on", "to", " the next line where it", " does not fit."]

    lines, _ = shown([*map(piece, pieces), message()], margin=6, width=30)

    assert lines == [
        " tutor  A word goes onto the",
        "        next line where it",
        "        does not fit.",
    ]


def test_a_tool_call_is_written_with_its_arguments_and_its_output() -> None:
    events = [called("add", '{"a": 1, "b": "\\u00e9"}', "two\nlines"), piece("3")]

    lines, exchange = shown(events)

    assert lines == ['add(a=1, b="é") → two lines', "3"]
    assert [call.name for call in exchange.calls] == ["add"]


def test_malformed_arguments_are_written_as_they_are() -> None:
    lines, _ = shown([called("add", "a=1", "Error")])
    assert lines == ["add(a=1) → Error"]


def test_a_refusal_is_written() -> None:
    lines, _ = shown([message({"type": "refusal", "refusal": "I cannot help."})])
    assert lines == ["I cannot help."]


def test_the_exchange_knows_the_runs_end_and_every_event() -> None:
    _, exchange = shown([event("thread.run.completed", RUN), event("done", None)])
    assert exchange.completed
    assert exchange.run == RUN
    assert exchange.events == ["thread.run.completed", "done"]


def test_a_stream_that_breaks_leaves_the_cursor_on_a_new_line() -> None:
    file = StringIO()
    transcript = Transcript(Console(file=file, width=40))

    def breaks() -> Any:
        yield piece("Half an")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transcript.show(breaks())
    assert file.getvalue() == "Half an\n"


def test_control_characters_never_reach_the_terminal() -> None:
    assert printable("a\x1b]0;title\x07b\r\x9bc\td\n") == "a]0;titlebc\td\n"
    lines, _ = shown([piece("\x1b[2J"), called("f", '{"x": "\\u001b[2J"}', "\x1b[2J")])
    assert "\x1b" not in "".join(lines)


def test_a_long_text_is_shortened_to_one_line() -> None:
    assert shortened("one\n  two", 20) == "one two"
    assert shortened("one two three", 8) == "one two…"
