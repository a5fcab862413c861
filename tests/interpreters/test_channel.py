"""What a worker says, as the host hears it: it believes nothing, and does not stall."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_assistants.interpreters.base import Displayed
from langchain_assistants.interpreters.local import channel
from langchain_assistants.interpreters.local.channel import Channel
from langchain_assistants.interpreters.local.worker_events import EventReader


@contextlib.contextmanager
def channel_pipe() -> Iterator[tuple[Channel, int]]:
    """A channel, and the worker's end of its events."""
    requests, to_worker = os.pipe()
    from_worker, events = os.pipe()
    talk = Channel(to_worker, from_worker)
    yield talk, events
    talk.close()
    os.close(requests)
    os.close(events)


@pytest.fixture
def pipe() -> Iterator[tuple[Channel, int]]:
    with channel_pipe() as made:
        yield made


async def fed(pipe: tuple[Channel, int], line: bytes) -> dict[str, Any] | None:
    """Send one long line as a worker does; return what comes of it."""
    talk, events = pipe

    def write() -> None:
        with open(events, "wb", closefd=False) as file:
            file.write(line + b"\n")

    _, event = await asyncio.gather(asyncio.to_thread(write), talk.receive())
    return event


@pytest.mark.parametrize(
    "inside", [b"{},", b'"",', b'"\\\\",', b"1,"], ids=["objects", "", "escapes", "1"]
)
async def test_a_line_of_many_small_things_is_not_even_read(
    pipe: tuple[Channel, int], inside: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", lambda line: pytest.fail("it was read"))
    assert await fed(pipe, b'{"x":[' + inside * 10_000 + b"1]}") is None


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
async def test_an_encoding_in_which_a_line_looks_flat_is_not_understood(
    pipe: tuple[Channel, int], encoding: str
) -> None:
    one_quote_in_bytes = "\u2200"
    line = f'{{"{one_quote_in_bytes}": [{{}}, {{}}]}}'
    assert await fed(pipe, line.encode()) == json.loads(line)
    assert await fed(pipe, line.encode(encoding)) is None


async def test_a_long_text_of_quotes_and_brackets_arrives(
    pipe: tuple[Channel, int],
) -> None:
    event = {"type": "stdout", "text": '{"a": "\\"}[],\n' * 50_000}
    assert await fed(pipe, json.dumps(event).encode()) == event


async def test_a_line_that_is_too_long_is_not_waited_for(
    pipe: tuple[Channel, int],
) -> None:
    talk, events = pipe
    line = b'{"x":"' + b"x" * channel.LONGEST_LINE + b'"}\n'
    writing = asyncio.create_task(asyncio.to_thread(write_all, events, line))
    assert await talk.receive() is None
    talk.close()
    await asyncio.wait([writing])


def write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    with contextlib.suppress(BrokenPipeError):
        while left:
            left = left[os.write(fd, left) :]


def test_long_forms_come_in_pieces() -> None:
    reader = EventReader()
    encoded = base64.b64encode(b"data").decode()

    def tell(*pieces: object) -> None:
        for piece in pieces:
            assert reader.read({"type": "piece", "text": piece}) is None

    def shown(**forms: Any) -> Displayed | None:
        event = {"type": "display", "text": {}, "data": {}, **forms}
        found = reader.read(event)
        assert found is None or isinstance(found, Displayed)
        return found

    tell("one, ", "two", 3, encoded[:3], encoded[3:])
    forms = {"text": {"a/b": 2, "a/c": "short"}, "data": {"a/d": 2}}
    assert shown(**forms) == Displayed(
        {"a/b": "one, two", "a/c": "short", "a/d": b"data"}
    )
    assert shown(**forms) == Displayed({"a/c": "short"})  # they were used up
    tell(*["x" * 1_000_000] * 20)
    assert shown(text={"a/b": 20}) is None


@pytest.mark.parametrize(("limit", "most"), [("MOST_LINES", 5), ("MOST_BYTES", 14)])
async def test_lines_that_say_nothing_are_counted(
    pipe: tuple[Channel, int],
    limit: str,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel, limit, most)
    talk, events = pipe
    os.write(events, b"{}\n" * 20)
    for _ in range(2):
        await talk.send(number=1)
        read = 0
        while await talk.receive() is not None:
            read += 1
        assert read in (5, 7)


async def test_a_flood_of_lines_lets_others_run(pipe: tuple[Channel, int]) -> None:
    talk, events = pipe
    os.write(events, b"{}\n" * 2_000)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    for _ in range(2_000):
        assert await talk.receive() == {}
    running.cancel()
    assert turns >= 20


@pytest.mark.parametrize("mime", ["a/b\nc", "a/b\r", "a/\u00e9", "a/\x00"])
def test_a_display_under_a_name_that_is_none_is_dropped(mime: str) -> None:
    event = {"type": "display", "text": {"a/b+c.d; e=f": "x"}, "data": {}}
    read = EventReader().read
    assert read(event) == Displayed({"a/b+c.d; e=f": "x"})
    assert read({**event, "text": {mime: "x"}}) is None
