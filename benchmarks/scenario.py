"""The conversation that every side plays: texts, tools and a model without latency."""

from __future__ import annotations

import asyncio
import itertools
import time

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, tool

from langchain_assistants.testing import ModelCall, Reply, ScriptedChatModel, call

QUESTION = (
    "I read that the tides follow the moon, yet the sea by our village rises twice a "
    "day and not once. Could you look up why that is, and explain it so that my "
    "daughter, who is nine, understands?"
)
FINDING = (
    "The moon pulls the near side of the earth's water towards itself and the earth "
    "away from the water on the far side. Both make a bulge; the earth turns through "
    "the two in a day and fifty minutes."
)
ANSWER = (
    "Think of the sea as a blanket of water. The moon tugs it on our side, and on the "
    "other side the earth is tugged away from under it, so there are two humps. We "
    "turn past both of them every day."
)
INSTRUCTIONS = "You are a patient tutor. Look things up before you explain them."

# Given, so that the model does not count the prompt: it is to cost the same always.
_USAGE = {"input_tokens": 200, "output_tokens": 50}
_TOOL_SECONDS = 0.2


class WrongAnswer(AssertionError):
    """Report a turn that did not end as scripted: its time would mean nothing."""


def scripted_model(
    *, calls: int = 1, delay: float = 0.0, token_delay: float = 0.0
) -> ScriptedChatModel:
    """Return a model that calls the first tool this often, at once, then answers.

    Args:
        calls: How often; 0: it answers.
        delay: Seconds before the first token.
        token_delay: Seconds between two tokens.
    """
    numbers = itertools.count()

    def respond(messages: list[BaseMessage], asked: ModelCall) -> Reply:
        if not calls or isinstance(messages[-1], ToolMessage):
            return Reply(ANSWER, usage=_USAGE)
        name = asked.tool_names[0]
        made = [
            call(name, {"topic": "tides"}, id=f"call_{next(numbers)}")
            for _ in range(calls)
        ]
        return Reply(tool_calls=made, usage=_USAGE)

    return ScriptedChatModel(
        respond=respond, record=False, delay=delay, token_delay=token_delay
    )


def check_answer(text: str) -> None:
    """Check that a turn ended with the scripted answer.

    Raises:
        WrongAnswer: It ended with another one.
    """
    if text != ANSWER:
        msg = f"A turn ended with another answer than the scripted one: {text!r}"
        raise WrongAnswer(msg)


@tool
def look_up(topic: str) -> str:
    """Look a topic up."""
    return FINDING


@tool
def slow_look_up(topic: str) -> str:
    """Look a topic up, blocking a thread for 200 ms."""
    time.sleep(_TOOL_SECONDS)
    return FINDING


async def _slow_look_up(topic: str) -> str:
    """Look a topic up, waiting for 200 ms."""
    await asyncio.sleep(_TOOL_SECONDS)
    return FINDING


slow_async_look_up: BaseTool = tool("slow_async_look_up")(_slow_look_up)
