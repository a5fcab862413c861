"""The node that asks a person whether the calls of an answer may be executed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langchain.agents.middleware.human_in_the_loop import (
    ActionRequest,
    HITLRequest,
    ReviewConfig,
)
from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.runnables import Runnable, RunnableLambda

from langchain_assistants.errors import InvalidRequestError
from langchain_assistants.graph.messages import EDITED, open_calls
from langchain_assistants.outer_graph import ask

_DECISIONS = ("approve", "edit", "reject", "respond")
_SHAPE = (
    'Resume with {"decisions": [{"type": "approve"}, ...]}, one for each requested '
    "action, with a dict of decisions by tool call id, or with True or False for all."
)


def approval_node(
    asked: Collection[str],
) -> Runnable[Any, Any]:
    """Return a node that asks about calls of some tools, all of one answer at once.

    The value of its interrupt is LangChain's `HITLRequest`; each action also names its
    tool call.
    """

    def approval(state: dict[str, Any]) -> dict[str, Any]:
        answer = open_calls(state["messages"])
        calls = [] if answer is None else answer.tool_calls
        reviewed = [call for call in calls if call["name"] in asked]
        if answer is None or not reviewed:
            return {}
        given = ask(_request(reviewed), lambda given: _decisions(given, reviewed))
        return _applied(answer, _decisions(given, reviewed))

    return RunnableLambda(approval)


def _request(calls: Sequence[ToolCall]) -> HITLRequest:
    actions = [
        ActionRequest(
            name=call["name"],
            args=call["args"],
            description=f"{call['name']} asks to be executed",
        )
        | {"tool_call_id": call["id"]}
        for call in calls
    ]
    return HITLRequest(
        action_requests=actions,  # type: ignore[typeddict-item]
        review_configs=[
            ReviewConfig(action_name=name, allowed_decisions=list(_DECISIONS))  # type: ignore[arg-type]
            for name in dict.fromkeys(call["name"] for call in calls)
        ],
    )


def _decisions(answer: Any, calls: Sequence[ToolCall]) -> dict[str, Mapping[str, Any]]:
    """Return the decision for each call, by its id.

    Raises:
        InvalidRequestError: The answer has another shape, or names other calls.
    """
    ids = [call["id"] or "" for call in calls]
    given: Any = answer
    if isinstance(given, bool):
        given = dict.fromkeys(ids, given)
    elif isinstance(given, Mapping) and isinstance(given.get("decisions"), list):
        decisions = given["decisions"]
        if len(decisions) != len(ids):
            raise _wrong(f"{len(decisions)} decisions for {len(ids)} actions")
        given = dict(zip(ids, decisions, strict=True))
    elif isinstance(given, Mapping) and "type" in given and len(ids) == 1:
        given = {ids[0]: given}
    if not isinstance(given, Mapping):
        raise _wrong(f"a {type(answer).__name__}")
    if unknown := [key for key in given if key not in ids]:
        raise _wrong(f"the key {unknown[0]!r}, which is no call that waits here")
    if missing := [call_id for call_id in ids if call_id not in given]:
        raise _wrong(f"no decision for the call {missing[0]}")
    return {call_id: _decision(given[call_id]) for call_id in ids}


def _decision(given: Any) -> Mapping[str, Any]:
    if isinstance(given, bool):
        return {"type": "approve" if given else "reject"}
    if isinstance(given, str) and given in ("approve", "reject"):
        return {"type": given}
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind not in _DECISIONS:
        raise _wrong(f"a decision that is none of {', '.join(_DECISIONS)}")
    if kind == "edit":
        action = given.get("edited_action")
        if (
            not isinstance(action, Mapping)
            or not isinstance(action.get("args"), dict)
            or not isinstance(action.get("name", ""), str)
        ):
            raise _wrong('an "edit" without edited_action: {"name", "args"}')
    message = given.get("message")
    if not isinstance(message, str) and (kind == "respond" or message is not None):
        raise _wrong(f'a "{kind}" whose message is no text')
    decision: Mapping[str, Any] = given
    return decision


def _wrong(what: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The tool calls still wait for approval: the resume value has {what}. "
        f"{_SHAPE}",
        code="invalid_value",
        param="resume",
    )


def _applied(
    answer: AIMessage, decisions: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the answer with edited calls, and outputs in place of refused ones."""
    calls: list[ToolCall] = []
    outputs: list[ToolMessage] = []
    notes: dict[str, str] = {}
    for call in answer.tool_calls:
        decision = decisions.get(call["id"] or "", {"type": "approve"})
        if decision["type"] == "edit":
            edited = decision["edited_action"]
            name = edited.get("name") or call["name"]
            call = ToolCall(
                name=name, args=edited["args"], id=call["id"], type="tool_call"
            )
            shown = json.dumps(edited["args"], ensure_ascii=False)
            notes[call["id"] or ""] = f"A person changed this to {name}({shown}).\n"
        elif decision["type"] in ("reject", "respond"):
            outputs.append(_instead(call, decision))
        calls.append(call)
    if notes:
        kwargs = {**answer.additional_kwargs, EDITED: notes}
        changes = {"tool_calls": calls, "additional_kwargs": kwargs}
        return {"messages": [answer.model_copy(update=changes), *outputs]}
    return {"messages": outputs}


def _instead(call: ToolCall, decision: Mapping[str, Any]) -> ToolMessage:
    message = decision.get("message")
    responds = decision["type"] == "respond"
    if responds:
        content = str(message)
    elif message:
        content = f"Error: a person refused this call: {message}"
    else:
        content = (
            "Error: a person refused this call. Do not repeat it unless you are asked "
            "to."
        )
    return ToolMessage(
        content,
        name=call["name"],
        tool_call_id=call["id"],
        status="success" if responds else "error",
    )
