"""What the model says in the scenarios of the clients."""

from __future__ import annotations

from langchain_core.messages import BaseMessage

from langchain_assistants.testing import ModelCall, Reply, ScriptedChatModel, call


class Never:
    """A signal that does not come: the reply that waits for it has to be cancelled."""

    def is_set(self) -> bool:
        """Say that it has not come."""
        return False


def respond(messages: list[BaseMessage], asked: ModelCall) -> Reply:
    """Call every function at once, then answer; or say hello, or think for ever."""
    last = messages[-1]
    if last.type == "tool":
        return Reply("In the Big Apple it is 22 degrees.")
    if asked.tool_names:
        city = {"city": "New York"}
        return Reply(tool_calls=[call(name, city) for name in asked.tool_names])
    if last.text == "Think long.":
        return Reply(wait_for=Never())
    return Reply("Hello, you.")


def model() -> ScriptedChatModel:
    """Return a model that answers as long as it is asked."""
    return ScriptedChatModel([], respond=respond)
