"""The demo's tutor: his two functions, and the script that plays his model.

The script answers from the messages that it is shown, and from nothing else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_assistants.testing import (
    ModelCall,
    Reply,
    ScriptedChatModel,
    Step,
    call,
)

SCRIPTED = "scripted"
NAME = "Astronomy tutor"
INSTRUCTIONS = (
    "You are an astronomy tutor. Answer in one or two sentences. Compute with your "
    "functions, in parallel where you can, never in your head."
)
STUDENT = "Ada"
GREETING = f"Hello, I am {STUDENT}. What is an astronomical unit?"
TWO_QUESTIONS = (
    "Neptune is 30.07 astronomical units from the Sun. How old is the sunlight that "
    "reaches it, and how long is its year?"
)
FOLLOW_UP = "What is my name, and how long was Neptune's year?"
EARLIER_FACTS = (STUDENT, "164.9")
"""What the answer to the follow-up can only know from the thread."""

SERVICE_SECONDS = 0.4


class Execution(NamedTuple):
    """When a function really ran, by the clock of `time.perf_counter`."""

    function: str
    began: float
    ended: float


class Functions:
    """The tutor's functions, and the record of their executions."""

    def __init__(self) -> None:
        """Begin with an empty record."""
        self.executions: list[Execution] = []

    def all(self) -> list[Callable[..., Any]]:
        """Return the functions as tools take them: plain ones, with docstrings."""

        def light_minutes(distance_au: float) -> float:
            """Return the minutes light needs for a distance in astronomical units."""
            seconds = distance_au * 149_597_870.7 / 299_792.458
            return self._served("light_minutes", round(seconds / 60, 1))

        def year_length(distance_au: float) -> float:
            """Return the years of an orbit at a distance in astronomical units."""
            return self._served("year_length", round(distance_au**1.5, 1))

        return [light_minutes, year_length]

    @property
    def seconds(self) -> float:
        """How long the executions took, from the first begin to the last end."""
        if not self.executions:
            return 0.0
        began = min(one.began for one in self.executions)
        return max(one.ended for one in self.executions) - began

    def _served(self, function: str, result: float) -> float:
        """Answer as late as a web service would."""
        began = time.perf_counter()
        time.sleep(SERVICE_SECONDS)
        self.executions.append(Execution(function, began, time.perf_counter()))
        return result


def scripted_model() -> ScriptedChatModel:
    """Return the model that stands in for an LLM when none is asked for."""
    return ScriptedChatModel(
        respond=_answer, model=SCRIPTED, delay=0.15, token_delay=0.015, record=False
    )


def _answer(messages: list[BaseMessage], asked: ModelCall) -> Step:
    last = messages[-1]
    if isinstance(last, ToolMessage):
        found = _outputs(messages)
        return (
            f"The sunlight at Neptune is {found.get('light_minutes')} minutes old, and "
            f"its year lasts {found.get('year_length')} of ours: Kepler's third law."
        )
    if last.text == TWO_QUESTIONS:
        distance = {"distance_au": 30.07}
        return Reply(tool_calls=[call(name, distance) for name in asked.tool_names])
    if last.text == FOLLOW_UP:
        return _remembered(messages[:-1])
    return (
        f"Hello {_name(messages)}! An astronomical unit is the mean distance from the "
        "Earth to the Sun, about 149.6 million kilometres: light takes 8.3 minutes."
    )


def _remembered(earlier: list[BaseMessage]) -> str:
    name, years = _name(earlier), _outputs(earlier).get("year_length")
    if name is None or years is None:
        return "I was shown no earlier message that says so."
    return (
        f"You are {name}, as you said at the start, and Neptune's year lasts {years} "
        "years, as year_length returned: both stand in the messages I was just shown."
    )


def _name(messages: list[BaseMessage]) -> str | None:
    for message in messages:
        found = re.search(r"\bI am (\w+)", message.text)
        if isinstance(message, HumanMessage) and found:
            return found[1]
    return None


def _outputs(messages: list[BaseMessage]) -> dict[str, str]:
    """Return the newest output of each function, by the function's name."""
    names = {
        made["id"]: made["name"]
        for message in messages
        if isinstance(message, AIMessage)
        for made in message.tool_calls
    }
    return {
        names[message.tool_call_id]: message.text
        for message in messages
        if isinstance(message, ToolMessage) and message.tool_call_id in names
    }
