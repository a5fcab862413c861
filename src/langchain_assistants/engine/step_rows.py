"""Rows of run steps and of the tool-call ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, Select, exists, insert, select, text, update
from sqlalchemy.dialects.sqlite import insert as insert_once

from langchain_assistants.engine.call_types import answer, is_open
from langchain_assistants.engine.listing import Listing
from langchain_assistants.engine.run_changes import StepStatus
from langchain_assistants.engine.run_rows import to_usage
from langchain_assistants.storage.database import (
    Query,
    Row,
    Statement,
    Transaction,
    from_json,
    param,
    storable,
    to_json,
)
from langchain_assistants.storage.tables import run_steps as table
from langchain_assistants.storage.tables import runs, tool_outputs
from langchain_assistants.types.steps import RunStep

PREFIX = "step_"
KIND = "run step"

StepType: TypeAlias = Literal["message_creation", "tool_calls"]

_COLUMNS = [*table.c, runs.c.assistant_id]
_INSERT = Statement(insert(table).values({c.name: param(c.name) for c in table.c}))
_UPDATE = Statement(
    update(table)
    .where(
        table.c.run_id == param("run_id"),
        table.c.seq == param("seq"),
        # A step that its run's end has closed stays so, whatever comes in late.
        text("status IN ('in_progress', 'completed')"),
    )
    .values(
        status=param("status"), details=param("details"), ended_at=param("ended_at")
    )
)
_OWNED = select(*_COLUMNS).join(runs, runs.c.id == table.c.run_id)
BY_ID = Statement(
    _OWNED.where(table.c.id == param("id"), runs.c.tenant == param("tenant"))
)
OF_RUN = Listing(_OWNED, table.c.seq, table.c.run_id == param("run_id"))
_ALL_OF_RUN = Statement(
    select(*_COLUMNS)
    .join(runs, runs.c.id == table.c.run_id)
    .where(table.c.run_id == param("run_id"))
    .order_by(table.c.seq)
)

# Only while the run is this attempt's: a tool that outlives its run leaves nothing.
_RECORD = Statement(
    insert_once(tool_outputs)
    .from_select(
        [c.name for c in tool_outputs.c],
        select(*(param(c.name) for c in tool_outputs.c)).where(
            exists().where(
                runs.c.id == param("run_id"),
                runs.c.attempt == param("attempt"),
                text("runs.status IN ('in_progress', 'cancelling')"),
            )
        ),
    )
    .on_conflict_do_nothing()
)
_RECORDED = Statement(
    select(tool_outputs.c.tool_call_id, tool_outputs.c.output).where(
        tool_outputs.c.run_id == param("run_id")
    )
)


def select_tool_calls(*where: ColumnElement[bool]) -> Select[Any]:
    """Select the steps of a thread that call tools, from the position `low` on."""
    columns = (table.c.id, table.c.run_id, table.c.position)
    return select(*columns, table.c.status, table.c.details).where(
        table.c.thread_id == param("thread_id"),
        # Literal, as in the partial index that serves it.
        text("type = 'tool_calls'"),
        table.c.position >= param("low"),
        *where,
    )


@dataclass(slots=True)
class StepDraft:
    """A step while its run executes; `seq` counts the steps of the run."""

    id: str
    run_id: str
    thread_id: str
    seq: int
    turn: int
    type: StepType
    details: dict[str, Any]
    created_at: float
    position: int = 0
    status: StepStatus = "in_progress"
    last_error: Mapping[str, str] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    ended_at: float | None = None

    def insert(self) -> Query:
        """Return the query that stores the step for the first time."""
        return _INSERT(
            run_id=self.run_id,
            seq=self.seq,
            id=self.id,
            thread_id=self.thread_id,
            turn=self.turn,
            position=self.position,
            type=self.type,
            status=self.status,
            details=to_json(self.details),
            last_error=None if self.last_error is None else to_json(self.last_error),
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            metadata=None,
            created_at=self.created_at,
            ended_at=self.ended_at,
        )

    def update(self) -> Query:
        """Return the query that stores what changed since."""
        return _UPDATE(
            run_id=self.run_id,
            seq=self.seq,
            status=self.status,
            details=to_json(self.details),
            ended_at=self.ended_at,
        )

    def count(self, prompt: int, completion: int) -> None:
        """Note the tokens of the model call that the step belongs to."""
        self.prompt_tokens, self.completion_tokens = prompt, completion

    def end(
        self,
        status: StepStatus,
        now: float,
        last_error: Mapping[str, str] | None = None,
    ) -> None:
        """Give the step its final status."""
        self.status, self.ended_at = status, now
        self.last_error = last_error if status == "failed" else None

    def answer(
        self, call_id: str, output: str | Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Set what came of one of its calls; return it, if there is such a call."""
        calls = self.details.get("tool_calls", ())
        found = next((call for call in calls if call["id"] == call_id), None)
        if found is not None:
            answer(found, storable(output) if isinstance(output, str) else output)
        return found

    def open_calls(self) -> list[dict[str, Any]]:
        """Return the calls of which nothing has come yet."""
        return [c for c in self.details.get("tool_calls", ()) if is_open(c)]

    def to_step(self, assistant_id: str) -> RunStep:
        """Return the wire's object for the step as it is now."""
        ended = None if self.ended_at is None else int(self.ended_at)
        counted = self.prompt_tokens is not None and self.status != "in_progress"
        fields: dict[str, Any] = {
            "step_details": self.details,
            "last_error": self.last_error,
        }
        return RunStep(
            **fields,
            id=self.id,
            created_at=int(self.created_at),
            assistant_id=assistant_id,
            thread_id=self.thread_id,
            run_id=self.run_id,
            type=self.type,
            status=self.status,
            expired_at=ended if self.status == "expired" else None,
            cancelled_at=ended if self.status == "cancelled" else None,
            failed_at=ended if self.status == "failed" else None,
            completed_at=ended if self.status == "completed" else None,
            usage=(
                to_usage(self.prompt_tokens or 0, self.completion_tokens or 0)
                if counted
                else None
            ),
            metadata={},
        )


def to_draft(row: Row) -> StepDraft:
    """Return a stored step as a draft (when its run is resumed)."""
    return StepDraft(
        id=row["id"],
        run_id=row["run_id"],
        thread_id=row["thread_id"],
        seq=row["seq"],
        turn=row["turn"],
        type=row["type"],
        details=from_json(row["details"]),
        created_at=row["created_at"],
        position=row["position"],
        status=row["status"],
        last_error=from_json(row["last_error"]),
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        ended_at=row["ended_at"],
    )


def to_step(row: Row) -> RunStep:
    """Return the wire's object for a row joined with its run's assistant."""
    step = to_draft(row).to_step(row["assistant_id"])
    step.metadata = from_json(row["metadata"]) or {}
    return step


def steps_of(run_id: str) -> Transaction[list[Row]]:
    """Read all steps of a run, oldest first."""
    return (yield _ALL_OF_RUN(run_id=run_id))


def record_output(run_id: str, call_id: str, attempt: int, output: bytes) -> Query:
    """Return the query that notes a tool's output in the ledger; the first counts."""
    return _RECORD(run_id=run_id, tool_call_id=call_id, attempt=attempt, output=output)


def recorded_outputs(run_id: str) -> Transaction[dict[str, bytes]]:
    """Read the ledger of a run."""
    rows = yield _RECORDED(run_id=run_id)
    return {row["tool_call_id"]: row["output"] for row in rows}
