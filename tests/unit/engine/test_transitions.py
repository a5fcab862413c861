from __future__ import annotations

from typing import get_args

import pytest

from langchain_assistants.engine.transitions import (
    TRANSITIONS,
    Trigger,
    allows,
    is_terminal,
)
from langchain_assistants.types.runs import (
    ACTIVE_STATUSES,
    TERMINAL_STATUSES,
    RunStatus,
)

STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)

# The original's state machine, as (trigger, from, to); RELEASE is ours.
EDGES = {
    ("claim", "queued", "in_progress"),
    ("require_action", "in_progress", "requires_action"),
    ("submit_tool_outputs", "requires_action", "queued"),
    ("complete", "in_progress", "completed"),
    ("complete", "cancelling", "completed"),
    ("exhaust", "in_progress", "incomplete"),
    ("exhaust", "cancelling", "incomplete"),
    ("fail", "queued", "failed"),
    ("fail", "in_progress", "failed"),
    ("fail", "cancelling", "failed"),
    ("request_cancel", "queued", "cancelling"),
    ("request_cancel", "in_progress", "cancelling"),
    ("request_cancel", "requires_action", "cancelling"),
    ("cancel", "cancelling", "cancelled"),
    ("expire", "queued", "expired"),
    ("expire", "in_progress", "expired"),
    ("expire", "requires_action", "expired"),
    ("release", "in_progress", "queued"),
}


def test_the_table_holds_exactly_the_transitions_of_the_original() -> None:
    table = {
        (trigger.value, source, transition.target)
        for trigger, transition in TRANSITIONS.items()
        for source in transition.sources
    }
    assert table == EDGES


def test_every_trigger_has_one_entry() -> None:
    assert set(TRANSITIONS) == set(Trigger)


@pytest.mark.parametrize("status", sorted(TERMINAL_STATUSES))
def test_no_trigger_leads_out_of_a_terminal_status(status: RunStatus) -> None:
    assert is_terminal(status)
    assert not any(allows(trigger, status) for trigger in Trigger)


@pytest.mark.parametrize("status", sorted(ACTIVE_STATUSES))
def test_every_active_status_leads_to_an_end(status: RunStatus) -> None:
    assert not is_terminal(status)
    reached, frontier = {status}, [status]
    while frontier:
        at = frontier.pop()
        for transition in TRANSITIONS.values():
            if at in transition.sources and transition.target not in reached:
                reached.add(transition.target)
                frontier.append(transition.target)
    assert reached & TERMINAL_STATUSES


def test_every_status_is_reached_from_queued() -> None:
    targets = {transition.target for transition in TRANSITIONS.values()}
    assert targets == set(STATUSES)
