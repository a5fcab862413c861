"""What the wire is read with: server-sent events, and the SDK's refusals."""

from __future__ import annotations

import pytest

from langchain_assistants.backends.wire.sdk import Frame, FrameDecoder

STREAM = (
    b": ping\n\n"
    b'event: thread.run.created\ndata: {"id": "run_1"}\n\n'
    b"id: 1.2\r\nevent: x\r\ndata: one\r\ndata:two\r\n\r\n"
    b"event: nothing\n\n"
    b"data: \xe2\x80\xa8 a line of its own to some\n\n"
    b"event: done\ndata: [DONE]\n\n"
    b"event: cut\ndata: of"
)
FRAMES = [
    Frame("thread.run.created", '{"id": "run_1"}'),
    Frame("x", "one\ntwo"),
    Frame(None, "\u2028 a line of its own to some"),
    Frame("done", "[DONE]"),
]


@pytest.mark.parametrize("size", [1, 2, 7, len(STREAM)])
def test_events_are_read_wherever_the_stream_is_cut(size: int) -> None:
    decoder = FrameDecoder()
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert [f for piece in pieces for f in decoder.feed(piece)] == FRAMES
