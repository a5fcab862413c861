"""The invariants, checked over what a run of chaos has left: rows, triggers, journal.

Each check has the name of its invariant and yields what contradicts it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.journal import Entry
from tests.chaos.script import answer_to, turns_of
from tests.chaos.users import OUTPUT, is_dense
from tests.stored import ACTIVE, contradictions, everything, rows

from langchain_assistants import AssistantsEngine
from langchain_assistants.engine.transitions import TRANSITIONS

Row = dict[str, Any]

# Why a run may have failed: its processes were killed, one after the other.
_EXCUSE = "The process that executed the run died"
_ALLOWED = {
    (source, target) for sources, target in TRANSITIONS.values() for source in sources
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is to be checked, at rest.

    Attributes:
        tables: The rows of the engine's tables.
        changes: The runs' changes of status, holder and attempt, in order.
        outputs: The entries of the ledger, in order; the ledger itself is emptied.
        journal: What happened outside.
        problems: What was seen to go wrong.
    """

    tables: dict[str, list[Row]]
    changes: Sequence[Row]
    outputs: Sequence[Row]
    journal: Sequence[Entry]
    problems: Sequence[str] = ()

    @classmethod
    def read(
        cls,
        engine: AssistantsEngine,
        journal: Sequence[Entry],
        problems: Sequence[str],
    ) -> Evidence:
        """Read an engine's file, and what the triggers have written in it."""
        return cls(
            everything(engine),
            rows(engine, "SELECT * FROM chaos_changes ORDER BY number"),
            rows(engine, "SELECT * FROM chaos_outputs ORDER BY number"),
            journal,
            problems,
        )

    def noted(self, what: str) -> Iterator[Entry]:
        """Yield the journal's entries of one kind."""
        return (entry for entry in self.journal if entry["what"] == what)


def one_active_run_per_thread(evidence: Evidence) -> Iterator[str]:
    holders: dict[str, set[str]] = {}
    for change in evidence.changes:
        holding = holders.setdefault(change["thread"], set())
        holding.discard(change["run"])
        if change["head"] and change["status"] in ACTIVE:
            holding.add(change["run"])
        if len(holding) > 1:
            yield f"{change['thread']} was held by {sorted(holding)} at once"


def terminal_status_never_changes(evidence: Evidence) -> Iterator[str]:
    for change in evidence.changes:
        was, status = change["was"], change["status"]
        if was not in (None, status) and (was, status) not in _ALLOWED:
            yield f"{change['run']} went from {was} to {status}"


def every_tool_call_has_an_output_before_the_next_model_call(
    evidence: Evidence,
) -> Iterator[str]:
    for entry in evidence.noted("unpaired"):
        yield f"the model was asked {entry['text']!r} with {entry['messages']}"


def every_output_is_that_of_an_execution(evidence: Evidence) -> Iterator[str]:
    returned: dict[str, set[str]] = {}
    for entry in evidence.noted("tool_ended"):
        returned.setdefault(entry["call"], set()).add(entry["output"])
    for step in evidence.tables["run_steps"]:
        for call in json.loads(step["details"]).get("tool_calls", ()):
            name, output = call["function"]["name"], call["function"]["output"]
            known = {OUTPUT} if name == "ask" else returned.get(call["id"], set())
            if output is not None and output not in known:
                yield f"{step['run_id']}: {call['id']} shows {output!r}, not of {known}"


def no_thread_left_busy(evidence: Evidence) -> Iterator[str]:
    yield from evidence.problems
    for run in evidence.tables["runs"]:
        if run["status"] in ACTIVE:
            yield f"{run['id']} is {run['status']} for ever on {run['thread_id']}"
    for entry in evidence.noted("left_busy"):
        yield f"the caller of {entry['text']!r} went away and left {entry['status']}"


def a_finished_tool_call_is_never_executed_again(evidence: Evidence) -> Iterator[str]:
    recorded: dict[tuple[str, str], float] = {}
    for output in evidence.outputs:
        key = output["run"], output["call"]
        if key in recorded:
            yield f"{key} was recorded twice"
        recorded[key] = output["at"]
    for entry in evidence.noted("tool_begun"):
        at = recorded.get((entry["run"], entry["call"]))
        if at is not None and entry["at"] > at + 0.001:  # SQLite's clock counts ms
            late = entry["at"] - at
            yield f"{entry['run']}: {entry['call']} began {late:.3f} s after its record"


def no_message_is_lost_or_doubled(evidence: Evidence) -> Iterator[str]:
    tables = evidence.tables
    found = Counter(
        (message["thread_id"], _text(message))
        for message in tables["messages"]
        if message["role"] == "user"
    )
    # Those of a run that ended before its turn came were never said on the thread.
    found += Counter(
        (run["thread_id"], text)
        for run in tables["runs"]
        for text in _waiting_texts(run)
    )
    said = {(e["thread"], e["text"]) for e in evidence.noted("says")}
    accepted = {(e["thread"], e["text"]) for e in evidence.noted("accepted")}
    rejected = {(e["thread"], e["text"]) for e in evidence.noted("rejected")}
    for message in said | set(found):
        count = found[message]
        if count > 1 or (message in accepted and count == 0):
            yield f"{message} was said once, and is there {count} times"
        elif message not in said or (message in rejected and count):
            yield f"{message} is there, but nobody's"
    for thread in tables["threads"]:
        numbers = sorted(
            message["seq"]
            for message in tables["messages"]
            if message["thread_id"] == thread["id"]
        )
        if numbers != list(range(1, thread["last_seq"] + 1)):
            yield f"the messages of {thread['id']} are numbered {numbers}"


def every_completed_run_has_done_its_work_once(evidence: Evidence) -> Iterator[str]:
    asked = {
        answer_to(_text(message)): turns_of(_text(message))
        for message in evidence.tables["messages"]
        if message["role"] == "user"
    }
    for run in evidence.tables["runs"]:
        if run["status"] != "completed":
            continue
        texts = [
            _text(message)
            for message in evidence.tables["messages"]
            if message["run_id"] == run["id"]
        ]
        answers = [text for text in texts if text in asked]
        if len(answers) != 1 or len(set(texts)) < len(texts):
            yield f"{run['id']} is completed, and wrote {texts}"
            continue
        made = [
            [
                call["function"]["name"]
                for call in json.loads(step["details"])["tool_calls"]
            ]
            for step in evidence.tables["run_steps"]
            if step["run_id"] == run["id"] and step["type"] == "tool_calls"
        ]
        # A message that an earlier run had begun to answer needs only the rest.
        wanted = asked[answers[0]]
        if made != wanted[len(wanted) - len(made) :]:
            yield f"{run['id']} was asked for {wanted}, and made {made}"


def no_run_fails_without_a_reason(evidence: Evidence) -> Iterator[str]:
    for run in evidence.tables["runs"]:
        if run["status"] == "failed" and _EXCUSE not in run["last_error"]:
            yield f"{run['id']} failed: {run['last_error']}"
    for entry in evidence.noted("surprise"):
        yield f"a user met {entry['error']}"


def outputs_are_submitted_once(evidence: Evidence) -> Iterator[str]:
    taken = Counter(
        (entry["run"], *sorted(entry["calls"])) for entry in evidence.noted("submitted")
    )
    for calls, count in taken.items():
        if count > 1:
            yield f"the outputs of {calls} were taken {count} times"


def event_numbers_are_dense(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.noted("heard"):
        if not is_dense(entry["events"]):
            yield f"somebody heard {entry['events']}"


def pages_never_repeat_or_skip(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.noted("misread"):
        yield f"{entry['thread']}, {entry['size']} a page, was read as {entry['read']}"


def rows_agree(evidence: Evidence) -> Iterator[str]:
    yield from contradictions(evidence.tables)


CHECKS: tuple[Callable[[Evidence], Iterable[str]], ...] = (
    one_active_run_per_thread,
    terminal_status_never_changes,
    every_tool_call_has_an_output_before_the_next_model_call,
    every_output_is_that_of_an_execution,
    no_thread_left_busy,
    a_finished_tool_call_is_never_executed_again,
    no_message_is_lost_or_doubled,
    every_completed_run_has_done_its_work_once,
    no_run_fails_without_a_reason,
    outputs_are_submitted_once,
    event_numbers_are_dense,
    pages_never_repeat_or_skip,
    rows_agree,
)


def violations(evidence: Evidence) -> list[tuple[str, str]]:
    """Return the invariants that do not hold, each with what contradicts it."""
    return [(check.__name__, found) for check in CHECKS for found in check(evidence)]


def _text(message: Row) -> str:
    return _said(json.loads(message["content"]))


def _said(parts: Sequence[Row]) -> str:
    return "".join(part["text"]["value"] for part in parts)


def _waiting_texts(run: Row) -> list[str]:
    if run["head"] or run["waiting_messages"] is None:
        return []
    # As `NewMessage` orders them: id, role, content.
    waiting = json.loads(run["waiting_messages"])
    return [_said(json.loads(content)) for _, _, content, *_ in waiting]
