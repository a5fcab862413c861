"""Short ways to set a scene: assistants, threads, tools, and what events say."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_assistants import AssistantsEngine
from langchain_assistants.testing import Reply, call
from langchain_assistants.types import Assistant, Run, RunEvent, Thread

TIMEOUT = 20.0
"""Seconds after which a test that hangs fails; no test waits for it to pass."""


def function(name: str, **fields: Any) -> dict[str, Any]:
    """Return a function tool as on the wire."""
    parameters = {"type": "object", "properties": {"q": {"type": "string"}}}
    described = {"name": name, "parameters": parameters}
    return {"type": "function", "function": described, **fields}


def hosted(name: str) -> dict[str, Any]:
    """Return a tool that the engine executes."""
    return function(name, run_on="engine")


def assistant_with(engine: AssistantsEngine, *tools: str, **fields: Any) -> Assistant:
    """Store an assistant with functions of these names."""
    entries = [function(name) for name in tools]
    return engine.assistants.create(**{"model": "m", "tools": entries, **fields})


def thread_with(engine: AssistantsEngine, *texts: str) -> Thread:
    """Store a thread of user messages."""
    return engine.threads.create(messages=[user(text) for text in texts])


def user(text: str) -> dict[str, Any]:
    """Return the body of a user message."""
    return {"role": "user", "content": text}


def calls(*ids: str, name: str = "look_up") -> Reply:
    """Return an answer that calls a function once per id."""
    return Reply(tool_calls=[call(name, {"q": id}, id) for id in ids])


def outputs(*ids: str) -> list[dict[str, str]]:
    """Return outputs for calls."""
    return [{"tool_call_id": id, "output": f"output of {id}"} for id in ids]


def texts(engine: AssistantsEngine, thread_id: str) -> list[str]:
    """Return the texts of a thread, oldest first."""
    return [message.text for message in engine.messages.list(thread_id, order="asc")]


def names(events: Iterable[RunEvent]) -> list[str]:
    """Return the names of events, with runs of deltas as one."""
    found: list[str] = []
    for event in events:
        name = event.event.removeprefix("thread.")
        if not (name.endswith("delta") and found and found[-1] == name):
            found.append(name)
    return found


def data_of(events: Sequence[RunEvent], name: str) -> Any:
    """Return the object of the one event with a name."""
    [found] = [event.data for event in events if event.event == f"thread.{name}"]
    return found


class Gate:
    """Holds a model or a tool until it is opened, and tells when it has come there."""

    def __init__(self) -> None:
        """Begin closed."""
        self.reached = threading.Event()
        self.opened = threading.Event()

    def is_set(self) -> bool:
        """Tell a scripted reply whether it may start."""
        self.reached.set()
        return self.opened.is_set()

    def open(self) -> None:
        """Let everybody through."""
        self.opened.set()

    def wait_until_reached(self) -> None:
        """Wait until somebody stands before the gate."""
        assert self.reached.wait(TIMEOUT), "nobody came to the gate"

    def pass_through(self) -> None:
        """Stand before the gate until it opens."""
        self.reached.set()
        assert self.opened.wait(TIMEOUT), "the gate was never opened"


def wait(engine: AssistantsEngine, run: Run) -> Run:
    """Wait for a run's stop."""
    return engine.runs.wait(run.id, timeout=TIMEOUT)
