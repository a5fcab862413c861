"""What a run asks of its caller, and the outputs that the caller submits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langgraph.types import Interrupt

from langchain_assistants.engine.run_changes import (
    Ending,
    claim_run,
    end_run,
    submit_outputs,
)
from langchain_assistants.engine.run_graph import CLIENT_CALL
from langchain_assistants.engine.run_rows import Claim, run_row
from langchain_assistants.engine.step_rows import steps_of, to_draft
from langchain_assistants.engine.transitions import Trigger
from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.storage.database import Row, Transaction, from_json
from langchain_assistants.types.steps import RunStep


class Submission(NamedTuple):
    """A run that goes on, and the step that its outputs completed, if they did."""

    row: Row
    step: RunStep | None


def required_action(interrupts: Sequence[Interrupt]) -> dict[str, Any]:
    """Return what to store: the wire's action, and which interrupt each answer resumes.

    Human-in-the-loop middleware interrupts before the calls do: its questions come
    first, as an extension type of action.
    """
    calls, requests, by_id = [], [], {}
    for item in interrupts:
        value = item.value
        if isinstance(value, Mapping) and CLIENT_CALL in value:
            call_id = value[CLIENT_CALL]
            function = {"name": value["name"], "arguments": value["arguments"]}
            calls.append({"id": call_id, "type": "function", "function": function})
            by_id[call_id] = item.id
        else:
            requests.append({"id": item.id, "value": value})
            by_id[item.id] = item.id
    if requests:
        action: dict[str, Any] = {
            "type": "approval",
            "approval": {"requests": requests},
        }
        if calls:
            action["submit_tool_outputs"] = {"tool_calls": calls}
    else:
        action = {
            "type": "submit_tool_outputs",
            "submit_tool_outputs": {"tool_calls": calls},
        }
    return {"action": action, "interrupts": by_id}


def submit(
    run_id: str,
    tenant: str,
    outputs: Sequence[Mapping[str, Any]],
    claim: Claim,
    now: float,
    task: str | None = None,
    *,
    claimed: bool = True,
) -> Transaction[Submission]:
    """Accept the outputs of all open calls, in any order.

    Args:
        run_id: A run in `requires_action`.
        tenant: Whose run it is.
        outputs: `{tool_call_id, output}`; an approval's output may be any JSON object.
        claim: Whose the run is from now on.
        now: The time.
        task: The id of the graph task that submits, if one does.
        claimed: Whether it is executed at once, or queued.

    Raises:
        InvalidRequestError: The run waits for no outputs, or for others.
    """
    row = yield from run_row(run_id, tenant)
    if row["status"] != "requires_action":
        raise InvalidRequestError(
            f'Runs in status "{row["status"]}" do not accept tool outputs.'
        )
    required = from_json(row["required_action"])
    interrupts: Mapping[str, str] = required["interrupts"]
    expected, got = list(interrupts), [item["tool_call_id"] for item in outputs]
    if sorted(expected) != sorted(got):
        raise InvalidRequestError(
            f"Expected tool outputs for call_ids {expected}, got {got}"
        )
    by_id = {item["tool_call_id"]: item["output"] for item in outputs}
    calls = required["action"].get("submit_tool_outputs", {}).get("tool_calls", ())
    functions = {call["id"] for call in calls}
    for index, item in enumerate(outputs):
        if item["tool_call_id"] in functions and not isinstance(item["output"], str):
            raise InvalidRequestError(
                f"Invalid type for 'tool_outputs[{index}].output': expected a string, "
                "but got an object instead.",
                code="invalid_type",
                param=f"tool_outputs[{index}].output",
            )
    step = yield from _fill_step(row, by_id, now)
    answers = {interrupts[call_id]: output for call_id, output in by_id.items()}
    row = yield from submit_outputs(row, answers, claim, now, task)
    if claimed:
        begun = yield from claim_run(run_id, tenant, claim, now)
        assert begun is not None, "a run that was just queued can be claimed"
        row = begun
    return Submission(row, step)


def finish(
    run_id: str,
    tenant: str,
    outputs: Sequence[Mapping[str, Any]],
    claim: Claim,
    now: float,
    task: str | None = None,
) -> Transaction[Row]:
    """Complete a run with the outputs it waited for, without asking the model again.

    Raises:
        InvalidRequestError: The run waits for no outputs, or for others.
    """
    submission = yield from submit(run_id, tenant, outputs, claim, now, task)
    return (yield from end_run(submission.row, Ending(Trigger.COMPLETE), now))


def _fill_step(
    row: Row, outputs: Mapping[str, Any], now: float
) -> Transaction[RunStep | None]:
    """Write the outputs into the open step; return it if that completes it."""
    steps = yield from steps_of(row["id"])
    if not steps or steps[-1]["status"] != "in_progress":
        return None
    draft = to_draft(steps[-1])
    for call in draft.open_calls():
        if call["id"] in outputs:
            call["function"]["output"] = outputs[call["id"]]
    completed = not draft.open_calls()
    if completed:
        draft.status, draft.ended_at = "completed", now
    yield draft.update()
    return draft.to_step(row["assistant_id"]) if completed else None
