"""What is said and done: messages that name their tools, the model, the tools.

A message reads `ann-3: charge+ship, ask`: the model makes the calls of the first turn,
then those of the second, then it answers. So it needs to remember nothing, and whoever
reads the thread later knows what has to be there.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolCallId
from tests.chaos.journal import Journal
from tests.dialogue import assert_paired

from langchain_assistants.testing import Reply, ScriptedChatModel, call

SCRIPTS = (
    "",
    "charge",
    "ship",
    "charge+ship",
    "charge+ship+charge, ship",
    "charge, ship, charge",
    "ask",
    "ask+charge",
    "charge, ask+ask+ship",
)
LONG = "charge, ship, charge, ship, charge, ship, ask"
"""Takes more than a second."""


def message(name: str, number: int, script: str) -> str:
    """Return what a user says."""
    return f"{name}-{number}: {script}"


def answer_to(text: str) -> str:
    """Return the final answer to a message."""
    return f"Answer to {text.partition(':')[0]} is ready now."


def turns_of(text: str) -> list[list[str]]:
    """Return the tools that a message asks for, turn by turn."""
    turns = text.partition(":")[2].split(",")
    return [turn.strip().split("+") for turn in turns if turn.strip()]


def model(journal: Journal, chance: random.Random) -> ScriptedChatModel:
    """Return a model that follows the newest message, slowly."""

    def respond(messages: Sequence[BaseMessage], _: Any) -> Reply:
        newest = max(n for n, m in enumerate(messages) if isinstance(m, HumanMessage))
        text = messages[newest].text
        try:
            assert_paired(messages)
        except AssertionError:
            shape = [(m.type, m.id, getattr(m, "tool_calls", None)) for m in messages]
            journal.note("unpaired", text=text, messages=repr(shape))
        done = [m for m in messages[newest:] if isinstance(m, AIMessage)]
        turn = sum(bool(m.tool_calls) for m in done)
        turns = turns_of(text)
        delay = chance.uniform(0.01, 0.15)
        if turn >= len(turns):
            return Reply(answer_to(text), delay=delay)
        calls = [
            call(name, {"item": f"item {turn}.{place}"}, f"call_{uuid.uuid4().hex}")
            for place, name in enumerate(turns[turn])
        ]
        said = f"Turn {turn}." if turn % 2 else ""
        return Reply(said, tool_calls=calls, delay=delay)

    return ScriptedChatModel(respond=respond, token_delay=0.003, record=False)


def tools(journal: Journal, chance: random.Random) -> list[Callable[..., Any]]:
    """Return the tools that are executed: their effects are lines of the journal."""

    def begin(config: RunnableConfig, call_id: str) -> dict[str, str]:
        execution = {
            "run": config["metadata"]["run_id"],
            "call": call_id,
            "execution": uuid.uuid4().hex,
        }
        journal.note("tool_begun", **execution)
        return execution

    def end(execution: dict[str, str]) -> str:
        output = f"done by {execution['execution']}"
        journal.note("tool_ended", **execution, output=output)
        return output

    async def charge(
        item: str,
        config: RunnableConfig,
        call_id: Annotated[str, InjectedToolCallId],
    ) -> str:
        """Charge the customer."""
        execution = begin(config, call_id)
        await asyncio.sleep(chance.uniform(0.01, 0.4))
        return end(execution)

    def ship(
        item: str,
        config: RunnableConfig,
        call_id: Annotated[str, InjectedToolCallId],
    ) -> str:
        """Ship the goods."""
        execution = begin(config, call_id)
        time.sleep(chance.uniform(0.01, 0.4))
        return end(execution)

    return [charge, ship]


ASK = {
    "type": "function",
    "function": {
        "name": "ask",
        "description": "Ask the customer.",
        "parameters": {
            "type": "object",
            "properties": {"item": {"type": "string"}},
            "required": ["item"],
        },
    },
}
"""The function that the run's caller executes."""
