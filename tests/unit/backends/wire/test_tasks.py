"""Which messages of a graph a thread on a server has not taken yet."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_assistants.backends.base import RunOrder
from langchain_assistants.backends.wire.tasks import known_run_or_order, marked


class Thread:
    """A server whose thread has messages with these marks, the newest first."""

    def __init__(self, *sources: str, more: bool) -> None:
        self.page: dict[str, Any] = {
            "data": [
                {"id": f"msg_{place}", "metadata": {"graph_message": source}}
                for place, source in enumerate(sources)
            ],
            "has_more": more,
        }

    async def get(self, path: str, query: Any = None) -> Any:
        assert path == "/threads/thread_1/messages"
        return self.page


def order(*sources: str) -> RunOrder:
    messages = [{"role": "user", "content": source} for source in sources]
    return RunOrder("thread_1", messages, {}, {}, source_ids=sources)


@pytest.mark.parametrize(
    ("more", "given", "new"),
    [
        (False, ["a", "b"], ["a", "b"]),
        (False, ["k1", "b"], ["b"]),
        (False, ["a", "k1", "b", "k2", "c"], ["a", "b", "c"]),
        (True, ["a", "k1", "b", "k2", "c"], ["b", "c"]),
        (True, ["a", "b"], ["a", "b"]),
        (True, ["msg_1", "b"], ["b"]),
        (False, ["k1", "k2"], []),
    ],
)
async def test_what_a_thread_has_taken_is_left_out(
    more: bool, given: list[str], new: list[str]
) -> None:
    wire: Any = Thread("k2", "k1", more=more)
    found = await known_run_or_order(wire, "thread_1", order(*given))
    assert isinstance(found, RunOrder)
    assert list(found.source_ids) == new
    assert [message["content"] for message in found.messages] == new


def test_an_id_that_is_no_value_of_metadata_is_no_mark() -> None:
    first, second = marked(order("x" * 513, "y")).messages
    assert "metadata" not in first
    assert second["metadata"] == {"graph_message": "y"}
