"""The one table of run-state transitions.

Source: the run life cycle of the Assistants API v2. Every UPDATE of a run's status is
built from this table, so a status can change in no other way.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, get_args

from langchain_assistants.types.runs import (
    ACTIVE_STATUSES,
    TERMINAL_STATUSES,
    RunStatus,
)


class Trigger(StrEnum):
    """What makes a run change its status."""

    CLAIM = "claim"
    REQUIRE_ACTION = "require_action"
    SUBMIT_TOOL_OUTPUTS = "submit_tool_outputs"
    COMPLETE = "complete"
    EXHAUST = "exhaust"
    FAIL = "fail"
    REQUEST_CANCEL = "request_cancel"
    CANCEL = "cancel"
    EXPIRE = "expire"
    RELEASE = "release"


class Transition(NamedTuple):
    """From which statuses a trigger leads to which."""

    sources: frozenset[RunStatus]
    target: RunStatus


def _transition(target: RunStatus, *sources: RunStatus) -> Transition:
    return Transition(frozenset(sources), target)


TRANSITIONS: dict[Trigger, Transition] = {
    Trigger.CLAIM: _transition("in_progress", "queued"),
    Trigger.REQUIRE_ACTION: _transition("requires_action", "in_progress"),
    Trigger.SUBMIT_TOOL_OUTPUTS: _transition("queued", "requires_action"),
    # A cancel is not guaranteed: a run may finish before the stop is seen.
    Trigger.COMPLETE: _transition("completed", "in_progress", "cancelling"),
    Trigger.EXHAUST: _transition("incomplete", "in_progress", "cancelling"),
    Trigger.FAIL: _transition("failed", "queued", "in_progress", "cancelling"),
    Trigger.REQUEST_CANCEL: _transition(
        "cancelling", "queued", "in_progress", "requires_action"
    ),
    Trigger.CANCEL: _transition("cancelled", "cancelling"),
    Trigger.EXPIRE: _transition("expired", "queued", "in_progress", "requires_action"),
    # Its worker gives it back after a database error: somebody executes it again.
    Trigger.RELEASE: _transition("queued", "in_progress"),
}


def allows(trigger: Trigger, status: str) -> bool:
    """Tell whether a run in this status may take this transition."""
    return status in TRANSITIONS[trigger].sources


def is_terminal(status: str) -> bool:
    """Tell whether a run in this status never changes again."""
    return status in TERMINAL_STATUSES


assert set(get_args(RunStatus)) == ACTIVE_STATUSES | TERMINAL_STATUSES
